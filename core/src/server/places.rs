//! Places for connections, handshakes and streams: so many at a time, counted where all workers see it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tokio::sync::Notify;

/// Places that are taken, of a number that whoever takes one knows.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: AtomicUsize,
    freed: Notify,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Places {
    /// A place, if fewer than `limit` are taken.
    pub(crate) fn try_take(self: &Arc<Self>, limit: usize) -> Option<Place> {
        if self.taken.fetch_add(1, Ordering::AcqRel) >= limit {
            self.free();
            return None;
        }
        Some(Place(Arc::clone(self)))
    }

    /// Waits for a place. The limit is asked for anew each time one becomes free.
    pub(crate) async fn take(self: &Arc<Self>, limit: impl Fn() -> usize) -> Place {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(place) = self.try_take(limit()) {
                return place;
            }
            freed.await;
        }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Makes those who wait ask for the limit again.
    pub(crate) fn limit_changed(&self) {
        self.freed.notify_waiters();
    }

    fn free(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free();
        self.0.freed.notify_waiters();
    }
}

/// How many connections each client has. A client is an IPv4 address or an IPv6 /64, which one host can use as a whole.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    open: DashMap<IpAddr, usize, ahash::RandomState>,
}

/// A connection of a client; it is counted out when this is dropped.
#[derive(Debug)]
pub(crate) struct ClientPlace {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    /// Counts a connection of this client in, if it has fewer than `limit`.
    pub(crate) fn try_enter(self: &Arc<Self>, client: IpAddr, limit: usize) -> Option<ClientPlace> {
        let client = network_of(client);
        let mut open = self.open.entry(client).or_default();
        if *open >= limit {
            return None;
        }
        *open += 1;
        Some(ClientPlace {
            clients: Arc::clone(self),
            client,
        })
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.clients.open.remove_if_mut(&self.client, |_, open| {
            *open = open.saturating_sub(1);
            *open == 0
        });
    }
}

fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(client) => IpAddr::V4(client),
        IpAddr::V6(client) => IpAddr::V6((client.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_gets_the_place_that_becomes_free() {
        let places = Arc::new(Places::default());
        let first = places.try_take(1).unwrap();
        assert!(places.try_take(1).is_none());
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(|| 1).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap();
        assert!(places.try_take(1).is_none());
        drop(second);
        assert!(places.try_take(1).is_some());
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        let clients = Arc::new(Clients::default());
        let enter = |client: &str| clients.try_enter(client.parse().unwrap(), 1);
        let kept = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8::ffff:1").is_none(), "the same /64");
        let other = enter("2001:db8:0:1::1").unwrap();
        let mapped = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none(), "the same client");
        assert!(enter("192.0.2.2").is_some());
        drop((kept, other, mapped));
        assert!(
            clients.open.is_empty(),
            "clients without connections are forgotten"
        );
    }
}
