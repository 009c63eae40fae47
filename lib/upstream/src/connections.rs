//! A worker's connections to one upstream, over TCP or whatever runs on it or on QUIC: kept, and used for many queries at
//! a time (RFC 7766).

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::task::Waker;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::connection::{Outgoing, Stage};
use crate::error::Protocol;
use crate::group::Options;
use crate::random::{self, NoRandomness};
use crate::udp::{Addressee, IdHasher};

/// Connections that are opened around others that have come to a halt.
const CONNECTIONS: usize = 16;

/// Connections with all that are only waiting for their last answers.
const ALL_CONNECTIONS: usize = 64;

/// How connections of one kind are used.
#[derive(Clone, Copy, Debug)]
struct Habit {
    /// A connection with so many queries in flight gets company,
    comfortable: usize,
    /// as long as there are fewer than so many.
    connections: usize,
}

impl Habit {
    const fn of(protocol: Protocol) -> Self {
        let (comfortable, connections) = match protocol {
            // A server that answers in order only would keep all of them waiting for its slowest answer.
            Protocol::Tcp | Protocol::Udp => (8, CONNECTIONS),
            // Each costs a handshake, and what goes out together costs one record.
            Protocol::Tls => (32, 4),
            // Their streams do not wait for each other. RFC 9113 wants at least 100 of them.
            Protocol::Grpc | Protocol::Https | Protocol::Https3 | Protocol::Quic => (64, 4),
        };
        Self {
            comfortable,
            connections,
        }
    }

    /// Queries in flight on a connection with which it can do.
    const fn room(&self, connection: &Connection) -> usize {
        if connection.is_serial { 1 } else { self.comfortable }
    }

    /// How many connections there may be beside these.
    fn most<'c>(&self, mut open: impl Iterator<Item = (u32, &'c Connection)>) -> usize {
        if open.any(|(_, connection)| connection.is_serial) {
            CONNECTIONS
        } else {
            self.connections
        }
    }
}

/// Messages on a connection that nobody asked for, before it is closed.
const FOREIGN_LIMIT: u32 = 64;

/// How often a query is sent again because connections end that answered others. Each time at least one was answered.
const MAX_LOST: u8 = 8;

/// In place of a slot: the query with this id is over.
const USED: u32 = u32::MAX;

/// Ids of given up queries in a connection's table before it is replaced.
const QUERIES: usize = 16_384;

/// The connections to one upstream.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    connections: Vec<Option<Connection>>,
    next_key: u32,
    /// Whether the last one that opened takes one query after the other.
    is_serial: bool,
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// Tells this connection from an earlier one with the same index.
    key: u32,
    ids: HashMap<u16, u32, BuildHasherDefault<IdHasher>>,
    in_flight: usize,
    /// Since when nothing has come, although something is in flight.
    waiting_since: Instant,
    /// What waits to be sent.
    out: Outgoing,
    /// Its task wants to know which queries are given up.
    has_streams: bool,
    /// It takes one query after the other, as over HTTP/1.1.
    is_serial: bool,
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
    pub(crate) stage: Stage,
}

/// A connection for a query.
pub(crate) enum Chosen {
    /// One that is there.
    Kept(u32),
    /// One that is to be made: index and key.
    Fresh(u32, u32),
    /// There are too many.
    None,
}

/// What a connection is chosen for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) protocol: Protocol,
    pub(crate) now: Instant,
    /// A connection on which nothing has come for longer than this while it should have come to a halt.
    pub(crate) patience: Duration,
    /// The query was lost then, and is not to go on a connection that was there already.
    pub(crate) lost: Option<Instant>,
}

impl Connections {
    /// A connection to send a query on.
    pub(crate) fn choose(&mut self, need: &Need, options: &Options) -> Chosen {
        let Need { now, protocol, .. } = *need;
        for connection in self.connections.iter_mut().flatten() {
            // What is given up keeps its id, and a table full of them is of no use.
            connection.retired |= connection.ids.len() >= QUERIES;
        }
        let usable = |connection: &Connection| {
            !connection.retired
                && (connection.in_flight > 0
                    || now.saturating_duration_since(connection.used) <= options.expire)
                && options.max_age.is_none_or(|max| connection.born + max >= now)
                && need.lost.is_none_or(|lost| connection.born >= lost)
        };
        let habit = Habit::of(protocol);
        let open = || {
            self.connections
                .iter()
                .enumerate()
                .filter_map(|(index, place)| Some((index as u32, place.as_ref()?)))
                .filter(|(_, connection)| usable(connection))
        };
        let moving = || open().filter(|(_, connection)| !connection.has_halted(now, need.patience));
        // Of TCP connections, all are used alike, of others the first as long as it is comfortable.
        let comfortable =
            |(_, connection): &(u32, &Connection)| connection.in_flight < habit.room(connection);
        let first = moving().find(comfortable).filter(|_| protocol != Protocol::Tcp);
        if let Some((index, connection)) = first.or_else(|| moving().min_by_key(|(_, one)| one.in_flight))
            && (connection.in_flight < habit.room(connection) || open().count() >= habit.most(open()))
        {
            return Chosen::Kept(index);
        }
        // There are at most as many connections as queries in flight.
        if open().count() >= CONNECTIONS
            && let Some((index, _)) = open().min_by_key(|(_, one)| one.in_flight)
        {
            return Chosen::Kept(index);
        }
        self.make(protocol, now)
    }

