//! Dates, durations and time zones, as Go's package `time` has them.

use std::sync::{Arc, LazyLock};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};

use crate::layout;
use crate::value::Value;

/// Names of months, January first.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Names of the days of the week, Sunday first.
pub(crate) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// How a date can be written if no layout is given.
const LAYOUTS: [&str; 7] = [
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
];

/// How a date is written as text.
const TEXT: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// Longest name of a time zone.
const MAX_ZONE: usize = 100;

/// The zone of this machine, which is looked up once, as Go does.
static LOCAL: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// The zone of this machine.
pub(crate) fn local() -> TimeZone {
    LOCAL.clone()
}

/// The date now, in a zone or in that of this machine.
pub(crate) fn now(zone: Option<&TimeZone>) -> Value<'static> {
    let zone = zone.cloned().unwrap_or_else(local);
    date(Timestamp::now().to_zoned_datetime(zone))
}

pub(crate) fn date(date: ZonedDateTime) -> Value<'static> {
    Value::Date(Arc::new(date))
}

/// A zone by its name in the time zone database, which is part of the program.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    match name {
        "" | "UTC" => Some(TimeZone::UTC),
        "Local" => Some(local()),
        _ if name.len() > MAX_ZONE => None,
        _ => TimeZone::get(name).ok(),
    }
}

pub(crate) fn zone_name(zone: &TimeZone) -> &str {
    match zone.iana_name() {
        Some(name) => name,
        None if *zone == TimeZone::UTC => "UTC",
        None => "Local",
    }
}

/// Reads a date in a layout, or in one of the usual ones.
pub(crate) fn read(text: &str, layout: Option<&str>, zone: &TimeZone) -> Option<ZonedDateTime> {
    match layout {
        Some(layout) => layout::parse(text, layout, zone),
        None => LAYOUTS
            .iter()
            .find_map(|layout| layout::parse(text, layout, zone)),
    }
}

pub(crate) fn text(date: &ZonedDateTime) -> String {
    layout::format(date, TEXT)
}

/// A date so much later.
pub(crate) fn later(date: &ZonedDateTime, nanoseconds: i64) -> Option<ZonedDateTime> {
    at(date, date.timestamp().as_nanosecond() + i128::from(nanoseconds))
}

/// What lies between two dates; no more than a duration can hold, which is 292 years.
pub(crate) fn between(from: &ZonedDateTime, to: &ZonedDateTime) -> i64 {
    let nanoseconds = to.timestamp().as_nanosecond() - from.timestamp().as_nanosecond();
    let bounded = nanoseconds.clamp(i64::MIN.into(), i64::MAX.into());
    bounded as i64
}

/// The date in the zone of another, at so many nanoseconds since 1970.
fn at(date: &ZonedDateTime, nanoseconds: i128) -> Option<ZonedDateTime> {
    let timestamp = Timestamp::from_nanosecond(nanoseconds).ok()?;
    Some(timestamp.to_zoned_datetime(date.time_zone().clone()))
}

/// The date with years, months and days added: what is beyond the end of a month goes on in the next one.
pub(crate) fn add_date(date: &ZonedDateTime, years: i64, months: i64, days: i64) -> Option<ZonedDateTime> {
    let months = i64::from(date.year())
        .checked_add(years)?
        .checked_mul(12)?
        .checked_add(months)?
        .checked_add(i64::from(date.month()) - 1)?;
    let year = i16::try_from(months.div_euclid(12)).ok()?;
    let month = i8::try_from(months.rem_euclid(12) + 1).ok()?;
    let days = days.checked_add(i64::from(date.day()) - 1)?;
    let first = jiff::civil::Date::new(year, month, 1).ok()?;
    let day = first.checked_add(Span::new().try_days(days).ok()?).ok()?;
    in_zone(day.to_datetime(date.time()), date.time_zone())
}

/// The date that clocks in a zone show.
pub(crate) fn in_zone(clocks: DateTime, zone: &TimeZone) -> Option<ZonedDateTime> {
    clocks.to_zoned_datetime(zone.clone()).ok()
}

/// Nanoseconds between the year 1, from which Go counts, and 1970.
pub(crate) const SINCE_YEAR_ONE: i128 = 62_135_596_800 * 1_000_000_000;

/// A date down to a multiple of a duration since the year 1, or to the nearest one.
pub(crate) fn rounded(date: &ZonedDateTime, step: i64, to_nearest: bool) -> Option<ZonedDateTime> {
    if step <= 0 {
        return Some(date.clone());
    }
    let (now, step) = (date.timestamp().as_nanosecond(), i128::from(step));
    let beyond = (now + SINCE_YEAR_ONE).rem_euclid(step);
    let up = to_nearest && beyond * 2 >= step;
    at(date, now - beyond + if up { step } else { 0 })
}

/// A duration towards zero to a multiple of another, or to the nearest one.
pub(crate) fn rounded_duration(duration: i64, step: i64, to_nearest: bool) -> i64 {
    if step <= 0 {
        return duration;
    }
    let (whole, step) = (i128::from(duration), i128::from(step));
    let beyond = whole % step;
    let up = to_nearest && beyond.abs() * 2 >= step;
    let rounded = whole - beyond + if up { step * whole.signum() } else { 0 };
    rounded.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

pub(crate) const SECOND: i64 = 1_000_000_000;

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// Reads a duration such as `1h30m` or `-1.5s`, in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, unit) = UNITS.iter().find(|(known, _)| *known == unit)?;
        total += count(number, *unit)?;
        if total > i128::from(i64::MAX) + 1 {
            return None;
        }
        rest = behind;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A number with an optional fraction, times a unit.
fn count(number: &str, unit: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let read = |digits: &str| {
        if digits.is_empty() {
            Some(0)
        } else {
            digits.parse::<i64>().ok()
        }
    };
    // Digits behind the fifteenth are less than a nanosecond, even of hours.
    let fraction = fraction.get(..15).unwrap_or(fraction);
    let parts = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let unit = i128::from(unit);
    Some(i128::from(read(whole)?) * unit + i128::from(read(fraction)?) * unit / parts)
}

/// A duration as Go writes it: `1h0m0s`, `1.5s`, `20ms`.
pub(crate) fn duration_text(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let all = nanoseconds.unsigned_abs();
    let second = SECOND.unsigned_abs();
    if all == 0 {
        return "0s".to_owned();
    }
    if all < second {
        let (unit, name) = match all {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "\u{b5}s"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{name}", decimal(all, unit));
    }
    let (hours, minutes, rest) = (
        all / (3600 * second),
        all / (60 * second) % 60,
        all % (60 * second),
    );
    let rest = decimal(rest, second);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}s"),
        (0, _) => format!("{sign}{minutes}m{rest}s"),
        _ => format!("{sign}{hours}h{minutes}m{rest}s"),
    }
}

/// A count of units with its fraction, without zeros at the end.
fn decimal(count: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", count % unit);
    match fraction.trim_end_matches('0') {
        "" => (count / unit).to_string(),
        fraction => format!("{}.{fraction}", count / unit),
    }
}
