//! Where answers that took longer wait for the socket that sends them.

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Waker};

use parking_lot::Mutex;

use crate::message::Request;

/// An answer on its way out of a UDP socket.
pub(super) struct Outgoing {
    pub(super) wire: Vec<u8>,
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
    /// Comes back to the pool with the answer's buffer in it.
    pub(super) request: Box<Request>,
}

/// The answers of queries that became tasks, and the waker of the socket's loop. Tasks and loop run on one thread,
/// so the lock is never contended.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answers: Vec<Outgoing>,
    /// Queries that became tasks and have not ended.
    waiting: usize,
    waker: Option<Waker>,
    /// The listener has a new table, or is to end.
    changed: bool,
}

impl Inbox {
    /// A query becomes a task.
    pub(super) fn enter(&self) {
        self.state.lock().waiting += 1;
    }

    /// A task ends, with an answer or without.
    pub(super) fn leave(&self, answer: Option<Outgoing>) {
        let mut state = self.state.lock();
        state.waiting = state.waiting.saturating_sub(1);
        state.answers.extend(answer);
        wake(&mut state);
    }

    /// Makes the loop look at its listener again.
    pub(crate) fn notify_change(&self) {
        let mut state = self.state.lock();
        state.changed = true;
        wake(&mut state);
    }

    /// Queries that became tasks and have not ended.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    /// Moves what has come into `answers` and says whether the listener has changed; registers the waker.
    pub(super) fn take(&self, answers: &mut Vec<Outgoing>, context: &Context<'_>) -> bool {
        let mut state = self.state.lock();
        answers.append(&mut state.answers);
        if !state
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            state.waker = Some(context.waker().clone());
        }
        std::mem::take(&mut state.changed)
    }
}

fn wake(state: &mut State) {
    if let Some(waker) = state.waker.take() {
        waker.wake();
    }
}
