//! One query to the plugins behind for all clients that ask the same at once.
//!
//! The first client's query flies, the others wait until it lands. That saves work, and an attacker who would guess
//! the id of an upstream query gets one query to guess at and not a thousand (CVE-2023-30464).

use std::collections::HashMap;
use std::collections::hash_map;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::shared::Shared;
use crate::store::{Key, PassKey};

/// Most clients that wait for one answer. Answers that come late go out at once, and that pulse must have a bound
/// (CVE-2024-33655).
pub(crate) const MAX_WAITING: usize = 8192;

/// Most of them from one address, which may be forged.
pub(crate) const MAX_WAITING_FROM_ONE: usize = 2048;

/// Locks among which the questions are spread.
const SHARDS: usize = 16;

/// All that fly at the moment.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    shards: [Mutex<HashMap<Key, Arc<Flight>, PassKey>>; SHARDS],
}

/// One that flies.
#[derive(Debug, Default)]
struct Flight {
    /// What became of it; `None` if nobody knows, since the one who flew gave up.
    landed: OnceLock<Option<Arc<Shared>>>,
    landing: Notify,
    waiting: Mutex<Waiting>,
    /// How many purges there had been when it took off.
    asked: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    by_source: HashMap<IpAddr, usize, ahash::RandomState>,
}

/// How a client takes part.
pub(crate) enum Joined {
    /// It flies.
    Leads(Lead),
    /// It waits.
    Follows(Seat),
    /// Too many wait.
    Refused,
}

impl Flights {
    fn shard(&self, key: Key) -> &Mutex<HashMap<Key, Arc<Flight>, PassKey>> {
        &self.shards[key.shard(SHARDS)]
    }

    /// Flies, unless somebody does.
    ///
    /// `asked` is the number of purges so far. One that took off when there were fewer may be outdated: then it flies on for
    /// those who wait for it already, and nobody else joins.
    pub(crate) fn lead(
        self: &Arc<Self>,
        key: Key,
        asked: u64,
        is_outdated: impl FnOnce(u64) -> bool,
    ) -> Option<Lead> {
        match self.shard(key).lock().entry(key) {
            hash_map::Entry::Occupied(place) if !is_outdated(place.get().asked) => None,
            place => {
                let (lead, flight) = self.take_off(key, asked);
                place.insert_entry(flight);
                Some(lead)
            }
        }
    }

    /// Flies, or waits for the one who does; see [`Self::lead`].
    pub(crate) fn join(
        self: &Arc<Self>,
        key: Key,
        source: IpAddr,
        asked: u64,
        is_outdated: impl FnOnce(u64) -> bool,
    ) -> Joined {
        match self.shard(key).lock().entry(key) {
            hash_map::Entry::Occupied(place) if !is_outdated(place.get().asked) => {
                Seat::take(place.get(), source).map_or(Joined::Refused, Joined::Follows)
            }
            place => {
                let (lead, flight) = self.take_off(key, asked);
                place.insert_entry(flight);
                Joined::Leads(lead)
            }
        }
    }

    fn take_off(self: &Arc<Self>, key: Key, asked: u64) -> (Lead, Arc<Flight>) {
        let flight = Arc::new(Flight {
            asked,
            ..Flight::default()
        });
        let lead = Lead {
            flights: Arc::clone(self),
            flight: Arc::clone(&flight),
            key,
        };
        (lead, flight)
    }

    /// How many fly.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// The one who flies. When it is dropped, those who wait learn that nothing came of it.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    key: Key,
}

impl Lead {
    /// A seat on the own flight, for who lets another task fly.
    pub(crate) fn seat(&self, source: IpAddr) -> Option<Seat> {
        Seat::take(&self.flight, source)
    }

    /// Lands: those who wait get what `shared` makes, which is called only if there are any.
    pub(crate) fn land(self, shared: impl FnOnce() -> Shared) {
        // From here on nobody joins.
        self.leave();
        if self.flight.waiting.lock().count > 0 {
            let _ = self.flight.landed.set(Some(Arc::new(shared())));
        }
    }

    fn leave(&self) {
        let mut flying = self.flights.shard(self.key).lock();
        if flying
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            flying.remove(&self.key);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.leave();
        let _ = self.flight.landed.set(None);
        self.flight.landing.notify_waiters();
    }
}

/// A client that waits.
#[derive(Debug)]
pub(crate) struct Seat {
    flight: Arc<Flight>,
    source: IpAddr,
}

