//! The functions of the language itself.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::bits::Bits;
use crate::lists;
use crate::value::{Type, Value};

/// A function that works on values alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    Abs,
    Bits(Bits),
    Ceil,
    Concat,
    First,
    Flatten,
    Float,
    Floor,
    HasPrefix,
    HasSuffix,
    IndexOf,
    Int,
    Join,
    Last,
    LastIndexOf,
    Len,
    Lower,
    Max,
    Mean,
    Median,
    Min,
    Repeat,
    Replace,
    Reverse,
    Round,
    Sort,
    Split,
    Sum,
    Take,
    Text,
    Trim,
    TrimPrefix,
    TrimSuffix,
    Uniq,
    Upper,
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
    Int,
    List,
    Number,
    /// A number or a list of some.
    Numbers,
    Sized,
    Str,
}

impl Wants {
    pub(crate) fn accepts(self, given: &Type) -> bool {
        *given == Type::Any
            || match self {
                Self::Any => true,
                Self::Int => *given == Type::Int,
                Self::List => matches!(given, Type::List(_)),
                Self::Number => given.may_be_number(),
                Self::Numbers => match given {
                    Type::List(item) => item.may_be_number() || matches!(**item, Type::List(_)),
                    given => given.may_be_number(),
                },
                Self::Sized => matches!(given, Type::List(_) | Type::Str),
                Self::Str => *given == Type::Str,
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
    of("first", Builtin::First, 1, 1, &[Wants::List]),
    of("flatten", Builtin::Flatten, 1, 1, &[Wants::List]),
    of("float", Builtin::Float, 1, 1, &[Wants::Any]),
    of("floor", Builtin::Floor, 1, 1, &[Wants::Number]),
    of("hasPrefix", Builtin::HasPrefix, 2, 2, &[Wants::Str]),
    of("hasSuffix", Builtin::HasSuffix, 2, 2, &[Wants::Str]),
    of("indexOf", Builtin::IndexOf, 2, 2, &[Wants::Str]),
    of("int", Builtin::Int, 1, 1, &[Wants::Any]),
    of("join", Builtin::Join, 1, 2, &[Wants::List, Wants::Str]),
    of("last", Builtin::Last, 1, 1, &[Wants::List]),
    of("lastIndexOf", Builtin::LastIndexOf, 2, 2, &[Wants::Str]),
    of("len", Builtin::Len, 1, 1, &[Wants::Sized]),
    of("lower", Builtin::Lower, 1, 1, &[Wants::Str]),
    of("max", Builtin::Max, 1, MANY, &[Wants::Numbers]),
    of("mean", Builtin::Mean, 1, MANY, &[Wants::Numbers]),
    of("median", Builtin::Median, 1, MANY, &[Wants::Numbers]),
    of("min", Builtin::Min, 1, MANY, &[Wants::Numbers]),
    of("repeat", Builtin::Repeat, 2, 2, &[Wants::Str, Wants::Int]),
    of("replace", Builtin::Replace, 3, 3, &[Wants::Str]),
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
    of("string", Builtin::Text, 1, 1, &[Wants::Any]),
    of("sum", Builtin::Sum, 1, 1, &[Wants::List]),
    of("take", Builtin::Take, 2, 2, &[Wants::List, Wants::Int]),
    of("trim", Builtin::Trim, 1, 2, &[Wants::Str]),
    of("trimPrefix", Builtin::TrimPrefix, 2, 2, &[Wants::Str]),
    of("trimSuffix", Builtin::TrimSuffix, 2, 2, &[Wants::Str]),
    of("uniq", Builtin::Uniq, 1, 1, &[Wants::List]),
    of("upper", Builtin::Upper, 1, 1, &[Wants::Str]),
];

/// Longest text that `repeat` makes, in bytes.
const MAX_TEXT: usize = 100_000;

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
            Self::Sum => match item() {
                kind @ (Type::Int | Type::Float) => kind,
                _ => Type::Any,
            },
            Self::Abs | Self::Max | Self::Min => match args {
                [Type::List(item)] => (**item).clone(),
                [one] => one.clone(),
                args if args.iter().all(|arg| *arg == Type::Int) => Type::Int,
                _ => Type::Any,
            },
            Self::Concat | Self::Flatten => Type::list(Type::Any),
            Self::First | Self::Last => item(),
            Self::Reverse | Self::Sort | Self::Take | Self::Uniq => Type::list(item()),
            Self::Split => Type::list(Type::Str),
            Self::Join
            | Self::Lower
            | Self::Repeat
            | Self::Replace
            | Self::Text
            | Self::Trim
            | Self::TrimPrefix
            | Self::TrimSuffix
            | Self::Upper => Type::Str,
        }
    }

    /// The function's value; none where there is none.
    pub(crate) fn call<'a>(self, args: &[Value<'a>]) -> Option<Value<'a>> {
        let text = |place: usize| args.get(place).and_then(Value::text);
        let own = |text: String| Some(Value::Str(Cow::Owned(text)));
        let first = args.first()?;
        match self {
            Self::Abs => match first {
                Value::Int(value) => value.checked_abs().map(Value::Int),
                value => value.number().map(|value| Value::Float(value.abs())),
            },
            Self::Ceil => first.number().map(|value| Value::Float(value.ceil())),
            Self::Floor => first.number().map(|value| Value::Float(value.floor())),
            Self::Round => first.number().map(|value| Value::Float(value.round())),
            Self::Concat => {
                let lists: Option<Vec<_>> = args.iter().map(items).collect();
                lists.map(|lists| Value::Made(lists.concat()))
            }
            Self::First => Some(items(first)?.into_iter().next().unwrap_or(Value::Nil)),
            Self::Last => Some(items(first)?.into_iter().next_back().unwrap_or(Value::Nil)),
            Self::Reverse => items(first).map(|mut items| {
                items.reverse();
                Value::Made(items)
            }),
            Self::Float => match first {
                Value::Str(text) => text.parse().ok().map(Value::Float),
                value => value.number().map(Value::Float),
            },
            Self::Int => match first {
                Value::Str(text) => text.parse().ok().map(Value::Int),
                value => value.number().map(|value| Value::Int(value as i64)),
            },
            Self::Text => own(first.to_string()),
            Self::HasPrefix => Some(Value::Bool(text(0)?.starts_with(text(1)?))),
            Self::HasSuffix => Some(Value::Bool(text(0)?.ends_with(text(1)?))),
            Self::IndexOf => Some(Value::Int(text(0)?.find(text(1)?).map_or(-1, |at| at as i64))),
            Self::LastIndexOf => Some(Value::Int(text(0)?.rfind(text(1)?).map_or(-1, |at| at as i64))),
            Self::Join => {
                let items = items(first)?;
                let words: Option<Vec<&str>> = items.iter().map(Value::text).collect();
                own(words?.join(text(1).unwrap_or_default()))
            }
            Self::Len => Some(Value::Int(match first {
                Value::Str(text) => text.chars().count() as i64,
                list => list.items()?.len() as i64,
            })),
            Self::Lower => own(text(0)?.to_lowercase()),
            Self::Upper => own(text(0)?.to_uppercase()),
            Self::Max => lists::best(args, Ordering::is_lt),
            Self::Min => lists::best(args, Ordering::is_gt),
            Self::Mean => lists::mean(args),
            Self::Median => lists::median(args),
            Self::Sum => lists::sum(&items(first)?),
            Self::Sort => lists::sort(items(first)?, text(1)),
            Self::Take => lists::take(items(first)?, args.get(1)?.int()?),
            Self::Uniq => Some(lists::uniq(items(first)?)),
            Self::Flatten => lists::flatten(items(first)?),
            Self::Bits(bits) => bits
                .of(first.int()?, args.get(1).and_then(Value::int))
                .map(Value::Int),
            Self::Repeat => {
                let times = usize::try_from(args.get(1)?.int()?).ok()?;
                (text(0)?.len().checked_mul(times)? <= MAX_TEXT)
                    .then(|| text(0).map(|text| text.repeat(times)))?
                    .and_then(own)
            }
            Self::Replace => {
                let replaced = text(0)?.replace(text(1)?, text(2)?);
                (replaced.len() <= MAX_TEXT).then_some(replaced).and_then(own)
            }
            Self::Split => {
                let separator = text(1)?;
                let parts: Vec<&str> = match args.get(2).map(Value::int) {
                    None => split(text(0)?, separator, usize::MAX),
                    Some(Some(0)) => Vec::new(),
                    Some(count) => split(text(0)?, separator, usize::try_from(count?).unwrap_or(usize::MAX)),
                };
                Some(Value::Made(
                    parts
                        .into_iter()
                        .map(|part| Value::Str(Cow::Owned(part.to_owned())))
                        .collect(),
                ))
            }
            Self::Trim => {
                let letters: Vec<char> = text(1).map_or_else(Vec::new, |text| text.chars().collect());
                let trimmed = match text(1) {
                    None => text(0)?.trim(),
                    Some(_) => text(0)?.trim_matches(letters.as_slice()),
                };
                own(trimmed.to_owned())
            }
            Self::TrimPrefix => own(text(0)?.strip_prefix(text(1)?).or_else(|| text(0))?.to_owned()),
            Self::TrimSuffix => own(text(0)?.strip_suffix(text(1)?).or_else(|| text(0))?.to_owned()),
        }
    }
}

fn split<'t>(text: &'t str, separator: &str, count: usize) -> Vec<&'t str> {
    if separator.is_empty() {
        let mut ends = text
            .char_indices()
            .skip(1)
            .map(|(at, _)| at)
            .take(count.saturating_sub(1));
        let mut parts = Vec::new();
        let mut from = 0;
        for end in ends.by_ref() {
            parts.push(&text[from..end]);
            from = end;
        }
        if !text.is_empty() {
            parts.push(&text[from..]);
        }
        return parts;
    }
    text.splitn(count, separator).collect()
}

/// The items of a list, each a value of its own.
pub(crate) fn items<'a>(list: &Value<'a>) -> Option<Vec<Value<'a>>> {
    match list {
        Value::List(items) => Some(items.iter().cloned().collect()),
        Value::Made(items) => Some(items.clone()),
        _ => None,
    }
}
