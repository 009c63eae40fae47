//! Functions that ask a predicate about each item of a list.

use super::{Outcome, Scope, Stop, eval, made, truth};
use crate::check::{Checked, Each};
use crate::lists;
use crate::query::Query;
use crate::value::Value;

/// What all of these functions are given: the query, and what is bound around them.
type Around<'q, 's, 'a> = (&'a Query<'a>, Option<&'q Scope<'s, 'a>>);

pub(super) fn ask<'a>(
    each: Each,
    parts: &'a [Checked; 2],
    query: &'a Query<'a>,
    scope: Option<&Scope<'_, 'a>>,
) -> Outcome<'a> {
    let list = eval(&parts[0], query, scope)?;
    let items = list.items().ok_or(Stop::NoValue)?;
    let around = (query, scope);
    match each {
        Each::Map => map(items, &parts[1], around),
        Each::GroupBy => group_by(items, &parts[1], around),
        Each::Sum => {
            let values = answers(items, &parts[1], around)?;
            lists::sum(values.into_iter()).ok_or(Stop::NoValue)
        }
        _ => choose(each, items, &parts[1], around),
    }
}

fn answer<'a>(item: &Value<'a>, predicate: &'a Checked, (query, outer): Around<'_, '_, 'a>) -> Outcome<'a> {
    query.spend(1)?;
    eval(predicate, query, Some(&Scope { value: item, outer }))
}

fn answers<'a>(
    items: &[Value<'a>],
    predicate: &'a Checked,
    around: Around<'_, '_, 'a>,
) -> Result<Vec<Value<'a>>, Stop> {
    items.iter().map(|item| answer(item, predicate, around)).collect()
}

fn map<'a>(items: &[Value<'a>], predicate: &'a Checked, (query, outer): Around<'_, '_, 'a>) -> Outcome<'a> {
    let mut mapped = Vec::with_capacity(items.len());
    for (place, value) in items.iter().enumerate() {
        query.spend(1)?;
        let item = Scope { value, outer };
        let index = Scope {
            value: &Value::Int(place as i64),
            outer: Some(&item),
        };
        mapped.push(eval(predicate, query, Some(&index))?);
    }
    made(mapped, query)
}

/// Items of one answer together, in their order.
fn group_by<'a>(items: &[Value<'a>], predicate: &'a Checked, around: Around<'_, '_, 'a>) -> Outcome<'a> {
    let keys = answers(items, predicate, around)?;
    let mut pairs: Vec<(Value<'a>, &Value<'a>)> = keys.into_iter().zip(items).collect();
    // Should some be no keys, the map that is made of the groups refuses them.
    pairs.sort_by(|(one, _), (other, _)| one.order_of_keys(other));
    let mut groups = Vec::new();
    for group in pairs.chunk_by(|(one, _), (other, _)| one.order_of_keys(other).is_eq()) {
        let items = group.iter().map(|(_, item)| (*item).clone()).collect();
        groups.push((group[0].0.clone(), made(items, around.0)?));
    }
    Value::map(groups).ok_or(Stop::NoValue)
}

fn choose<'a>(
    each: Each,
    items: &[Value<'a>],
    predicate: &'a Checked,
    around: Around<'_, '_, 'a>,
) -> Outcome<'a> {
    let mut fitting = Vec::new();
    let mut count = 0;
    let mut last = None;
    for (place, item) in items.iter().enumerate() {
        let fits = truth(&answer(item, predicate, around)?)?;
        match each {
            Each::All if !fits => return Ok(Value::Bool(false)),
            Each::Any if fits => return Ok(Value::Bool(true)),
            Each::None if fits => return Ok(Value::Bool(false)),
            Each::Find if fits => return Ok(item.clone()),
            Each::FindIndex if fits => return Ok(Value::Int(place as i64)),
            Each::Filter if fits => fitting.push(item.clone()),
            _ if fits => {
                count += 1;
                last = Some((place, item));
            }
            _ => {}
        }
    }
    Ok(match each {
        Each::All | Each::None => Value::Bool(true),
        Each::Any => Value::Bool(false),
        Each::One => Value::Bool(count == 1),
        Each::Count => Value::Int(count),
        Each::FindIndex => Value::Int(-1),
        Each::FindLast => last.map_or(Value::Nil, |(_, item)| item.clone()),
        Each::FindLastIndex => Value::Int(last.map_or(-1, |(place, _)| place as i64)),
        Each::Filter => return made(fitting, around.0),
        Each::Find | Each::GroupBy | Each::Map | Each::Sum => Value::Nil,
    })
}

/// What the items come to, one after the other; it begins with `first`, or with the first item.
pub(super) fn reduce<'a>(
    parts: &'a [Checked; 2],
    first: Option<&'a Checked>,
    query: &'a Query<'a>,
    outer: Option<&Scope<'_, 'a>>,
) -> Outcome<'a> {
    let list = eval(&parts[0], query, outer)?;
    let items = list.items().ok_or(Stop::NoValue)?;
    let (mut total, from) = match first {
        Some(first) => (eval(first, query, outer)?, 0),
        None => (items.first().cloned().ok_or(Stop::NoValue)?, 1),
    };
    for (place, value) in items.iter().enumerate().skip(from) {
        query.spend(1)?;
        let item = Scope { value, outer };
        let index = Scope {
            value: &Value::Int(place as i64),
            outer: Some(&item),
        };
        let so_far = Scope {
            value: &total,
            outer: Some(&index),
        };
        total = eval(&parts[1], query, Some(&so_far))?;
    }
    Ok(total)
}

pub(super) fn sort_by<'a>(
    parts: &'a [Checked; 2],
    order: Option<&'a Checked>,
    query: &'a Query<'a>,
    scope: Option<&Scope<'_, 'a>>,
) -> Outcome<'a> {
    let list = eval(&parts[0], query, scope)?;
    let items = list.items().ok_or(Stop::NoValue)?;
    let keys = answers(items, &parts[1], (query, scope))?;
    let order = order.map(|order| eval(order, query, scope)).transpose()?;
    let places = lists::sorted(&keys, order.as_ref()).ok_or(Stop::NoValue)?;
    made(
        places.into_iter().map(|place| items[place].clone()).collect(),
        query,
    )
}
