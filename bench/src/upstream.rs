//! A fast, bare fake upstream: one A record for whatever is asked.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use catena_core::net::mmsg::{DEFAULT_SLOTS, Family, RecvBatch, SendBatch};
use catena_core::net::sockets;

use crate::query::answer;

/// An upstream that is driven by [`step`](Self::step).
pub struct Upstream {
    /// Queries answered so far.
    pub answered: u64,
    ttl: u32,
    socket: UdpSocket,
    received: RecvBatch,
    answers: SendBatch,
    spare: Vec<u8>,
}

impl Upstream {
    /// Listens on `address`; what it answers has this TTL.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub fn new(address: SocketAddr, ttl: u32) -> io::Result<Self> {
        Ok(Self {
            answered: 0,
            ttl,
            socket: sockets::udp(address).map_err(io::Error::other)?,
            received: RecvBatch::with_slot_size(DEFAULT_SLOTS, 4096),
            answers: SendBatch::new(DEFAULT_SLOTS, Family::of(&address)),
            spare: Vec::with_capacity(512),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers what is there, without waiting. Returns how many queries came.
    ///
    /// # Errors
    ///
    /// The socket fails.
    pub fn step(&mut self) -> io::Result<usize> {
        let count = match self.received.recv(&self.socket) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        for datagram in self.received.iter() {
            let Some(peer) = datagram.source else { continue };
            if answer(datagram.bytes, self.ttl, &mut self.spare) {
                self.answers.push(&self.spare, peer, datagram.local);
            }
        }
        self.answered += self.answers.len() as u64;
        let _ = self.answers.send(&self.socket);
        self.answers.clear();
        Ok(count)
    }

    /// Answers for ever.
    ///
    /// # Errors
    ///
    /// The socket fails.
    pub fn run(&mut self) -> io::Result<()> {
        loop {
            if self.step()? == 0 {
                std::thread::yield_now();
            }
        }
    }
}
