//! A worker's queries over TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

use catena_core::message::Response;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Local;
use crate::error::{ExchangeError, Protocol};
use crate::slots::{Ticket, Way};
use crate::stream::{self, End, Place};
use crate::tcp::Chosen;
use crate::udp::Addressee;
use crate::wire::{self, Verdict};

impl Local {
    pub(super) fn send_tcp(
        &mut self,
        this: &Arc<Mutex<Self>>,
        ticket: Ticket,
        now: Instant,
        fresh_only: bool,
        woken: &mut Vec<Waker>,
    ) -> Result<(), ExchangeError> {
        let Some(slot) = self.slots.get(ticket) else {
            return Ok(());
        };
        let upstream = slot.upstream;
        let pool = &mut self.pools[upstream];
        let chosen = pool.tcp.choose(now, &self.shared.options, fresh_only);
        // Workers have connections of their own; what counts is whether the server talks to the upstream already.
        let had = self
            .shared
            .use_path((upstream, Protocol::Tcp), now, &self.shared.options, fresh_only);
        let kept = matches!(chosen, Chosen::Kept(_));
        self.shared
            .observer
            .connection(upstream, Protocol::Tcp, kept || had);
        let index = match chosen {
            Chosen::Kept(index) => {
                pool.tcp.mark_kept(index);
                index
            }
            Chosen::Fresh(index, key) => {
                let place = Place { upstream, index, key };
                let task = tokio::spawn(stream::serve(Arc::clone(this), Arc::clone(&self.shared), place));
                pool.tcp.set_task(index, task.abort_handle());
                index
            }
        };
        let id = pool.tcp.assign(index, ticket.slot)?;
        slot.message[..2].copy_from_slice(&id.to_be_bytes());
        slot.id = id;
        slot.way = Way::Tcp(index);
        woken.extend(pool.tcp.send(index, &slot.message, now));
        Ok(())
    }

    /// A connection is there.
    pub(crate) fn tcp_connected(&mut self, place: Place, address: Option<SocketAddr>) {
        if let Some(connection) = self.pools[place.upstream].tcp.with_key(place.index, place.key) {
            connection.local = address;
        }
    }

    /// Gives the task of a connection what it has to write; false if it is to end.
    pub(crate) fn tcp_take(&mut self, place: Place, empty: &mut Vec<u8>, waker: &Waker) -> bool {
        let connection = self.pools[place.upstream].tcp.with_key(place.index, place.key);
        connection
            .map(|connection| connection.swap_out(empty, waker))
            .is_some()
    }

    /// Takes a message that arrived on a connection; false if the connection is to end.
    pub(crate) fn tcp_message(
        &mut self,
        place: Place,
        message: &[u8],
        now: Instant,
        woken: &mut Vec<Waker>,
    ) -> bool {
        let Place { upstream, index, key } = place;
        let tcp = &mut self.pools[upstream].tcp;
        if tcp.with_key(index, key).is_none() {
            return false;
        }
        let addressee = match wire::response_id(message) {
            Some(id) => tcp.addressee(index, id),
            None => Addressee::Nobody,
        };
        let ticket = match addressee {
            Addressee::Used => return true,
            Addressee::Nobody => None,
            Addressee::Slot(slot) => self.slots.ticket(slot),
        };
        if let Some((ticket, response)) = ticket.and_then(|ticket| self.read_frame(ticket, message)) {
            self.answered(ticket, response, Protocol::Tcp, now, woken);
            return true;
        }
        self.shared.observer.foreign(upstream);
        !self.pools[upstream].tcp.count_foreign(index)
    }

    /// Reads a message as the answer to a query, if it is. Over TCP, an error without a question is the upstream's.
    fn read_frame(&mut self, ticket: Ticket, message: &[u8]) -> Option<(Ticket, Response)> {
        let slot = self.slots.get(ticket)?;
        let response = match wire::judge(&slot.message, slot.question_end, message) {
            Verdict::Answer => wire::read(message, slot.question_end)?,
            Verdict::BareError => Response::from_wire(message.to_vec()).ok()?,
            Verdict::Foreign => return None,
        };
        Some((ticket, response))
    }

    /// A connection ended: its queries are sent again if it was a kept one, once, and fail otherwise.
    pub(crate) fn tcp_ended(this: &Arc<Mutex<Self>>, place: Place, end: &End, woken: &mut Vec<Waker>) {
        let now = Instant::now();
        let mut guard = this.lock();
        let local = &mut *guard;
        let Place { upstream, index, key } = place;
        let pool = &mut local.pools[upstream];
        if pool.tcp.with_key(index, key).is_none() {
            return;
        }
        local.shared.lose_stream(upstream);
        let again = !matches!(end, End::Dial(_)) && pool.tcp.is_kept(index);
        let waiting = pool.tcp.slots_of(index);
        let route = local.route(upstream, Protocol::Tcp, Way::Tcp(index));
        let error = match end {
            End::Dial(error) => ExchangeError::network("dial", route, "connect", error),
            End::Broken(error) => ExchangeError::network("read", route, "read", error),
            End::Closed => ExchangeError::Closed,
        };
        local.pools[upstream].tcp.close(index);
        for ticket in waiting
            .into_iter()
            .filter_map(|slot| local.slots.ticket(slot))
            .collect::<Vec<_>>()
        {
            let Some(slot) = local.slots.get(ticket) else {
                continue;
            };
            slot.way = Way::None;
            let ended = if again && !std::mem::replace(&mut slot.resent, true) {
                local.send_tcp(this, ticket, now, true, woken)
            } else {
                Err(error.clone())
            };
            if let Err(error) = ended {
                local.end(ticket, Err(error), woken);
            }
        }
    }
}
