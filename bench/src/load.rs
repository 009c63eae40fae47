//! The load generator: a fixed number of queries in flight, each answer checked.
//!
//! It is driven by calls of `step`, which never wait, so that one thread can play clients and upstream by turns
//! without the scheduler's help.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::histogram::Histogram;
use crate::query::{Expect, Queries};

mod doh;
mod doh3;
mod doq;
mod flood;
mod handshakes;
mod http;
mod idle;
mod stream;
mod streams;
mod tls;
mod udp;

pub use doh::doh;
pub use doh3::doh3;
pub use doq::doq;
pub use flood::{Flood, flood};
pub use handshakes::Handshakes;
pub use idle::{Idle, Kind};
pub use stream::StreamLoad;
pub use streams::StreamsLoad;
pub use tls::TlsStream;
pub use udp::UdpLoad;

/// What happened so far.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Good answers.
    pub answered: u64,
    /// Answers with another question, rcode, or too few records.
    pub wrong: u64,
    /// Answers that nobody waits for: an id that was never sent, or a second answer.
    pub stray: u64,
    /// Queries without an answer after [`LOST_AFTER`].
    pub lost: u64,
    /// Good answers on new connections that resumed a session.
    pub resumed: u64,
    /// How long the good answers took.
    pub latency: Histogram,
}

/// A client that is driven by calls.
pub trait Client {
    /// Takes the answers that are there and sends queries in their place, without waiting. Returns how many came.
    ///
    /// # Errors
    ///
    /// A socket fails. That nobody listens is no failure over UDP: the queries are lost then.
    fn step(&mut self) -> io::Result<usize>;

    /// What happened since the last call.
    fn take_stats(&mut self) -> Stats;
}

/// A query that is not answered by then never will be.
pub const LOST_AFTER: Duration = Duration::from_secs(1);

/// Queries in flight, found by id: the low bits of an id are its slot, the others count the slot's uses, so that a late
/// answer is not taken for the next query's.
struct Flights {
    slots: Vec<Flight>,
    free: Vec<u16>,
    bits: u32,
    next_query: u64,
    last_sweep: Instant,
    lost_after: Duration,
}

#[derive(Clone, Copy)]
struct Flight {
    generation: u16,
    query: u32,
    sent: Option<Instant>,
}

impl Flights {
    fn new(window: usize, seed: u64) -> Self {
        let window = window.clamp(1, 1 << 14);
        let bits = usize::BITS - (window - 1).leading_zeros();
        Self {
            slots: vec![
                Flight {
                    generation: 0,
                    query: 0,
                    sent: None
                };
                window
            ],
            free: (0..window as u16).rev().collect(),
            bits,
            next_query: seed,
            last_sweep: Instant::now(),
            lost_after: LOST_AFTER,
        }
    }

    /// Starts a flight of the next query; none when the window is full.
    fn start(&mut self, queries: &Queries, now: Instant) -> Option<(u16, usize)> {
        let slot = self.free.pop()?;
        // A step that has no common divisor with any usual number of names visits them all, in an order that caches do
        // not foresee.
        self.next_query = self.next_query.wrapping_add(STRIDE);
        let query = (self.next_query % queries.len().max(1) as u64) as usize;
        let flight = &mut self.slots[usize::from(slot)];
        flight.generation = flight.generation.wrapping_add(1);
        flight.query = query as u32;
        flight.sent = Some(now);
        let id = (u32::from(flight.generation) << self.bits) as u16 | slot;
        Some((id, query))
    }

    /// Takes an answer.
    fn land(&mut self, answer: &[u8], queries: &Queries, expect: Expect, now: Instant, stats: &mut Stats) {
        let Some(id) = answer.first_chunk::<2>().map(|id| u16::from_be_bytes(*id)) else {
            stats.stray += 1;
            return;
        };
        let slot = usize::from(id) & ((1 << self.bits) - 1);
        let Some(flight) = self.slots.get_mut(slot) else {
            stats.stray += 1;
            return;
        };
        let generation = (u32::from(flight.generation) << self.bits) as u16 >> self.bits;
        let (Some(sent), true) = (flight.sent, generation == id >> self.bits) else {
            stats.stray += 1;
            return;
        };
        flight.sent = None;
        self.free.push(slot as u16);
        if queries.accepts(flight.query as usize, answer, expect) {
            stats.answered += 1;
            stats.latency.record(now.duration_since(sent).as_nanos() as u64);
        } else {
            stats.wrong += 1;
        }
    }

