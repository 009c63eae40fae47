//! A worker's clock for its queries: one task for all of them, in place of a timer for each.
//!
//! Queries to an upstream time out in the order in which they were sent, so it is enough to look at the first one
//! that still waits.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::connection::wake;
use crate::local::Local;

/// How long an error without a question is held back, in case the real answer is still to come.
pub(crate) const HOLD: Duration = Duration::from_millis(100);

/// While an upstream is under suspicion, it is looked at this often.
const SUSPICION_STEP: Duration = Duration::from_millis(20);

/// So many unanswered queries are suspicious; of fewer, only after three times the time.
const SUSPICIOUS_QUERIES: usize = 3;

/// The task, and when it wakes by itself.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    task: Option<AbortHandle>,
    wakes_at: Option<Instant>,
    notify: Arc<Notify>,
}

impl Clock {
    /// Makes sure that the clock ticks at `due` or before. Starts it if it does not run.
    pub(crate) fn wake_by(&mut self, local: &Arc<Mutex<Local>>, due: Instant) {
        if self.task.as_ref().is_none_or(AbortHandle::is_finished) {
            self.wakes_at = Some(due);
            let task = tokio::spawn(run(Arc::clone(local), Arc::clone(&self.notify)));
            self.task = Some(task.abort_handle());
        }
        self.wake_sooner(due);
    }

    /// Makes the next tick come at `due`, if it would come later.
    pub(crate) fn wake_sooner(&mut self, due: Instant) {
        if self.wakes_at.is_none_or(|at| due < at) {
            self.wakes_at = Some(due);
            self.notify.notify_one();
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn run(local: Arc<Mutex<Local>>, notify: Arc<Notify>) {
    let mut woken = Vec::new();
    loop {
        let next = {
            let mut local = local.lock();
            let next = local.tick(Instant::now(), &mut woken);
            local.clock.wakes_at = next;
            next
        };
        wake(&mut woken);
        match next {
            // Which of both it was does not matter.
            Some(at) => timeout_at(at, notify.notified()).await.unwrap_or_default(),
            None => notify.notified().await,
        }
    }
}

impl Local {
    /// Does what is due at `now`, and says when the next thing will be.
    pub(crate) fn tick(&mut self, now: Instant, woken: &mut Vec<Waker>) -> Option<Instant> {
        let mut next = self.release_held(now, woken);
        for upstream in 0..self.pools.len() {
            let first = self.expire(upstream, now, woken);
            let due = first.map(|sent| sent + self.shared.options.read_timeout);
            let look = first.and_then(|_| self.watch(upstream, now, woken));
            next = [next, due, look, self.tidy(upstream, now)]
                .into_iter()
                .flatten()
                .min();
        }
        next
    }

    /// Errors without a question become answers when their time is over.
    fn release_held(&mut self, now: Instant, woken: &mut Vec<Waker>) -> Option<Instant> {
        while let Some(&(due, ticket)) = self.held.front() {
            if due > now {
                return Some(due);
            }
            self.held.pop_front();
            self.use_bare_error(ticket, now, woken);
        }
        None
    }

    /// Ends the queries that waited for too long. Gives back when the oldest was sent that still waits.
    fn expire(&mut self, upstream: usize, now: Instant, woken: &mut Vec<Waker>) -> Option<Instant> {
        let timeout = self.shared.options.read_timeout;
        loop {
            let &(sent, ticket) = self.pools[upstream].sent.front()?;
            if self.slots.is_waiting(ticket) {
                if sent + timeout > now {
                    self.compact(upstream);
                    return Some(sent);
                }
                self.timed_out(ticket, woken);
            }
            self.pools[upstream].sent.pop_front();
        }
    }

    /// One query that waits must not keep the entries of all later ones in memory.
    fn compact(&mut self, upstream: usize) {
        let pool = &mut self.pools[upstream];
        if pool.sent.len() > 4 * pool.waiting + 1024 {
            let slots = &self.slots;
            pool.sent.retain(|(_, ticket)| slots.is_waiting(*ticket));
        }
    }

    /// Finds out whether the upstream, for which queries wait, has fallen silent. Gives back when to look again.
    fn watch(&mut self, upstream: usize, now: Instant, woken: &mut Vec<Waker>) -> Option<Instant> {
        if self.pools.len() < 2 {
            return None;
        }
        let suspicious = self.pools[upstream].round_trip.suspicious();
        // What was sent before the upstream was last heard of may be slow, or lost by itself.
        let (since, count) = self.unanswered_since_heard(upstream);
        let Some(since) = since else {
            return Some(now + suspicious);
        };
        let patience = if count < SUSPICIOUS_QUERIES {
            3 * suspicious
        } else {
            suspicious
        };
        if now < since + patience {
            let first_look = since + suspicious;
            return Some(if now < first_look {
                first_look
            } else {
                since + patience
            });
        }
        self.suspect(upstream, since, woken);
        Some(now + SUSPICION_STEP)
    }

    /// The first query that waits of those that were sent after the upstream was last heard of, and how many there are,
    /// counted as far as it matters.
    fn unanswered_since_heard(&self, upstream: usize) -> (Option<Instant>, usize) {
        let pool = &self.pools[upstream];
        let heard = pool.heard.max(self.shared.last_heard(upstream));
        let start = pool
            .sent
            .partition_point(|(sent, _)| heard.is_some_and(|heard| *sent <= heard));
        let waiting = pool
            .sent
            .range(start..)
            .filter(|(_, ticket)| self.slots.is_waiting(*ticket));
        let mut first = None;
        let mut count = 0;
        for (sent, _) in waiting.take(SUSPICIOUS_QUERIES) {
            first.get_or_insert(*sent);
            count += 1;
        }
        (first, count)
    }

    /// The upstream has been quiet `since` then, for too long. It is silent if others are not quiet.
    fn suspect(&mut self, upstream: usize, since: Instant, woken: &mut Vec<Waker>) {
        let has_heard = |other: usize| {
            self.pools[other]
                .heard
                .max(self.shared.last_heard(other))
                .is_some_and(|heard| heard >= since)
        };
        let others = (0..self.pools.len()).filter(|&other| other != upstream);
        if self.shared.is_silent(upstream) || others.clone().any(has_heard) {
            self.shared.fell_silent(upstream);
            self.notice_silence(upstream, woken);
            return;
        }
        // Nobody asked the others meanwhile, or they do not answer either.
        for other in others.filter(|&other| self.pools[other].waiting == 0) {
            self.shared.glance(other);
        }
    }

    fn tidy(&mut self, upstream: usize, now: Instant) -> Option<Instant> {
        let options = &self.shared.options;
        let pool = &mut self.pools[upstream];
        let udp = pool.udp.tidy(now, options);
        [udp, pool.connections.tidy(now, options)]
            .into_iter()
            .flatten()
            .min()
    }
}
