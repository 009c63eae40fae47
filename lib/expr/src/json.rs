//! Values as JSON and from it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::builtin::MAX_TEXT;
use crate::layout;
use crate::value::Value;

/// The layout of dates in JSON.
const DATE: &str = "2006-01-02T15:04:05.999999999Z07:00";

/// A value as JSON, indented by two spaces as CoreDNS has it; none if there is none or it is too long.
pub(crate) fn write(value: &Value<'_>) -> Option<String> {
    let mut out = String::new();
    write_at(&mut out, value, 0)?;
    Some(out)
}

fn write_at(out: &mut String, value: &Value<'_>, depth: usize) -> Option<()> {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) | Value::Duration(value) => write!(out, "{value}").ok()?,
        Value::Month(value) | Value::Weekday(value) => write!(out, "{value}").ok()?,
        Value::Float(value) => write_float(out, *value)?,
        Value::Str(text) => write_text(out, text)?,
        Value::Date(date) => write_text(out, &layout::format(date, DATE))?,
        Value::Zone(_) => out.push_str("{}"),
        Value::List(_) | Value::Made(_) => {
            let items = value.items()?;
            write_parts(out, "[]", items, depth, |out, item| {
                write_at(out, item, depth + 1)
            })?;
        }
        Value::Map(_) | Value::MadeMap(_) => {
            let entries = value.entries()?;
            write_parts(out, "{}", entries, depth, |out, (key, value)| {
                write_text(out, key.text()?)?;
                out.push_str(": ");
                write_at(out, value, depth + 1)
            })?;
        }
    }
    (out.len() <= MAX_TEXT).then_some(())
}

fn write_parts<T>(
    out: &mut String,
    brackets: &str,
    parts: &[T],
    depth: usize,
    one: impl Fn(&mut String, &T) -> Option<()>,
) -> Option<()> {
    let (open, close) = brackets.split_at(1);
    out.push_str(open);
    for (place, part) in parts.iter().enumerate() {
        out.push_str(if place == 0 { "\n" } else { ",\n" });
        out.extend(std::iter::repeat_n("  ", depth + 1));
        one(out, part)?;
    }
    if !parts.is_empty() {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
    out.push_str(close);
    Some(())
}

/// A number as JavaScript writes it: no fraction where there is none, an exponent if it is very large or small.
fn write_float(out: &mut String, value: f64) -> Option<()> {
    if !value.is_finite() {
        return None;
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e')?;
        let sign = if exponent.starts_with('-') { "" } else { "+" };
        return write!(out, "{digits}e{sign}{exponent}").ok();
    }
    write!(out, "{value}").ok()
}

/// Text in quotes; as Go has it, what means something in HTML is escaped as well.
fn write_text(out: &mut String, text: &str) -> Option<()> {
    for letter in serde_json::to_string(text).ok()?.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => write!(out, "\\u{:04x}", letter as u32).ok()?,
            letter => out.push(letter),
        }
    }
    Some(())
}

/// The value that JSON stands for; its numbers are never whole ones.
pub(crate) fn read(text: &str) -> Option<Value<'static>> {
    value(serde_json::from_str(text).ok()?)
}

fn value(json: serde_json::Value) -> Option<Value<'static>> {
    use serde_json::Value as Json;
    Some(match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => Value::Float(number.as_f64()?),
        Json::String(text) => Value::text_of(text),
        Json::Array(items) => {
            let items: Option<Vec<_>> = items.into_iter().map(value).collect();
            Value::list(items?)?
        }
        Json::Object(entries) => {
            let entries = entries.into_iter();
            let entries: Option<Vec<_>> = entries
                .map(|(key, json)| Some((Value::text_of(key), value(json)?)))
                .collect();
            Value::map(entries?)?
        }
    })
}

pub(crate) fn to_base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// The text that base64 stands for; none if it is not text. As in Go, line ends in it do not matter.
pub(crate) fn from_base64(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text.replace(['\r', '\n'], "")).ok()?;
    String::from_utf8(bytes).ok()
}
