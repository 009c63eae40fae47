//! Maps, and the items, entries and letters of values.

use super::{Outcome, Scope, Stop, borrowed, eval, made};
use crate::check::Checked;
use crate::query::Query;
use crate::value::Value;

pub(super) fn map<'a>(
    nodes: &'a [Checked],
    query: &'a Query<'a>,
    scope: Option<&Scope<'_, 'a>>,
) -> Outcome<'a> {
    let mut entries = Vec::with_capacity(nodes.len() / 2);
    for pair in nodes.chunks_exact(2) {
        let key = eval(&pair[0], query, scope)?;
        key.text().ok_or(Stop::NoValue)?;
        entries.push((key, eval(&pair[1], query, scope)?));
    }
    query.spend(nodes.len())?;
    Value::map(entries).ok_or(Stop::NoValue)
}

/// An item by its place or an entry by its key; without such an entry, nothing.
pub(super) fn index<'a>(
    parts: &'a [Checked; 2],
    optional: bool,
    query: &'a Query<'a>,
    scope: Option<&Scope<'_, 'a>>,
) -> Outcome<'a> {
    let base = eval(&parts[0], query, scope)?;
    if base.is_nil() {
        return Err(if optional { Stop::Nothing } else { Stop::NoValue });
    }
    let key = eval(&parts[1], query, scope)?;
    match &base {
        Value::Map(entries) => {
            let place = entries
                .parts
                .binary_search_by(|(known, _)| known.order_of_keys(&key));
            let entry = place.ok().and_then(|place| entries.parts.get(place));
            Ok(entry.map_or(Value::Nil, |(_, value)| borrowed(value)))
        }
        Value::MadeMap(_) => Ok(base.entry(&key).cloned().unwrap_or(Value::Nil)),
        _ => at(&base, key.int().ok_or(Stop::NoValue)?, query),
    }
}

/// The item of a list or the letter of a text at a place, which counts from the end if it is negative.
fn at<'a>(list: &Value<'a>, index: i64, query: &Query<'_>) -> Outcome<'a> {
    let place = |len: usize| {
        let index = if index < 0 { index + len as i64 } else { index };
        usize::try_from(index)
            .ok()
            .filter(|place| *place < len)
            .ok_or(Stop::NoValue)
    };
    match list {
        Value::Str(text) => {
            query.spend(list.size())?;
            let place = place(text.chars().count())?;
            let letter = text.chars().nth(place).ok_or(Stop::NoValue)?;
            Ok(Value::text_of(letter.to_string()))
        }
        Value::List(items) => Ok(borrowed(&items.parts[place(items.parts.len())?])),
        _ => {
            let items = list.items().ok_or(Stop::NoValue)?;
            Ok(items[place(items.len())?].clone())
        }
    }
}

pub(super) fn slice<'a>(
    list: &'a Checked,
    ends: [Option<&'a Checked>; 2],
    query: &'a Query<'a>,
    scope: Option<&Scope<'_, 'a>>,
) -> Outcome<'a> {
    let list = eval(list, query, scope)?;
    let end = |end: Option<&'a Checked>| match end {
        None => Ok(None),
        Some(end) => eval(end, query, scope)?.int().map(Some).ok_or(Stop::NoValue),
    };
    let (from, to) = (end(ends[0])?, end(ends[1])?);
    let range = |len: usize| {
        let end = |end: i64| (if end < 0 { end + len as i64 } else { end }).clamp(0, len as i64) as usize;
        let (from, to) = (end(from.unwrap_or(0)), end(to.unwrap_or(len as i64)));
        from.min(to)..to
    };
    if let Value::Str(text) = &list {
        query.spend(list.size())?;
        let range = range(text.chars().count());
        let letters = text.chars().skip(range.start).take(range.len());
        return Ok(Value::text_of(letters.collect::<String>()));
    }
    let items = list.items().ok_or(Stop::NoValue)?;
    made(items[range(items.len())].to_vec(), query)
}
