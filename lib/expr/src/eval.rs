//! Evaluates a checked tree for one query.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;

use crate::builtin::items;
use crate::check::{Checked, Each};
use crate::parse::Sign;
use crate::query::Query;
use crate::value::Value;

/// The expression has no value for this query, as where a list has no such item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoValue;

type Outcome<'a> = Result<Value<'a>, NoValue>;

/// Most numbers in a range.
const MAX_RANGE: i64 = 10_000;

/// The value of `node`; `item` is what a predicate is asked about.
pub(crate) fn eval<'a>(node: &'a Checked, query: &'a Query<'a>, item: Option<&Value<'a>>) -> Outcome<'a> {
    match node {
        Checked::Constant(value) => Ok(borrowed(value)),
        Checked::Item => item.cloned().ok_or(NoValue),
        Checked::Tell(field) => Ok(query.tell(*field)),
        Checked::Metadata(label) => {
            let label = eval(label, query, item)?;
            Ok(Value::Str(Cow::Owned(
                query.metadata(label.text().ok_or(NoValue)?),
            )))
        }
        Checked::ClientWithin(network) => Ok(Value::Bool(
            network.contains(&query.request.peer().ip().to_canonical()),
        )),
        Checked::Within(parts) => {
            let (address, network) = (eval(&parts[0], query, item)?, eval(&parts[1], query, item)?);
            let address: IpAddr = parsed(&address)?;
            let network: IpNet = parsed(&network)?;
            Ok(Value::Bool(network.contains(&address.to_canonical())))
        }
        Checked::Call(builtin, args) => {
            let args: Result<Vec<_>, _> = args.iter().map(|arg| eval(arg, query, item)).collect();
            builtin.call(&args?).ok_or(NoValue)
        }
        Checked::Each(each, parts) => {
            let list = items(&eval(&parts[0], query, item)?).ok_or(NoValue)?;
            ask_each(*each, list, &parts[1], query)
        }
        Checked::List(nodes) => {
            let items: Result<Vec<_>, _> = nodes.iter().map(|node| eval(node, query, item)).collect();
            items.map(Value::Made)
        }
        Checked::Not(operand) => Ok(Value::Bool(!truth(&eval(operand, query, item)?)?)),
        Checked::Negative(operand) => match eval(operand, query, item)? {
            Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(NoValue),
            Value::Float(value) => Ok(Value::Float(-value)),
            _ => Err(NoValue),
        },
        Checked::Fits(text, pattern) => Ok(Value::Bool(
            pattern.is_match(eval(text, query, item)?.text().ok_or(NoValue)?),
        )),
        Checked::Binary(sign @ (Sign::And | Sign::Or), parts) => {
            let left = truth(&eval(&parts[0], query, item)?)?;
            if left == (*sign == Sign::Or) {
                return Ok(Value::Bool(left));
            }
            truth(&eval(&parts[1], query, item)?).map(Value::Bool)
        }
        Checked::Binary(Sign::Coalesce, parts) => match eval(&parts[0], query, item)? {
            Value::Nil => eval(&parts[1], query, item),
            value => Ok(value),
        },
        Checked::Binary(sign, parts) => binary(
            *sign,
            &eval(&parts[0], query, item)?,
            &eval(&parts[1], query, item)?,
        ),
        Checked::Choice(parts) => {
            let place = if truth(&eval(&parts[0], query, item)?)? {
                1
            } else {
                2
            };
            eval(&parts[place], query, item)
        }
        Checked::Index(parts) => {
            let list = eval(&parts[0], query, item)?;
            let index = eval(&parts[1], query, item)?.int().ok_or(NoValue)?;
            at(&list, index)
        }
        Checked::Slice(list, from, to) => {
            let list = eval(list, query, item)?;
            let end = |end: &'a Option<Box<Checked>>| match end {
                None => Ok(None),
                Some(end) => eval(end, query, item)?.int().map(Some).ok_or(NoValue),
            };
            slice(&list, end(from)?, end(to)?)
        }
    }
}

/// The value without copying its text or its items.
fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Str(text) => Value::Str(Cow::Borrowed(text)),
        Value::List(items) => Value::List(Cow::Borrowed(items)),
        value => value.clone(),
    }
}

fn truth(value: &Value<'_>) -> Result<bool, NoValue> {
    match value {
        Value::Bool(value) => Ok(*value),
        _ => Err(NoValue),
    }
}

fn parsed<T: std::str::FromStr>(value: &Value<'_>) -> Result<T, NoValue> {
    value.text().and_then(|text| text.parse().ok()).ok_or(NoValue)
}

