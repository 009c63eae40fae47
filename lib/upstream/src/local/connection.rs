//! A worker's queries on connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

use catena_core::message::Response;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Local;
use crate::connection::{self, End, Outgoing, Place, Stage};
use crate::connections::{Chosen, Connection, Need};
use crate::error::{ExchangeError, Failure, Route};
use crate::slots::{Ticket, Way};
use crate::udp::Addressee;
use crate::wire::{self, Verdict};

impl Local {
    /// Sends a query on a connection. `lost` is when it was lost on another one.
    pub(super) fn send_on_connection(
        &mut self,
        this: &Arc<Mutex<Self>>,
        ticket: Ticket,
        now: Instant,
        lost: Option<Instant>,
        woken: &mut Vec<Waker>,
    ) -> Result<(), ExchangeError> {
        let Some(upstream) = self.slots.get(ticket).map(|slot| slot.upstream) else {
            return Ok(());
        };
        let protocol = self.connection_protocol(upstream);
        let pool = &mut self.pools[upstream];
        let need = Need {
            protocol,
            now,
            patience: pool.round_trip.suspicious(),
            lost,
        };
        let chosen = pool.connections.choose(&need, &self.shared.options);
        // Workers have connections of their own; what counts is whether the server talks to the upstream already.
        let path = (upstream, protocol);
        let had = self
            .shared
            .use_path(path, now, &self.shared.options, lost.is_some());
        let (index, kept) = match chosen {
            Chosen::Kept(index) => {
                pool.connections.mark_kept(index);
                (index, true)
            }
            Chosen::Fresh(index, key) => {
                let place = Place { upstream, index, key };
                let serving = connection::serve(Arc::clone(this), Arc::clone(&self.shared), place);
                let task = tokio::spawn(serving);
                pool.connections.set_task(index, task.abort_handle());
                (index, false)
            }
            Chosen::None => {
                self.shared.observer.busy(upstream);
                return Err(ExchangeError::Busy);
            }
        };
        // With an age limit a worker's connection may be younger than the path, whose end is what counts.
        let counts_as_kept = had || (kept && self.shared.options.max_age.is_none());
        self.shared
            .observer
            .connection(upstream, protocol, counts_as_kept);
        let id = pool.connections.assign(index, ticket.slot, now)?;
        let Some(slot) = self.slots.get(ticket) else {
            return Ok(());
        };
        slot.message[..2].copy_from_slice(&id.to_be_bytes());
        slot.id = id;
        slot.way = Way::Connection(index);
        woken.extend(pool.connections.send(index, &slot.message, now));
        Ok(())
    }

    /// A connection has come so far.
    pub(crate) fn connection_stage(&mut self, place: Place, stage: Stage, address: Option<SocketAddr>) {
        let connections = &mut self.pools[place.upstream].connections;
        if let Some(connection) = connections.with_key(place.index, place.key) {
            connection.local = address;
            connection.stage = stage;
        }
    }

    /// Whether a connection takes one query after the other.
    pub(crate) fn connection_is_serial(&mut self, place: Place, is_serial: bool) {
        let connections = &mut self.pools[place.upstream].connections;
        connections.set_serial(place.index, place.key, is_serial);
    }

    /// Gives the task of a connection what it has to send; false if it is to end.
    pub(crate) fn take_outgoing(&mut self, place: Place, outgoing: &mut Outgoing, waker: &Waker) -> bool {
        let connections = &mut self.pools[place.upstream].connections;
        connections
            .with_key(place.index, place.key)
            .map(|connection| connection.take_outgoing(outgoing, waker))
            .is_some()
    }

    /// A connection that ends has not sent these frames.
    pub(crate) fn give_back(&mut self, place: Place, unsent: &[u8]) {
        let connections = &mut self.pools[place.upstream].connections;
        if let Some(connection) = connections.with_key(place.index, place.key) {
            connection.give_back(unsent);
        }
    }

    /// Takes a message that arrived on a connection; false if the connection is to end.
    pub(crate) fn message(
        &mut self,
        place: Place,
        message: &[u8],
        now: Instant,
        woken: &mut Vec<Waker>,
    ) -> bool {
        let Place { upstream, index, key } = place;
        let protocol = self.connection_protocol(upstream);
        let connections = &mut self.pools[upstream].connections;
        if connections.with_key(index, key).is_none() {
            return false;
        }
        let addressee = match message.first_chunk::<2>() {
            Some(id) => connections.addressee(index, u16::from_be_bytes(*id)),
            None => Addressee::Nobody,
        };
        let ticket = match addressee {
            Addressee::Used => return true,
            Addressee::Nobody => None,
            Addressee::Slot(slot) => self.slots.ticket(slot),
        };
        if let Some((ticket, response)) = ticket.and_then(|ticket| self.read_frame(ticket, message)) {
            self.answered(ticket, response, protocol, now, woken);
            return true;
        }
        self.shared.observer.foreign(upstream);
        // On its stream, nothing else can come.
        if let Some(ticket) = ticket.filter(|_| protocol.has_streams()) {
            let error = match Response::from_wire(message.to_vec()) {
                Ok(response) if response.qr() => ExchangeError::OtherQuestion,
                _ => {
                    ExchangeError::failure(self.route(upstream, Way::Connection(index)), Failure::Unreadable)
                }
            };
            self.end(ticket, Err(error), woken);
        }
        !self.pools[upstream].connections.count_foreign(index)
    }

