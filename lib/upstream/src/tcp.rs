//! A worker's TCP connections to one upstream: kept, and used for many queries at a time (RFC 7766).

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::task::Waker;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::group::Options;
use crate::random::{self, NoRandomness};
use crate::udp::{Addressee, IdHasher};

/// A connection with so many queries in flight gets company, as long as there are fewer than [`CONNECTIONS`]. An
/// upstream that answers in order only would else keep all of them waiting for its slowest answer.
const COMFORTABLE: usize = 8;

/// Connections that are opened for the sake of comfort.
const CONNECTIONS: usize = 16;

/// Messages on a connection that nobody asked for, before it is closed.
const FOREIGN_LIMIT: u32 = 64;

/// In place of a slot: the query with this id is over.
const USED: u32 = u32::MAX;

/// Ids in a connection's table before it is replaced.
const QUERIES: usize = 16_384;

/// The connections to one upstream.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    connections: Vec<Option<Connection>>,
    next_key: u32,
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// Tells this connection from an earlier one with the same index.
    key: u32,
    ids: HashMap<u16, u32, BuildHasherDefault<IdHasher>>,
    in_flight: usize,
    /// Frames that wait to be written.
    out: Vec<u8>,
    /// Of the task that reads and writes.
    waker: Option<Waker>,
    task: Option<AbortHandle>,
    /// It was there before the query that is asked about, so the upstream may have closed it for idleness.
    kept: bool,
    retired: bool,
    foreign: u32,
    born: Instant,
    used: Instant,
    heard: Option<Instant>,
    pub(crate) local: Option<SocketAddr>,
}

/// A connection for a query.
pub(crate) enum Chosen {
    /// One that is there.
    Kept(u32),
    /// One that is to be made: index and key.
    Fresh(u32, u32),
}

impl Connections {
    /// A connection to send a query on. `fresh_only` is for a query that was lost on a kept one.
    pub(crate) fn choose(&mut self, now: Instant, options: &Options, fresh_only: bool) -> Chosen {
        let usable = |connection: &Connection| {
            !connection.retired
                && connection.ids.len() < QUERIES
                && (connection.in_flight > 0
                    || now.saturating_duration_since(connection.used) <= options.expire)
                && options.max_age.is_none_or(|max| connection.born + max >= now)
                && !(fresh_only && connection.kept)
        };
        let open = || {
            self.connections
                .iter()
                .enumerate()
                .filter_map(|(index, place)| Some((index, place.as_ref()?)))
        };
        let least = open()
            .filter(|(_, connection)| usable(connection))
            .min_by_key(|(_, one)| one.in_flight);
        if let Some((index, connection)) = least
            && (connection.in_flight < COMFORTABLE || open().count() >= CONNECTIONS)
        {
            // There are at most as many connections as queries in flight.
            return Chosen::Kept(index as u32);
        }
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        let connection = Connection::new(key, now);
        let index = match self.connections.iter().position(Option::is_none) {
            Some(index) => {
                self.connections[index] = Some(connection);
                index
            }
            None => {
                self.connections.push(Some(connection));
                self.connections.len() - 1
            }
        };
        Chosen::Fresh(index as u32, key)
    }

    /// Tells which task serves a fresh connection.
    pub(crate) fn set_task(&mut self, index: u32, task: AbortHandle) {
        if let Some(connection) = self.get_mut(index) {
            connection.task = Some(task);
        }
    }

    /// Draws an id for the query in `slot`.
    pub(crate) fn assign(&mut self, index: u32, slot: u32) -> Result<u16, NoRandomness> {
        let Some(connection) = self.get_mut(index) else {
            return Err(NoRandomness);
        };
        loop {
            let id = random::bits16()?;
            if let std::collections::hash_map::Entry::Vacant(place) = connection.ids.entry(id) {
                place.insert(slot);
                connection.in_flight += 1;
                return Ok(id);
            }
        }
    }

    /// Puts a message into the line of those to be written, and gives back who is to be woken for that.
    pub(crate) fn send(&mut self, index: u32, message: &[u8], now: Instant) -> Option<Waker> {
        let connection = self.get_mut(index)?;
        let length = u16::try_from(message.len()).ok()?;
        connection.out.extend_from_slice(&length.to_be_bytes());
        connection.out.extend_from_slice(message);
        connection.used = now;
        connection.waker.take()
    }

