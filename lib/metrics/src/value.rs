//! The handles with which a program counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::shard::Shards;

/// A number that only grows. Clones count together.
#[derive(Clone, Debug)]
pub struct Counter(Arc<Shards<AtomicU64>>);

impl Counter {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shards::new(|| AtomicU64::new(0))))
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.get().fetch_add(count, Ordering::Relaxed);
    }

    /// The sum over all threads.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, shard| sum.wrapping_add(shard.load(Ordering::Relaxed)))
    }
}

/// A number that goes up and down. Clones are the same number.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0f64.to_bits())))
    }

    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `difference`, which may be negative.
    pub fn add(&self, difference: f64) {
        add_float(&self.0, difference);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Takes one off.
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// How often values fell into each of several ranges, and their sum. Clones observe together.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Upper bounds, rising.
    bounds: Arc<[f64]>,
    shards: Shards<Shard>,
}

#[derive(Debug)]
struct Shard {
    /// One for each bound, and one for what is above all of them. Not cumulated.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(crate) fn new(bounds: Arc<[f64]>) -> Self {
        let shards = Shards::new(|| Shard {
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0f64.to_bits()),
        });
        Self(Arc::new(Inner { bounds, shards }))
    }

    /// Counts one value.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        let shard = self.0.shards.get();
        shard.counts[bucket].fetch_add(1, Ordering::Relaxed);
        add_float(&shard.sum, value);
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts().iter().sum()
    }

    /// The sum of the values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.0
            .shards
            .iter()
            .map(|shard| f64::from_bits(shard.sum.load(Ordering::Relaxed)))
            .sum()
    }

    pub(crate) fn bounds(&self) -> &[f64] {
        &self.0.bounds
    }

    /// The count of each bucket by itself, the one without a bound last.
    pub(crate) fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.0.bounds.len() + 1];
        for shard in self.0.shards.iter() {
            for (sum, count) in counts.iter_mut().zip(&shard.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        counts
    }
}

fn add_float(bits: &AtomicU64, difference: f64) {
    let mut seen = bits.load(Ordering::Relaxed);
    loop {
        let sum = (f64::from_bits(seen) + difference).to_bits();
        match bits.compare_exchange_weak(seen, sum, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_equal_to_a_bound_is_below_it() {
        let histogram = Histogram::new([1.0, 2.0].into());
        for value in [0.0, 1.0, 1.5, 2.0, 2.1, f64::INFINITY] {
            histogram.observe(value);
        }
        assert_eq!(histogram.counts(), [2, 2, 2]);
    }

    #[test]
    fn a_gauge_goes_both_ways() {
        let gauge = Gauge::new();
        gauge.inc();
        gauge.add(2.5);
        gauge.dec();
        assert_eq!(gauge.get(), 2.5);
    }
}
