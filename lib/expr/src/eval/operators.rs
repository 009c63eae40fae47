//! Operators on two values.

use regex::RegexBuilder;

use super::{Outcome, Stop, made};
use crate::builtin::MAX_TEXT;
use crate::dates;
use crate::query::Query;
use crate::tree::Sign;
use crate::value::Value;

/// Most numbers in a range.
const MAX_RANGE: i64 = 10_000;

/// What it costs to read a pattern that does not stand in the expression.
const PATTERN: usize = 5_000;

/// Most memory that such a pattern may take, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// What the operator makes of two values.
pub(super) fn apply<'a>(sign: Sign, left: &Value<'a>, right: &Value<'a>, query: &Query<'_>) -> Outcome<'a> {
    query.spend(left.size() + right.size())?;
    let order = || left.order(right).ok_or(Stop::NoValue);
    Ok(match sign {
        Sign::Equal => Value::Bool(left.equals(right)),
        Sign::NotEqual => Value::Bool(!left.equals(right)),
        Sign::Less => Value::Bool(order()?.is_lt()),
        Sign::LessOrEqual => Value::Bool(order()?.is_le()),
        Sign::Greater => Value::Bool(order()?.is_gt()),
        Sign::GreaterOrEqual => Value::Bool(order()?.is_ge()),
        Sign::In => Value::Bool(is_in(left, right)?),
        Sign::Contains | Sign::StartsWith | Sign::EndsWith | Sign::Matches => {
            Value::Bool(fits(sign, left, right, query)?)
        }
        Sign::Range => {
            let (from, to) = left.int().zip(right.int()).ok_or(Stop::NoValue)?;
            if to.saturating_sub(from) >= MAX_RANGE {
                return Err(Stop::NoValue);
            }
            return made((from..=to).map(Value::Int).collect(), query);
        }
        Sign::Plus if left.text().is_some() => {
            let (text, more) = left.text().zip(right.text()).ok_or(Stop::NoValue)?;
            if text.len() + more.len() > MAX_TEXT {
                return Err(Stop::NoValue);
            }
            Value::text_of(format!("{text}{more}"))
        }
        Sign::Plus | Sign::Minus | Sign::Times | Sign::Modulo => return arithmetic(sign, left, right),
        Sign::Divide => {
            let (left, right) = left.number().zip(right.number()).ok_or(Stop::NoValue)?;
            Value::Float(left / right)
        }
        Sign::Power => {
            let (left, right) = left.number().zip(right.number()).ok_or(Stop::NoValue)?;
            Value::Float(left.powf(right))
        }
        Sign::And | Sign::Or | Sign::Coalesce | Sign::Not => return Err(Stop::NoValue),
    })
}

/// Whether a value is an item of a list or a key of a map; there is none in nothing.
fn is_in(value: &Value<'_>, all: &Value<'_>) -> Result<bool, Stop> {
    if let Some(items) = all.items() {
        return Ok(items.iter().any(|item| item.equals(value)));
    }
    if all.is_nil() {
        return Ok(false);
    }
    all.entries().ok_or(Stop::NoValue)?;
    Ok(all.entry(value).is_some())
}

/// Whether a text is such as another says; nothing is not.
fn fits(sign: Sign, left: &Value<'_>, right: &Value<'_>, query: &Query<'_>) -> Result<bool, Stop> {
    if left.is_nil() || right.is_nil() {
        return Ok(false);
    }
    let (text, part) = left.text().zip(right.text()).ok_or(Stop::NoValue)?;
    Ok(match sign {
        Sign::Contains => text.contains(part),
        Sign::StartsWith => text.starts_with(part),
        Sign::EndsWith => text.ends_with(part),
        _ => {
            query.spend(PATTERN)?;
            let pattern = RegexBuilder::new(part).size_limit(MAX_PATTERN).build();
            pattern.map_err(|_| Stop::NoValue)?.is_match(text)
        }
    })
}

fn arithmetic<'a>(sign: Sign, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
    let value = match (left, right) {
        (Value::Int(left), Value::Int(right)) => match sign {
            Sign::Plus => Some(left.wrapping_add(*right)),
            Sign::Minus => Some(left.wrapping_sub(*right)),
            Sign::Times => Some(left.wrapping_mul(*right)),
            _ => left.checked_rem(*right),
        }
        .map(Value::Int),
        (Value::Date(_) | Value::Duration(_), _) | (_, Value::Date(_) | Value::Duration(_)) => {
            with_time(sign, left, right)
        }
        _ => left.number().zip(right.number()).and_then(|(left, right)| {
            Some(Value::Float(match sign {
                Sign::Plus => left + right,
                Sign::Minus => left - right,
                Sign::Times => left * right,
                _ => return None,
            }))
        }),
    };
    value.ok_or(Stop::NoValue)
}

/// Sums, differences and products with dates and durations.
fn with_time<'a>(sign: Sign, left: &Value<'a>, right: &Value<'a>) -> Option<Value<'a>> {
    use Value::{Date, Duration, Float, Int};
    Some(match (sign, left, right) {
        (Sign::Plus, Date(date), Duration(by)) | (Sign::Plus, Duration(by), Date(date)) => {
            dates::date(dates::later(date, *by)?)
        }
        (Sign::Minus, Date(date), Duration(by)) => dates::date(dates::later(date, by.checked_neg()?)?),
        (Sign::Minus, Date(date), Date(other)) => Duration(dates::between(other, date)),
        (Sign::Plus, Duration(one), Duration(other)) => Duration(one.wrapping_add(*other)),
        (Sign::Minus, Duration(one), Duration(other)) => Duration(one.wrapping_sub(*other)),
        (Sign::Times, Duration(one), Duration(other) | Int(other))
        | (Sign::Times, Int(one), Duration(other)) => Duration(one.wrapping_mul(*other)),
        (Sign::Times, Duration(one), Float(by)) | (Sign::Times, Float(by), Duration(one)) => {
            Duration((*one as f64 * by) as i64)
        }
        _ => return None,
    })
}