    fn make(&mut self, protocol: Protocol, now: Instant) -> Chosen {
        let free = self.connections.iter().position(Option::is_none);
        if free.is_none() && self.connections.len() >= ALL_CONNECTIONS {
            return Chosen::None;
        }
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        let mut connection = Connection::new(key, protocol, now);
        // Until it tells, so that queries do not gather on it.
        connection.is_serial = self.is_serial;
        let connection = Some(connection);
        let index = free.unwrap_or(self.connections.len());
        match self.connections.get_mut(index) {
            Some(place) => *place = connection,
            None => self.connections.push(connection),
        }
        Chosen::Fresh(index as u32, key)
    }

    /// Tells whether a connection takes one query after the other.
    pub(crate) fn set_serial(&mut self, index: u32, key: u32, is_serial: bool) {
        if let Some(connection) = self.with_key(index, key) {
            connection.is_serial = is_serial;
            self.is_serial = is_serial;
        }
    }

    /// Tells which task serves a fresh connection.
    pub(crate) fn set_task(&mut self, index: u32, task: AbortHandle) {
        if let Some(connection) = self.get_mut(index) {
            connection.task = Some(task);
        }
    }

    /// Draws an id for the query in `slot`.
    pub(crate) fn assign(&mut self, index: u32, slot: u32, now: Instant) -> Result<u16, NoRandomness> {
        let Some(connection) = self.get_mut(index) else {
            return Err(NoRandomness);
        };
        loop {
            let id = random::bits16()?;
            if let std::collections::hash_map::Entry::Vacant(place) = connection.ids.entry(id) {
                place.insert(slot);
                if connection.in_flight == 0 {
                    connection.waiting_since = now;
                }
                connection.in_flight += 1;
                return Ok(id);
            }
        }
    }

    /// Puts a message into the line of those to be written, and gives back who is to be woken for that.
    pub(crate) fn send(&mut self, index: u32, message: &[u8], now: Instant) -> Option<Waker> {
        let connection = self.get_mut(index)?;
        let length = u16::try_from(message.len()).ok()?;
        connection.out.frames.extend_from_slice(&length.to_be_bytes());
        connection.out.frames.extend_from_slice(message);
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
        match answered {
            Some(now) => {
                if connection.ids.remove(&id).is_some_and(|slot| slot != USED) {
                    connection.in_flight -= 1;
                }
                connection.kept = true;
                connection.used = now;
                connection.heard = Some(now);
                connection.waiting_since = now;
            }
            None => connection.give_up(id),
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
    fn new(key: u32, protocol: Protocol, now: Instant) -> Self {
        Self {
            key,
            ids: HashMap::default(),
            in_flight: 0,
            waiting_since: now,
            out: Outgoing::default(),
            has_streams: protocol.has_streams(),
            is_serial: false,
            waker: None,
            task: None,
            kept: false,
            retired: false,
            foreign: 0,
            born: now,
            used: now,
            heard: None,
            local: None,
            stage: Stage::Dialling,
        }
    }

    /// Whether nothing comes on it although it should.
    fn has_halted(&self, now: Instant, patience: Duration) -> bool {
        self.in_flight > 0 && now.saturating_duration_since(self.waiting_since) > patience
    }

    /// Nobody waits any more for the answer to the query with this id. The id is not used again, as the answer may come.
    fn give_up(&mut self, id: u16) {
        let Some(slot) = self.ids.get_mut(&id) else { return };
        if std::mem::replace(slot, USED) == USED {
            return;
        }
        self.in_flight -= 1;
        if self.has_streams {
            self.out.given_up.push(id);
            // A stream less may be what other queries wait for. The task is the connection's, so this wakes nobody who
            // could want the lock now.
            if let Some(waker) = &self.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Hands what waits to be sent over to the task, in exchange for its empty buffer, and keeps its waker.
    pub(crate) fn take_outgoing(&mut self, outgoing: &mut Outgoing, waker: &Waker) {
        if outgoing.frames.is_empty() {
            std::mem::swap(&mut outgoing.frames, &mut self.out.frames);
        }
        outgoing.given_up.append(&mut self.out.given_up);
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// Whether an answer came on it.
    pub(crate) const fn has_answered(&self) -> bool {
        self.heard.is_some()
    }

    /// Takes frames back that the task has not sent.
    pub(crate) fn give_back(&mut self, unsent: &[u8]) {
        self.out.frames.extend_from_slice(unsent);
    }

    /// The ids of queries that have not been sent.
    pub(crate) fn unsent(&self) -> Vec<u16> {
        let mut ids = Vec::new();
        let mut frames = self.out.frames.as_slice();
        while let Some((&[high, low], rest)) = frames.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let Some((message, behind)) = rest.split_at_checked(length) else {
                break;
            };
            ids.extend(message.first_chunk().map(|id| u16::from_be_bytes(*id)));
            frames = behind;
        }
        ids
    }

    /// How often a query that is lost on it may have been sent for another attempt to be worth it.
    pub(crate) fn resends(&self) -> u8 {
        match self.heard {
            // The upstream answers, and closes connections.
            Some(_) => MAX_LOST,
            // It may have closed it before it saw the query.
            None => u8::from(self.kept),
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
