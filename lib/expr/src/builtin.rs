//! The functions of the language itself.

use jiff::tz::TimeZone;

use crate::bits::Bits;
use crate::kind::Type;
use crate::value::Value;
use crate::{dates, json, lists, numbers, texts};

/// A function that works on values alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    Abs,
    Bits(Bits),
    Ceil,
    Concat,
    Date,
    Duration,
    First,
    Flatten,
    Float,
    Floor,
    FromBase64,
    FromJson,
    FromPairs,
    Get,
    HasPrefix,
    HasSuffix,
    IndexOf,
    Int,
    Join,
    Keys,
    Last,
    LastIndexOf,
    Len,
    Lower,
    Max,
    Mean,
    Median,
    Min,
    Now,
    Repeat,
    Replace,
    Reverse,
    Round,
    Sort,
    Split,
    SplitAfter,
    Sum,
    Take,
    Text,
    Timezone,
    ToBase64,
    ToJson,
    ToPairs,
    Trim,
    TrimPrefix,
    TrimSuffix,
    Uniq,
    Upper,
    Values,
}

/// What a function takes: the fewest and the most arguments, and their types in order, the last one again and again.
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    pub(crate) builtin: Builtin,
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) takes: &'static [Wants],
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Any,
    Convertible,
    Date,
    Duration,
    Indexed,
    Int,
    List,
    Map,
    Number,
    NumberOrStr,
    /// A number or a list of some.
    Numbers,
    Sized,
    Str,
    /// Text or a time zone.
    StrOrZone,
    Zone,
}

impl Wants {
    pub(crate) fn accepts(self, given: &Type) -> bool {
        *given == Type::Any
            || match self {
                Self::Any => true,
                Self::Convertible => {
                    given.may_be_number()
                        || matches!(given, Type::Str | Type::Duration | Type::Month | Type::Weekday)
                }
                Self::Date => *given == Type::Date,
                Self::Duration => *given == Type::Duration,
                Self::Indexed => matches!(given, Type::List(_)) || given.is_map(),
                Self::Int => *given == Type::Int,
                Self::List => matches!(given, Type::List(_)),
                Self::Map => given.is_map(),
                Self::Number => given.may_be_number(),
                Self::NumberOrStr => given.may_be_number() || *given == Type::Str,
                Self::Numbers => match given {
                    Type::List(item) => item.may_be_number() || matches!(**item, Type::List(_)),
                    given => given.may_be_number(),
                },
                Self::Sized => matches!(given, Type::List(_) | Type::Str) || given.is_map(),
                Self::Str => *given == Type::Str,
                Self::StrOrZone => matches!(given, Type::Str | Type::Zone),
                Self::Zone => *given == Type::Zone,
            }
    }
}

const fn of(
    name: &'static str,
    builtin: Builtin,
    least: usize,
    most: usize,
    takes: &'static [Wants],
) -> Signature {
    Signature {
        name,
        builtin,
        least,
        most,
        takes,
    }
}

const MANY: usize = 100;

