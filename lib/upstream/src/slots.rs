//! The queries that wait for an answer, each in a slot that its future looks into.

use std::net::SocketAddr;
use std::task::Waker;
use std::time::Duration;

use catena_core::message::Response;
use tokio::time::Instant;

use crate::error::{ExchangeError, Protocol};

/// Names one use of a slot: a slot that was given to another query since does not answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// One query.
#[derive(Debug)]
pub(crate) struct Slot {
    generation: u32,
    pub(crate) phase: Phase,
    pub(crate) waker: Option<Waker>,
    /// The query as it went out. The memory stays with the slot.
    pub(crate) message: Vec<u8>,
    pub(crate) question_end: usize,
    pub(crate) upstream: usize,
    pub(crate) way: Way,
    pub(crate) id: u16,
    pub(crate) sent: Instant,
    /// What its owner knows of the upstream's silence.
    pub(crate) silence: Silence,
    /// How often it was lost with its connection and sent again.
    pub(crate) resent: u8,
    /// An error without a question that came for it; used if nothing better comes.
    pub(crate) bare_error: Option<Response>,
    /// Under which hash it counts as a twin of others.
    pub(crate) twin: Option<u64>,
    /// Equal queries that get the same answer.
    pub(crate) followers: Vec<Ticket>,
    /// Its owner has gone; it is only there for its followers.
    pub(crate) orphan: bool,
}

/// Where a query is in its life.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing here.
    Free,
    /// On its way, or following another.
    Waiting,
    /// Over; to be fetched.
    Done(Result<Reply, ExchangeError>),
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) response: Response,
    pub(crate) protocol: Protocol,
    pub(crate) elapsed: Duration,
    /// Where it arrived.
    pub(crate) local: Option<SocketAddr>,
}

/// How a query went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Not yet, or with another one.
    None,
    /// On the UDP socket with this index.
    Udp(u32),
    /// On the connection with this index, over whatever it runs.
    Connection(u32),
}

/// What the owner of a query has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    Unnoticed,
    /// To be told at the next poll.
    Noticed,
    Told,
}

/// All slots of a worker.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    /// A free slot, or `None` when `limit` of them are taken.
    pub(crate) fn take(&mut self, limit: usize, now: Instant) -> Option<Ticket> {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.phase = Phase::Waiting;
            slot.sent = now;
            return Some(Ticket {
                slot: index,
                generation: slot.generation,
            });
        }
        if self.slots.len() >= limit {
            return None;
        }
        let index = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot {
            generation: 0,
            phase: Phase::Waiting,
            waker: None,
            message: Vec::new(),
            question_end: 0,
            upstream: 0,
            way: Way::None,
            id: 0,
            sent: now,
            silence: Silence::Unnoticed,
            resent: 0,
            bare_error: None,
            twin: None,
            followers: Vec::new(),
            orphan: false,
        });
        Some(Ticket {
            slot: index,
            generation: 0,
        })
    }

    pub(crate) fn get(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(ticket.slot as usize)?;
        (slot.generation == ticket.generation).then_some(slot)
    }

    /// The ticket of the current use of a slot.
    pub(crate) fn ticket(&self, slot: u32) -> Option<Ticket> {
        let generation = self.slots.get(slot as usize)?.generation;
        Some(Ticket { slot, generation })
    }

    /// Whether the query is still on its way.
    pub(crate) fn is_waiting(&self, ticket: Ticket) -> bool {
        self.slots
            .get(ticket.slot as usize)
            .is_some_and(|slot| slot.generation == ticket.generation && matches!(slot.phase, Phase::Waiting))
    }

    /// Gives the slot back, and returns the waker to be dropped where no lock is held.
    pub(crate) fn release(&mut self, ticket: Ticket) -> Option<Waker> {
        let slot = self.get(ticket)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.phase = Phase::Free;
        slot.message.clear();
        slot.way = Way::None;
        slot.silence = Silence::Unnoticed;
        slot.resent = 0;
        slot.bare_error = None;
        slot.twin = None;
        slot.followers.clear();
        slot.orphan = false;
        let waker = slot.waker.take();
        self.free.push(ticket.slot);
        waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_ticket_does_not_open_a_slot_in_its_next_life() {
        let now = Instant::now();
        let mut slots = Slots::default();
        let first = slots.take(1, now).unwrap();
        assert!(slots.take(1, now).is_none(), "the limit holds");
        slots.release(first);
        let second = slots.take(1, now).unwrap();
        assert_eq!(first.slot, second.slot);
        assert!(slots.get(first).is_none() && slots.get(second).is_some());
        assert!(!slots.is_waiting(first) && slots.is_waiting(second));
    }
}
