//! The functions on numbers.

use std::cmp::Ordering;

use crate::builtin::Builtin;
use crate::value::Value;

/// The value of a function on numbers; none where there is none.
pub(crate) fn call<'a>(builtin: Builtin, args: &[Value<'a>]) -> Option<Value<'a>> {
    let first = args.first()?;
    match builtin {
        Builtin::Abs => match first {
            Value::Int(value) => value.checked_abs().map(Value::Int),
            value => value.number().map(|value| Value::Float(value.abs())),
        },
        Builtin::Ceil => first.number().map(|value| Value::Float(value.ceil())),
        Builtin::Floor => first.number().map(|value| Value::Float(value.floor())),
        Builtin::Round => first.number().map(|value| Value::Float(value.round())),
        Builtin::Float => match first {
            Value::Str(text) => text.parse().ok().map(Value::Float),
            value => value.number().map(Value::Float),
        },
        Builtin::Int => match first {
            Value::Str(text) => text.parse().ok().map(Value::Int),
            Value::Float(value) => Some(Value::Int(*value as i64)),
            Value::Int(value) | Value::Duration(value) => Some(Value::Int(*value)),
            Value::Month(value) | Value::Weekday(value) => Some(Value::Int((*value).into())),
            _ => None,
        },
        Builtin::Bits(bits) => bits
            .of(first.int()?, args.get(1).and_then(Value::int))
            .map(Value::Int),
        Builtin::Max => best(args, Ordering::is_lt),
        Builtin::Min => best(args, Ordering::is_gt),
        Builtin::Mean => {
            let numbers = all(args)?;
            let count = numbers.len().max(1) as f64;
            let numbers = numbers.iter().filter_map(Value::number);
            Some(Value::Float(numbers.sum::<f64>() / count))
        }
        Builtin::Median => {
            let mut numbers: Vec<f64> = all(args)?.iter().filter_map(Value::number).collect();
            numbers.sort_by(f64::total_cmp);
            let middle = numbers.len() / 2;
            Some(Value::Float(match numbers.get(middle) {
                None => 0.0,
                Some(one) if numbers.len() % 2 == 1 => *one,
                Some(one) => (numbers[middle - 1] + one) / 2.0,
            }))
        }
        _ => None,
    }
}

/// Numbers that are given one by one, in lists, or both.
fn all<'a>(args: &[Value<'a>]) -> Option<Vec<Value<'a>>> {
    let mut numbers = Vec::new();
    collect(args, &mut numbers)?;
    Some(numbers)
}

fn collect<'a>(values: &[Value<'a>], numbers: &mut Vec<Value<'a>>) -> Option<()> {
    for value in values {
        match value {
            Value::Int(_) | Value::Float(_) => numbers.push(value.clone()),
            list => collect(list.items()?, numbers)?,
        }
    }
    Some(())
}

/// The first of the numbers that none is better than, and nothing of none. `worse` says of the order of two whether the
/// first is the worse one.
fn best<'a>(args: &[Value<'a>], worse: fn(Ordering) -> bool) -> Option<Value<'a>> {
    let best = all(args)?.into_iter().reduce(|best, next| {
        if best.order(&next).is_some_and(worse) {
            next
        } else {
            best
        }
    });
    Some(best.unwrap_or(Value::Nil))
}
