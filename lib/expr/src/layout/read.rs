//! Reads dates that are written in a layout.

use jiff::ZonedDateTime;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::{Part, part_of};
use crate::dates::{MONTHS, WEEKDAYS, in_zone};

/// What was read of a date.
#[derive(Default)]
struct Read {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    afternoon: Option<bool>,
    offset: Option<i32>,
    utc: bool,
}

/// Reads a date; one that does not tell its offset is one in `zone`.
pub(crate) fn parse(text: &str, layout: &str, zone: &TimeZone) -> Option<ZonedDateTime> {
    let mut read = Read::default();
    let (mut rest, mut layout) = (text, layout);
    while let Some(first) = layout.chars().next() {
        let Some((part, len)) = part_of(layout) else {
            // A space in the layout stands for any number of them.
            if first == ' ' {
                rest = if rest.is_empty() {
                    rest
                } else {
                    rest.strip_prefix(' ')?.trim_start_matches(' ')
                };
                layout = layout.trim_start_matches(' ');
                continue;
            }
            rest = rest.strip_prefix(first)?;
            layout = &layout[first.len_utf8()..];
            continue;
        };
        layout = &layout[len..];
        rest = read.part(part, rest, part_of(layout))?;
    }
    if !rest.is_empty() {
        return None;
    }
    read.date(zone)
}

