//! Methods of dates, durations, months, days of the week and time zones.

use std::cmp::Ordering;

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

use crate::builtin::Wants;
use crate::dates::{self, SECOND};
use crate::kind::Type;
use crate::layout;
use crate::value::Value;

/// A method: what has it, what it takes and what it gives.
pub(crate) struct Method {
    pub(crate) of: Type,
    pub(crate) name: &'static str,
    pub(crate) takes: &'static [Wants],
    pub(crate) gives: Type,
}

const fn of(of: Type, name: &'static str, takes: &'static [Wants], gives: Type) -> Method {
    Method {
        of,
        name,
        takes,
        gives,
    }
}

/// All methods.
pub(crate) const METHODS: &[Method] = &[
    of(Type::Date, "Add", &[Wants::Duration], Type::Date),
    of(
        Type::Date,
        "AddDate",
        &[Wants::Int, Wants::Int, Wants::Int],
        Type::Date,
    ),
    of(Type::Date, "After", &[Wants::Date], Type::Bool),
    of(Type::Date, "Before", &[Wants::Date], Type::Bool),
    of(Type::Date, "Compare", &[Wants::Date], Type::Int),
    of(Type::Date, "Day", &[], Type::Int),
    of(Type::Date, "Equal", &[Wants::Date], Type::Bool),
    of(Type::Date, "Format", &[Wants::Str], Type::Str),
    of(Type::Date, "Hour", &[], Type::Int),
    of(Type::Date, "In", &[Wants::Zone], Type::Date),
    of(Type::Date, "IsDST", &[], Type::Bool),
    of(Type::Date, "IsZero", &[], Type::Bool),
    of(Type::Date, "Local", &[], Type::Date),
    of(Type::Date, "Location", &[], Type::Zone),
    of(Type::Date, "Minute", &[], Type::Int),
    of(Type::Date, "Month", &[], Type::Month),
    of(Type::Date, "Nanosecond", &[], Type::Int),
    of(Type::Date, "Round", &[Wants::Duration], Type::Date),
    of(Type::Date, "Second", &[], Type::Int),
    of(Type::Date, "String", &[], Type::Str),
    of(Type::Date, "Sub", &[Wants::Date], Type::Duration),
    of(Type::Date, "Truncate", &[Wants::Duration], Type::Date),
    of(Type::Date, "UTC", &[], Type::Date),
    of(Type::Date, "Unix", &[], Type::Int),
    of(Type::Date, "UnixMicro", &[], Type::Int),
    of(Type::Date, "UnixMilli", &[], Type::Int),
    of(Type::Date, "UnixNano", &[], Type::Int),
    of(Type::Date, "Weekday", &[], Type::Weekday),
    of(Type::Date, "Year", &[], Type::Int),
    of(Type::Date, "YearDay", &[], Type::Int),
    of(Type::Duration, "Abs", &[], Type::Duration),
    of(Type::Duration, "Hours", &[], Type::Float),
    of(Type::Duration, "Microseconds", &[], Type::Int),
    of(Type::Duration, "Milliseconds", &[], Type::Int),
    of(Type::Duration, "Minutes", &[], Type::Float),
    of(Type::Duration, "Nanoseconds", &[], Type::Int),
    of(Type::Duration, "Round", &[Wants::Duration], Type::Duration),
    of(Type::Duration, "Seconds", &[], Type::Float),
    of(Type::Duration, "String", &[], Type::Str),
    of(Type::Duration, "Truncate", &[Wants::Duration], Type::Duration),
    of(Type::Month, "String", &[], Type::Str),
    of(Type::Weekday, "String", &[], Type::Str),
    of(Type::Zone, "String", &[], Type::Str),
];

/// The value of a method; none where there is none, or `base` has no such method.
pub(crate) fn call(name: &str, base: &Value<'_>, args: &[Value<'_>]) -> Option<Value<'static>> {
    match base {
        Value::Date(date) => match args {
            [] => of_date(name, date),
            args => of_date_with(name, date, args),
        },
        Value::Duration(nanoseconds) => of_duration(name, *nanoseconds, args.first()),
        Value::Month(_) | Value::Weekday(_) | Value::Zone(_) if name == "String" => {
            Some(Value::text_of(base.to_string()))
        }
        _ => None,
    }
}