/// All functions.
pub(crate) const BUILTINS: &[Signature] = &[
    of("abs", Builtin::Abs, 1, 1, &[Wants::Number]),
    of("bitand", Builtin::Bits(Bits::And), 2, 2, &[Wants::Int]),
    of("bitnand", Builtin::Bits(Bits::AndNot), 2, 2, &[Wants::Int]),
    of("bitnot", Builtin::Bits(Bits::Not), 1, 1, &[Wants::Int]),
    of("bitor", Builtin::Bits(Bits::Or), 2, 2, &[Wants::Int]),
    of("bitshl", Builtin::Bits(Bits::Left), 2, 2, &[Wants::Int]),
    of("bitshr", Builtin::Bits(Bits::Right), 2, 2, &[Wants::Int]),
    of("bitushr", Builtin::Bits(Bits::RightZeros), 2, 2, &[Wants::Int]),
    of("bitxor", Builtin::Bits(Bits::Xor), 2, 2, &[Wants::Int]),
    of("ceil", Builtin::Ceil, 1, 1, &[Wants::Number]),
    of("concat", Builtin::Concat, 1, MANY, &[Wants::List]),
    of("date", Builtin::Date, 1, 4, &[Wants::StrOrZone, Wants::Str]),
    of("duration", Builtin::Duration, 1, 1, &[Wants::Str]),
    of("first", Builtin::First, 1, 1, &[Wants::List]),
    of("flatten", Builtin::Flatten, 1, 1, &[Wants::List]),
    of("float", Builtin::Float, 1, 1, &[Wants::NumberOrStr]),
    of("floor", Builtin::Floor, 1, 1, &[Wants::Number]),
    of("fromBase64", Builtin::FromBase64, 1, 1, &[Wants::Str]),
    of("fromJSON", Builtin::FromJson, 1, 1, &[Wants::Str]),
    of("fromPairs", Builtin::FromPairs, 1, 1, &[Wants::List]),
    of("get", Builtin::Get, 2, 2, &[Wants::Indexed, Wants::Any]),
    of("hasPrefix", Builtin::HasPrefix, 2, 2, &[Wants::Str]),
    of("hasSuffix", Builtin::HasSuffix, 2, 2, &[Wants::Str]),
    of("indexOf", Builtin::IndexOf, 2, 2, &[Wants::Str]),
    of("int", Builtin::Int, 1, 1, &[Wants::Convertible]),
    of("join", Builtin::Join, 1, 2, &[Wants::List, Wants::Str]),
    of("keys", Builtin::Keys, 1, 1, &[Wants::Map]),
    of("last", Builtin::Last, 1, 1, &[Wants::List]),
    of("lastIndexOf", Builtin::LastIndexOf, 2, 2, &[Wants::Str]),
    of("len", Builtin::Len, 1, 1, &[Wants::Sized]),
    of("lower", Builtin::Lower, 1, 1, &[Wants::Str]),
    of("max", Builtin::Max, 1, MANY, &[Wants::Numbers]),
    of("mean", Builtin::Mean, 1, MANY, &[Wants::Numbers]),
    of("median", Builtin::Median, 1, MANY, &[Wants::Numbers]),
    of("min", Builtin::Min, 1, MANY, &[Wants::Numbers]),
    of("now", Builtin::Now, 0, 1, &[Wants::Zone]),
    of("repeat", Builtin::Repeat, 2, 2, &[Wants::Str, Wants::Int]),
    of(
        "replace",
        Builtin::Replace,
        3,
        4,
        &[Wants::Str, Wants::Str, Wants::Str, Wants::Int],
    ),
    of("reverse", Builtin::Reverse, 1, 1, &[Wants::List]),
    of("round", Builtin::Round, 1, 1, &[Wants::Number]),
    of("sort", Builtin::Sort, 1, 2, &[Wants::List, Wants::Str]),
    of(
        "split",
        Builtin::Split,
        2,
        3,
        &[Wants::Str, Wants::Str, Wants::Int],
    ),
    of(
        "splitAfter",
        Builtin::SplitAfter,
        2,
        3,
        &[Wants::Str, Wants::Str, Wants::Int],
    ),
    of("string", Builtin::Text, 1, 1, &[Wants::Any]),
    of("sum", Builtin::Sum, 1, 1, &[Wants::List]),
    of("take", Builtin::Take, 2, 2, &[Wants::List, Wants::Int]),
    of("timezone", Builtin::Timezone, 1, 1, &[Wants::Str]),
    of("toBase64", Builtin::ToBase64, 1, 1, &[Wants::Str]),
    of("toJSON", Builtin::ToJson, 1, 1, &[Wants::Any]),
    of("toPairs", Builtin::ToPairs, 1, 1, &[Wants::Map]),
    of("trim", Builtin::Trim, 1, 2, &[Wants::Str]),
    of("trimPrefix", Builtin::TrimPrefix, 1, 2, &[Wants::Str]),
    of("trimSuffix", Builtin::TrimSuffix, 1, 2, &[Wants::Str]),
    of("uniq", Builtin::Uniq, 1, 1, &[Wants::List]),
    of("upper", Builtin::Upper, 1, 1, &[Wants::Str]),
    of("values", Builtin::Values, 1, 1, &[Wants::Map]),
];

/// Longest text that a function makes, in bytes.
pub(crate) const MAX_TEXT: usize = 100_000;

