//! Which worker thread runs, and state that each worker has for itself.
//!
//! A server runs one thread for each core, each with a runtime of its own. What a query touches belongs to the
//! worker that received it, so that the hot path shares no cache line with another core.

use std::cell::Cell;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The running worker's number, counted from 0; `None` on threads that are no worker, such as the control thread.
#[must_use]
pub fn index() -> Option<usize> {
    let index = INDEX.get();
    (index != usize::MAX).then_some(index)
}

/// Says that the current thread is worker `index`. The server calls it at a worker's start.
pub fn enter(index: usize) {
    INDEX.set(index);
}

/// One `T` for each worker, and one more for all other threads.
#[derive(Debug)]
pub struct PerWorker<T> {
    slots: Box<[Padded<T>]>,
}

/// A value on cache lines of its own. 128 bytes, since processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T> PerWorker<T> {
    /// Makes a `T` for each of `workers` workers and one for the rest.
    pub fn new(workers: usize, mut make: impl FnMut() -> T) -> Self {
        Self {
            slots: (0..=workers).map(|_| Padded(make())).collect(),
        }
    }

    /// The current thread's `T`.
    #[must_use]
    pub fn get(&self) -> &T {
        let last = self.slots.len() - 1;
        &self.slots[index().unwrap_or(last).min(last)].0
    }

    /// All of them, for sums.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|slot| &slot.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn each_worker_has_its_own_and_others_share_the_last() {
        let counts = PerWorker::new(2, || AtomicU64::new(0));
        std::thread::scope(|scope| {
            for worker in [0, 1] {
                let counts = &counts;
                scope.spawn(move || {
                    enter(worker);
                    counts.get().fetch_add(worker as u64 + 1, Ordering::Relaxed);
                });
            }
        });
        counts.get().fetch_add(7, Ordering::Relaxed);
        let seen: Vec<u64> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(seen, [1, 2, 7]);
    }
}
