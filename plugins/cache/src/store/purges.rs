//! Which names were purged, and since when.
//!
//! A purge of a name happens at each write of a plugin such as `dynresolve`, so it must not cost a look at all that is
//! kept. It is noted instead, and who finds an answer looks whether its name was purged after the answer was asked for.
//! Purges are numbered; time plays no part.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Fewest places for names.
const MIN_PLACES: usize = 1 << 10;

/// Most places for names: 8 MiB.
const MAX_PLACES: usize = 1 << 20;

/// The purges of one cache.
#[derive(Debug)]
pub(crate) struct Purges {
    /// The number of the last one.
    count: AtomicU64,
    /// The number of the last one that was of more than a name.
    swept: AtomicU64,
    /// By digests of names, the number of the last purge of one of them. Names that share a place are forgotten together:
    /// they are asked for once more, and nothing else. Made by the first purge of a name.
    names: OnceLock<Box<[AtomicU64]>>,
    places: usize,
}

impl Purges {
    /// For a cache of about so many answers.
    pub(crate) fn new(answers: u64) -> Self {
        let places = usize::try_from(answers).unwrap_or(MAX_PLACES);
        Self {
            count: AtomicU64::new(0),
            swept: AtomicU64::new(0),
            names: OnceLock::new(),
            places: places.clamp(MIN_PLACES, MAX_PLACES).next_power_of_two(),
        }
    }

    /// How many there were. What is asked for from now on has seen the changes that led to them.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Notes the purge of the name with this digest.
    pub(crate) fn name(&self, digest: u64) {
        let make = || (0..self.places).map(|_| AtomicU64::new(0)).collect();
        let names = self.names.get_or_init(make);
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        names[digest as usize & (self.places - 1)].fetch_max(number, Ordering::SeqCst);
    }

    /// Notes a purge of more than a name. Who calls it removes what is kept.
    pub(crate) fn sweep(&self) {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        self.swept.fetch_max(number, Ordering::SeqCst);
    }

    /// Whether a name was purged after `asked` purges. The digest is made only if any name ever was.
    #[inline]
    pub(crate) fn has_name(&self, asked: u64, digest: impl FnOnce() -> u64) -> bool {
        self.names
            .get()
            .is_some_and(|names| names[digest() as usize & (self.places - 1)].load(Ordering::SeqCst) > asked)
    }

    /// Whether more than a name was purged after `asked` purges.
    #[inline]
    pub(crate) fn has_swept(&self, asked: u64) -> bool {
        self.swept.load(Ordering::SeqCst) > asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_before_a_purge_is_outdated_and_what_was_asked_later_is_not() {
        let purges = Purges::new(10_000);
        let first = purges.count();
        assert!(!purges.has_name(first, || panic!("no name was purged")));
        purges.name(7);
        let second = purges.count();
        assert!(purges.has_name(first, || 7) && !purges.has_name(first, || 8));
        assert!(!purges.has_name(second, || 7) && !purges.has_swept(first));
        purges.sweep();
        assert!(purges.has_swept(second) && !purges.has_swept(purges.count()));
    }

    #[test]
    fn names_have_about_as_many_places_as_there_are_answers() {
        for (answers, places) in [(0, 1 << 10), (2048, 2048), (19_968, 1 << 15), (u64::MAX, 1 << 20)] {
            assert_eq!(Purges::new(answers).places, places, "{answers} answers");
        }
    }
}
