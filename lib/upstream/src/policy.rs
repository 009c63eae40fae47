//! In which order a query tries the upstreams.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::random::{self, NoRandomness};

/// How upstreams are chosen.
#[derive(Debug)]
#[non_exhaustive]
pub enum Policy {
    /// By lot.
    Random,
    /// Each is the first in turn, and the rest follow as listed.
    RoundRobin(AtomicU32),
    /// As listed.
    Sequential,
}

impl Policy {
    /// The names in the Corefile.
    pub const NAMES: &'static [&'static str] = &["random", "round_robin", "sequential"];

    /// The policy of this name, which is one of [`Policy::NAMES`].
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "round_robin" => Self::RoundRobin(AtomicU32::new(0)),
            "sequential" => Self::Sequential,
            _ => Self::Random,
        }
    }

    /// The order for one query, of `count` upstreams.
    ///
    /// # Errors
    ///
    /// The system's generator failed.
    pub fn order(&self, count: usize) -> Result<Order, NoRandomness> {
        let first = match self {
            _ if count < 2 => 0,
            Self::Sequential => 0,
            // The first query goes to the second upstream, as with CoreDNS.
            Self::RoundRobin(turn) => (turn.fetch_add(1, Ordering::Relaxed).wrapping_add(1)) as usize % count,
            Self::Random if count > 2 => return shuffled(count).map(|listed| Order(Listed::All(listed))),
            Self::Random => random::below(count)?,
        };
        Ok(Order(Listed::From(first)))
    }
}

/// An order of upstreams.
#[derive(Debug, PartialEq, Eq)]
pub struct Order(Listed);

#[derive(Debug, PartialEq, Eq)]
enum Listed {
    /// This one, and then the others as configured.
    From(usize),
    /// As it stands here.
    All(Vec<usize>),
}

impl Order {
    /// The upstream at a place of the order.
    #[must_use]
    pub fn at(&self, place: usize) -> usize {
        match &self.0 {
            Listed::From(first) if place == 0 => *first,
            Listed::From(first) if place <= *first => place - 1,
            Listed::From(_) => place,
            Listed::All(order) => order.get(place).copied().unwrap_or(0),
        }
    }
}

/// All numbers below `count`, each order as likely as any other (Fisher and Yates).
fn shuffled(count: usize) -> Result<Vec<usize>, NoRandomness> {
    let mut order: Vec<usize> = (0..count).collect();
    for place in (1..count).rev() {
        order.swap(place, random::below(place + 1)?);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(policy: &Policy, count: usize) -> Vec<usize> {
        let order = policy.order(count).unwrap();
        (0..count).map(|place| order.at(place)).collect()
    }

    #[test]
    fn round_robin_starts_at_the_second_and_keeps_the_rest_in_order() {
        let policy = Policy::named("round_robin");
        let orders: Vec<_> = (0..4).map(|_| listed(&policy, 3)).collect();
        assert_eq!(orders, [[1, 0, 2], [2, 0, 1], [0, 1, 2], [1, 0, 2]]);
    }

    #[test]
    fn sequential_is_as_listed() {
        assert_eq!(listed(&Policy::named("sequential"), 4), [0, 1, 2, 3]);
    }

    #[test]
    fn random_gives_all_orders_about_equally() {
        for (count, orders) in [(1, 1), (2, 2), (3, 6)] {
            let mut seen = std::collections::HashMap::new();
            for _ in 0..6000 {
                *seen.entry(listed(&Policy::Random, count)).or_insert(0) += 1;
            }
            assert_eq!(seen.len(), orders);
            let expected = 6000 / orders;
            assert!(
                seen.values()
                    .all(|&times| times > expected * 8 / 10 && times < expected * 12 / 10 + 1),
                "{seen:?}"
            );
        }
    }
}
