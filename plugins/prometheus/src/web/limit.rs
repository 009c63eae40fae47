//! A bound on the rate of requests.

use std::time::{Duration, Instant};

/// A bucket that holds so many places, and gets one back at intervals.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    places: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// Takes a place, if there is one.
    pub(super) fn take(&mut self, interval: Duration, burst: u32, now: Instant) -> bool {
        let full = f64::from(burst);
        self.places = match self.filled {
            None => full,
            Some(filled) => {
                let gained = now.saturating_duration_since(filled).as_secs_f64() / interval.as_secs_f64();
                (self.places + gained).min(full)
            }
        };
        self.filled = Some(now);
        if self.places < 1.0 {
            return false;
        }
        self.places -= 1.0;
        true
    }
}

/// A time in Go's notation, such as `1m30s`, that is not negative.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, next) = behind.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_again_and_not_beyond_its_size() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut bucket = Bucket::default();
        let mut take = |after: u32| bucket.take(second, 2, start + second * after);
        assert_eq!([take(0), take(0), take(0)], [true, true, false]);
        assert_eq!([take(1), take(1)], [true, false]);
        assert_eq!([take(100), take(100), take(100)], [true, true, false]);
        assert!(!Bucket::default().take(second, 0, start));
    }

    #[test]
    fn times_are_read_as_in_go() {
        for (text, want) in [
            ("1s", Some(1000)),
            ("1m30s", Some(90_000)),
            ("0.5h", Some(1_800_000)),
            ("250ms", Some(250)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1x", None),
            ("-1s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text), want.map(Duration::from_millis), "{text}");
        }
    }
}
