//! Load of new connections over TLS: a handshake and one query on each.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;

use super::tls::TlsStream;
use super::{Client, LOST_AFTER, Stats};
use crate::query::{Expect, Queries};
use crate::tls::Trust;

/// Clients that connect, ask, and leave.
pub struct Handshakes<'q> {
    server: SocketAddr,
    trust: Trust,
    queries: &'q Queries,
    expect: Expect,
    places: Vec<Place>,
    visits: usize,
    failures: usize,
    stats: Stats,
}

/// A client, who remembers a session of its own, and its connection.
struct Place {
    config: Arc<ClientConfig>,
    visit: Option<Visit>,
}

/// One connection.
struct Visit {
    stream: TlsStream,
    began: Instant,
    query: usize,
    received: Vec<u8>,
}

enum Progress {
    Waits,
    Answered,
    Wrong,
}

impl<'q> Handshakes<'q> {
    /// A load of `connections` at a time, with sessions that are resumed or with none.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub fn new(
        server: SocketAddr,
        trust: &Trust,
        queries: &'q Queries,
        expect: Expect,
        connections: usize,
        resumed: bool,
    ) -> io::Result<Self> {
        // Tickets are used once. With one memory for all, those of a burst would push each other out.
        let place = |_| {
            let sessions = if resumed {
                Resumption::in_memory_sessions(SESSIONS)
            } else {
                Resumption::disabled()
            };
            Ok(Place {
                config: trust.over_tcp(Some(b"dot"), sessions)?,
                visit: None,
            })
        };
        Ok(Self {
            server,
            trust: trust.clone(),
            queries,
            expect,
            places: (0..connections).map(place).collect::<io::Result<_>>()?,
            visits: 0,
            failures: 0,
            stats: Stats::default(),
        })
    }

    fn begin(&mut self, config: &Arc<ClientConfig>) -> io::Result<Visit> {
        self.visits += 1;
        let began = Instant::now();
        let mut stream = TlsStream::connect(self.server, self.visits, config, &self.trust)?;
        stream.set_nonblocking()?;
        // It leaves together with the end of the handshake.
        let query = self.queries.get(self.visits);
        stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
        Ok(Visit {
            stream,
            began,
            query: self.visits,
            received: Vec::new(),
        })
    }

    /// Counts a connection that failed; a server that refuses all is an error.
    fn fail(&mut self, error: io::Error) -> io::Result<()> {
        self.stats.lost += 1;
        self.failures += 1;
        if self.failures > FAILURES_AT_MOST {
            return Err(error);
        }
        Ok(())
    }

    fn step_visit(&mut self, mut visit: Visit) -> io::Result<Option<Visit>> {
        match visit.step(self.queries, self.expect) {
            Ok(Progress::Waits) if visit.began.elapsed() < LOST_AFTER => return Ok(Some(visit)),
            Ok(Progress::Waits) => self.stats.lost += 1,
            Ok(Progress::Wrong) => self.stats.wrong += 1,
            Ok(Progress::Answered) => {
                self.failures = 0;
                self.stats.answered += 1;
                self.stats.resumed += u64::from(visit.stream.is_resumed());
                self.stats.latency.record(visit.began.elapsed().as_nanos() as u64);
            }
            Err(error) => self.fail(error)?,
        }
        visit.stream.close();
        Ok(None)
    }
}

impl Client for Handshakes<'_> {
    fn step(&mut self) -> io::Result<usize> {
        let before = self.stats.answered;
        for place in 0..self.places.len() {
            let stays = match self.places[place].visit.take() {
                Some(visit) => self.step_visit(visit)?,
                None => None,
            };
            let config = Arc::clone(&self.places[place].config);
            self.places[place].visit = match stays.map_or_else(|| self.begin(&config), Ok) {
                Ok(visit) => Some(visit),
                Err(error) => {
                    self.fail(error)?;
                    None
                }
            };
        }
        Ok((self.stats.answered - before) as usize)
    }

    fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }
}

impl Visit {
    fn step(&mut self, queries: &Queries, expect: Expect) -> io::Result<Progress> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let Some((length, answer)) = self.received.split_first_chunk::<2>() else {
            return Ok(Progress::Waits);
        };
        if answer.len() < usize::from(u16::from_be_bytes(*length)) {
            return Ok(Progress::Waits);
        }
        let is_good = answer.starts_with(&[0, 0]) && queries.accepts(self.query, answer, expect);
        Ok(if is_good {
            Progress::Answered
        } else {
            Progress::Wrong
        })
    }
}

/// Servers whose sessions are remembered.
const SESSIONS: usize = 4;
/// Connections that may fail one after the other.
const FAILURES_AT_MOST: usize = 100;
