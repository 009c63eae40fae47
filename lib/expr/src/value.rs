//! Values and their types.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A value; text and lists are borrowed from the expression or the query where they can be.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Cow<'a, str>),
    List(Cow<'a, [Value<'static>]>),
    /// A list that was made of what a query says.
    Made(Vec<Self>),
}

impl Value<'_> {
    pub(crate) fn items(&self) -> Option<&[Value<'_>]> {
        match self {
            Value::List(items) => Some(items),
            Value::Made(items) => Some(items),
            _ => None,
        }
    }

    /// Numbers are equal by what they count, whole or not.
    pub(crate) fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Nil, Value::Nil) => true,
            (Value::Bool(one), Value::Bool(other)) => one == other,
            (Value::Int(one), Value::Int(other)) => one == other,
            (Value::Str(one), Value::Str(other)) => one == other,
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                self.number() == other.number()
            }
            _ => match (self.items(), other.items()) {
                (Some(one), Some(other)) => {
                    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.equals(other))
                }
                _ => false,
            },
        }
    }

    pub(crate) fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
            (Value::Str(one), Value::Str(other)) => Some(one.as_ref().cmp(other.as_ref())),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Bool(value) => value.fmt(f),
            Value::Int(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::Str(text) => text.fmt(f),
            Value::List(_) | Value::Made(_) => {
                let items = self.items().unwrap_or_default();
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(" "))
            }
        }
    }
}

/// What is known of a value before there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Nothing.
    Any,
    Nil,
    Bool,
    Int,
    Float,
    Str,
    List(Box<Self>),
}

impl Type {
    pub(crate) fn list(item: Self) -> Self {
        Self::List(Box::new(item))
    }

    /// Whether a value of this type may be one of `other`.
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(one), Self::List(other)) => one.may_be(other),
            _ => self == other,
        }
    }

    pub(crate) const fn may_be_number(&self) -> bool {
        matches!(self, Self::Any | Self::Int | Self::Float)
    }

    /// Whether `==` makes sense between the two.
    pub(crate) fn compares(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Nil, _) | (_, Self::Nil))
            || (self.may_be_number() && other.may_be_number())
            || self.may_be(other)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("unknown"),
            Self::Nil => f.write_str("nil"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Str => f.write_str("string"),
            Self::List(item) => write!(f, "array of {item}"),
        }
    }
}