    /// Who a message with this id is for.
    pub(crate) fn addressee(&self, index: u32, id: u16) -> Addressee {
        match self.get(index).and_then(|connection| connection.ids.get(&id)) {
            None => Addressee::Nobody,
            Some(&USED) => Addressee::Used,
            Some(&slot) => Addressee::Slot(slot),
        }
    }

    /// The query with this id is over, answered or not.
    pub(crate) fn finish(&mut self, index: u32, id: u16, answered: Option<Instant>) {
        let Some(connection) = self.get_mut(index) else {
            return;
        };
        if let Some(slot) = connection.ids.get_mut(&id)
            && *slot != USED
        {
            *slot = USED;
            connection.in_flight -= 1;
        }
        if let Some(now) = answered {
            connection.kept = true;
            connection.used = now;
            connection.heard = Some(now);
        }
        self.close_if_done(index);
    }

    /// A query sent at `sent` got no answer in time. If nothing else came since, the connection is dead.
    pub(crate) fn timed_out(&mut self, index: u32, sent: Instant) {
        let Some(connection) = self.get_mut(index) else {
            return;
        };
        if connection.heard.is_none_or(|heard| heard < sent) {
            connection.retired = true;
        }
        self.close_if_done(index);
    }

    /// Counts a message that nobody asked for; true if that were too many.
    pub(crate) fn count_foreign(&mut self, index: u32) -> bool {
        let Some(connection) = self.get_mut(index) else {
            return false;
        };
        connection.foreign += 1;
        connection.foreign > FOREIGN_LIMIT
    }

    /// The slots of all queries in flight on a connection.
    pub(crate) fn slots_of(&self, index: u32) -> Vec<u32> {
        let ids = self
            .get(index)
            .map(|connection| connection.ids.values().copied().filter(|&slot| slot != USED));
        ids.into_iter().flatten().collect()
    }

    /// Whether a query on this connection may have been lost because the upstream closed it while it was idle.
    pub(crate) fn is_kept(&self, index: u32) -> bool {
        self.get(index).is_some_and(|connection| connection.kept)
    }

    /// Marks that queries beyond the one that opened the connection use it.
    pub(crate) fn mark_kept(&mut self, index: u32) {
        if let Some(connection) = self.get_mut(index) {
            connection.kept = true;
        }
    }

    pub(crate) fn close(&mut self, index: u32) {
        if let Some(place) = self.connections.get_mut(index as usize) {
            *place = None;
        }
    }

    /// Closes what has been idle for too long or is too old. Gives back when to look again.
    pub(crate) fn tidy(&mut self, now: Instant, options: &Options) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut idle = 0;
        for place in &mut self.connections {
            let Some(connection) = place else { continue };
            if options.max_age.is_some_and(|max| connection.born + max < now) {
                connection.retired = true;
            }
            if connection.in_flight > 0 {
                continue;
            }
            let end = connection.used + options.expire;
            idle += 1;
            if connection.retired || now >= end || (options.max_idle > 0 && idle > options.max_idle) {
                *place = None;
                continue;
            }
            next = Some(next.map_or(end, |next| next.min(end)));
        }
        next
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Connection> {
        self.connections.get(index as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.connections.get_mut(index as usize)?.as_mut()
    }

    /// The connection at this index if it is still the one with this key.
    pub(crate) fn with_key(&mut self, index: u32, key: u32) -> Option<&mut Connection> {
        self.get_mut(index).filter(|connection| connection.key == key)
    }

    fn close_if_done(&mut self, index: u32) {
        if self
            .get(index)
            .is_some_and(|connection| connection.retired && connection.in_flight == 0)
        {
            self.close(index);
        }
    }
}

impl Connection {
    fn new(key: u32, now: Instant) -> Self {
        Self {
            key,
            ids: HashMap::default(),
            in_flight: 0,
            out: Vec::new(),
            waker: None,
            task: None,
            kept: false,
            retired: false,
            foreign: 0,
            born: now,
            used: now,
            heard: None,
            local: None,
        }
    }

    /// Hands what waits to be written over to the task, in exchange for its empty buffer, and keeps its waker.
    pub(crate) fn swap_out(&mut self, empty: &mut Vec<u8>, waker: &Waker) {
        if empty.is_empty() {
            std::mem::swap(empty, &mut self.out);
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The task holds the connection open.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