impl Read {
    /// Reads one part and gives what is behind it.
    fn part<'t>(&mut self, part: Part, text: &'t str, next: Option<(Part, usize)>) -> Option<&'t str> {
        let (value, rest) = match part {
            Part::Year => digits(text, 4, 4)?,
            Part::YearOfCentury => digits(text, 2, 2)?,
            Part::DayOfYear { .. } => {
                digits(text.trim_start_matches(' '), 3 - leading_spaces(text).min(2), 3)?
            }
            Part::Day { .. } => digits(text.strip_prefix(' ').unwrap_or(text), 1, 2)?,
            Part::Hour => digits(text, 1, 2)?,
            Part::Month { width }
            | Part::Hour12 { width }
            | Part::Minute { width }
            | Part::Second { width } => digits(text, width, 2)?,
            Part::MonthName { short } => named(text, &MONTHS, short)?,
            Part::WeekdayName { short } => named(text, &WEEKDAYS, short)?,
            Part::HalfOfDay { .. } => {
                let (half, rest) = text.split_at_checked(2)?;
                self.afternoon = Some(match half {
                    "AM" | "am" => false,
                    "PM" | "pm" => true,
                    _ => return None,
                });
                return Some(rest);
            }
            Part::Fraction { digits, zeros } => return self.fraction(text, zeros.then_some(digits)),
            Part::Offset { colons, parts, z } => return self.offset(text, colons, parts, z),
            Part::Abbreviation => return self.abbreviation(text),
        };
        match part {
            Part::Year => self.year = Some(value),
            // As Go has it: from 69 on, the century before.
            Part::YearOfCentury => self.year = Some(if value >= 69 { 1900 } else { 2000 } + value),
            Part::Month { .. } => self.month = Some(value),
            Part::MonthName { .. } => self.month = Some(value + 1),
            Part::Day { .. } => self.day = Some(value),
            Part::DayOfYear { .. } => self.day_of_year = Some(value),
            Part::Hour => self.hour = value,
            Part::Hour12 { .. } if value > 12 => return None,
            Part::Hour12 { .. } => self.hour = value,
            Part::Minute { .. } => self.minute = value,
            Part::Second { .. } => {
                self.second = value;
                // A fraction may follow even if the layout does not say so.
                let follows =
                    rest.starts_with(['.', ',']) && rest[1..].starts_with(|next: char| next.is_ascii_digit());
                if follows && !matches!(next, Some((Part::Fraction { .. }, _))) {
                    return self.fraction(rest, None);
                }
            }
            _ => {}
        }
        Some(rest)
    }

    /// Reads a fraction of so many digits, or of any number of them, none included.
    fn fraction<'t>(&mut self, text: &'t str, wanted: Option<usize>) -> Option<&'t str> {
        let Some(behind) = text.strip_prefix(['.', ',']) else {
            return wanted.is_none().then_some(text);
        };
        let rest = behind.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let count = behind.len() - rest.len();
        let (count, rest) = match wanted {
            Some(wanted) if wanted <= count => (wanted, &behind[wanted..]),
            Some(_) => return None,
            None => (count, rest),
        };
        let shown = &behind[..count.min(9)];
        let mut value: i64 = if shown.is_empty() { 0 } else { shown.parse().ok()? };
        for _ in shown.len()..9 {
            value *= 10;
        }
        self.nanosecond = value;
        Some(rest)
    }

    fn offset<'t>(&mut self, text: &'t str, colons: bool, parts: usize, z: bool) -> Option<&'t str> {
        if z && let Some(rest) = text.strip_prefix('Z') {
            self.utc = true;
            return Some(rest);
        }
        let (sign, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+')?),
        };
        let mut seconds = 0;
        for (place, (unit, most)) in [(3600, 24), (60, 60), (1, 60)]
            .into_iter()
            .take(parts)
            .enumerate()
        {
            if colons && place > 0 {
                rest = rest.strip_prefix(':')?;
            }
            let (value, behind) = digits(rest, 2, 2)?;
            if value > most {
                return None;
            }
            seconds += unit * i32::try_from(value).ok()?;
            rest = behind;
        }
        self.offset = Some(sign * seconds);
        Some(rest)
    }

    /// Reads an abbreviation such as `CET`: only `UTC` is known to every place, others count as it.
    fn abbreviation<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let len = text.len()
            - text
                .trim_start_matches(|letter: char| letter.is_ascii_uppercase())
                .len();
        self.utc = true;
        (3..=5).contains(&len).then(|| &text[len..])
    }

    fn date(self, zone: &TimeZone) -> Option<ZonedDateTime> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let small = |value: i64| i8::try_from(value).ok();
        let year = i16::try_from(self.year.unwrap_or(0)).ok()?;
        let clocks = DateTime::new(
            year,
            small(self.month.unwrap_or(1))?,
            small(self.day.unwrap_or(1))?,
            small(hour)?,
            small(self.minute)?,
            small(self.second)?,
            i32::try_from(self.nanosecond).ok()?,
        );
        let mut clocks = clocks.ok()?;
        if let Some(day) = self.day_of_year {
            let day = clocks.with().day_of_year(i16::try_from(day).ok()?).build().ok()?;
            let other = self.month.is_some_and(|month| month != i64::from(day.month()))
                || self.day.is_some_and(|of_month| of_month != i64::from(day.day()));
            if other {
                return None;
            }
            clocks = day;
        }
        match self.offset {
            Some(0) => in_zone(clocks, &TimeZone::UTC),
            Some(seconds) => in_zone(clocks, &TimeZone::fixed(Offset::from_seconds(seconds).ok()?)),
            None if self.utc => in_zone(clocks, &TimeZone::UTC),
            None => in_zone(clocks, zone),
        }
    }
}

fn leading_spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches(' ').len()
}

/// A number of so many digits, and what is behind it.
fn digits(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (digits, rest) = text.split_at(count);
    Some((digits.parse().ok()?, rest))
}

/// The place of a name, in any letter case, and what is behind it.
fn named<'t>(text: &'t str, names: &[&str], short: bool) -> Option<(i64, &'t str)> {
    names.iter().enumerate().find_map(|(place, name)| {
        let name = if short { &name[..3] } else { name };
        let (given, rest) = text.split_at_checked(name.len())?;
        let place = i64::try_from(place).ok()?;
        given.eq_ignore_ascii_case(name).then_some((place, rest))
    })
}
