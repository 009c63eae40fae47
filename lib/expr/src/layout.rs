//! Layouts of dates: how Go would write Monday, January 2 of 2006, at 15:04:05, seven hours west of Greenwich.

mod read;

use std::fmt::Write;

use jiff::ZonedDateTime;

use crate::dates::{MONTHS, WEEKDAYS};

pub(crate) use read::parse;

/// A part of a date in a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Abbreviation,
    Day {
        width: usize,
        spaces: bool,
    },
    DayOfYear {
        spaces: bool,
    },
    /// A fraction of a second; with zeros at its end, or without.
    Fraction {
        digits: usize,
        zeros: bool,
    },
    Hour,
    Hour12 {
        width: usize,
    },
    HalfOfDay {
        upper: bool,
    },
    Minute {
        width: usize,
    },
    Month {
        width: usize,
    },
    MonthName {
        short: bool,
    },
    Offset {
        colons: bool,
        parts: usize,
        z: bool,
    },
    Second {
        width: usize,
    },
    WeekdayName {
        short: bool,
    },
    Year,
    YearOfCentury,
}

/// The parts by how they are written, the longer ones before those that they begin with.
const PARTS: &[(&str, Part)] = &[
    ("January", Part::MonthName { short: false }),
    ("Jan", Part::MonthName { short: true }),
    ("Monday", Part::WeekdayName { short: false }),
    ("Mon", Part::WeekdayName { short: true }),
    ("MST", Part::Abbreviation),
    ("2006", Part::Year),
    ("002", Part::DayOfYear { spaces: false }),
    ("__2", Part::DayOfYear { spaces: true }),
    ("01", Part::Month { width: 2 }),
    (
        "02",
        Part::Day {
            width: 2,
            spaces: false,
        },
    ),
    ("03", Part::Hour12 { width: 2 }),
    ("04", Part::Minute { width: 2 }),
    ("05", Part::Second { width: 2 }),
    ("06", Part::YearOfCentury),
    ("15", Part::Hour),
    (
        "_2",
        Part::Day {
            width: 2,
            spaces: true,
        },
    ),
    ("PM", Part::HalfOfDay { upper: true }),
    ("pm", Part::HalfOfDay { upper: false }),
    (
        "Z07:00:00",
        Part::Offset {
            colons: true,
            parts: 3,
            z: true,
        },
    ),
    (
        "Z07:00",
        Part::Offset {
            colons: true,
            parts: 2,
            z: true,
        },
    ),
    (
        "Z070000",
        Part::Offset {
            colons: false,
            parts: 3,
            z: true,
        },
    ),
    (
        "Z0700",
        Part::Offset {
            colons: false,
            parts: 2,
            z: true,
        },
    ),
    (
        "Z07",
        Part::Offset {
            colons: false,
            parts: 1,
            z: true,
        },
    ),
    (
        "-07:00:00",
        Part::Offset {
            colons: true,
            parts: 3,
            z: false,
        },
    ),
    (
        "-07:00",
        Part::Offset {
            colons: true,
            parts: 2,
            z: false,
        },
    ),
    (
        "-070000",
        Part::Offset {
            colons: false,
            parts: 3,
            z: false,
        },
    ),
    (
        "-0700",
        Part::Offset {
            colons: false,
            parts: 2,
            z: false,
        },
    ),
    (
        "-07",
        Part::Offset {
            colons: false,
            parts: 1,
            z: false,
        },
    ),
    ("1", Part::Month { width: 1 }),
    (
        "2",
        Part::Day {
            width: 1,
            spaces: false,
        },
    ),
    ("3", Part::Hour12 { width: 1 }),
    ("4", Part::Minute { width: 1 }),
    ("5", Part::Second { width: 1 }),
];

