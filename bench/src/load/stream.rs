//! Load over TCP and TLS: connections that are kept, several queries in flight on each.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;

use super::tls::TlsStream;
use super::{Client, Flights, Stats};
use crate::query::{Expect, Queries};
use crate::tls::Trust;

/// Clients that each keep a window of queries in flight on one connection.
///
/// All queries that have room are written at once: over TLS they share a record.
pub struct StreamLoad<'q, S> {
    stats: Stats,
    queries: &'q Queries,
    expect: Expect,
    connections: Vec<Connection<S>>,
}

struct Connection<S> {
    stream: S,
    flights: Flights,
    outgoing: Vec<u8>,
    written: usize,
    incoming: Vec<u8>,
    read: usize,
}

impl<'q> StreamLoad<'q, TcpStream> {
    /// Opens `connections` to `server`, for `window` queries in flight on each.
    ///
    /// # Errors
    ///
    /// A connection does not come about.
    pub fn tcp(
        server: SocketAddr,
        queries: &'q Queries,
        expect: Expect,
        connections: usize,
        window: usize,
    ) -> io::Result<Self> {
        let open = || {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let streams = (0..connections).map(|_| open()).collect::<io::Result<Vec<_>>>()?;
        Ok(Self::new(streams, queries, expect, window))
    }
}

impl<'q> StreamLoad<'q, TlsStream> {
    /// The same over TLS, with the handshakes done.
    ///
    /// # Errors
    ///
    /// A connection does not come about, or its certificate is not trusted.
    pub fn tls(
        server: SocketAddr,
        trust: &Trust,
        queries: &'q Queries,
        expect: Expect,
        connections: usize,
        window: usize,
    ) -> io::Result<Self> {
        let config: Arc<ClientConfig> = trust.over_tcp(Some(b"dot"), Resumption::disabled())?;
        let open = |number| {
            let mut stream = TlsStream::connect(server, number, &config, trust)?;
            stream.finish_handshake()?;
            stream.set_nonblocking()?;
            Ok(stream)
        };
        let streams = (0..connections).map(open).collect::<io::Result<Vec<_>>>()?;
        Ok(Self::new(streams, queries, expect, window))
    }
}

impl<'q, S> StreamLoad<'q, S> {
    fn new(streams: Vec<S>, queries: &'q Queries, expect: Expect, window: usize) -> Self {
        let connections = streams
            .into_iter()
            .zip(0..)
            .map(|(stream, number)| Connection {
                stream,
                flights: Flights::new(window, number * 31),
                outgoing: Vec::new(),
                written: 0,
                incoming: vec![0; BUFFER_BYTES],
                read: 0,
            })
            .collect();
        Self {
            stats: Stats::default(),
            queries,
            expect,
            connections,
        }
    }
}

impl<S: Read + Write> Client for StreamLoad<'_, S> {
    fn step(&mut self) -> io::Result<usize> {
        let before = self.stats.answered;
        for connection in &mut self.connections {
            connection.step(self.queries, self.expect, &mut self.stats)?;
        }
        Ok((self.stats.answered - before) as usize)
    }

    fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }
}

impl<S: Read + Write> Connection<S> {
    fn step(&mut self, queries: &Queries, expect: Expect, stats: &mut Stats) -> io::Result<()> {
        match self.stream.read(&mut self.incoming[self.read..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.read += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        self.take_frames(queries, expect, now, stats);
        self.flights.sweep(now, stats);
        while let Some((id, query)) = self.flights.start(queries, now) {
            let query = queries.get(query);
            self.outgoing
                .extend_from_slice(&(query.len() as u16).to_be_bytes());
            self.outgoing.extend_from_slice(&id.to_be_bytes());
            self.outgoing.extend_from_slice(&query[2..]);
        }
        self.write()
    }

    fn take_frames(&mut self, queries: &Queries, expect: Expect, now: Instant, stats: &mut Stats) {
        let mut at = 0;
        while let Some((length, rest)) = self.incoming[at..self.read].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(answer) = rest.get(..length) else { break };
            self.flights.land(answer, queries, expect, now, stats);
            at += 2 + length;
        }
        self.incoming.copy_within(at..self.read, 0);
        self.read -= at;
    }

    fn write(&mut self) -> io::Result<()> {
        while self.written < self.outgoing.len() {
            match self.stream.write(&self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        match self.stream.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }
}

/// More than the largest frame.
const BUFFER_BYTES: usize = 128 * 1024;
