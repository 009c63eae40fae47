//! A worker's queries over UDP.

use std::io;
use std::sync::Arc;
use std::task::Waker;

use catena_core::message::Response;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Local;
use crate::clock::HOLD;
use crate::connection::Place;
use crate::error::{ExchangeError, Protocol, Route};
use crate::receive;
use crate::slots::{Ticket, Way};
use crate::udp::{Addressee, ChooseError, Fresh};
use crate::wire::{self, Verdict};

impl Local {
    pub(super) fn send_udp(
        &mut self,
        this: &Arc<Mutex<Self>>,
        ticket: Ticket,
        now: Instant,
        woken: &mut Vec<Waker>,
    ) -> Result<(), ExchangeError> {
        let Some(slot) = self.slots.get(ticket) else {
            return Ok(());
        };
        let upstream = slot.upstream;
        let index = self.choose_socket(this, upstream, now)?;
        let pool = &mut self.pools[upstream];
        let id = pool.udp.assign(index, ticket.slot)?;
        let Some(slot) = self.slots.get(ticket) else {
            return Ok(());
        };
        slot.message[..2].copy_from_slice(&id.to_be_bytes());
        slot.id = id;
        slot.way = Way::Udp(index);
        let mut sent = pool.udp.send(index, &slot.message);
        if sent
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            // The system tells now that an earlier query on this socket was refused; this one has not been sent.
            let message = std::mem::take(&mut slot.message);
            slot.way = Way::None;
            self.udp_refused(upstream, index, woken);
            let pool = &mut self.pools[upstream];
            sent = pool.udp.send(index, &message);
            if let Some(slot) = self.slots.get(ticket) {
                slot.message = message;
                slot.way = Way::Udp(index);
            }
        }
        let Err(error) = sent else { return Ok(()) };
        let route = self.route(upstream, Way::Udp(index));
        self.pools[upstream].udp.give_up(index, id);
        Err(ExchangeError::network("write", route, "write", &error))
    }

    fn choose_socket(
        &mut self,
        this: &Arc<Mutex<Self>>,
        upstream: usize,
        now: Instant,
    ) -> Result<u32, ExchangeError> {
        let options = &self.shared.options;
        let state = &self.shared.upstreams[upstream];
        let pool = &mut self.pools[upstream];
        pool.udp.touch(now, options);
        // Another worker's sockets are as good: what counts is whether the server talks to the upstream already.
        let had = self
            .shared
            .use_path((upstream, Protocol::Udp), now, options, false);
        self.shared.observer.connection(upstream, Protocol::Udp, had);
        match pool.udp.choose(&state.target, options, now) {
            Ok((index, None)) => Ok(index),
            Ok((index, Some(Fresh { key, io, .. }))) => {
                let place = Place { upstream, index, key };
                let receiver = tokio::spawn(receive::run(Arc::clone(this), io, place));
                pool.udp.set_receiver(index, receiver.abort_handle());
                Ok(index)
            }
            Err(ChooseError::NoRandomness(error)) => Err(error.into()),
            Err(ChooseError::Io(error)) => {
                let route = Route {
                    protocol: Protocol::Udp,
                    local: None,
                    peer: Arc::clone(&state.peer),
                };
                Err(ExchangeError::network("dial", route, "connect", &error))
            }
        }
    }

    /// Takes a datagram that arrived on a socket.
    pub(crate) fn udp_message(
        &mut self,
        this: &Arc<Mutex<Self>>,
        place: Place,
        message: &[u8],
        now: Instant,
        woken: &mut Vec<Waker>,
    ) {
        let Place { upstream, index, .. } = place;
        let addressee = match wire::response_id(message) {
            Some(id) => self.pools[upstream].udp.addressee(index, id),
            None => Addressee::Nobody,
        };
        let is_foreign = match addressee {
            Addressee::Used => false,
            Addressee::Nobody => true,
            Addressee::Slot(slot) => !self.match_udp(slot, message, now, woken),
        };
        if !is_foreign {
            return;
        }
        self.shared.observer.foreign(upstream);
        if self.pools[upstream].udp.count_foreign(index) {
            self.leave_guessed_socket(this, upstream, index, now, woken);
        }
    }

    /// Whether the datagram belongs to the query in this slot.
    fn match_udp(&mut self, slot: u32, message: &[u8], now: Instant, woken: &mut Vec<Waker>) -> bool {
        let Some(ticket) = self.slots.ticket(slot) else {
            return false;
        };
        let Some(slot) = self.slots.get(ticket) else {
            return false;
        };
        match wire::judge(&slot.message, slot.question_end, message) {
            Verdict::Answer => {
                let Some(response) = wire::read(message, slot.question_end) else {
                    return false;
                };
                self.answered(ticket, response, Protocol::Udp, now, woken);
            }
            Verdict::BareError => {
                if slot.bare_error.is_none() {
                    slot.bare_error = Response::from_wire(message.to_vec()).ok();
                    self.held.push_back((now + HOLD, ticket));
                    self.clock.wake_sooner(now + HOLD);
                }
            }
            Verdict::Foreign => return false,
        }
        true
    }

    /// Somebody guesses at a socket: it is closed, and its queries go over TCP, where there is nothing to guess.
    fn leave_guessed_socket(
        &mut self,
        this: &Arc<Mutex<Self>>,
        upstream: usize,
        index: u32,
        now: Instant,
        woken: &mut Vec<Waker>,
    ) {
        let waiting = self.pools[upstream].udp.slots_of(index);
        self.pools[upstream].udp.close(index);
        for ticket in waiting
            .into_iter()
            .filter_map(|slot| self.slots.ticket(slot))
            .collect::<Vec<_>>()
        {
            if let Some(slot) = self.slots.get(ticket) {
                slot.way = Way::None;
            }
            if let Err(error) = self.send_on_connection(this, ticket, now, None, woken) {
                self.end(ticket, Err(error), woken);
            }
        }
    }

    /// The system says that nobody listens at the upstream: all queries on this socket have failed.
    fn udp_refused(&mut self, upstream: usize, index: u32, woken: &mut Vec<Waker>) {
        let error = io::Error::from(io::ErrorKind::ConnectionRefused);
        self.fail_socket(upstream, index, &error, woken);
    }

    /// Receiving on a socket failed.
    pub(crate) fn udp_failed(&mut self, place: Place, error: &io::Error, woken: &mut Vec<Waker>) {
        if self.is_socket(place) {
            self.fail_socket(place.upstream, place.index, error, woken);
        }
    }

    fn fail_socket(&mut self, upstream: usize, index: u32, error: &io::Error, woken: &mut Vec<Waker>) {
        let route = self.route(upstream, Way::Udp(index));
        for slot in self.pools[upstream].udp.slots_of(index) {
            let Some(ticket) = self.slots.ticket(slot) else {
                continue;
            };
            // The query that is just being sent is no part of it.
            if self
                .slots
                .get(ticket)
                .is_some_and(|slot| slot.way == Way::Udp(index))
            {
                let error = ExchangeError::network("read", route.clone(), "read", error);
                self.end(ticket, Err(error), woken);
            }
        }
    }

    /// Whether the receiver of this socket is still wanted.
    pub(crate) fn is_socket(&self, place: Place) -> bool {
        self.pools[place.upstream].udp.is(place.index, place.key)
    }
}