/// The part that a layout begins with, and the length of how it is written.
fn part_of(layout: &str) -> Option<(Part, usize)> {
    if let Some(digits) = layout.strip_prefix(['.', ',']) {
        for digit in ['0', '9'] {
            let count = digits.len() - digits.trim_start_matches(digit).len();
            let ends = !digits[count..].starts_with(|next: char| next.is_ascii_digit());
            if (1..=9).contains(&count) && ends {
                let part = Part::Fraction {
                    digits: count,
                    zeros: digit == '0',
                };
                return Some((part, count + 1));
            }
        }
        return None;
    }
    // `_2006` is a sign and a year.
    if layout.starts_with("_2006") {
        return None;
    }
    let (text, part) = PARTS.iter().find(|(text, _)| layout.starts_with(text))?;
    let lower_follows = layout[text.len()..].starts_with(|next: char| next.is_ascii_lowercase());
    (!(matches!(*text, "Jan" | "Mon") && lower_follows)).then_some((*part, text.len()))
}

/// Writes a date.
pub(crate) fn format(date: &ZonedDateTime, layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        let Some((part, len)) = part_of(rest) else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let separator = if first == ',' { ',' } else { '.' };
        write(&mut out, date, part, separator);
        rest = &rest[len..];
    }
    out
}

fn write(out: &mut String, date: &ZonedDateTime, part: Part, separator: char) {
    let name = |names: &[&str], place: i8, short: bool| {
        let name = usize::try_from(place).ok().and_then(|place| names.get(place));
        let name = name.copied().unwrap_or_default();
        if short {
            name[..3].to_owned()
        } else {
            name.to_owned()
        }
    };
    let padded = |value: i64, width: usize| format!("{value:0width$}");
    out.push_str(&match part {
        Part::Year => padded(date.year().into(), 4),
        Part::YearOfCentury => padded((date.year() % 100).unsigned_abs().into(), 2),
        Part::Month { width } => padded(date.month().into(), width),
        Part::MonthName { short } => name(&MONTHS, date.month() - 1, short),
        Part::Day { width, spaces: true } => format!("{:width$}", date.day()),
        Part::Day { width, .. } => padded(date.day().into(), width),
        Part::DayOfYear { spaces: true } => format!("{:3}", date.day_of_year()),
        Part::DayOfYear { .. } => padded(date.day_of_year().into(), 3),
        Part::WeekdayName { short } => name(&WEEKDAYS, date.weekday().to_sunday_zero_offset(), short),
        Part::Hour => padded(date.hour().into(), 2),
        Part::Hour12 { width } => padded(((date.hour() + 11) % 12 + 1).into(), width),
        Part::HalfOfDay { upper } => match (date.hour() < 12, upper) {
            (true, true) => "AM",
            (true, false) => "am",
            (false, true) => "PM",
            (false, false) => "pm",
        }
        .to_owned(),
        Part::Minute { width } => padded(date.minute().into(), width),
        Part::Second { width } => padded(date.second().into(), width),
        Part::Fraction { digits, zeros } => {
            let all = padded(date.subsec_nanosecond().into(), 9);
            let shown = &all[..digits];
            let shown = if zeros { shown } else { shown.trim_end_matches('0') };
            if shown.is_empty() {
                String::new()
            } else {
                format!("{separator}{shown}")
            }
        }
        Part::Offset { colons, parts, z } => offset(date.offset().seconds(), colons, parts, z),
        Part::Abbreviation => {
            let info = date.time_zone().to_offset_info(date.timestamp());
            info.abbreviation().to_owned()
        }
    });
}

fn offset(seconds: i32, colons: bool, parts: usize, z: bool) -> String {
    if z && seconds == 0 {
        return "Z".to_owned();
    }
    let all = seconds.unsigned_abs();
    let mut out = String::from(if seconds < 0 { "-" } else { "+" });
    for (place, value) in [all / 3600, all / 60 % 60, all % 60]
        .into_iter()
        .take(parts)
        .enumerate()
    {
        let colon = if colons && place > 0 { ":" } else { "" };
        // Writing to text cannot fail.
        let _ = write!(out, "{colon}{value:02}");
    }
    out
}
