//! Checks a tree: names, numbers of arguments, types. What comes out is ready to be evaluated.

mod calls;
mod operators;

use std::borrow::Cow;

use ipnet::IpNet;
use regex::Regex;

use crate::ExprError;
use crate::builtin::Builtin;
use crate::kind::Type;
use crate::query::Field;
use crate::tree::{Kind, Node, Sign};
use crate::value::Value;

/// A checked part of the tree.
#[derive(Debug)]
pub(crate) enum Checked {
    Constant(Value<'static>),
    /// What a predicate is asked about or a `let` has given a name: the last that was bound is 0.
    Bound(usize),
    Tell(Field),
    Metadata(Box<Self>),
    /// The client's address, in a network that was read beforehand.
    ClientWithin(IpNet),
    Within(Box<[Self; 2]>),
    Call(Builtin, Vec<Self>),
    /// A method of the first argument, with the others.
    Method {
        name: &'static str,
        args: Vec<Self>,
        optional: bool,
    },
    /// A function with a predicate, which binds an item.
    Each(Each, Box<[Self; 2]>),
    /// A list and what binds an item, its place and what the items before have come to; and how that begins.
    Reduce(Box<[Self; 2]>, Option<Box<Self>>),
    /// A list, what binds an item, and the order.
    SortBy(Box<[Self; 2]>, Option<Box<Self>>),
    List(Vec<Self>),
    /// Keys and values by turns.
    Map(Vec<Self>),
    Not(Box<Self>),
    Negative(Box<Self>),
    /// A text that matches a pattern which was read beforehand.
    Fits(Box<Self>, Regex),
    Binary(Sign, Box<[Self; 2]>),
    Choice(Box<[Self; 3]>),
    /// An item or an entry; if it is optional, nothing has no entries.
    Index(Box<[Self; 2]>, bool),
    Slice(Box<Self>, Option<Box<Self>>, Option<Box<Self>>),
    /// Nothing if an optional member within is one of nothing.
    Chain(Box<Self>),
    /// A value, and what binds it.
    Let(Box<[Self; 2]>),
    Sequence(Vec<Self>),
}

/// Functions that ask a predicate about each item of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    All,
    Any,
    Count,
    Filter,
    Find,
    FindIndex,
    FindLast,
    FindLastIndex,
    GroupBy,
    /// Binds the place of an item as well.
    Map,
    None,
    One,
    Sum,
}

/// Checked parts within each other.
const MAX_DEPTH: usize = 300;

/// The variable that stands for all that can be asked of a query.
const ENV: &str = "$env";

/// Checks a whole expression.
pub(crate) fn check(node: &Node) -> Result<(Checked, Type), ExprError> {
    let mut checker = Checker {
        bound: Vec::new(),
        depth: 0,
    };
    checker.node(node)
}