    /// A query failed on a connection that goes on.
    pub(crate) fn query_failed(
        &mut self,
        this: &Arc<Mutex<Self>>,
        place: Place,
        id: u16,
        failure: Failure,
        woken: &mut Vec<Waker>,
    ) {
        let Place { upstream, index, key } = place;
        if failure == Failure::Oversized {
            self.shared.observer.oversized(upstream);
        }
        let connections = &mut self.pools[upstream].connections;
        if connections.with_key(index, key).is_none() {
            return;
        }
        let Addressee::Slot(slot) = connections.addressee(index, id) else {
            return;
        };
        let Some(ticket) = self.slots.ticket(slot) else {
            return;
        };
        if matches!(failure, Failure::Lost(_)) && self.take_off(ticket, index, id) {
            // The same connection may do: what one stream was refused, a later one often is not.
            if let Err(error) = self.send_on_connection(this, ticket, Instant::now(), None, woken) {
                self.end(ticket, Err(error), woken);
            }
            return;
        }
        let route = self.route(upstream, Way::Connection(index));
        self.end(ticket, Err(ExchangeError::failure(route, failure)), woken);
    }

    /// Takes a query off a connection that refuses it, if it is worth another.
    fn take_off(&mut self, ticket: Ticket, index: u32, id: u16) -> bool {
        let Some(slot) = self.slots.get(ticket) else {
            return false;
        };
        let connections = &mut self.pools[slot.upstream].connections;
        let worth = connections.get(index).map_or(0, Connection::resends);
        if slot.resent >= worth {
            return false;
        }
        slot.resent += 1;
        slot.way = Way::None;
        connections.finish(index, id, None);
        true
    }

    /// Reads a message as the answer to a query, if it is. Over TCP, an error without a question is the upstream's.
    fn read_frame(&mut self, ticket: Ticket, message: &[u8]) -> Option<(Ticket, Response)> {
        let slot = self.slots.get(ticket)?;
        // It must be a response at all.
        wire::response_id(message)?;
        let response = match wire::judge(&slot.message, slot.question_end, message) {
            Verdict::Answer => wire::read(message, slot.question_end)?,
            Verdict::BareError => Response::from_wire(message.to_vec()).ok()?,
            Verdict::Foreign => return None,
        };
        Some((ticket, response))
    }

    /// A connection ended: its queries are sent again if that may help, and fail otherwise.
    pub(crate) fn connection_ended(this: &Arc<Mutex<Self>>, place: Place, end: &End, woken: &mut Vec<Waker>) {
        let now = Instant::now();
        let mut guard = this.lock();
        let local = &mut *guard;
        let Place { upstream, index, key } = place;
        let route = local.route(upstream, Way::Connection(index));
        let pool = &mut local.pools[upstream];
        let Some(connection) = pool.connections.with_key(index, key) else {
            return;
        };
        let error = match end {
            End::Dial(fault) => {
                if connection.stage == Stage::Handshake {
                    local.shared.observer.handshake_failed(upstream);
                }
                // The address on this side is none that anybody knows the connection by.
                let route = Route { local: None, ..route };
                ExchangeError::fault("dial", route, fault.clone())
            }
            End::Broken(fault) => ExchangeError::fault("read", route, fault.clone()),
            End::Closed => ExchangeError::Closed,
        };
        local.shared.lose_stream(upstream);
        let worth = match end {
            End::Dial(_) => 0,
            End::Broken(_) | End::Closed => connection.resends(),
        };
        // What waited behind others on a connection that brought answers is none the worse for it.
        let unsent = if connection.has_answered() {
            connection.unsent()
        } else {
            Vec::new()
        };
        let waiting = pool.connections.slots_of(index);
        pool.connections.close(index);
        for slot in waiting {
            let Some(ticket) = local.slots.ticket(slot) else {
                continue;
            };
            let Some(slot) = local.slots.get(ticket) else {
                continue;
            };
            slot.way = Way::None;
            let lost_before = slot.resent;
            let was_sent = !unsent.contains(&slot.id);
            slot.resent = lost_before.saturating_add(u8::from(was_sent));
            let ended = if lost_before < worth {
                // The upstream may have closed all others, too: what it was sent goes on a new one.
                local.send_on_connection(this, ticket, now, was_sent.then_some(now), woken)
            } else {
                Err(error.clone())
            };
            if let Err(error) = ended {
                local.end(ticket, Err(error), woken);
            }
        }
    }
}
