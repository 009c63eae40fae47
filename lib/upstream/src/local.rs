//! What one worker has of a group: the queries that wait, its sockets and connections, and the rules by which a query
//! ends. Everything here happens on the worker's own thread, so the lock around it is never contended.

mod connection;
mod udp;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

use catena_core::message::Response;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::connection::Stage;
use crate::connections::Connections;
use crate::error::{ExchangeError, Fault, Protocol, Route};
use crate::group::MAX_WAITING;
use crate::health::Shared;
use crate::rtt::RoundTrip;
use crate::slots::{Phase, Reply, Silence, Slot, Slots, Ticket, Way};
use crate::twins::{Advice, Twins};
use crate::udp::Sockets;
use crate::wire;

/// A worker's part of a group.
pub(crate) struct Local {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slots: Slots,
    pub(crate) pools: Vec<Pool>,
    pub(crate) twins: Twins,
    pub(crate) clock: Clock,
    /// Errors without a question, and when they may be used.
    pub(crate) held: VecDeque<(Instant, Ticket)>,
}

/// A worker's part of one upstream.
#[derive(Default)]
pub(crate) struct Pool {
    pub(crate) udp: Sockets,
    pub(crate) connections: Connections,
    /// All queries in the order in which they were sent, over or not.
    pub(crate) sent: VecDeque<(Instant, Ticket)>,
    /// Queries on their way.
    pub(crate) waiting: usize,
    pub(crate) heard: Option<Instant>,
    pub(crate) round_trip: RoundTrip,
}

impl Pool {
    /// The address that queries leave from on this way.
    fn local_address(&self, way: Way) -> Option<SocketAddr> {
        match way {
            Way::Udp(index) => self.udp.local_address(index),
            Way::Connection(index) => self
                .connections
                .get(index)
                .and_then(|connection| connection.local),
            Way::None => None,
        }
    }
}

