//! Evaluates a checked tree for one query.

mod each;
mod members;
mod operators;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::check::Checked;
use crate::methods;
use crate::query::Query;
use crate::tree::Sign;
use crate::value::Value;

/// Why an evaluation ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The expression has no value for this query, as where a list has no such item.
    NoValue,
    /// An optional member of nothing: the chain around is nothing.
    Nothing,
}

type Outcome<'a> = Result<Value<'a>, Stop>;

/// What predicates and `let`s have bound, the last one first.
pub(crate) struct Scope<'s, 'a> {
    value: &'s Value<'a>,
    outer: Option<&'s Self>,
}

/// What a call of a function costs, its arguments apart.
const CALL: usize = 16;

/// The value of `node`, with what is bound around it.
pub(crate) fn eval<'a>(
    node: &'a Checked,
    query: &'a Query<'a>,
    scope: Option<&Scope<'_, 'a>>,
) -> Outcome<'a> {
    match node {
        Checked::Constant(value) => Ok(borrowed(value)),
        Checked::Bound(distance) => bound(*distance, query, scope),
        Checked::Tell(field) => Ok(query.tell(*field)),
        Checked::Metadata(label) => {
            let label = eval(label, query, scope)?;
            let label = label.text().ok_or(Stop::NoValue)?;
            Ok(Value::text_of(query.metadata(label)))
        }
        Checked::ClientWithin(network) => Ok(Value::Bool(
            network.contains(&query.request.peer().ip().to_canonical()),
        )),
        Checked::Within(parts) => {
            let (address, network) = (eval(&parts[0], query, scope)?, eval(&parts[1], query, scope)?);
            let address: IpAddr = parsed(&address)?;
            let network: IpNet = parsed(&network)?;
            Ok(Value::Bool(network.contains(&address.to_canonical())))
        }
        Checked::Call(builtin, args) => {
            let args = eval_all(args, query, scope)?;
            if !builtin.is_quick() {
                query.spend(args.iter().fold(CALL, |sum, arg| sum + arg.size()))?;
            }
            builtin.call(&args).ok_or(Stop::NoValue)
        }
        Checked::Method { name, args, optional } => {
            let args = eval_all(args, query, scope)?;
            query.spend(CALL)?;
            let (base, args) = args.split_first().ok_or(Stop::NoValue)?;
            if *optional && base.is_nil() {
                return Err(Stop::Nothing);
            }
            methods::call(name, base, args).ok_or(Stop::NoValue)
        }
        Checked::Each(each, parts) => each::ask(*each, parts, query, scope),
        Checked::Reduce(parts, first) => each::reduce(parts, first.as_deref(), query, scope),
        Checked::SortBy(parts, order) => each::sort_by(parts, order.as_deref(), query, scope),
        Checked::List(nodes) => made(eval_all(nodes, query, scope)?, query),
        Checked::Map(nodes) => members::map(nodes, query, scope),
        Checked::Not(operand) => Ok(Value::Bool(!truth(&eval(operand, query, scope)?)?)),
        Checked::Negative(operand) => match eval(operand, query, scope)? {
            Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(Stop::NoValue),
            Value::Float(value) => Ok(Value::Float(-value)),
            _ => Err(Stop::NoValue),
        },
        Checked::Fits(text, pattern) => {
            let text = eval(text, query, scope)?;
            if text.is_nil() {
                return Ok(Value::Bool(false));
            }
            query.spend(text.size())?;
            let text = text.text().ok_or(Stop::NoValue)?;
            Ok(Value::Bool(pattern.is_match(text)))
        }
        Checked::Binary(sign, parts) => binary(*sign, parts, query, scope),
        Checked::Choice(parts) => {
            let holds = truth(&eval(&parts[0], query, scope)?)?;
            eval(&parts[if holds { 1 } else { 2 }], query, scope)
        }
        Checked::Index(parts, optional) => members::index(parts, *optional, query, scope),
        Checked::Slice(list, from, to) => {
            members::slice(list, [from.as_deref(), to.as_deref()], query, scope)
        }
        Checked::Chain(node) => match eval(node, query, scope) {
            Err(Stop::Nothing) => Ok(Value::Nil),
            outcome => outcome,
        },
        Checked::Let(parts) => {
            let value = &eval(&parts[0], query, scope)?;
            eval(&parts[1], query, Some(&Scope { value, outer: scope }))
        }
        Checked::Sequence(nodes) => {
            let mut last = Value::Nil;
            for node in nodes {
                last = eval(node, query, scope)?;
            }
            Ok(last)
        }
    }
}

fn eval_all<'a>(
    nodes: &'a [Checked],
    query: &'a Query<'a>,
    scope: Option<&Scope<'_, 'a>>,
) -> Result<Vec<Value<'a>>, Stop> {
    nodes.iter().map(|node| eval(node, query, scope)).collect()
}

fn binary<'a>(
    sign: Sign,
    parts: &'a [Checked; 2],
    query: &'a Query<'a>,
    scope: Option<&Scope<'_, 'a>>,
) -> Outcome<'a> {
    let left = eval(&parts[0], query, scope)?;
    match sign {
        Sign::And | Sign::Or => {
            let left = truth(&left)?;
            if left == (sign == Sign::Or) {
                return Ok(Value::Bool(left));
            }
            truth(&eval(&parts[1], query, scope)?).map(Value::Bool)
        }
        Sign::Coalesce if !left.is_nil() => Ok(left),
        Sign::Coalesce => eval(&parts[1], query, scope),
        _ => operators::apply(sign, &left, &eval(&parts[1], query, scope)?, query),
    }
}

fn bound<'a>(distance: usize, query: &Query<'a>, scope: Option<&Scope<'_, 'a>>) -> Outcome<'a> {
    let mut scope = scope;
    for _ in 0..distance {
        scope = scope.and_then(|scope| scope.outer);
    }
    let value = scope.ok_or(Stop::NoValue)?.value;
    if let Value::Str(_) = value {
        // Text is copied.
        query.spend(value.size())?;
    }
    Ok(value.clone())
}

/// The value without copying its text, its items or its entries.
fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Str(text) => Value::text_of(text.as_ref()),
        Value::Made(items) => Value::List(items),
        Value::MadeMap(entries) => Value::Map(entries),
        value => value.clone(),
    }
}

/// A list, if it may be so large.
fn made<'a>(items: Vec<Value<'a>>, query: &Query<'_>) -> Outcome<'a> {
    query.spend(items.len())?;
    Value::list(items).ok_or(Stop::NoValue)
}

fn truth(value: &Value<'_>) -> Result<bool, Stop> {
    match value {
        Value::Bool(value) => Ok(*value),
        _ => Err(Stop::NoValue),
    }
}

fn parsed<T: std::str::FromStr>(value: &Value<'_>) -> Result<T, Stop> {
    value
        .text()
        .and_then(|text| text.parse().ok())
        .ok_or(Stop::NoValue)
}
