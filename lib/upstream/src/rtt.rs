//! How long an upstream usually takes.

use std::time::Duration;

/// Smoothed round trip time and its deviation, as TCP estimates them (RFC 6298, section 2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    smoothed: f32,
    deviation: f32,
}

impl RoundTrip {
    /// An answer came after `sample`.
    pub(crate) fn add(&mut self, sample: Duration) {
        let sample = sample.as_secs_f32();
        self.estimate = Some(match self.estimate {
            None => Estimate {
                smoothed: sample,
                deviation: sample / 2.0,
            },
            Some(Estimate { smoothed, deviation }) => Estimate {
                deviation: deviation + ((smoothed - sample).abs() - deviation) / 4.0,
                smoothed: smoothed + (sample - smoothed) / 8.0,
            },
        });
    }

    /// A wait that the usual round trip does not explain any more.
    pub(crate) fn suspicious(&self) -> Duration {
        let Some(estimate) = self.estimate else {
            return UNKNOWN;
        };
        let usual = Duration::from_secs_f32(estimate.smoothed + 4.0 * estimate.deviation);
        usual.clamp(SHORTEST, LONGEST)
    }
}

/// Never shorter than this: a busy machine alone can take tens of milliseconds.
const SHORTEST: Duration = Duration::from_millis(100);

/// For an upstream that has not answered yet. No source: long enough for a far server, short enough for a client.
const UNKNOWN: Duration = Duration::from_millis(300);

const LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_upstream_is_suspicious_after_a_tenth_of_a_second() {
        let mut trip = RoundTrip::default();
        assert_eq!(trip.suspicious(), UNKNOWN);
        for _ in 0..50 {
            trip.add(Duration::from_millis(1));
        }
        assert_eq!(trip.suspicious(), SHORTEST);
    }

    #[test]
    fn a_slow_or_unsteady_upstream_gets_its_time() {
        let mut slow = RoundTrip::default();
        let mut unsteady = RoundTrip::default();
        for round in 0..50 {
            slow.add(Duration::from_millis(500));
            unsteady.add(Duration::from_millis(if round % 2 == 0 { 10 } else { 400 }));
        }
        assert!(slow.suspicious() > Duration::from_millis(500));
        assert!(unsteady.suspicious() > Duration::from_millis(600));
    }
}