impl Local {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let pools = shared.upstreams.iter().map(|_| Pool::default()).collect();
        Self {
            shared,
            slots: Slots::default(),
            pools,
            twins: Twins::default(),
            clock: Clock::default(),
            held: VecDeque::new(),
        }
    }

    /// Sends a query on its way.
    pub(crate) fn begin(
        this: &Arc<Mutex<Self>>,
        upstream: usize,
        query: &[u8],
        protocol: Protocol,
        woken: &mut Vec<Waker>,
    ) -> Result<Ticket, ExchangeError> {
        let question_end = wire::question_end(query).ok_or(ExchangeError::Malformed)?;
        if query.len() > usize::from(u16::MAX) {
            return Err(ExchangeError::Malformed);
        }
        let now = Instant::now();
        let mut guard = this.lock();
        let local = &mut *guard;
        let Some(ticket) = local.slots.take(MAX_WAITING, now) else {
            local.shared.observer.busy(upstream);
            return Err(ExchangeError::Busy);
        };
        if let Some(slot) = local.slots.get(ticket) {
            slot.message.extend_from_slice(query);
            slot.question_end = question_end;
            slot.upstream = upstream;
        }
        let protocol = match local.shared.upstreams[upstream].target.protocol() {
            None if protocol == Protocol::Udp => match local.join_twins(ticket, upstream) {
                Twin::Follows => return Ok(ticket),
                Twin::GoesBy(protocol) => protocol,
            },
            None => Protocol::Tcp,
            Some(protocol) => protocol,
        };
        let sent = match protocol {
            Protocol::Udp => local.send_udp(this, ticket, now, woken),
            _ => local.send_on_connection(this, ticket, now, None, woken),
        };
        if let Err(error) = sent {
            local.leave_twins(ticket);
            woken.extend(local.slots.release(ticket));
            return Err(error);
        }
        let pool = &mut local.pools[upstream];
        pool.sent.push_back((now, ticket));
        pool.waiting += 1;
        let timeout = local.shared.options.read_timeout;
        let suspicious = pool.round_trip.suspicious();
        // An only upstream is not watched.
        let due = if local.pools.len() < 2 {
            timeout
        } else {
            suspicious.min(timeout)
        };
        local.clock.wake_by(this, now + due);
        Ok(ticket)
    }

    fn join_twins(&mut self, ticket: Ticket, upstream: usize) -> Twin {
        let Some(slot) = self.slots.get(ticket) else {
            return Twin::GoesBy(Protocol::Udp);
        };
        match self
            .twins
            .enter(&slot.message[wire::HEADER_LEN..slot.question_end], ticket)
        {
            Advice::Send(hash) => {
                slot.twin = Some(hash);
                Twin::GoesBy(Protocol::Udp)
            }
            Advice::Enough(leader) => {
                let message = std::mem::take(&mut slot.message);
                let follows = self.slots.is_waiting(leader)
                    && self.slots.get(leader).is_some_and(|leader| {
                        leader.upstream == upstream && leader.message.get(2..) == message.get(2..)
                    });
                if let Some(slot) = self.slots.get(ticket) {
                    slot.message = message;
                }
                if !follows {
                    return Twin::GoesBy(Protocol::Tcp);
                }
                if let Some(leader) = self.slots.get(leader) {
                    leader.followers.push(ticket);
                }
                Twin::Follows
            }
        }
    }

    fn leave_twins(&mut self, ticket: Ticket) {
        if let Some(hash) = self.slots.get(ticket).and_then(|slot| slot.twin.take()) {
            self.twins.leave(hash);
        }
    }

    pub(super) fn answered(
        &mut self,
        ticket: Ticket,
        response: Response,
        protocol: Protocol,
        now: Instant,
        woken: &mut Vec<Waker>,
    ) {
        let Some(slot) = self.slots.get(ticket) else {
            return;
        };
        let upstream = slot.upstream;
        let pool = &mut self.pools[upstream];
        let elapsed = now.saturating_duration_since(slot.sent);
        pool.round_trip.add(elapsed);
        pool.heard = Some(now);
        self.shared.answered(upstream, now);
        let id = slot.id;
        let way = std::mem::replace(&mut slot.way, Way::None);
        let local = pool.local_address(way);
        match way {
            Way::Udp(index) => pool.udp.answered(index, id),
            Way::Connection(index) => pool.connections.finish(index, id, Some(now)),
            Way::None => {}
        }
        let reply = Reply {
            response,
            protocol,
            elapsed,
            local,
        };
        self.end(ticket, Ok(reply), woken);
    }

    /// No answer came in time.
    pub(crate) fn timed_out(&mut self, ticket: Ticket, woken: &mut Vec<Waker>) {
        let Some(slot) = self.slots.get(ticket) else {
            return;
        };
        let (upstream, way, sent) = (slot.upstream, slot.way, slot.sent);
        let route = self.route(upstream, way);
        let error = if self.is_handshaking(upstream, way) {
            self.shared.observer.handshake_failed(upstream);
            ExchangeError::fault("dial", route, Fault::new("tls handshake", "i/o timeout"))
        } else {
            ExchangeError::Timeout(Box::new(route))
        };
        self.end(ticket, Err(error), woken);
        if let Way::Connection(index) = way {
            self.pools[upstream].connections.timed_out(index, sent);
        }
    }

    /// An error without a question stands as the answer, since nothing better came.
    pub(crate) fn use_bare_error(&mut self, ticket: Ticket, now: Instant, woken: &mut Vec<Waker>) {
        if let Some(response) = self.slots.get(ticket).and_then(|slot| slot.bare_error.take()) {
            self.answered(ticket, response, Protocol::Udp, now, woken);
        }
    }

    /// The query is over: its owner and its followers learn how.
    pub(crate) fn end(
        &mut self,
        ticket: Ticket,
        result: Result<Reply, ExchangeError>,
        woken: &mut Vec<Waker>,
    ) {
        if !self.slots.is_waiting(ticket) {
            return;
        }
        self.detach(ticket);
        let Some(slot) = self.slots.get(ticket) else {
            return;
        };
        for follower in std::mem::take(&mut slot.followers) {
            if let Some(slot) = self.slots.get(follower) {
                slot.phase = Phase::Done(result.clone());
                woken.extend(slot.waker.take());
            }
        }
        let Some(slot) = self.slots.get(ticket) else {
            return;
        };
        slot.phase = Phase::Done(result);
        woken.extend(slot.waker.take());
        if slot.orphan {
            woken.extend(self.slots.release(ticket));
        }
    }

    /// Takes a query off its socket or connection, and out of the counts.
    fn detach(&mut self, ticket: Ticket) {
        self.leave_twins(ticket);
        let Some(slot) = self.slots.get(ticket) else {
            return;
        };
        let (upstream, way, id) = (slot.upstream, slot.way, slot.id);
        slot.way = Way::None;
        let pool = &mut self.pools[upstream];
        pool.waiting = pool.waiting.saturating_sub(1);
        match way {
            Way::Udp(index) => pool.udp.give_up(index, id),
            Way::Connection(index) => pool.connections.finish(index, id, None),
            Way::None => {}
        }
    }

    /// The owner of a query has gone. With followers, it goes on for them.
    pub(crate) fn abandon(&mut self, ticket: Ticket) -> Option<Waker> {
        let waiting = self.slots.is_waiting(ticket);
        let slot = self.slots.get(ticket)?;
        if waiting && !slot.followers.is_empty() {
            slot.orphan = true;
            return slot.waker.take();
        }
        if waiting && slot.way != Way::None {
            self.detach(ticket);
        }
        self.slots.release(ticket)
    }

    /// Tells the owners of all queries that wait for an upstream that it has fallen silent.
    pub(crate) fn notice_silence(&mut self, upstream: usize, woken: &mut Vec<Waker>) {
        for (_, ticket) in &self.pools[upstream].sent {
            if self.slots.is_waiting(*ticket)
                && let Some(slot) = self.slots.get(*ticket)
                && slot.silence == Silence::Unnoticed
            {
                slot.notice(woken);
                for follower in slot.followers.clone() {
                    if let Some(slot) = self.slots.get(follower) {
                        slot.notice(woken);
                    }
                }
            }
        }
    }

    fn route(&self, upstream: usize, way: Way) -> Route {
        let protocol = match way {
            Way::Connection(_) => self.connection_protocol(upstream),
            Way::Udp(_) | Way::None => Protocol::Udp,
        };
        Route {
            protocol,
            local: self.pools[upstream].local_address(way),
            peer: Arc::clone(&self.shared.upstreams[upstream].peer),
        }
    }

    /// What the connections to an upstream carry.
    fn connection_protocol(&self, upstream: usize) -> Protocol {
        let target = &self.shared.upstreams[upstream].target;
        target.protocol().unwrap_or(Protocol::Tcp)
    }

    fn is_handshaking(&self, upstream: usize, way: Way) -> bool {
        let Way::Connection(index) = way else { return false };
        let connection = self.pools[upstream].connections.get(index);
        connection.is_some_and(|connection| connection.stage == Stage::Handshake)
    }

    /// Closes everything. The queries that wait are given up.
    pub(crate) fn close(&mut self) {
        self.clock.stop();
        for pool in &mut self.pools {
            pool.udp = Sockets::default();
            pool.connections = Connections::default();
        }
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.pools.iter().map(|pool| pool.waiting))
            .finish()
    }
}

impl Slot {
    fn notice(&mut self, woken: &mut Vec<Waker>) {
        self.silence = Silence::Noticed;
        woken.extend(self.waker.take());
    }
}

enum Twin {
    /// Another query's answer is its answer.
    Follows,
    GoesBy(Protocol),
}
