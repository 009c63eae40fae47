//! The functions that templates call, beside those that the crate has.

use std::sync::{Arc, LazyLock};

use gotmpl::{FuncMap, TemplateError, Value, ValueFunc};

use super::objects;

/// Names that no template can write, for what [`adapt`](super::adapt) puts into them.
pub(super) const FIELD: &str = "field of";
/// Makes of an object the text that Go prints for it.
pub(super) const SHOW: &str = "text of";
/// Gives nil.
pub(super) const NIL: &str = "nil value";

/// The functions that Go's templates have, in alphabetical order.
pub(super) const BUILTIN: [&str; 20] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "parseInt",
    "print", "printf", "println", "slice", "urlquery",
];

/// Functions whose arguments are printed.
pub(super) const PRINTING: [&str; 6] = ["html", "js", "print", "printf", "println", "urlquery"];

/// What a template is given beside the crate's own functions.
pub(super) fn all() -> FuncMap {
    static ALL: LazyLock<FuncMap> = LazyLock::new(|| {
        let functions: [(&str, ValueFunc); 5] = [
            (FIELD, Arc::new(objects::field)),
            (SHOW, Arc::new(objects::show)),
            (NIL, Arc::new(|_: &[Value]| Ok(Value::Nil))),
            ("index", Arc::new(index)),
            ("parseInt", Arc::new(parse_int)),
        ];
        functions
            .into_iter()
            .map(|(name, function)| (name.to_owned(), function))
            .collect()
    });
    ALL.clone()
}

fn fail<T>(message: impl Into<String>) -> gotmpl::Result<T> {
    Err(TemplateError::Exec(message.into()))
}

/// Goes down lists and maps. A key that a map does not have is an empty text, since all maps hold texts.
fn index(args: &[Value]) -> gotmpl::Result<Value> {
    let Some((first, places)) = args.split_first() else {
        return fail("wrong number of args for index: want at least 1 got 0");
    };
    places
        .iter()
        .try_fold(first.clone(), |value, place| match (&value, place) {
            (Value::Map(map), Value::String(key)) => {
                Ok(map.get(key).cloned().unwrap_or_else(|| Value::String("".into())))
            }
            _ => value.index(place),
        })
}

/// Go's strconv.ParseUint.
fn parse_int(args: &[Value]) -> gotmpl::Result<Value> {
    let [digits, base, bits] = args else {
        return fail(format!(
            "wrong number of args for parseInt: want 3 got {}",
            args.len()
        ));
    };
    let Value::String(digits) = digits else {
        return fail(format!(
            "wrong type for parseInt: expected string, got {}",
            digits.type_name()
        ));
    };
    let number = |value: &Value| match *value {
        Value::Int(number) => Ok(number),
        // An untyped constant such as 16.0 is an integer to Go.
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e9 => Ok(number as i64),
        _ => fail(format!(
            "wrong type for parseInt: expected int, got {}",
            value.type_name()
        )),
    };
    let (base, bits) = (number(base)?, number(bits)?);
    match parse_uint(digits, base, bits) {
        Ok(value) => Ok(Value::Uint(value)),
        Err(cause) => fail(format!("error calling parseInt: {cause}")),
    }
}

/// Reads digits of a base, 2 to 36, for so many bits at most. With base 0 the digits say it: `0x`, `0o`, `0` and `0b`,
/// and may have underscores between them. No bits are 64.
pub(super) fn parse_uint(text: &str, base: i64, bits: i64) -> Result<u64, String> {
    let fail = |cause: &str| Err(format!("strconv.ParseUint: parsing {text:?}: {cause}"));
    if text.is_empty() {
        return fail("invalid syntax");
    }
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match base {
        0 => match lower.as_bytes() {
            [b'0', b'x', _, ..] => (&lower[2..], 16),
            [b'0', b'o', _, ..] => (&lower[2..], 8),
            [b'0', b'b', _, ..] => (&lower[2..], 2),
            [b'0', _, ..] => (&lower[1..], 8),
            _ => (lower.as_str(), 10),
        },
        2..=36 => (lower.as_str(), base as u32),
        _ => return fail(&format!("invalid base {base}")),
    };
    let max = match bits {
        0 | 64 => u64::MAX,
        1..=63 => (1 << bits) - 1,
        _ => return fail(&format!("invalid bit size {bits}")),
    };
    if base == 0 && !underscores_are_sound(&lower) {
        return fail("invalid syntax");
    }
    let mut value = Some(0_u64);
    for byte in digits.bytes().filter(|byte| base != 0 || *byte != b'_') {
        let Some(digit) = char::from(byte).to_digit(radix) else {
            return fail("invalid syntax");
        };
        value = value.and_then(|value| value.checked_mul(u64::from(radix))?.checked_add(u64::from(digit)));
    }
    match value {
        Some(value) if value <= max => Ok(value),
        _ => fail("value out of range"),
    }
}

/// Whether each underscore stands between digits, or between a prefix and a digit.
fn underscores_are_sound(text: &str) -> bool {
    let prefixed =
        text.len() >= 2 && text.starts_with('0') && matches!(text.as_bytes()[1], b'x' | b'o' | b'b');
    let mut before = if prefixed { b'0' } else { b'^' };
    for byte in text.bytes().skip(if prefixed { 2 } else { 0 }) {
        match byte {
            b'_' if before != b'0' => return false,
            b'_' => before = b'_',
            _ => before = b'0',
        }
    }
    before != b'_'
}
