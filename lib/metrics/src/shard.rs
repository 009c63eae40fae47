//! One cell for each core, on cache lines of its own.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// As many `T` as there are cores, rounded up to a power of two. A thread uses one of them, which it seldom shares.
#[derive(Debug)]
pub(crate) struct Shards<T>(Box<[Padded<T>]>);

/// 128 bytes, since processors fetch cache lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T> Shards<T> {
    pub(crate) fn new(mut make: impl FnMut() -> T) -> Self {
        Self((0..count()).map(|_| Padded(make())).collect())
    }

    /// The current thread's cell.
    pub(crate) fn get(&self) -> &T {
        // The length is a power of two, so the mask keeps the index in range.
        &self.0[thread_number() & (self.0.len() - 1)].0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }
}

fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        cores.min(MAX_SHARDS).next_power_of_two()
    })
}

/// Threads are numbered in the order in which they first count.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1));
        }
        number.get()
    })
}

/// Enough for any machine; bounds what one counter takes.
const MAX_SHARDS: usize = 256;
