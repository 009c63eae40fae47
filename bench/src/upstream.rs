//! A fast, bare fake upstream: one A record for whatever is asked.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use catena_core::net::mmsg::{DEFAULT_SLOTS, Family, RecvBatch, SendBatch};
use catena_core::net::sockets;

use crate::query::answer;

mod streams;

pub use streams::StreamUpstream;

/// Who is behind the servers: driven by calls, like the load.
pub trait Behind {
    /// Answers what is there, without waiting. Returns how many queries came.
    ///
    /// # Errors
    ///
    /// A socket fails.
    fn step(&mut self) -> io::Result<usize>;

    /// What was answered since the last call.
    fn take_answered(&mut self) -> Answered;
}

/// How many queries an upstream answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answered {
    /// All of them.
    pub all: u64,
    /// Those for names of the popular set, whose first label begins with `host`.
    pub popular: u64,
}

/// Two upstreams as one, such as UDP and TCP on one port.
impl<A: Behind, B: Behind> Behind for (A, B) {
    fn step(&mut self) -> io::Result<usize> {
        Ok(self.0.step()? + self.1.step()?)
    }

    fn take_answered(&mut self) -> Answered {
        let (first, second) = (self.0.take_answered(), self.1.take_answered());
        Answered {
            all: first.all + second.all,
            popular: first.popular + second.popular,
        }
    }
}

impl Answered {
    fn count(&mut self, query: &[u8]) {
        self.all += 1;
        // A header, the length of the first label, the label.
        self.popular += u64::from(query.get(13..17) == Some(b"host"));
    }
}

/// An upstream over UDP.
pub struct Upstream {
    answered: Answered,
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
            answered: Answered::default(),
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

impl Behind for Upstream {
    fn step(&mut self) -> io::Result<usize> {
        let count = match self.received.recv(&self.socket) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        for datagram in self.received.iter() {
            let Some(peer) = datagram.source else { continue };
            if answer(datagram.bytes, self.ttl, &mut self.spare) {
                self.answered.count(datagram.bytes);
                self.answers.push(&self.spare, peer, datagram.local);
            }
        }
        let _ = self.answers.send(&self.socket);
        self.answers.clear();
        Ok(count)
    }

    fn take_answered(&mut self) -> Answered {
        std::mem::take(&mut self.answered)
    }
}
