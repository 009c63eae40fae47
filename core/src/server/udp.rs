//! DNS over UDP: batches in, batches out.
//!
//! A worker's loop reads a batch, polls the chain of each query once where it stands, and sends the answers that are
//! ready as one batch. A query that has to wait becomes a task; its answer joins a later batch through the
//! [`Inbox`].

use std::future::Future;
use std::io;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::endpoint::{Active, Endpoint, LocalTable};
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
    socket: UdpSocket,
    local: std::net::SocketAddr,
    endpoint: Arc<Endpoint>,
    table: LocalTable,
    inbox: Arc<Inbox>,
    received: RecvBatch,
    sending: SendBatch,
    /// Answers that wait for room in the send batch.
    answers: Vec<Outgoing>,
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
        // An end that came before the registration is told to nobody.
        let closing = endpoint.is_closing();
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            local,
            table: LocalTable::new(&endpoint),
            endpoint,
            inbox,
            received: RecvBatch::new(BATCH),
            sending: SendBatch::new(BATCH, Family::of(&local)),
            answers: Vec::new(),
            counters,
            closing,
            last_batches: LAST_BATCHES,
            _active: active,
        })
    }

    /// Reads one batch and answers what can be answered at once. Says whether there may be more to read.
    fn receive(&mut self) -> io::Result<bool> {
        let mut count = 0;
        let read = self.socket.try_io(Interest::READABLE, || {
            count = self.received.recv(&self.socket)?;
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
        let received = Instant::now();
        for index in 0..count {
            let Some(datagram) = self.received.get(index) else {
                break;
            };
            let Some(peer) = datagram.source else { continue };
            let mut local = self.local;
            if let Some(ip) = datagram.local {
                local.set_ip(ip);
            }
            let arrival = Arrival {
                bytes: datagram.bytes,
                transport: Transport::Udp,
                peer,
                local,
                received,
            };
            match query::begin(&arrival, self.table.get(), &self.counters) {
                Polled::Answer(request, wire) => {
                    let outgoing = Outgoing {
                        wire,
                        to: peer,
                        from: datagram.local,
                        request,
                    };
                    push(
                        &mut self.sending,
                        &mut self.answers,
                        &self.socket,
                        &self.counters,
                        outgoing,
                    );
                }
                Polled::Waiting(waiting) => {
                    let back = (peer, datagram.local);
                    if self.inbox.waiting() < MAX_WAITING {
                        wait(&self.inbox, waiting, back);
                    } else {
                        self.counters.inc(Event::DroppedInFlight);
                    }
                }
                Polled::Nothing => {}
            }
        }
        Ok(count == BATCH)
    }

    /// Sends what is ready. Says whether all of it left.
    fn send(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            while !self.sending.is_full() {
                let Some(outgoing) = self.answers.pop() else { break };
                fill(&mut self.sending, outgoing);
            }
            if self.sending.is_empty() {
                return true;
            }
            if !flush(&mut self.sending, &self.socket, &self.counters) {
                match self.socket.poll_send_ready(context) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => self.sending.clear(),
                    Poll::Pending => return false,
                }
            }
        }
    }
}

impl Future for UdpPort {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.inbox.take(&mut this.answers, context) {
            this.table.refresh(&this.endpoint);
            this.closing = this.endpoint.is_closing();
        }
        loop {
            if !this.send(context) {
                // The system takes no more: do not read what could not be answered.
                return Poll::Pending;
            }
            if this.closing && this.last_batches == 0 {
                let done = this.inbox.waiting() == 0 && this.answers.is_empty();
                return if done { Poll::Ready(()) } else { Poll::Pending };
            }
            let more = match this.socket.poll_recv_ready(context) {
                Poll::Ready(Ok(())) => match this.receive() {
                    Ok(more) => more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
                    // The kernel reports a datagram of ours that bounced; the socket is fine.
                    Err(_) => true,
                },
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending if this.closing && this.inbox.waiting() == 0 && this.answers.is_empty() => {
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            };
            if more {
                if this.closing {
                    this.last_batches -= 1;
                }
                this.send(context);
                // Let connections and waiting queries have their turn between full batches.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

fn push(
    sending: &mut SendBatch,
    answers: &mut Vec<Outgoing>,
    socket: &UdpSocket,
    counters: &Counters,
    outgoing: Outgoing,
) {
    if sending.is_full() {
        flush(sending, socket, counters);
    }
    if sending.is_full() {
        answers.push(outgoing);
    } else {
        fill(sending, outgoing);
    }
}

fn fill(sending: &mut SendBatch, outgoing: Outgoing) {
    sending.push(&outgoing.wire, outgoing.to, outgoing.from);
    query::recycle(outgoing.request, outgoing.wire);
}

/// Sends the batch. False when the system takes no more for now.
fn flush(sending: &mut SendBatch, socket: &UdpSocket, counters: &Counters) -> bool {
    let sent = socket.try_io(Interest::WRITABLE, || sending.send(socket));
    let (failures, _) = sending.take_failures();
    if failures > 0 {
        counters.add(Event::DroppedSend, failures as u64);
    }
    sent.is_ok() && sending.is_empty()
}

/// Lets a query wait as a task of its own.
fn wait(inbox: &Arc<Inbox>, waiting: Waiting, (to, from): (std::net::SocketAddr, Option<std::net::IpAddr>)) {
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
