//! Bounds how many queries with the same question are on their way over UDP at a time.
//!
//! A forger who makes a server ask one question many times at once has as many ids and ports to hit (the birthday
//! attack). Up to [`LIMIT`] go out as they come; of the others, those that are equal in every other respect too share
//! the answer of one that is on its way, and the rest go over TCP, where there is nothing to guess.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::slots::Ticket;

/// Queries of a worker with the same question that are in flight over UDP at the same time.
pub(crate) const LIMIT: u32 = 40;

#[derive(Debug)]
pub(crate) struct Twins {
    keys: ahash::RandomState,
    counts: HashMap<u64, Count, BuildHasherDefault<Hashed>>,
}

#[derive(Debug)]
struct Count {
    in_flight: u32,
    latest: Ticket,
}

/// What is to be done with a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Send it; it counts under this hash.
    Send(u64),
    /// There are enough of them. This is the latest one.
    Enough(Ticket),
}

impl Default for Twins {
    fn default() -> Self {
        let seed = || u64::from(crate::random::bits16().unwrap_or(0)) << 32 | 0x243f_6a88;
        Self {
            keys: ahash::RandomState::with_seeds(seed(), seed(), seed(), seed()),
            counts: HashMap::default(),
        }
    }
}

impl Twins {
    /// Counts the query in `ticket`, unless there are enough with its question.
    pub(crate) fn enter(&mut self, question: &[u8], ticket: Ticket) -> Advice {
        let hash = self.keys.hash_one(question);
        let count = self.counts.entry(hash).or_insert(Count {
            in_flight: 0,
            latest: ticket,
        });
        if count.in_flight >= LIMIT {
            return Advice::Enough(count.latest);
        }
        count.in_flight += 1;
        count.latest = ticket;
        Advice::Send(hash)
    }

    /// A query that was counted is over.
    pub(crate) fn leave(&mut self, hash: u64) {
        if let Some(count) = self.counts.get_mut(&hash) {
            count.in_flight -= 1;
            if count.in_flight == 0 {
                self.counts.remove(&hash);
            }
        }
    }
}

/// The key is a hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_there_are_enough_until_one_leaves() {
        let mut twins = Twins::default();
        let ticket = |slot| Ticket { slot, generation: 0 };
        let mut hash = 0;
        for slot in 0..LIMIT {
            let Advice::Send(sent) = twins.enter(b"question", ticket(slot)) else {
                panic!("query {slot}")
            };
            hash = sent;
        }
        assert_eq!(
            twins.enter(b"question", ticket(99)),
            Advice::Enough(ticket(LIMIT - 1))
        );
        assert!(matches!(twins.enter(b"Question", ticket(99)), Advice::Send(_)));
        twins.leave(hash);
        assert_eq!(twins.enter(b"question", ticket(99)), Advice::Send(hash));
    }
}
