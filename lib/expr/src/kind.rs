//! Types of values.

use std::fmt;

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
    /// A map whose keys are text, with values of any type.
    Map,
    /// A map with keys of any type and values of one.
    MapOf(Box<Self>),
    Date,
    Duration,
    Month,
    Weekday,
    Zone,
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

    pub(crate) const fn is_map(&self) -> bool {
        matches!(self, Self::Map | Self::MapOf(_))
    }

    /// Whether `==` makes sense between the two.
    pub(crate) fn compares(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Nil, _) | (_, Self::Nil) | (Self::List(_), Self::List(_))
        ) || (self.may_be_number() && other.may_be_number())
            || (self.is_map() && other.is_map())
            || self.may_be(other)
    }

    /// The type of what is one or the other.
    pub(crate) fn either(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nil, kind) | (kind, Self::Nil) => kind,
            (one, other) if one == other => one,
            _ => Self::Any,
        }
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
            Self::Map | Self::MapOf(_) => f.write_str("map"),
            Self::Date => f.write_str("date"),
            Self::Duration => f.write_str("duration"),
            Self::Month => f.write_str("month"),
            Self::Weekday => f.write_str("weekday"),
            Self::Zone => f.write_str("time zone"),
        }
    }
}