    /// Gives up on what is too old, now and then.
    fn sweep(&mut self, now: Instant, stats: &mut Stats) {
        if now.duration_since(self.last_sweep) < self.lost_after / 10 {
            return;
        }
        self.last_sweep = now;
        for (slot, flight) in self.slots.iter_mut().enumerate() {
            if flight
                .sent
                .is_some_and(|sent| now.duration_since(sent) > self.lost_after)
            {
                flight.sent = None;
                self.free.push(slot as u16);
                stats.lost += 1;
            }
        }
    }
}

/// Connects as client number `number`.
fn connect(server: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source(server, number % SOURCES) {
        socket.bind(&source.into())?;
    }
    socket.connect(&server.into())?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The address from which a client connects: of loopback in turn. Elsewhere there is but one.
fn source(server: SocketAddr, number: usize) -> Option<SocketAddr> {
    match server.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => Some((Ipv4Addr::new(127, 0, 1, 1 + number as u8), 0).into()),
        _ => None,
    }
}

/// How many addresses clients come from: a server takes 4,096 connections from one, say.
const SOURCES: usize = 16;

/// A prime.
const STRIDE: u64 = 7_368_787;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::answer;

    fn reply(queries: &Queries, id: u16, query: usize) -> Vec<u8> {
        let mut reply = Vec::new();
        assert!(answer(queries.get(query), 0, &mut reply));
        reply[..2].copy_from_slice(&id.to_be_bytes());
        reply
    }

    #[test]
    fn each_answer_counts_once_and_for_its_own_query() {
        let queries = Queries::new(["a.", "b.", "c."], false);
        let (mut flights, mut stats, now) = (Flights::new(3, 1), Stats::default(), Instant::now());
        let started: Vec<_> = (0..3).map(|_| flights.start(&queries, now).unwrap()).collect();
        assert!(flights.start(&queries, now).is_none(), "the window is full");

        let (id, query) = started[0];
        let good = reply(&queries, id, query);
        flights.land(&good, &queries, Expect::ANSWER, now, &mut stats);
        flights.land(&good, &queries, Expect::ANSWER, now, &mut stats);
        assert_eq!((stats.answered, stats.stray), (1, 1));

        let other = reply(&queries, started[1].0, query);
        flights.land(&other, &queries, Expect::ANSWER, now, &mut stats);
        assert_eq!(stats.wrong, 1);
        flights.land(&[1], &queries, Expect::ANSWER, now, &mut stats);
        flights.land(
            &reply(&queries, 0xffff, query),
            &queries,
            Expect::ANSWER,
            now,
            &mut stats,
        );
        assert_eq!(stats.stray, 3);
        assert_eq!(flights.free.len(), 2, "one is still under way");
    }

    #[test]
    fn a_late_answer_is_not_the_next_ones() {
        let queries = Queries::new(["a."], false);
        let (mut flights, mut stats, now) = (Flights::new(1, 1), Stats::default(), Instant::now());
        let (old, _) = flights.start(&queries, now).unwrap();
        let later = now + 2 * LOST_AFTER;
        flights.sweep(later, &mut stats);
        assert_eq!(stats.lost, 1);
        let (new, _) = flights.start(&queries, later).unwrap();
        assert_ne!(old, new);
        flights.land(
            &reply(&queries, old, 0),
            &queries,
            Expect::ANSWER,
            later,
            &mut stats,
        );
        assert_eq!((stats.stray, stats.answered), (1, 0));
        flights.land(
            &reply(&queries, new, 0),
            &queries,
            Expect::ANSWER,
            later,
            &mut stats,
        );
        assert_eq!(stats.answered, 1);
    }
}