fn ask_each<'a>(
    each: Each,
    list: Vec<Value<'a>>,
    predicate: &'a Checked,
    query: &'a Query<'a>,
) -> Outcome<'a> {
    if each == Each::Map {
        let mapped: Result<Vec<_>, _> = list
            .iter()
            .map(|item| eval(predicate, query, Some(item)))
            .collect();
        return mapped.map(Value::Made);
    }
    let mut fitting = Vec::new();
    let mut last = -1;
    let len = list.len();
    for (place, item) in list.into_iter().enumerate() {
        let fits = truth(&eval(predicate, query, Some(&item))?)?;
        match each {
            Each::All if !fits => return Ok(Value::Bool(false)),
            Each::Any if fits => return Ok(Value::Bool(true)),
            Each::None if fits => return Ok(Value::Bool(false)),
            Each::Find if fits => return Ok(item),
            Each::FindIndex if fits => return Ok(Value::Int(place as i64)),
            _ if fits => {
                last = place as i64;
                fitting.push(item);
            }
            _ => {}
        }
    }
    Ok(match each {
        Each::All => Value::Bool(fitting.len() == len),
        Each::None => Value::Bool(true),
        Each::Any => Value::Bool(false),
        Each::One => Value::Bool(fitting.len() == 1),
        Each::Count => Value::Int(fitting.len() as i64),
        Each::Find => Value::Nil,
        Each::FindIndex => Value::Int(-1),
        Each::FindLast => fitting.pop().unwrap_or(Value::Nil),
        Each::FindLastIndex => Value::Int(last),
        Each::Filter | Each::Map => Value::Made(fitting),
    })
}

fn binary<'a>(sign: Sign, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
    let order = || left.order(right).ok_or(NoValue);
    let texts = || left.text().zip(right.text()).ok_or(NoValue);
    Ok(match sign {
        Sign::Equal => Value::Bool(left.equals(right)),
        Sign::NotEqual => Value::Bool(!left.equals(right)),
        Sign::Less => Value::Bool(order()?.is_lt()),
        Sign::LessOrEqual => Value::Bool(order()?.is_le()),
        Sign::Greater => Value::Bool(order()?.is_gt()),
        Sign::GreaterOrEqual => Value::Bool(order()?.is_ge()),
        Sign::In => Value::Bool(right.items().ok_or(NoValue)?.iter().any(|item| item.equals(left))),
        Sign::Contains => texts().map(|(text, part)| Value::Bool(text.contains(part)))?,
        Sign::StartsWith => texts().map(|(text, part)| Value::Bool(text.starts_with(part)))?,
        Sign::EndsWith => texts().map(|(text, part)| Value::Bool(text.ends_with(part)))?,
        Sign::Matches => {
            let (text, pattern) = texts()?;
            Value::Bool(Regex::new(pattern).map_err(|_| NoValue)?.is_match(text))
        }
        Sign::Range => {
            let (from, to) = left.int().zip(right.int()).ok_or(NoValue)?;
            if to.saturating_sub(from) >= MAX_RANGE {
                return Err(NoValue);
            }
            Value::Made((from..=to).map(Value::Int).collect())
        }
        Sign::Plus if left.text().is_some() => {
            let (text, more) = texts()?;
            Value::Str(Cow::Owned(format!("{text}{more}")))
        }
        Sign::Plus | Sign::Minus | Sign::Times | Sign::Modulo => return arithmetic(sign, left, right),
        Sign::Divide => Value::Float(left.number().ok_or(NoValue)? / right.number().ok_or(NoValue)?),
        Sign::Power => Value::Float(left.number().ok_or(NoValue)?.powf(right.number().ok_or(NoValue)?)),
        Sign::And | Sign::Or | Sign::Coalesce | Sign::Not => return Err(NoValue),
    })
}

fn arithmetic<'a>(sign: Sign, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
    if let (Value::Int(left), Value::Int(right)) = (left, right) {
        return Ok(Value::Int(match sign {
            Sign::Plus => left.wrapping_add(*right),
            Sign::Minus => left.wrapping_sub(*right),
            Sign::Times => left.wrapping_mul(*right),
            _ => left.checked_rem(*right).ok_or(NoValue)?,
        }));
    }
    let (left, right) = left.number().zip(right.number()).ok_or(NoValue)?;
    Ok(Value::Float(match sign {
        Sign::Plus => left + right,
        Sign::Minus => left - right,
        Sign::Times => left * right,
        _ => return Err(NoValue),
    }))
}

/// The item of a list or the letter of a text at a place, which counts from the end if it is negative.
fn at<'a>(list: &Value<'a>, index: i64) -> Outcome<'a> {
    let place = |len: usize| {
        let index = if index < 0 { index + len as i64 } else { index };
        usize::try_from(index)
            .ok()
            .filter(|place| *place < len)
            .ok_or(NoValue)
    };
    if let Value::Str(text) = list {
        let letters: Vec<char> = text.chars().collect();
        return Ok(Value::Str(Cow::Owned(letters[place(letters.len())?].to_string())));
    }
    let items = items(list).ok_or(NoValue)?;
    Ok(items[place(items.len())?].clone())
}

fn slice<'a>(list: &Value<'a>, from: Option<i64>, to: Option<i64>) -> Outcome<'a> {
    let ends = |len: usize| {
        let end = |end: i64| (if end < 0 { end + len as i64 } else { end }).clamp(0, len as i64) as usize;
        let (from, to) = (end(from.unwrap_or(0)), end(to.unwrap_or(len as i64)));
        from.min(to)..to
    };
    if let Value::Str(text) = list {
        let letters: Vec<char> = text.chars().collect();
        return Ok(Value::Str(Cow::Owned(
            letters[ends(letters.len())].iter().collect(),
        )));
    }
    let items = items(list).ok_or(NoValue)?;
    let range = ends(items.len());
    Ok(Value::Made(items[range].to_vec()))
}
