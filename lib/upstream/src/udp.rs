//! A worker's UDP sockets to one upstream.
//!
//! A blind forger has to guess the port and the id of a query. So there are several sockets, each on a port that the
//! system chose at random; each query takes one of them and an id at random; and a socket serves for a limited time and
//! number of queries only. Sockets are connected: datagrams from other addresses never arrive, and an upstream that is
//! not there is noticed at once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use catena_core::net::mmsg::Switch;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::group::Options;
use crate::probe::local_address;
use crate::random::{self, NoRandomness};
use crate::target::Target;

/// Sockets that queries choose from.
pub(crate) const POOL: usize = 8;

/// A socket is replaced after so many queries, and up to as many more, which is drawn by lot.
const LEAST_QUERIES: usize = 1024;

/// A socket that received more foreign datagrams is being guessed at.
pub(crate) const FOREIGN_LIMIT: u32 = 64;

/// In place of a slot: nobody waits any more for the answer to the query with this id. A late one ends here.
const USED: u32 = u32::MAX;

/// Answers that a socket remembers, so that a second copy of one does not count as a guess.
const REMEMBERED: usize = 32;

/// The sockets to one upstream.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Indices into `sockets`; what queries choose from.
    active: [Option<u32>; POOL],
    sockets: Vec<Option<Socket>>,
    next_key: u32,
    opened: Option<Instant>,
    used: Option<Instant>,
}

#[derive(Debug)]
struct Socket {
    /// Tells this socket from an earlier one with the same index.
    key: u32,
    io: Arc<UdpSocket>,
    local: Option<SocketAddr>,
    /// The slot of each query in flight, and the ids of queries that were given up.
    ids: HashMap<u16, u32, BuildHasherDefault<IdHasher>>,
    /// Ids of the latest answers, a ring, and where it goes on.
    answered: [u16; REMEMBERED],
    answers: usize,
    in_flight: usize,
    queries: usize,
    limit: usize,
    foreign: u32,
    born: Instant,
    retired: bool,
    receiver: Option<AbortHandle>,
}

/// A socket that was just opened and has no receiver yet.
pub(crate) struct Fresh {
    pub(crate) index: u32,
    pub(crate) key: u32,
    pub(crate) io: Arc<UdpSocket>,
}

/// What a datagram's id says.
pub(crate) enum Addressee {
    /// It may be the answer to the query in this slot.
    Slot(u32),
    /// Late or doubled; of no interest.
    Used,
    /// Nobody asked with this id.
    Nobody,
}

impl Sockets {
    /// Makes the pool ready for use: too old sockets go.
    pub(crate) fn touch(&mut self, now: Instant, options: &Options) {
        let idle = self
            .used
            .is_none_or(|used| now.saturating_duration_since(used) > options.expire);
        let aged = options
            .max_age
            .is_some_and(|max| self.opened.is_some_and(|at| at + max < now));
        let was_open = self.opened.is_some() && !idle && !aged;
        if !was_open {
            self.retire_all();
            self.opened = Some(now);
        }
        self.used = Some(now);
    }

    /// One of the sockets, by lot; the second value is set if it was opened for that.
    pub(crate) fn choose(
        &mut self,
        target: &Target,
        options: &Options,
        now: Instant,
    ) -> Result<(u32, Option<Fresh>), ChooseError> {
        let place = random::below(POOL)?;
        if let Some(index) = self.active[place] {
            let socket = self.get(index).filter(|socket| {
                socket.queries < socket.limit && now.saturating_duration_since(socket.born) <= options.expire
            });
            if socket.is_some() {
                return Ok((index, None));
            }
            self.active[place] = None;
            self.retire(index);
        }
        match self.open(target, options, now) {
            Ok(fresh) => {
                self.active[place] = Some(fresh.index);
                Ok((fresh.index, Some(fresh)))
            }
            // Out of descriptors, perhaps: better another socket than none.
            Err(error) => match self.active.iter().flatten().next() {
                Some(&index) => Ok((index, None)),
                None => Err(error),
            },
        }
    }

    fn open(&mut self, target: &Target, options: &Options, now: Instant) -> Result<Fresh, ChooseError> {
        let io = Arc::new(connected(target.address, options)?);
        let limit = LEAST_QUERIES + random::below(LEAST_QUERIES)?;
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        let socket = Socket {
            key,
            local: io.local_addr().ok(),
            io: Arc::clone(&io),
            ids: HashMap::default(),
            answered: [0; REMEMBERED],
            answers: 0,
            in_flight: 0,
            queries: 0,
            limit,
            foreign: 0,
            born: now,
            retired: false,
            receiver: None,
        };
        let index = match self.sockets.iter().position(Option::is_none) {
            Some(index) => {
                self.sockets[index] = Some(socket);
                index
            }
            None => {
                self.sockets.push(Some(socket));
                self.sockets.len() - 1
            }
        };
        // There are never more sockets than queries in flight, plus a few.
        Ok(Fresh {
            index: index as u32,
            key,
            io,
        })
    }

    /// Tells which task receives on a fresh socket.
    pub(crate) fn set_receiver(&mut self, index: u32, receiver: AbortHandle) {
        if let Some(socket) = self.get_mut(index) {
            socket.receiver = Some(receiver);
        }
    }

    /// Draws an id for the query in `slot`.
    pub(crate) fn assign(&mut self, index: u32, slot: u32) -> Result<u16, NoRandomness> {
        let Some(socket) = self.get_mut(index) else {
            return Err(NoRandomness);
        };
        loop {
            let id = random::bits16()?;
            if let std::collections::hash_map::Entry::Vacant(place) = socket.ids.entry(id) {
                place.insert(slot);
                socket.in_flight += 1;
                socket.queries += 1;
                return Ok(id);
            }
        }
    }

