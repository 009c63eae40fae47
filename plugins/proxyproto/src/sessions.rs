//! Clients whose datagrams come without headers behind a first one that has one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::SessionLimits;

/// The sessions of a block: by the proxy's address and port, which is another one for each client.
///
/// Entries stand in a ring of places from the latest used to the one that was not used for longest, which makes room
/// for a new one when all places are taken.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    places: HashMap<SocketAddr, usize, ahash::RandomState>,
    entries: Vec<Entry>,
    /// The latest used one.
    first: usize,
}

#[derive(Debug)]
struct Entry {
    proxy: SocketAddr,
    client: SocketAddr,
    used: Instant,
    before: usize,
    behind: usize,
}

impl Sessions {
    /// Remembers the client behind a proxy's port, in place of the one that was known.
    pub(crate) fn set(&self, proxy: SocketAddr, client: SocketAddr, now: Instant, limits: SessionLimits) {
        let mut state = self.0.lock();
        let state = &mut *state;
        let place = match state.places.get(&proxy) {
            Some(&place) => place,
            None => state.place_for(proxy, limits.count),
        };
        let entry = &mut state.entries[place];
        (entry.client, entry.used) = (client, now);
        state.bring_to_front(place);
    }

    /// The client behind a proxy's port, whose time begins anew.
    pub(crate) fn client(
        &self,
        proxy: SocketAddr,
        now: Instant,
        limits: SessionLimits,
    ) -> Option<SocketAddr> {
        let mut state = self.0.lock();
        let place = *state.places.get(&proxy)?;
        let entry = &mut state.entries[place];
        // What is over stays until somebody needs its place.
        if now.saturating_duration_since(entry.used) >= limits.idle {
            return None;
        }
        entry.used = now;
        let client = entry.client;
        state.bring_to_front(place);
        Some(client)
    }
}

impl State {
    /// A place for a session that is not there yet.
    fn place_for(&mut self, proxy: SocketAddr, limit: usize) -> usize {
        if self.entries.len() < limit.max(1) {
            let place = self.entries.len();
            self.entries.push(Entry {
                proxy,
                client: proxy,
                used: Instant::now(),
                before: place,
                behind: place,
            });
            if place > 0 {
                self.put_before_first(place);
            }
            self.places.insert(proxy, place);
            return place;
        }
        // Around the ring, the last one stands before the first.
        let last = self.entries[self.first].before;
        let old = std::mem::replace(&mut self.entries[last].proxy, proxy);
        self.places.remove(&old);
        self.places.insert(proxy, last);
        last
    }

    fn bring_to_front(&mut self, place: usize) {
        if place == self.first {
            return;
        }
        let Entry { before, behind, .. } = self.entries[place];
        self.entries[before].behind = behind;
        self.entries[behind].before = before;
        self.put_before_first(place);
        self.first = place;
    }

    fn put_before_first(&mut self, place: usize) {
        let last = self.entries[self.first].before;
        self.entries[last].behind = place;
        self.entries[self.first].before = place;
        self.entries[place].before = last;
        self.entries[place].behind = self.first;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn proxy(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn client(port: u16) -> SocketAddr {
        ([198, 51, 100, 7], port).into()
    }

    fn limits(count: usize) -> SessionLimits {
        SessionLimits {
            idle: Duration::from_secs(28),
            count,
        }
    }

    #[test]
    fn a_session_ends_when_it_was_quiet_for_its_time() {
        let (sessions, start, limits) = (Sessions::default(), Instant::now(), limits(10));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(sessions.client(proxy(1), at(0), limits), None);
        sessions.set(proxy(1), client(1), at(0), limits);
        assert_eq!(sessions.client(proxy(1), at(20), limits), Some(client(1)));
        assert_eq!(sessions.client(proxy(1), at(47), limits), Some(client(1)));
        assert_eq!(sessions.client(proxy(1), at(75), limits), None);
        sessions.set(proxy(1), client(2), at(76), limits);
        assert_eq!(sessions.client(proxy(1), at(77), limits), Some(client(2)));
        assert_eq!(sessions.client(proxy(2), at(77), limits), None);
    }

    #[test]
    fn the_session_that_was_not_used_for_longest_makes_room() {
        for count in 1..20_u16 {
            let (sessions, now, limits) = (Sessions::default(), Instant::now(), limits(count.into()));
            for port in 0..count {
                sessions.set(proxy(port), client(port), now, limits);
            }
            // The first is used again, so the second is the oldest, if there is one.
            assert_eq!(sessions.client(proxy(0), now, limits), Some(client(0)));
            sessions.set(proxy(100), client(100), now, limits);
            let gone = if count == 1 { 0 } else { 1 };
            for port in 0..count {
                let want = (port != gone).then(|| client(port));
                assert_eq!(
                    sessions.client(proxy(port), now, limits),
                    want,
                    "{port} of {count}"
                );
            }
            assert_eq!(sessions.client(proxy(100), now, limits), Some(client(100)));
        }
    }

    #[test]
    fn a_flood_of_sessions_takes_no_more_room_than_allowed() {
        let (sessions, now, limits) = (Sessions::default(), Instant::now(), limits(100));
        for port in 0..10_000 {
            sessions.set(proxy(port), client(port), now, limits);
        }
        let state = sessions.0.lock();
        assert_eq!((state.entries.len(), state.places.len()), (100, 100));
    }
}
