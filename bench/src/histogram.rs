//! Latencies in buckets that grow with them.

/// Counts of durations in nanoseconds, each within 3 % of its true value.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest, in nanoseconds.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The duration that `share` (0 to 1) of all do not exceed, in nanoseconds; 0 when there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_end(index).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket of a value: 32 for each power of two.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(FRACTION_BITS + 1);
    ((shift as usize) << FRACTION_BITS) + (value >> shift) as usize
}

/// The largest value of a bucket.
fn upper_end(index: usize) -> u64 {
    let Some(shift) = (index >> FRACTION_BITS).checked_sub(1) else {
        return index as u64;
    };
    let mantissa = (index - (shift << FRACTION_BITS)) as u128;
    let end = ((mantissa + 1) << shift) - 1;
    u64::try_from(end).unwrap_or(u64::MAX)
}

const FRACTION_BITS: u32 = 5;
const BUCKETS: usize = ((u64::BITS - FRACTION_BITS) as usize + 1) << FRACTION_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_within_its_bucket() {
        for value in (0..5000).chain([1 << 20, (1 << 40) + 12345, u64::MAX]) {
            let index = bucket(value);
            assert!(upper_end(index) >= value, "{value}");
            assert!(index == 0 || upper_end(index - 1) < value, "{value}");
            assert!(upper_end(index) - value <= value / 32, "{value}");
        }
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        for value in 1..=1000 {
            histogram.record(value);
        }
        assert_eq!((histogram.total(), histogram.max()), (1000, 1000));
        let median = histogram.quantile(0.5);
        assert!((500..=516).contains(&median), "{median}");
        assert_eq!(histogram.quantile(1.0), 1000);
    }
}
