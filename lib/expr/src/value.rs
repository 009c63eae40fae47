//! Values.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

use crate::dates::{self, MONTHS, WEEKDAYS};

/// A value; text, lists and maps are borrowed from the expression or the query where they can be, and what is made
/// is shared rather than copied. It takes three words.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Cow<'a, str>),
    /// A list that stands in the expression.
    List(&'a Items<'static>),
    /// A list that was made.
    Made(Arc<Items<'a>>),
    /// A map that stands in the expression.
    Map(&'a Entries<'static>),
    /// A map that was made.
    MadeMap(Arc<Entries<'a>>),
    Date(Arc<ZonedDateTime>),
    /// Nanoseconds.
    Duration(i64),
    /// A month, from 1.
    Month(u8),
    /// A day of the week, from Sunday, which is 0.
    Weekday(u8),
    Zone(TimeZone),
}

/// What a list or a map is made of, and how large that is: whoever walks through it knows beforehand how far.
#[derive(Debug)]
pub(crate) struct Parts<T> {
    pub(crate) parts: Vec<T>,
    /// Values within, and 16 bytes of text count for one more.
    size: usize,
    /// Lists and maps within each other.
    depth: usize,
}

pub(crate) type Items<'a> = Parts<Value<'a>>;

/// Keys and values, ordered by their keys.
pub(crate) type Entries<'a> = Parts<(Value<'a>, Value<'a>)>;

/// Most values in a list or a map, those of lists and maps within counted.
pub(crate) const MAX_SIZE: usize = 100_000;

/// Most lists and maps within each other.
const MAX_DEPTH: usize = 100;

impl<T> Parts<T> {
    fn new<'v, 'a: 'v>(parts: Vec<T>, values: impl Fn(&T) -> [Option<&Value<'a>>; 2]) -> Option<Self> {
        let (mut size, mut depth) = (1, 0);
        for value in parts.iter().flat_map(values).flatten() {
            size += value.size();
            depth = depth.max(value.depth());
            if size > MAX_SIZE || depth >= MAX_DEPTH {
                return None;
            }
        }
        Some(Self {
            parts,
            size,
            depth: depth + 1,
        })
    }
}

impl<'a> Value<'a> {
    /// A list; none if it became too large or too deep.
    pub(crate) fn list(items: Vec<Self>) -> Option<Self> {
        Items::new(items, |item| [Some(item), None]).map(|items| Self::Made(Arc::new(items)))
    }

    /// A map; none if it became too large or too deep, or something cannot be a key. The last of equal keys stays.
    pub(crate) fn map(mut entries: Vec<(Self, Self)>) -> Option<Self> {
        if entries.iter().any(|(key, _)| !key.can_be_key()) {
            return None;
        }
        entries.sort_by(|(one, _), (other, _)| one.order_of_keys(other));
        entries.dedup_by(|later, earlier| {
            let same = later.0.order_of_keys(&earlier.0).is_eq();
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        let entries = Entries::new(entries, |(key, value)| [Some(key), Some(value)])?;
        Some(Self::MadeMap(Arc::new(entries)))
    }

    pub(crate) fn text_of(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Str(text.into())
    }

    pub(crate) fn items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(&items.parts),
            Self::Made(items) => Some(&items.parts),
            _ => None,
        }
    }

    pub(crate) fn entries(&self) -> Option<&[(Self, Self)]> {
        match self {
            Self::Map(entries) => Some(&entries.parts),
            Self::MadeMap(entries) => Some(&entries.parts),
            _ => None,
        }
    }

    /// The value under a key of a map; nothing if this is no map or has no such key.
    pub(crate) fn entry(&self, key: &Value<'_>) -> Option<&Self> {
        let entries = self.entries()?;
        let place = entries.binary_search_by(|(known, _)| known.order_of_keys(key));
        entries.get(place.ok()?).map(|(_, value)| value)
    }

    /// Values within, itself counted, and 16 bytes of text for one more.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Str(text) => 1 + text.len() / 16,
            Self::List(items) => items.size,
            Self::Made(items) => items.size,
            Self::Map(entries) => entries.size,
            Self::MadeMap(entries) => entries.size,
            _ => 1,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(items) => items.depth,
            Self::Made(items) => items.depth,
            Self::Map(entries) => entries.depth,
            Self::MadeMap(entries) => entries.depth,
            _ => 0,
        }
    }
}

