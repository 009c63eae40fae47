//! DNS over UDP: batches in, batches out.
//!
//! A worker's loop reads a batch, polls the chain of each query once where it stands, and sends the answers that are
//! ready as one batch. A query that has to wait becomes a task; its answer joins a later batch through the
//! inbox.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::endpoint::{Active, Endpoint, WorkerTable};
use super::inbox::{Inbox, Outgoing};
use super::query::{self, Arrival, Done, Polled, Waiting};
use crate::counters::{Counters, Event};
use crate::message::Transport;
use crate::net::mmsg::{Family, RecvBatch, SendBatch};

/// Datagrams taken at one time.
const BATCH: usize = 64;

/// Queries of one socket that may wait for something. Beyond it queries are dropped and counted: a client tries again,
/// while memory does not come back.
pub const MAX_WAITING: usize = 65_536;

/// Batches that a socket which is to close reads at the most: what the kernel held when it was told so. Under a flood
/// there is always more.
const LAST_BATCHES: usize = 256;

/// One UDP socket of one worker.
pub(super) struct UdpPort {
    local: SocketAddr,
    endpoint: Arc<Endpoint>,
    table: Arc<WorkerTable>,
    inbox: Arc<Inbox>,
    received: RecvBatch,
    outlet: Outlet,
    counters: Arc<Counters>,
    closing: bool,
    /// Batches that are still read when the socket is to close.
    last_batches: usize,
    _active: Active,
}

impl UdpPort {
    pub(super) fn new(
        socket: std::net::UdpSocket,
        endpoint: Arc<Endpoint>,
        active: Active,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let inbox = Arc::new(Inbox::default());
        endpoint.register(&inbox);
        // It may have been told to close before this socket was there to hear it.
        let closing = endpoint.is_closing();
        Ok(Self {
            local,
            table: WorkerTable::new(&endpoint),
            endpoint,
            inbox,
            received: RecvBatch::new(BATCH),
            outlet: Outlet {
                socket: UdpSocket::from_std(socket)?,
                batch: SendBatch::new(BATCH, Family::of(&local)),
                waiting: Vec::new(),
                counters: Arc::clone(&counters),
            },
            counters,
            closing,
            last_batches: LAST_BATCHES,
            _active: active,
        })
    }

