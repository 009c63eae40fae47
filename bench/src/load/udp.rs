//! Load over UDP, in batches, through one connected socket.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use catena_core::net::mmsg::{RecvBatch, SendBatch};

use super::{Client, Flights, Stats};
use crate::query::{Expect, Queries};

/// A client that keeps a window of queries in flight.
pub struct UdpLoad<'q> {
    stats: Stats,
    socket: UdpSocket,
    queries: &'q Queries,
    expect: Expect,
    flights: Flights,
    received: RecvBatch,
    outgoing: SendBatch,
    query: Vec<u8>,
}

impl<'q> UdpLoad<'q> {
    /// A client of `server` with `window` queries in flight.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub fn new(server: SocketAddr, queries: &'q Queries, expect: Expect, window: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind((server_side(server), 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        // Answers must not get lost on our own side.
        socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        Ok(Self {
            stats: Stats::default(),
            socket,
            queries,
            expect,
            flights: Flights::new(window, 0),
            received: RecvBatch::with_slot_size(BATCH, 4096),
            outgoing: SendBatch::connected(BATCH),
            query: Vec::with_capacity(512),
        })
    }

    fn refill(&mut self, now: Instant) -> io::Result<()> {
        while !self.outgoing.is_full() {
            let Some((id, query)) = self.flights.start(self.queries, now) else {
                break;
            };
            self.query.clear();
            self.query.extend_from_slice(self.queries.get(query));
            self.query[..2].copy_from_slice(&id.to_be_bytes());
            self.outgoing.push_connected(&self.query);
        }
        match self.outgoing.send(&self.socket) {
            Ok(_) => Ok(()),
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Client for UdpLoad<'_> {
    fn step(&mut self) -> io::Result<usize> {
        let count = match self.received.recv(&self.socket) {
            Ok(count) => count,
            Err(error) if is_passing(&error) => 0,
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        for datagram in self.received.iter() {
            self.flights
                .land(datagram.bytes, self.queries, self.expect, now, &mut self.stats);
        }
        self.flights.sweep(now, &mut self.stats);
        // Small batches would cost this side more than they cost the server: wait for a worthwhile one, unless nothing
        // else is under way.
        if self.flights.free.len() >= BATCH.min(self.flights.slots.len()) || count == 0 {
            self.refill(now)?;
        }
        Ok(count)
    }

    fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused
    )
}

/// The address to bind for a peer.
pub(super) fn server_side(server: SocketAddr) -> std::net::IpAddr {
    match server {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

const BATCH: usize = 64;
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
