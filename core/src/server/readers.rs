//! Streams whose query is not whole yet. They have places that others wait for, so that the slowest give way.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How long a stream may take for its query while others wait for its place. A query of several packets is whole sooner.
pub(super) const GRACE: Duration = Duration::from_millis(250);

/// Entries of streams that have ended, from which on they are looked for.
const MANY: usize = 4096;

/// The streams of a listener that are read, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Readers {
    queue: Mutex<VecDeque<(Instant, Weak<Notify>)>>,
}

/// A stream that is read; it has ended with this value.
#[derive(Debug)]
pub(super) struct Reader(Arc<Notify>);

impl Readers {
    /// A stream begins to wait for the rest of its query.
    pub(super) fn enter(&self) -> Reader {
        let notify = Arc::new(Notify::new());
        let mut queue = self.queue.lock();
        if queue.len() == queue.capacity() && queue.len() >= MANY {
            queue.retain(|(_, reader)| reader.strong_count() > 0);
        }
        queue.push_back((Instant::now(), Arc::downgrade(&notify)));
        Reader(notify)
    }

    /// Tells the stream that has been read for longest to give up, if that is longer than [`GRACE`].
    pub(super) fn dismiss_oldest(&self) {
        let mut queue = self.queue.lock();
        while let Some((since, reader)) = queue.front() {
            match reader.upgrade() {
                Some(_) if since.elapsed() < GRACE => return,
                Some(reader) => {
                    reader.notify_one();
                    queue.pop_front();
                    return;
                }
                None => drop(queue.pop_front()),
            }
        }
    }
}

impl Reader {
    /// Waits until the stream is to give up.
    pub(super) async fn dismissed(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn the_oldest_that_is_slow_gives_way_and_ended_ones_are_passed_over() {
        let readers = Readers::default();
        let (ended, first, second) = (readers.enter(), readers.enter(), readers.enter());
        drop(ended);
        readers.dismiss_oldest();
        assert!(!is_dismissed(&first), "it may take some time");
        std::thread::sleep(GRACE);
        readers.dismiss_oldest();
        assert!(is_dismissed(&first));
        assert!(!is_dismissed(&second));
        readers.dismiss_oldest();
        assert!(is_dismissed(&second));
        readers.dismiss_oldest();
        assert!(readers.queue.lock().is_empty());
    }

    fn is_dismissed(reader: &Reader) -> bool {
        let mut waiting = std::pin::pin!(reader.dismissed());
        let polled = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        polled.is_ready()
    }
}