impl Builtin {
    /// The type of what the function gives.
    pub(crate) fn gives(self, args: &[Type]) -> Type {
        let item = || match args.first() {
            Some(Type::List(item)) => (**item).clone(),
            _ => Type::Any,
        };
        match self {
            Self::HasPrefix | Self::HasSuffix => Type::Bool,
            Self::Bits(_) | Self::IndexOf | Self::Int | Self::LastIndexOf | Self::Len => Type::Int,
            Self::Ceil | Self::Float | Self::Floor | Self::Mean | Self::Median | Self::Round => Type::Float,
            Self::Sum => item(),
            Self::Abs => args.first().cloned().unwrap_or(Type::Any),
            Self::Max | Self::Min => match args {
                args if args.iter().all(|arg| *arg == Type::Int) => Type::Int,
                args if args.iter().all(|arg| *arg == Type::Float) => Type::Float,
                _ => Type::Any,
            },
            Self::Concat | Self::Flatten | Self::Keys | Self::Values => Type::list(Type::Any),
            Self::ToPairs => Type::list(Type::list(Type::Any)),
            Self::FromPairs => Type::MapOf(Box::new(Type::Any)),
            Self::First | Self::Last => item(),
            Self::Get => match args.first() {
                Some(Type::List(item) | Type::MapOf(item)) => (**item).clone(),
                _ => Type::Any,
            },
            Self::FromJson => Type::Any,
            Self::Reverse | Self::Sort | Self::Take | Self::Uniq => Type::list(item()),
            Self::Split | Self::SplitAfter => Type::list(Type::Str),
            Self::Date | Self::Now => Type::Date,
            Self::Duration => Type::Duration,
            Self::Timezone => Type::Zone,
            Self::FromBase64
            | Self::Join
            | Self::Lower
            | Self::Repeat
            | Self::Replace
            | Self::Text
            | Self::ToBase64
            | Self::ToJson
            | Self::Trim
            | Self::TrimPrefix
            | Self::TrimSuffix
            | Self::Upper => Type::Str,
        }
    }

    /// Whether the function gives the same for the same arguments at all times, so that it can be asked beforehand.
    pub(crate) fn is_timeless(self, args: &[Value<'_>]) -> bool {
        // The zone of the machine is looked up when it is needed, not when an expression is read.
        let local = |value: &Value<'_>| value.text() == Some("Local");
        match self {
            Self::Now => false,
            Self::Date | Self::Timezone => !args.iter().any(local),
            _ => true,
        }
    }

    /// Whether a call costs the same whatever its arguments are.
    pub(crate) const fn is_quick(self) -> bool {
        matches!(self, Self::First | Self::Get | Self::Last | Self::Now)
    }

    /// The function's value; none where there is none.
    pub(crate) fn call<'a>(self, args: &[Value<'a>]) -> Option<Value<'a>> {
        match self {
            Self::Abs
            | Self::Bits(_)
            | Self::Ceil
            | Self::Float
            | Self::Floor
            | Self::Int
            | Self::Max
            | Self::Mean
            | Self::Median
            | Self::Min
            | Self::Round => numbers::call(self, args),
            Self::Concat
            | Self::First
            | Self::Flatten
            | Self::FromPairs
            | Self::Get
            | Self::Join
            | Self::Keys
            | Self::Last
            | Self::Reverse
            | Self::Sort
            | Self::Sum
            | Self::Take
            | Self::ToPairs
            | Self::Uniq
            | Self::Values => lists::call(self, args),
            Self::Date => date(args),
            Self::Duration => dates::duration(args.first()?.text()?).map(Value::Duration),
            Self::Now => match args {
                [] => Some(dates::now(None)),
                [Value::Zone(zone)] => Some(dates::now(Some(zone))),
                _ => None,
            },
            Self::Timezone => dates::zone(args.first()?.text()?).map(Value::Zone),
            Self::FromJson => json::read(args.first()?.text()?),
            Self::ToJson => json::write(args.first()?).map(Value::text_of),
            Self::Text => {
                let text = args.first()?.to_string();
                (text.len() <= MAX_TEXT).then(|| Value::text_of(text))
            }
            Self::Len => Some(Value::Int(match args.first()? {
                Value::Str(text) => text.chars().count() as i64,
                map if map.entries().is_some() => map.entries()?.len() as i64,
                list => list.items()?.len() as i64,
            })),
            _ => texts::call(self, args),
        }
    }
}

/// A date by text, its layout and its zone; the zone may come first instead.
fn date<'a>(args: &[Value<'a>]) -> Option<Value<'a>> {
    let (zone, args) = match args {
        [Value::Zone(zone), args @ ..] => (zone.clone(), args),
        args => (TimeZone::UTC, args),
    };
    let texts: Option<Vec<&str>> = args.iter().map(Value::text).collect();
    let date = match texts?[..] {
        [text] => dates::read(text, None, &zone)?,
        [text, layout] => dates::read(text, Some(layout), &zone)?,
        [text, layout, zone] => dates::read(text, Some(layout), &dates::zone(zone)?)?,
        _ => return None,
    };
    Some(dates::date(date))
}