    /// Sends a datagram. The system call is made here and not by the runtime, which would first wait for the news that
    /// a fresh socket can be written to.
    pub(crate) fn send(&self, index: u32, message: &[u8]) -> io::Result<()> {
        match self.get(index) {
            Some(socket) => SockRef::from(&*socket.io).send(message).map(|_| ()),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Who a datagram with this id is for.
    pub(crate) fn addressee(&self, index: u32, id: u16) -> Addressee {
        let Some(socket) = self.get(index) else {
            return Addressee::Used;
        };
        match socket.ids.get(&id) {
            Some(&USED) => Addressee::Used,
            Some(&slot) => Addressee::Slot(slot),
            None if socket
                .answered
                .iter()
                .take(socket.answers)
                .any(|&answered| answered == id) =>
            {
                Addressee::Used
            }
            None => Addressee::Nobody,
        }
    }

    /// Whether the socket at this index is still the one with this key.
    pub(crate) fn is(&self, index: u32, key: u32) -> bool {
        self.get(index).is_some_and(|socket| socket.key == key)
    }

    /// The query with this id was answered.
    pub(crate) fn answered(&mut self, index: u32, id: u16) {
        let Some(socket) = self.get_mut(index) else { return };
        if socket.ids.remove(&id).is_some() {
            socket.answered[socket.answers % REMEMBERED] = id;
            socket.answers += 1;
            socket.in_flight -= 1;
        }
        self.close_if_done(index);
    }

    /// Nobody waits any more for the answer to the query with this id. The id is not used again.
    pub(crate) fn give_up(&mut self, index: u32, id: u16) {
        let Some(socket) = self.get_mut(index) else { return };
        if let Some(slot) = socket.ids.get_mut(&id)
            && *slot != USED
        {
            *slot = USED;
            socket.in_flight -= 1;
        }
        self.close_if_done(index);
    }

    /// A retired socket without queries is closed.
    fn close_if_done(&mut self, index: u32) {
        if self
            .get(index)
            .is_some_and(|socket| socket.retired && socket.in_flight == 0)
        {
            self.close(index);
        }
    }

    /// Counts a foreign datagram; true if that were too many.
    pub(crate) fn count_foreign(&mut self, index: u32) -> bool {
        let Some(socket) = self.get_mut(index) else {
            return false;
        };
        socket.foreign += 1;
        socket.foreign > FOREIGN_LIMIT
    }

    /// The slots of all queries in flight on a socket.
    pub(crate) fn slots_of(&self, index: u32) -> Vec<u32> {
        let ids = self
            .get(index)
            .map(|socket| socket.ids.values().copied().filter(|&slot| slot != USED));
        ids.into_iter().flatten().collect()
    }

    /// Takes a socket out of the choice at once, whatever is in flight on it.
    pub(crate) fn close(&mut self, index: u32) {
        for place in &mut self.active {
            if *place == Some(index) {
                *place = None;
            }
        }
        if let Some(place) = self.sockets.get_mut(index as usize) {
            *place = None;
        }
    }

    /// Closes what has not been used for long, or is older than allowed. Gives back whether the pool is open, and when
    /// to look again.
    pub(crate) fn tidy(&mut self, now: Instant, options: &Options) -> Option<Instant> {
        let (opened, used) = (self.opened?, self.used?);
        let mut end = used + options.expire;
        if let Some(max) = options.max_age {
            end = end.min(opened + max);
        }
        if now >= end {
            self.retire_all();
            self.opened = None;
            return None;
        }
        if options.max_idle > 0 {
            self.close_idle_beyond(options.max_idle);
        }
        Some(end)
    }

    /// The address that a socket sends from.
    pub(crate) fn local_address(&self, index: u32) -> Option<SocketAddr> {
        self.get(index).and_then(|socket| socket.local)
    }

    fn close_idle_beyond(&mut self, limit: usize) {
        let idle = |place: &Option<u32>| {
            place.filter(|&index| self.get(index).is_some_and(|socket| socket.in_flight == 0))
        };
        let beyond: Vec<u32> = self.active.iter().filter_map(idle).skip(limit).collect();
        for index in beyond {
            self.close(index);
        }
    }

    fn retire_all(&mut self) {
        for place in 0..POOL {
            if let Some(index) = self.active[place].take() {
                self.retire(index);
            }
        }
    }

    /// No new queries; closed when the last one is over.
    fn retire(&mut self, index: u32) {
        let Some(socket) = self.get_mut(index) else { return };
        socket.retired = true;
        self.close_if_done(index);
    }

    fn get(&self, index: u32) -> Option<&Socket> {
        self.sockets.get(index as usize)?.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Socket> {
        self.sockets.get_mut(index as usize)?.as_mut()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The receiver holds the socket open.
        if let Some(receiver) = &self.receiver {
            receiver.abort();
        }
    }
}

/// Why no socket could be chosen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChooseError {
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn connected(server: SocketAddr, options: &Options) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(local_address(server, options.source))?;
    // A forged "fragmentation needed" must not make the upstream's answers come in fragments (best effort).
    let omit = if server.is_ipv4() {
        Switch::OmitPathMtuV4
    } else {
        Switch::OmitPathMtuV6
    };
    omit.set(&socket).ok();
    // Many answers may come at once; the system bounds the size by itself.
    SockRef::from(&socket)
        .set_recv_buffer_size(RECEIVE_BUFFER_BYTES)
        .ok();
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    UdpSocket::from_std(socket)
}

const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// Ids are random already.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    fn write_u16(&mut self, id: u16) {
        // Hash tables look at the upper and at the lower bits.
        self.0 = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
