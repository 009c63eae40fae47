//! The functions on lists as a whole.

use std::cmp::Ordering;

use crate::builtin::items;
use crate::value::Value;

/// Lists within each other that `flatten` follows.
const MAX_DEPTH: usize = 100;

/// Numbers that are given one by one, in lists, or both.
fn numbers<'a>(args: &[Value<'a>]) -> Option<Vec<Value<'a>>> {
    let flat = collect(args.to_vec(), 0)?;
    flat.iter().all(|value| value.number().is_some()).then_some(flat)
}

/// The first of the numbers that none is better than: `worse` says of the order of two whether the first is the worse one.
pub(crate) fn best<'a>(args: &[Value<'a>], worse: fn(Ordering) -> bool) -> Option<Value<'a>> {
    let mut numbers = numbers(args)?.into_iter();
    let first = numbers.next()?;
    Some(numbers.fold(first, |best, next| {
        if best.order(&next).is_some_and(worse) {
            next
        } else {
            best
        }
    }))
}

/// The sum of a list; of none it is 0.
pub(crate) fn sum<'a>(list: &[Value<'a>]) -> Option<Value<'a>> {
    let whole: Option<Vec<i64>> = list.iter().map(Value::int).collect();
    if let Some(whole) = whole {
        return Some(Value::Int(whole.into_iter().fold(0, i64::wrapping_add)));
    }
    let numbers: Option<Vec<f64>> = list.iter().map(Value::number).collect();
    Some(Value::Float(numbers?.into_iter().sum()))
}

/// The mean of numbers; of none it is 0.
pub(crate) fn mean<'a>(args: &[Value<'a>]) -> Option<Value<'a>> {
    let numbers: Vec<f64> = numbers(args)?.iter().filter_map(Value::number).collect();
    let count = numbers.len().max(1) as f64;
    Some(Value::Float(numbers.into_iter().sum::<f64>() / count))
}

/// The number in the middle, or what is between the two of them; of none it is 0.
pub(crate) fn median<'a>(args: &[Value<'a>]) -> Option<Value<'a>> {
    let mut numbers: Vec<f64> = numbers(args)?.iter().filter_map(Value::number).collect();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    Some(Value::Float(match numbers.get(middle) {
        None => 0.0,
        Some(one) if numbers.len() % 2 == 1 => *one,
        Some(one) => (numbers[middle - 1] + one) / 2.0,
    }))
}

/// The items in order, `asc` unless it is to be `desc`; none where two cannot be compared.
pub(crate) fn sort<'a>(mut list: Vec<Value<'a>>, order: Option<&str>) -> Option<Value<'a>> {
    let reverse = match order {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return None,
    };
    let kinds = |value: &Value<'_>| (value.number().is_some(), value.text().is_some());
    let first = list.first().map(kinds);
    if list
        .iter()
        .any(|value| Some(kinds(value)) != first || kinds(value) == (false, false))
    {
        return None;
    }
    list.sort_by(|one, other| {
        let order = one.order(other).unwrap_or(Ordering::Equal);
        if reverse { order.reverse() } else { order }
    });
    Some(Value::Made(list))
}

/// The first so many items.
pub(crate) fn take(mut list: Vec<Value<'_>>, count: i64) -> Option<Value<'_>> {
    list.truncate(usize::try_from(count).ok()?);
    Some(Value::Made(list))
}

/// Each item once, where it stands first.
pub(crate) fn uniq(list: Vec<Value<'_>>) -> Value<'_> {
    let mut seen: Vec<Value<'_>> = Vec::new();
    for item in list {
        if !seen.iter().any(|known| known.equals(&item)) {
            seen.push(item);
        }
    }
    Value::Made(seen)
}

/// The items, and those of lists among them in their places.
pub(crate) fn flatten(list: Vec<Value<'_>>) -> Option<Value<'_>> {
    collect(list, 0).map(Value::Made)
}

fn collect(list: Vec<Value<'_>>, depth: usize) -> Option<Vec<Value<'_>>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut flat = Vec::new();
    for item in list {
        match items(&item) {
            Some(inner) => flat.extend(collect(inner, depth + 1)?),
            None => flat.push(item),
        }
    }
    Some(flat)
}
