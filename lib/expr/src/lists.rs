//! The functions on lists and maps as a whole.

use std::cmp::Ordering;

use crate::builtin::{Builtin, MAX_TEXT};
use crate::value::Value;

/// The most items that `uniq` compares with each other, where they have no order.
const MAX_COMPARED: usize = 1000;

/// The value of a function on lists; none where there is none.
pub(crate) fn call<'a>(builtin: Builtin, args: &[Value<'a>]) -> Option<Value<'a>> {
    let first = args.first()?;
    let items = || first.items();
    match builtin {
        Builtin::Concat => {
            let mut all = Vec::new();
            for list in args {
                all.extend_from_slice(list.items()?);
            }
            Value::list(all)
        }
        // As in CoreDNS, there is nothing in what is no list.
        Builtin::First => Some(items().and_then(<[_]>::first).cloned().unwrap_or(Value::Nil)),
        Builtin::Last => Some(items().and_then(<[_]>::last).cloned().unwrap_or(Value::Nil)),
        Builtin::Reverse => Value::list(items()?.iter().rev().cloned().collect()),
        Builtin::Join => {
            let mut out = String::new();
            let glue = match args.get(1) {
                None => "",
                Some(glue) => glue.text()?,
            };
            for (place, word) in items()?.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { glue });
                out.push_str(word.text()?);
                if out.len() > MAX_TEXT {
                    return None;
                }
            }
            Some(Value::text_of(out))
        }
        Builtin::Sum => sum(items()?.iter().cloned()),
        Builtin::Sort => {
            let list = items()?;
            let order = sorted(list, args.get(1))?;
            Value::list(order.into_iter().map(|place| list[place].clone()).collect())
        }
        Builtin::Take => {
            let count = usize::try_from(args.get(1)?.int()?).ok()?;
            Value::list(items()?.iter().take(count).cloned().collect())
        }
        Builtin::Uniq => uniq(items()?),
        Builtin::Flatten => {
            let mut flat = Vec::new();
            flatten(items()?, &mut flat);
            Value::list(flat)
        }
        Builtin::Get => get(first, args.get(1)?),
        Builtin::Keys => Value::list(first.entries()?.iter().map(|(key, _)| key.clone()).collect()),
        Builtin::Values => Value::list(first.entries()?.iter().map(|(_, value)| value.clone()).collect()),
        Builtin::ToPairs => {
            let pairs = first.entries()?.iter();
            let pairs: Option<Vec<_>> = pairs
                .map(|(key, value)| Value::list(vec![key.clone(), value.clone()]))
                .collect();
            Value::list(pairs?)
        }
        Builtin::FromPairs => {
            let pairs = items()?.iter();
            let pairs: Option<Vec<_>> = pairs
                .map(|pair| match pair.items()? {
                    [key, value] => Some((key.clone(), value.clone())),
                    _ => None,
                })
                .collect();
            Value::map(pairs?)
        }
        _ => None,
    }
}

/// The item at a place, or the value under a key; nothing if there is none.
fn get<'a>(from: &Value<'a>, key: &Value<'a>) -> Option<Value<'a>> {
    if from.entries().is_some() {
        return Some(from.entry(key).cloned().unwrap_or(Value::Nil));
    }
    let Some(items) = from.items() else {
        return from.is_nil().then_some(Value::Nil);
    };
    let index = key.int()?;
    let index = if index < 0 {
        index.checked_add(items.len() as i64)?
    } else {
        index
    };
    let item = usize::try_from(index).ok().and_then(|index| items.get(index));
    Some(item.cloned().unwrap_or(Value::Nil))
}

/// The sum of numbers; of none it is 0.
pub(crate) fn sum<'a>(numbers: impl Iterator<Item = Value<'a>>) -> Option<Value<'a>> {
    let mut total = Value::Int(0);
    for number in numbers {
        total = match (&total, &number) {
            (Value::Int(one), Value::Int(other)) => Value::Int(one.wrapping_add(*other)),
            (one, other) => Value::Float(one.number()? + other.number()?),
        };
    }
    Some(total)
}

/// The places of values in their order, `asc` unless it is to be `desc`; none where two cannot be compared.
pub(crate) fn sorted(values: &[Value<'_>], order: Option<&Value<'_>>) -> Option<Vec<usize>> {
    let reverse = match order.map(Value::text) {
        None | Some(Some("asc")) => false,
        Some(Some("desc")) => true,
        Some(_) => return None,
    };
    // Only what is of one kind has an order: numbers, text, durations, dates.
    let kind = |value: &Value<'_>| match value {
        Value::Int(_) | Value::Float(_) => 1,
        Value::Str(_) => 2,
        Value::Duration(_) => 3,
        Value::Date(_) => 4,
        _ => 0,
    };
    let first = values.first().map_or(1, kind);
    if first == 0 || values.iter().any(|value| kind(value) != first) {
        return None;
    }
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|one, other| {
        let order = total_order(&values[*one], &values[*other]);
        if reverse { order.reverse() } else { order }
    });
    Some(places)
}

/// An order without exceptions: numbers by what they count, then whole ones first, else that of keys.
fn total_order(one: &Value<'_>, other: &Value<'_>) -> Ordering {
    let (Some(one_counts), Some(other_counts)) = (one.number(), other.number()) else {
        return one.order_of_keys(other);
    };
    // The zero below zero is zero.
    let order = (one_counts + 0.0).total_cmp(&(other_counts + 0.0));
    order.then_with(|| one.order_of_keys(other))
}

/// Each item once, where it stands first.
fn uniq<'a>(list: &[Value<'a>]) -> Option<Value<'a>> {
    if list
        .iter()
        .any(|item| item.items().is_some() || item.entries().is_some())
    {
        let mut seen: Vec<Value<'a>> = Vec::new();
        for item in list.iter().take(MAX_COMPARED + 1) {
            if !seen.iter().any(|known| known.equals(item)) {
                seen.push(item.clone());
            }
        }
        return if list.len() > MAX_COMPARED {
            None
        } else {
            Value::list(seen)
        };
    }
    let mut places: Vec<usize> = (0..list.len()).collect();
    // The order is stable, so that the first of equal ones stays the first, but whole numbers come before others.
    places.sort_by(|one, other| total_order(&list[*one], &list[*other]));
    let mut first = Vec::new();
    let mut rest = places.as_slice();
    while let Some((place, behind)) = rest.split_first() {
        let same = behind
            .iter()
            .take_while(|next| list[**next].equals(&list[*place]))
            .count();
        let earliest = behind[..same].iter().chain([place]).min();
        first.extend(earliest.copied());
        rest = &behind[same..];
    }
    first.sort_unstable();
    Value::list(first.into_iter().map(|place| list[place].clone()).collect())
}

fn flatten<'a>(list: &[Value<'a>], flat: &mut Vec<Value<'a>>) {
    // Lists are no deeper and no larger than they may be.
    for item in list {
        match item.items() {
            Some(inner) => flatten(inner, flat),
            None => flat.push(item.clone()),
        }
    }
}
