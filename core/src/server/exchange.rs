//! Messages that come one in a request, over HTTP, gRPC and QUIC: the way through admission and the chain, as for all
//! transports, and what comes out of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::endpoint::{Endpoint, WorkerTable};
use super::greet::Ends;
use super::query::{self, Arrival, Done, Polled};
use super::tcp;
use crate::counters::Counters;
use crate::message::{HttpHeaders, Rcode, Request, TlsSession, Transport, error_reply, fit};
use crate::plugin::TransferStream;

/// What belongs to one connection and is the same for all its messages.
pub(super) struct Exchange {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) counters: Arc<Counters>,
    pub(super) transport: Transport,
    tls: Option<Arc<TlsSession>>,
    peer: Mutex<SocketAddr>,
    local: SocketAddr,
    /// What the endpoint served at the last query.
    table: Mutex<Arc<WorkerTable>>,
}

/// What a message led to.
pub(super) enum Reply {
    /// An answer.
    Answer(Vec<u8>),
    /// The message itself is at fault, so that transports with errors of their own give one.
    Fault,
    /// Several messages.
    Transfer(Box<Request>, TransferStream),
    /// A plugin wants that there is no answer.
    Silence,
}

impl Exchange {
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        counters: Arc<Counters>,
        transport: Transport,
        ends: Ends,
    ) -> Self {
        let table = Mutex::new(WorkerTable::new(&endpoint));
        Self {
            endpoint,
            counters,
            transport,
            tls: ends.tls,
            peer: Mutex::new(ends.peer),
            local: ends.local,
            table,
        }
    }

    /// The client has moved to another address (RFC 9000, section 9).
    pub(super) fn set_peer(&self, peer: SocketAddr) {
        *self.peer.lock() = tcp::unmapped(peer);
    }

    /// What the endpoint serves now.
    pub(super) fn table(&self) -> Arc<WorkerTable> {
        let mut table = self.table.lock();
        if table.is_stale(&self.endpoint) {
            *table = WorkerTable::new(&self.endpoint);
        }
        Arc::clone(&table)
    }

    /// How long a client may take to send a message.
    pub(super) fn read_timeout(&self) -> Duration {
        self.table().timeouts().read.unwrap_or(tcp::READ_TIMEOUT)
    }

    /// Tells those who count responses by their status.
    pub(super) fn responded(&self, status: u64) {
        let table = self.table();
        for observer in table.observers() {
            observer.responded(table.label(), self.transport, status);
        }
    }

    /// Passes a message to its block, with what the client says of tracing, and waits for what comes out.
    pub(super) async fn ask(&self, bytes: &[u8], headers: Option<&HttpHeaders>) -> Reply {
        let polled = {
            let table = self.table();
            let arrival = Arrival {
                bytes,
                transport: self.transport,
                tls: self.tls.as_ref(),
                peer: *self.peer.lock(),
                local: self.local,
                received: Instant::now(),
                headers,
            };
            query::begin(&arrival, &table, &self.counters)
        };
        match polled {
            Polled::Answer(request, wire) => answer(request, wire),
            Polled::Refused(request, wire, reason) if reason.is_protocol_error() => {
                query::recycle(request, wire);
                Reply::Fault
            }
            Polled::Refused(request, wire, _) => answer(request, wire),
            Polled::Waiting(waiting) => match waiting.await {
                (request, Done::Answer(wire)) => answer(request, wire),
                (request, Done::Transfer(stream)) => Reply::Transfer(request, stream),
                (request, Done::Nothing) => {
                    query::recycle(request, Vec::new());
                    Reply::Silence
                }
            },
            Polled::Ignored => Reply::Fault,
            Polled::Silent => Reply::Silence,
        }
    }

    /// As [`Exchange::ask`], for transports whose requests have one message as their answer: a transfer that takes more
    /// is refused.
    pub(super) async fn ask_for_one(&self, bytes: &[u8], headers: Option<&HttpHeaders>) -> Reply {
        let (mut request, mut stream) = match self.ask(bytes, headers).await {
            Reply::Transfer(request, stream) => (request, stream),
            other => return other,
        };
        let first = stream.next().await;
        let rest = stream.next().await;
        let wire = match (first, rest) {
            (Some(Ok(only)), None) => fit(only, &request),
            (Some(Err(error)), _) => query::refuse(&mut request, &error),
            _ => {
                let refused = error_reply(&mut request, Rcode::REFUSED);
                fit(refused, &request)
            }
        };
        answer(request, wire)
    }
}

/// The answer's buffer leaves for good, the request is kept.
fn answer(request: Box<Request>, wire: Vec<u8>) -> Reply {
    query::recycle(request, Vec::new());
    Reply::Answer(wire)
}