struct Checker {
    /// What predicates and `let`s around have bound, and its types.
    bound: Vec<(Bound, Type)>,
    depth: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    Name(String),
    Item,
    /// What else a predicate knows, bound behind its item.
    Pointer(&'static str),
}

type Outcome = Result<(Checked, Type), ExprError>;

impl Checker {
    fn node(&mut self, node: &Node) -> Outcome {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError::at(
                node.place,
                format!("nested more than {MAX_DEPTH} times"),
            ));
        }
        let outcome = self.kind(node);
        self.depth -= 1;
        outcome
    }

    fn kind(&mut self, node: &Node) -> Outcome {
        let place = node.place;
        let constant = |value, kind| Ok((Checked::Constant(value), kind));
        match &node.kind {
            Kind::Nil => constant(Value::Nil, Type::Nil),
            Kind::Bool(value) => constant(Value::Bool(*value), Type::Bool),
            Kind::Int(value) => constant(Value::Int(*value), Type::Int),
            Kind::Float(value) => constant(Value::Float(*value), Type::Float),
            Kind::Str(text) => constant(Value::Str(Cow::Owned(text.clone())), Type::Str),
            Kind::Bytes(bytes) => {
                let bytes = bytes.iter().map(|byte| Value::Int((*byte).into()));
                let bytes = Value::list(bytes.collect()).ok_or_else(|| too_large(place))?;
                constant(bytes, Type::list(Type::Int))
            }
            Kind::List(nodes) => self.list(place, nodes),
            Kind::Map(nodes) => self.map(place, nodes),
            Kind::Pointer(name) => self.pointer(place, name),
            Kind::Name(name) => self.name(place, name),
            Kind::Call { name, args } => self.call(place, name, args),
            Kind::Method { name, args, optional } => self.method(place, name, args, *optional),
            Kind::Unary { sign, operand } => self.unary(place, *sign, operand),
            Kind::Binary { sign, operands } => self.binary(place, *sign, operands),
            Kind::Choice { parts } => self.choice(parts),
            Kind::Index { parts, optional } => self.index(place, parts, *optional),
            Kind::Slice { list, from, to } => self.slice(place, list, from.as_deref(), to.as_deref()),
            Kind::Chain(node) => {
                let (checked, kind) = self.node(node)?;
                Ok((Checked::Chain(Box::new(checked)), kind))
            }
            Kind::Let { name, parts } => self.declaration(place, name, parts),
            Kind::Sequence(nodes) => {
                let mut checked = Vec::with_capacity(nodes.len());
                let mut last = Type::Nil;
                for node in nodes {
                    let (part, kind) = self.node(node)?;
                    checked.push(part);
                    last = kind;
                }
                Ok((Checked::Sequence(checked), last))
            }
        }
    }

    /// A node that must be of a type.
    fn of_type(&mut self, node: &Node, wanted: &Type) -> Result<Checked, ExprError> {
        let (checked, kind) = self.node(node)?;
        if !kind.may_be(wanted) {
            return Err(ExprError::at(
                node.place,
                format!("{kind} where {wanted} is wanted"),
            ));
        }
        Ok(checked)
    }

    fn list(&mut self, place: usize, nodes: &[Node]) -> Outcome {
        let mut items = Vec::with_capacity(nodes.len());
        let mut kind: Option<Type> = None;
        for node in nodes {
            let (item, of) = self.node(node)?;
            kind = match kind {
                None => Some(of),
                Some(kind) if kind == of => Some(kind),
                Some(_) => Some(Type::Any),
            };
            items.push(item);
        }
        let kind = Type::list(kind.unwrap_or(Type::Any));
        let Some(values) = constants(&items) else {
            return Ok((Checked::List(items), kind));
        };
        let list = Value::list(values).ok_or_else(|| too_large(place))?;
        Ok((Checked::Constant(list), kind))
    }

    fn map(&mut self, place: usize, nodes: &[Node]) -> Outcome {
        let mut parts = Vec::with_capacity(nodes.len());
        for pair in nodes.chunks(2) {
            let [key, value] = pair else { break };
            parts.push(self.of_type(key, &Type::Str)?);
            parts.push(self.node(value)?.0);
        }
        let Some(values) = constants(&parts) else {
            return Ok((Checked::Map(parts), Type::Map));
        };
        let mut values = values.into_iter();
        let entries = std::iter::from_fn(|| values.next().zip(values.next()));
        let map = Value::map(entries.collect()).ok_or_else(|| too_large(place))?;
        Ok((Checked::Constant(map), Type::Map))
    }

    fn pointer(&self, place: usize, name: &str) -> Outcome {
        for (distance, (bound, kind)) in self.bound.iter().rev().enumerate() {
            let found = match bound {
                Bound::Item if name.is_empty() => true,
                // What the predicates around know is not known in this one.
                Bound::Item => break,
                Bound::Pointer(known) => *known == name,
                Bound::Name(_) => false,
            };
            if found {
                return Ok((Checked::Bound(distance), kind.clone()));
            }
        }
        Err(ExprError::at(
            place,
            if self.bound.iter().any(|(bound, _)| *bound == Bound::Item) {
                format!("unknown pointer `#{name}`")
            } else {
                format!("`#{name}` outside of a predicate")
            },
        ))
    }

    fn name(&self, place: usize, name: &str) -> Outcome {
        let bound = self.bound.iter().rev().enumerate();
        for (distance, (bound, kind)) in bound {
            if matches!(bound, Bound::Name(known) if known == name) {
                return Ok((Checked::Bound(distance), kind.clone()));
            }
        }
        Err(calls::unknown(place, name))
    }

    fn declaration(&mut self, place: usize, name: &str, parts: &[Node; 2]) -> Outcome {
        let bound = |(bound, _): &(Bound, Type)| matches!(bound, Bound::Name(known) if known == name);
        if name == ENV || calls::is_known(name) || self.bound.iter().any(bound) {
            return Err(ExprError::at(place, format!("cannot redeclare `{name}`")));
        }
        let (value, kind) = self.node(&parts[0])?;
        self.bound.push((Bound::Name(name.to_owned()), kind));
        let body = self.node(&parts[1]);
        self.bound.pop();
        let (body, kind) = body?;
        Ok((Checked::Let(Box::new([value, body])), kind))
    }

    fn choice(&mut self, parts: &[Node; 3]) -> Outcome {
        let condition = self.of_type(&parts[0], &Type::Bool)?;
        let (then, of_then) = self.node(&parts[1])?;
        let (otherwise, of_otherwise) = self.node(&parts[2])?;
        let kind = of_then.either(of_otherwise);
        Ok((Checked::Choice(Box::new([condition, then, otherwise])), kind))
    }

    fn index(&mut self, place: usize, parts: &[Node; 2], optional: bool) -> Outcome {
        let (base, kind) = self.node(&parts[0])?;
        let (key, kind) = match kind {
            Type::List(item) => (self.of_type(&parts[1], &Type::Int)?, *item),
            Type::Str => (self.of_type(&parts[1], &Type::Int)?, Type::Str),
            Type::Map => (self.of_type(&parts[1], &Type::Str)?, Type::Any),
            Type::MapOf(value) => (self.node(&parts[1])?.0, *value),
            Type::Any => (self.node(&parts[1])?.0, Type::Any),
            kind => {
                return Err(match &parts[1].kind {
                    Kind::Str(name) => ExprError::at(place, format!("{kind} has no field `{name}`")),
                    _ => ExprError::at(place, format!("{kind} has no index")),
                });
            }
        };
        Ok((Checked::Index(Box::new([base, key]), optional), kind))
    }

    fn slice(&mut self, place: usize, list: &Node, from: Option<&Node>, to: Option<&Node>) -> Outcome {
        let (checked, kind) = self.node(list)?;
        if !matches!(kind, Type::Any | Type::Str | Type::List(_)) {
            return Err(ExprError::at(place, format!("cannot slice {kind}")));
        }
        let mut end = |end: Option<&Node>| {
            let end = end.map(|end| self.of_type(end, &Type::Int).map(Box::new));
            end.transpose()
        };
        Ok((Checked::Slice(Box::new(checked), end(from)?, end(to)?), kind))
    }
}

/// The values of parts that are all known beforehand.
fn constants(parts: &[Checked]) -> Option<Vec<Value<'static>>> {
    let constant = |part: &Checked| match part {
        Checked::Constant(value) => Some(value.clone()),
        _ => None,
    };
    parts.iter().map(constant).collect()
}

fn too_large(place: usize) -> ExprError {
    ExprError::at(place, "too large")
}
