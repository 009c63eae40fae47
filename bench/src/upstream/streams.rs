//! The upstream over TCP and TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use tokio_rustls::rustls::{ServerConfig, ServerConnection};

use super::{Answered, Behind};
use crate::load::TlsStream;
use crate::query::answer;
use crate::tls::Identity;

/// An upstream that answers all queries of a read in one write, which over TLS is one record.
pub struct StreamUpstream<S> {
    listener: TcpListener,
    begin: Begin<S>,
    connections: Vec<Connection<S>>,
    answered: Answered,
    ttl: u32,
}

type Begin<S> = Box<dyn Fn(TcpStream) -> io::Result<S>>;

struct Connection<S> {
    stream: S,
    incoming: Vec<u8>,
    read: usize,
    outgoing: Vec<u8>,
}

impl StreamUpstream<TcpStream> {
    /// Listens on `address`; what it answers has this TTL.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub fn tcp(address: SocketAddr, ttl: u32) -> io::Result<Self> {
        Self::new(address, Box::new(Ok), ttl)
    }
}

impl StreamUpstream<TlsStream> {
    /// The same over TLS.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or the certificate cannot be used.
    pub fn tls(address: SocketAddr, identity: &Identity, ttl: u32) -> io::Result<Self> {
        let config: Arc<ServerConfig> = identity.server()?;
        let begin = move |socket| {
            let tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            let mut stream = TlsStream::new(tls, socket);
            stream.set_nonblocking()?;
            Ok(stream)
        };
        Self::new(address, Box::new(begin), ttl)
    }
}

impl<S> StreamUpstream<S> {
    fn new(address: SocketAddr, begin: Begin<S>, ttl: u32) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            begin,
            connections: Vec::new(),
            answered: Answered::default(),
            ttl,
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            self.connections.push(Connection {
                stream: (self.begin)(socket)?,
                incoming: vec![0; BUFFER_BYTES],
                read: 0,
                outgoing: Vec::new(),
            });
        }
    }
}

impl<S: Read + Write> Behind for StreamUpstream<S> {
    fn step(&mut self) -> io::Result<usize> {
        self.accept()?;
        let before = self.answered.all;
        let (answered, ttl) = (&mut self.answered, self.ttl);
        // Whoever leaves is forgotten.
        self.connections
            .retain_mut(|connection| connection.step(answered, ttl).is_ok());
        Ok((self.answered.all - before) as usize)
    }

    fn take_answered(&mut self) -> Answered {
        std::mem::take(&mut self.answered)
    }
}

impl<S: Read + Write> Connection<S> {
    fn step(&mut self, answered: &mut Answered, ttl: u32) -> io::Result<()> {
        if self.outgoing.is_empty() {
            match self.stream.read(&mut self.incoming[self.read..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.read += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            self.answer(answered, ttl);
        }
        if !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        match self.stream.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    fn answer(&mut self, answered: &mut Answered, ttl: u32) {
        let (mut at, mut spare) = (0, Vec::with_capacity(512));
        while let Some((length, rest)) = self.incoming[at..self.read].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(query) = rest.get(..length) else { break };
            if answer(query, ttl, &mut spare) {
                answered.count(query);
                self.outgoing
                    .extend_from_slice(&(spare.len() as u16).to_be_bytes());
                self.outgoing.extend_from_slice(&spare);
            }
            at += 2 + length;
        }
        self.incoming.copy_within(at..self.read, 0);
        self.read -= at;
    }
}

/// More than the largest frame.
const BUFFER_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::client::Resumption;

    use super::*;
    use crate::load::{Client, Handshakes, StreamLoad};
    use crate::query::{Expect, Queries};

    fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn queries() -> Queries {
        Queries::new(["host-1.example.org", "n2.example.org", "n3.example.org"], true)
    }

    /// Steps both sides, with the load on another thread where it waits, until so many are answered.
    fn drive(behind: &mut dyn Behind, client: &mut dyn Client, count: u64) -> crate::load::Stats {
        let mut total = crate::load::Stats::default();
        while total.answered < count {
            behind.step().unwrap();
            client.step().unwrap();
            let stats = client.take_stats();
            total.answered += stats.answered;
            total.resumed += stats.resumed;
            total.wrong += stats.wrong + stats.stray + stats.lost;
        }
        total
    }

    #[test]
    fn queries_over_tcp_are_answered_and_popular_names_counted() {
        let (address, queries) = (free(), queries());
        let mut upstream = StreamUpstream::tcp(address, 0).unwrap();
        let mut load = StreamLoad::tcp(address, &queries, Expect::ANSWER, 2, 3).unwrap();
        let stats = drive(&mut upstream, &mut load, 300);
        assert_eq!(stats.wrong, 0);
        let answered = upstream.take_answered();
        assert!(answered.all >= 300 && answered.popular >= 99, "{answered:?}");
        assert_eq!(upstream.take_answered(), Answered::default());
    }

    #[test]
    fn new_connections_over_tls_are_counted_and_resumed_only_when_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::new(folder.path()).unwrap();
        let trust = crate::tls::Trust::from_file(&identity.certificate.display().to_string()).unwrap();
        assert!(trust.over_tcp(None, Resumption::disabled()).is_ok());
        let queries = queries();
        for resumed in [false, true] {
            let address = free();
            let mut upstream = StreamUpstream::tls(address, &identity, 0).unwrap();
            let mut load = Handshakes::new(address, &trust, &queries, Expect::ANSWER, 2, resumed).unwrap();
            let stats = drive(&mut upstream, &mut load, 20);
            assert_eq!(stats.wrong, 0, "resumed: {resumed}");
            assert_eq!(stats.resumed > 15, resumed, "{} sessions", stats.resumed);
        }
    }
}