    /// Reads one batch and answers what can be answered at once. Says whether there may be more to read.
    fn receive(&mut self) -> io::Result<bool> {
        let mut count = 0;
        let socket = &self.outlet.socket;
        let read = socket.try_io(Interest::READABLE, || {
            count = self.received.recv(socket)?;
            // Fewer than fit: the socket is empty, so that the next turn need not ask for nothing.
            if count < BATCH {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        });
        if count == 0 {
            return read.map(|()| false);
        }
        self.counters.inc(Event::UdpBatch);
        self.counters.add(Event::UdpQuery, count as u64);
        match self.received.overflows() {
            0 => {}
            lost => self.counters.add(Event::DroppedBuffer, u64::from(lost)),
        }
        let now = Instant::now();
        for datagram in self.received.iter() {
            let Some(peer) = datagram.source else { continue };
            let (mut bytes, mut client) = (datagram.bytes, peer);
            if let Some(proxy) = self.table.proxy() {
                let Some(proxied) = proxy.datagram(bytes, peer) else {
                    continue;
                };
                bytes = bytes.get(proxied.header..).unwrap_or_default();
                client = proxied.client;
            }
            let arrival = Arrival {
                bytes,
                transport: Transport::Udp,
                tls: None,
                peer: client,
                local: at(self.local, datagram.local),
                received: now,
                headers: None,
            };
            let from = datagram.local;
            match query::begin(&arrival, &self.table, &self.counters) {
                Polled::Answer(request, wire) | Polled::Refused(request, wire, _) => {
                    self.outlet.push(Outgoing {
                        wire,
                        to: peer,
                        from,
                        request,
                    })
                }
                Polled::Waiting(waiting) if self.inbox.waiting() < MAX_WAITING => {
                    wait(&self.inbox, waiting, (peer, from));
                }
                Polled::Waiting(_) => self.counters.inc(Event::DroppedInFlight),
                Polled::Ignored | Polled::Silent => {}
            }
        }
        Ok(count == BATCH)
    }

    /// Whether a socket that is to close has nothing left to do.
    fn is_done(&self) -> bool {
        self.closing && self.inbox.waiting() == 0 && self.outlet.waiting.is_empty()
    }
}

impl Future for UdpPort {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.inbox.take(&mut this.outlet.waiting, context) {
            if this.table.is_stale(&this.endpoint) {
                this.table = WorkerTable::new(&this.endpoint);
            }
            this.closing = this.endpoint.is_closing();
        }
        loop {
            if !this.outlet.send(context) {
                // The system takes no more: do not read what could not be answered.
                return Poll::Pending;
            }
            if this.closing && this.last_batches == 0 {
                return if this.is_done() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                };
            }
            let more = match this.outlet.socket.poll_recv_ready(context) {
                Poll::Ready(Ok(())) => match this.receive() {
                    Ok(more) => more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
                    // The kernel reports a datagram of ours that bounced; the socket is fine.
                    Err(_) => true,
                },
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending if this.is_done() => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            };
            if more {
                if this.closing {
                    this.last_batches -= 1;
                }
                this.outlet.send(context);
                // Let connections and waiting queries have their turn between full batches.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// The socket's address, with the one that was asked where the socket is on a wildcard.
fn at(mut socket: SocketAddr, asked: Option<IpAddr>) -> SocketAddr {
    if let Some(ip) = asked {
        socket.set_ip(ip);
    }
    socket
}

/// Where answers leave.
struct Outlet {
    socket: UdpSocket,
    batch: SendBatch,
    /// Answers that wait for room in the batch.
    waiting: Vec<Outgoing>,
    counters: Arc<Counters>,
}

impl Outlet {
    /// Adds an answer to the batch; a full one is sent before.
    fn push(&mut self, outgoing: Outgoing) {
        if self.batch.is_full() {
            self.flush();
        }
        if self.batch.is_full() {
            self.waiting.push(outgoing);
        } else {
            self.fill(outgoing);
        }
    }

    fn fill(&mut self, outgoing: Outgoing) {
        self.batch.push(&outgoing.wire, outgoing.to, outgoing.from);
        query::recycle(outgoing.request, outgoing.wire);
    }

    /// Sends what is ready. Says whether all of it left.
    fn send(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            while !self.batch.is_full() {
                let Some(outgoing) = self.waiting.pop() else { break };
                self.fill(outgoing);
            }
            if self.batch.is_empty() {
                return true;
            }
            if !self.flush() {
                match self.socket.poll_send_ready(context) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => self.batch.clear(),
                    Poll::Pending => return false,
                }
            }
        }
    }

    /// Sends the batch. False when the system takes no more for now.
    fn flush(&mut self) -> bool {
        let (socket, batch) = (&self.socket, &mut self.batch);
        let sent = socket.try_io(Interest::WRITABLE, || batch.send(socket));
        let (failures, _) = batch.take_failures();
        if failures > 0 {
            self.counters.add(Event::DroppedSend, failures as u64);
        }
        sent.is_ok() && self.batch.is_empty()
    }
}

/// Lets a query wait as a task of its own.
fn wait(inbox: &Arc<Inbox>, waiting: Waiting, (to, from): (SocketAddr, Option<IpAddr>)) {
    inbox.enter();
    let leaving = Leaving {
        inbox: Arc::clone(inbox),
        answer: None,
    };
    tokio::spawn(async move {
        let mut leaving = leaving;
        let (request, answer) = waiting.await;
        match answer {
            Done::Answer(wire) => {
                leaving.answer = Some(Outgoing {
                    wire,
                    to,
                    from,
                    request,
                })
            }
            Done::Transfer(_) | Done::Nothing => query::recycle(request, Vec::new()),
        }
    });
}

/// Counts a waiting query out, however it ends, and hands its answer over.
struct Leaving {
    inbox: Arc<Inbox>,
    answer: Option<Outgoing>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.inbox.leave(self.answer.take());
    }
}
