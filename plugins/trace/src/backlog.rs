//! Spans that wait to be sent: so many and no more.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics::Metrics;
use crate::span::Span;

/// The spans that wait for one collector. When there are too many, the oldest are lost, as with Zipkin's library.
#[derive(Debug)]
pub(crate) struct Backlog {
    spans: Mutex<VecDeque<Span>>,
    max: usize,
    batch: usize,
    full: Notify,
    metrics: Arc<Metrics>,
}

impl Backlog {
    /// Holds `max` spans, and says so when there are enough for a `batch`.
    pub(crate) fn new(max: usize, batch: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            spans: Mutex::default(),
            max,
            batch,
            full: Notify::new(),
            metrics,
        }
    }

    /// Adds the spans of a query, and notes how many more it had.
    pub(crate) fn add(&self, spans: Vec<Span>, lost: u64) {
        if lost > 0 {
            self.metrics.overlong(lost);
        }
        let (waiting, overflow) = {
            let mut waiting = self.spans.lock();
            waiting.extend(spans);
            let overflow = waiting.len().saturating_sub(self.max);
            waiting.drain(..overflow);
            (waiting.len(), overflow)
        };
        if overflow > 0 {
            self.metrics.overflowed(overflow as u64);
        }
        if waiting >= self.batch {
            self.full.notify_one();
        }
    }

    /// Waits until there are enough for a batch.
    pub(crate) async fn full(&self) {
        self.full.notified().await;
    }

    /// Takes the oldest spans, `most` of them or fewer.
    pub(crate) fn take(&self, most: usize) -> Vec<Span> {
        let mut waiting = self.spans.lock();
        let count = waiting.len().min(most);
        waiting.drain(..count).collect()
    }

    /// Puts back what could not be sent, as far as there is room.
    pub(crate) fn put_back(&self, mut spans: Vec<Span>) {
        let mut waiting = self.spans.lock();
        let room = self.max.saturating_sub(waiting.len());
        let lost = spans.len().saturating_sub(room);
        for span in spans.drain(lost..).rev() {
            waiting.push_front(span);
        }
        drop(waiting);
        if lost > 0 {
            self.metrics.overflowed(lost as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use catena_metrics::Registry;

    use super::*;
    use crate::span::About;
    use crate::target::{Kind, Target};
    use crate::testing::span;

    fn backlog(max: usize) -> (Backlog, Arc<Metrics>) {
        let target = Target::read(Kind::Zipkin, None).unwrap();
        let metrics = Arc::new(Metrics::of(&Registry::default(), &target));
        (Backlog::new(max, 3, Arc::clone(&metrics)), metrics)
    }

    fn spans(names: &[&'static str]) -> Vec<Span> {
        names.iter().map(|name| span(name, About::Plugin)).collect()
    }

    fn names(spans: &[Span]) -> Vec<&'static str> {
        spans.iter().map(|span| span.name).collect()
    }

    #[test]
    fn the_oldest_are_lost() {
        let (backlog, metrics) = backlog(3);
        backlog.add(spans(&["a", "b"]), 0);
        backlog.add(spans(&["c", "d"]), 0);
        assert_eq!(metrics.take_lost(), 1);
        assert_eq!(names(&backlog.take(2)), ["b", "c"]);
        assert_eq!(names(&backlog.take(2)), ["d"]);
    }

    #[test]
    fn what_is_put_back_comes_first_again() {
        let (backlog, metrics) = backlog(3);
        backlog.add(spans(&["a", "b", "c"]), 0);
        let taken = backlog.take(3);
        backlog.add(spans(&["d"]), 0);
        backlog.put_back(taken);
        assert_eq!(metrics.take_lost(), 1);
        assert_eq!(names(&backlog.take(9)), ["b", "c", "d"]);
    }

    #[tokio::test]
    async fn enough_for_a_batch_is_told() {
        let (backlog, _) = backlog(9);
        backlog.add(spans(&["a", "b"]), 0);
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), backlog.full());
        assert!(waiting.await.is_err());
        backlog.add(spans(&["c"]), 0);
        backlog.full().await;
    }
}