impl Seat {
    fn take(flight: &Arc<Flight>, source: IpAddr) -> Option<Self> {
        let mut waiting = flight.waiting.lock();
        let of_source = waiting.by_source.get(&source).copied().unwrap_or_default();
        if waiting.count >= MAX_WAITING || of_source >= MAX_WAITING_FROM_ONE {
            return None;
        }
        waiting.count += 1;
        waiting.by_source.insert(source, of_source + 1);
        drop(waiting);
        Some(Self {
            flight: Arc::clone(flight),
            source,
        })
    }

    /// Waits for the landing; `None` if nothing came of the flight.
    pub(crate) async fn landing(self) -> Option<Arc<Shared>> {
        let mut landing = pin!(self.flight.landing.notified());
        // From here on no landing is missed.
        landing.as_mut().enable();
        if self.flight.landed.get().is_none() {
            landing.await;
        }
        self.flight.landed.get().cloned().flatten()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut waiting = self.flight.waiting.lock();
        waiting.count = waiting.count.saturating_sub(1);
        if let hash_map::Entry::Occupied(mut count) = waiting.by_source.entry(self.source) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Said;
    use catena_core::message::{QueryBuilder, Rcode, Request};
    use std::net::Ipv4Addr;

    fn request() -> Request {
        QueryBuilder::new("a.example.org.", 1_u16)
            .unwrap()
            .to_request()
            .unwrap()
    }

    fn refused() -> Shared {
        Shared::new(&request(), 0, Said::Status(Rcode::REFUSED))
    }

    fn source(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    fn lead(flights: &Arc<Flights>) -> Lead {
        flights
            .lead(Key::of_number(7), 0, |_| false)
            .expect("nobody flies")
    }

    fn follow(flights: &Arc<Flights>, from: u32) -> Option<Seat> {
        match flights.join(Key::of_number(7), source(from), 0, |_| false) {
            Joined::Follows(seat) => Some(seat),
            Joined::Leads(_) => panic!("somebody flies"),
            Joined::Refused => None,
        }
    }

    #[tokio::test]
    async fn all_who_wait_get_what_the_first_one_got() {
        let flights = Arc::new(Flights::default());
        let lead = lead(&flights);
        assert!(flights.lead(Key::of_number(7), 0, |_| false).is_none());
        let seats: Vec<Seat> = (0..1000)
            .map(|from| follow(&flights, from).expect("a seat"))
            .collect();
        lead.land(refused);
        for seat in seats {
            let shared = seat.landing().await.expect("an outcome");
            assert!(matches!(shared.said(), Said::Status(Rcode::REFUSED)));
        }
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test]
    async fn who_comes_after_a_purge_waits_for_nobody_who_asked_before_it() {
        let flights = Arc::new(Flights::default());
        let before = lead(&flights);
        let early = follow(&flights, 1).expect("a seat");
        let key = Key::of_number(7);
        let Joined::Leads(after) = flights.join(key, source(2), 1, |asked| asked < 1) else {
            panic!("the one who flies is outdated");
        };
        let Joined::Follows(late) = flights.join(key, source(3), 1, |asked| asked < 1) else {
            panic!("somebody flies");
        };
        before.land(refused);
        after.land(|| Shared::new(&request(), 0, Said::Drop));
        let (early, late) = (early.landing().await, late.landing().await);
        assert!(matches!(early.expect("an outcome").said(), Said::Status(_)));
        assert!(matches!(late.expect("an outcome").said(), Said::Drop));
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_way_to_others() {
        let flights = Arc::new(Flights::default());
        let first = lead(&flights);
        let seat = follow(&flights, 1).expect("a seat");
        let waiting = tokio::spawn(seat.landing());
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.expect("no panic").is_none());
        drop(lead(&flights));
    }

    #[test]
    fn nothing_is_made_for_nobody() {
        let flights = Arc::new(Flights::default());
        lead(&flights).land(|| panic!("nobody waits"));
        let first = lead(&flights);
        drop(follow(&flights, 1));
        first.land(|| panic!("nobody waits any more"));
    }

    #[test]
    fn waiting_clients_are_bounded_for_each_question_and_source() {
        let flights = Arc::new(Flights::default());
        let _lead = lead(&flights);
        let mut seats: Vec<Seat> = (0..MAX_WAITING_FROM_ONE)
            .filter_map(|_| follow(&flights, 1))
            .collect();
        assert_eq!(seats.len(), MAX_WAITING_FROM_ONE);
        assert!(follow(&flights, 1).is_none(), "one source");
        for from in 2.. {
            match follow(&flights, from) {
                Some(seat) => seats.push(seat),
                None => break,
            }
        }
        assert_eq!(seats.len(), MAX_WAITING);
        // Who goes makes room.
        seats.clear();
        assert!(follow(&flights, 1).is_some());
    }
}
