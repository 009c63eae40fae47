//! The functions on text.

use crate::builtin::{Builtin, MAX_TEXT};
use crate::json;
use crate::value::Value;

/// The value of a function on text; none where there is none.
pub(crate) fn call<'a>(builtin: Builtin, args: &[Value<'a>]) -> Option<Value<'a>> {
    let text = |place: usize| args.get(place).and_then(Value::text);
    let own = |text: String| (text.len() <= MAX_TEXT).then(|| Value::text_of(text));
    let first = text(0)?;
    // Where there is no other argument, one space.
    let affix = || match args.get(1) {
        None => Some(" "),
        Some(_) => text(1),
    };
    match builtin {
        Builtin::HasPrefix => Some(Value::Bool(first.starts_with(text(1)?))),
        Builtin::HasSuffix => Some(Value::Bool(first.ends_with(text(1)?))),
        Builtin::IndexOf => Some(Value::Int(first.find(text(1)?).map_or(-1, |at| at as i64))),
        Builtin::LastIndexOf => Some(Value::Int(first.rfind(text(1)?).map_or(-1, |at| at as i64))),
        Builtin::Lower => own(first.to_lowercase()),
        Builtin::Upper => own(first.to_uppercase()),
        Builtin::Repeat => {
            let times = usize::try_from(args.get(1)?.int()?).ok()?;
            (first.len().checked_mul(times)? <= MAX_TEXT).then(|| Value::text_of(first.repeat(times)))
        }
        Builtin::Replace => {
            let (from, to) = (text(1)?, text(2)?);
            let times = match args.get(3) {
                None => usize::MAX,
                // As in Go, less than nothing is all.
                Some(times) => usize::try_from(times.int()?).unwrap_or(usize::MAX),
            };
            let found = if from.is_empty() {
                first.len() + 1
            } else {
                first.len() / from.len()
            };
            let longest = found.min(times).checked_mul(to.len())?.checked_add(first.len())?;
            // What might become too long is counted before it is made.
            if longest > MAX_TEXT {
                let found = first.matches(from).count().min(times);
                let len = first.len() - found * from.len();
                if len.checked_add(found.checked_mul(to.len())?)? > MAX_TEXT {
                    return None;
                }
            }
            own(first.replacen(from, to, times))
        }
        Builtin::Split => list(parts(first, text(1)?, args.get(2))?),
        Builtin::SplitAfter => {
            let separator = text(1)?;
            let mut parts = parts(first, separator, args.get(2))?;
            let last = parts.len().saturating_sub(1);
            let mut from = 0;
            for (place, part) in parts.iter_mut().enumerate() {
                let end = from + part.len() + if place < last { separator.len() } else { 0 };
                *part = first.get(from..end)?;
                from = end;
            }
            list(parts)
        }
        Builtin::Trim => {
            let trimmed = match args.get(1) {
                None => first.trim(),
                Some(letters) => {
                    let letters: Vec<char> = letters.text()?.chars().collect();
                    first.trim_matches(letters.as_slice())
                }
            };
            own(trimmed.to_owned())
        }
        Builtin::TrimPrefix => own(first.strip_prefix(affix()?).unwrap_or(first).to_owned()),
        Builtin::TrimSuffix => own(first.strip_suffix(affix()?).unwrap_or(first).to_owned()),
        Builtin::ToBase64 => own(json::to_base64(first)),
        Builtin::FromBase64 => own(json::from_base64(first)?),
        _ => None,
    }
}

fn list<'a>(parts: Vec<&str>) -> Option<Value<'a>> {
    let parts = parts.into_iter();
    Value::list(parts.map(|part| Value::text_of(part.to_owned())).collect())
}

/// What is between separators, no more than so many parts: none of them for 0, all for less than that.
fn parts<'t>(text: &'t str, separator: &str, count: Option<&Value<'_>>) -> Option<Vec<&'t str>> {
    let count = match count {
        None => usize::MAX,
        Some(count) => match count.int()? {
            0 => return Some(Vec::new()),
            count => usize::try_from(count).unwrap_or(usize::MAX),
        },
    };
    Some(split(text, separator, count))
}

fn split<'t>(text: &'t str, separator: &str, count: usize) -> Vec<&'t str> {
    if !separator.is_empty() {
        return text.splitn(count, separator).collect();
    }
    let ends = text.char_indices().skip(1).map(|(at, _)| at);
    let mut parts = Vec::new();
    let mut from = 0;
    for end in ends.take(count.saturating_sub(1)) {
        parts.push(&text[from..end]);
        from = end;
    }
    if !text.is_empty() {
        parts.push(&text[from..]);
    }
    parts
}