fn of_date(name: &str, date: &ZonedDateTime) -> Option<Value<'static>> {
    let small = |value: i8| u8::try_from(value).ok();
    let nanoseconds = || date.timestamp().as_nanosecond();
    let unix = |unit: i128| i64::try_from(nanoseconds().div_euclid(unit)).ok().map(Value::Int);
    Some(match name {
        "Year" => Value::Int(date.year().into()),
        "Month" => Value::Month(small(date.month())?),
        "Day" => Value::Int(date.day().into()),
        "Hour" => Value::Int(date.hour().into()),
        "Minute" => Value::Int(date.minute().into()),
        "Second" => Value::Int(date.second().into()),
        "Nanosecond" => Value::Int(date.subsec_nanosecond().into()),
        "Weekday" => Value::Weekday(small(date.weekday().to_sunday_zero_offset())?),
        "YearDay" => Value::Int(date.day_of_year().into()),
        "Unix" => return unix(1_000_000_000),
        "UnixMilli" => return unix(1_000_000),
        "UnixMicro" => return unix(1_000),
        "UnixNano" => return unix(1),
        "IsZero" => Value::Bool(nanoseconds() == -dates::SINCE_YEAR_ONE),
        "IsDST" => Value::Bool(date.time_zone().to_offset_info(date.timestamp()).dst().is_dst()),
        "Local" => dates::date(date.with_time_zone(dates::local())),
        "UTC" => dates::date(date.with_time_zone(TimeZone::UTC)),
        "Location" => Value::Zone(date.time_zone().clone()),
        "String" => Value::text_of(dates::text(date)),
        _ => return None,
    })
}

fn of_date_with(name: &str, date: &ZonedDateTime, args: &[Value<'_>]) -> Option<Value<'static>> {
    let order = || match &args[0] {
        Value::Date(other) => Some(date.timestamp().cmp(&other.timestamp())),
        _ => None,
    };
    let duration = || match &args[0] {
        Value::Duration(nanoseconds) => Some(*nanoseconds),
        _ => None,
    };
    Some(match (name, args) {
        ("Add", _) => dates::date(dates::later(date, duration()?)?),
        ("Truncate", _) => dates::date(dates::rounded(date, duration()?, false)?),
        ("Round", _) => dates::date(dates::rounded(date, duration()?, true)?),
        ("Sub", [Value::Date(other)]) => Value::Duration(dates::between(other, date)),
        ("In", [Value::Zone(zone)]) => dates::date(date.with_time_zone(zone.clone())),
        ("Format", [Value::Str(layout)]) => Value::text_of(layout::format(date, layout)),
        ("AddDate", [Value::Int(years), Value::Int(months), Value::Int(days)]) => {
            dates::date(dates::add_date(date, *years, *months, *days)?)
        }
        ("After", _) => Value::Bool(order()?.is_gt()),
        ("Before", _) => Value::Bool(order()?.is_lt()),
        ("Equal", _) => Value::Bool(order()?.is_eq()),
        ("Compare", _) => Value::Int(match order()? {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }),
        _ => return None,
    })
}

fn of_duration(name: &str, nanoseconds: i64, arg: Option<&Value<'_>>) -> Option<Value<'static>> {
    let float = |unit: i64| Value::Float(nanoseconds as f64 / unit as f64);
    let step = || match arg {
        Some(Value::Duration(step)) => Some(*step),
        _ => None,
    };
    Some(match name {
        "Hours" => float(3600 * SECOND),
        "Minutes" => float(60 * SECOND),
        "Seconds" => float(SECOND),
        "Milliseconds" => Value::Int(nanoseconds / 1_000_000),
        "Microseconds" => Value::Int(nanoseconds / 1_000),
        "Nanoseconds" => Value::Int(nanoseconds),
        "Abs" => Value::Duration(nanoseconds.saturating_abs()),
        "Round" => Value::Duration(dates::rounded_duration(nanoseconds, step()?, true)),
        "Truncate" => Value::Duration(dates::rounded_duration(nanoseconds, step()?, false)),
        "String" => Value::text_of(dates::duration_text(nanoseconds)),
        _ => return None,
    })
}