impl Value<'_> {
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
            (Value::Duration(one), Value::Duration(other)) => one == other,
            (Value::Month(one), Value::Month(other)) | (Value::Weekday(one), Value::Weekday(other)) => {
                one == other
            }
            (Value::Date(one), Value::Date(other)) => one.timestamp() == other.timestamp(),
            (Value::Zone(one), Value::Zone(other)) => one == other,
            _ => self.equals_in_parts(other),
        }
    }

    fn equals_in_parts(&self, other: &Value<'_>) -> bool {
        if let (Some(one), Some(other)) = (self.items(), other.items()) {
            return one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.equals(other));
        }
        let (Some(one), Some(other)) = (self.entries(), other.entries()) else {
            return false;
        };
        let same = |(one, other): (&(Value<'_>, Value<'_>), &(Value<'_>, Value<'_>))| {
            one.0.equals(&other.0) && one.1.equals(&other.1)
        };
        one.len() == other.len() && one.iter().zip(other).all(same)
    }

    /// What `<` and its like go by; none where two values have no order.
    pub(crate) fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
            (Value::Str(one), Value::Str(other)) => Some(one.as_ref().cmp(other.as_ref())),
            (Value::Duration(one), Value::Duration(other)) => Some(one.cmp(other)),
            (Value::Date(one), Value::Date(other)) => Some(one.timestamp().cmp(&other.timestamp())),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    fn can_be_key(&self) -> bool {
        self.items().is_none() && self.entries().is_none() && !matches!(self, Value::Zone(_))
    }

    /// An order of all that can be a key: by kind, then by value. Whole numbers and others are not the same keys.
    pub(crate) fn order_of_keys(&self, other: &Value<'_>) -> Ordering {
        match (self, other) {
            (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
            (Value::Float(one), Value::Float(other)) => one.total_cmp(other),
            (Value::Month(one), Value::Month(other)) | (Value::Weekday(one), Value::Weekday(other)) => {
                one.cmp(other)
            }
            _ => match self.rank().cmp(&other.rank()) {
                Ordering::Equal => self.order(other).unwrap_or(Ordering::Equal),
                order => order,
            },
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Value::Nil => 0,
            Value::Bool(_) => 1,
            Value::Int(_) => 2,
            Value::Float(_) => 3,
            Value::Str(_) => 4,
            Value::Duration(_) => 5,
            Value::Date(_) => 6,
            Value::Month(_) => 7,
            Value::Weekday(_) => 8,
            _ => 9,
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

    pub(crate) const fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            |names: &[&'static str], place: u8| names.get(usize::from(place)).copied().unwrap_or_default();
        match self {
            // As Go writes nothing.
            Value::Nil => f.write_str("<nil>"),
            Value::Bool(value) => value.fmt(f),
            Value::Int(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::Str(text) => text.fmt(f),
            Value::Date(date) => f.write_str(&dates::text(date)),
            Value::Duration(nanoseconds) => f.write_str(&dates::duration_text(*nanoseconds)),
            Value::Month(month) => f.write_str(name(&MONTHS, month.wrapping_sub(1))),
            Value::Weekday(day) => f.write_str(name(&WEEKDAYS, *day)),
            Value::Zone(zone) => f.write_str(dates::zone_name(zone)),
            Value::List(_) | Value::Made(_) => {
                f.write_str("[")?;
                for (place, item) in self.items().unwrap_or_default().iter().enumerate() {
                    let space = if place == 0 { "" } else { " " };
                    write!(f, "{space}{item}")?;
                }
                f.write_str("]")
            }
            Value::Map(_) | Value::MadeMap(_) => {
                f.write_str("map[")?;
                for (place, (key, value)) in self.entries().unwrap_or_default().iter().enumerate() {
                    let space = if place == 0 { "" } else { " " };
                    write!(f, "{space}{key}:{value}")?;
                }
                f.write_str("]")
            }
        }
    }
}
