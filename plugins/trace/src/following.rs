//! One query that is followed: its spans while they are under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use catena_core::plugin::Hop;
use parking_lot::Mutex;

use crate::parent::Parent;
use crate::span::{ASK, About, QUERY, Query, Span};

/// Spans of one query; a query seldom has more than twenty. Further ones are lost.
pub(crate) const MAX_SPANS: usize = 256;

/// A query that is followed, among the extensions of its request.
#[derive(Clone, Debug)]
pub(crate) struct Following(Arc<Way>);

#[derive(Debug)]
struct Way {
    trace: u128,
    /// The query's own span.
    id: u64,
    parent: Option<u64>,
    shared: bool,
    start: Moment,
    /// Where the next number comes from.
    numbers: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The innermost span under way, which is around the next one.
    current: u64,
    spans: Vec<Span>,
    lost: u64,
    /// The query is over. Work that goes on behind it is not told of.
    over: bool,
}

/// A point in time for people, and one to measure from.
#[derive(Clone, Copy, Debug)]
struct Moment {
    shown: SystemTime,
    measured: Instant,
}

impl Moment {
    fn now() -> Self {
        Self {
            shown: SystemTime::now(),
            measured: Instant::now(),
        }
    }
}

impl Following {
    /// Begins with a query. Its trace is the client's, if that has one, or a new one with a number of 64 bits, or 128 if it
    /// is to be `wide`. With `share` the query's span is the client's own.
    pub(crate) fn begin(seed: u64, parent: Parent, wide: bool, share: bool) -> Self {
        let numbers = AtomicU64::new(seed);
        let fresh = number(&numbers);
        let (trace, id, parent, shared) = match parent {
            Parent::Span { trace, span, around } if share => (trace, span, around, true),
            Parent::Span { trace, span, .. } => (trace, fresh, Some(span), false),
            Parent::None | Parent::Unsampled => (trace(fresh, wide), fresh, None, false),
        };
        Self(Arc::new(Way {
            trace,
            id,
            parent,
            shared,
            start: Moment::now(),
            numbers,
            state: Mutex::new(State {
                current: id,
                spans: Vec::new(),
                lost: 0,
                over: false,
            }),
        }))
    }

    /// The number of the trace.
    pub(crate) fn trace(&self) -> u128 {
        self.0.trace
    }

    /// Whether the span of the query is the client's own.
    pub(crate) fn is_shared(&self) -> bool {
        self.0.shared
    }

    /// A plugin begins; what is given ends its span.
    pub(crate) fn enter(&self, plugin: &'static str) -> Hop {
        let id = number(&self.0.numbers);
        let parent = std::mem::replace(&mut self.0.state.lock().current, id);
        Box::new(Stretch {
            way: Arc::clone(&self.0),
            id,
            parent,
            name: plugin,
            start: Moment::now(),
            upstream: None,
        })
    }

    /// Another server is asked; what is given ends that span.
    pub(crate) fn ask(&self, upstream: SocketAddr) -> Hop {
        let parent = self.0.state.lock().current;
        Box::new(Stretch {
            way: Arc::clone(&self.0),
            id: number(&self.0.numbers),
            parent,
            name: ASK,
            start: Moment::now(),
            upstream: Some(upstream),
        })
    }

    /// Ends with the query; gives its spans, its own one last, and how many were lost.
    pub(crate) fn end(&self, query: Query) -> (Vec<Span>, u64) {
        let way = &self.0;
        let span = Span {
            trace: way.trace,
            id: way.id,
            parent: way.parent,
            name: QUERY,
            start: way.start.shown,
            duration: way.start.measured.elapsed(),
            about: About::Query(Box::new(query)),
        };
        let mut state = way.state.lock();
        state.over = true;
        let mut spans = std::mem::take(&mut state.spans);
        spans.push(span);
        (spans, std::mem::take(&mut state.lost))
    }
}

/// A span of a plugin that is under way.
struct Stretch {
    way: Arc<Way>,
    id: u64,
    parent: u64,
    name: &'static str,
    start: Moment,
    upstream: Option<SocketAddr>,
}

impl Drop for Stretch {
    fn drop(&mut self) {
        let duration = self.start.measured.elapsed();
        let mut state = self.way.state.lock();
        if self.upstream.is_none() {
            state.current = self.parent;
        }
        if state.over {
            return;
        }
        if state.spans.len() >= MAX_SPANS {
            state.lost += 1;
            return;
        }
        state.spans.push(Span {
            trace: self.way.trace,
            id: self.id,
            parent: Some(self.parent),
            name: self.name,
            start: self.start.shown,
            duration,
            about: self.upstream.map_or(About::Plugin, About::Ask),
        });
    }
}

/// The next number, never 0. The sequence is that of splitmix64, which is enough where nothing depends on that nobody
/// guesses it.
fn number(numbers: &AtomicU64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut number = numbers.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (number ^ (number >> 31)).max(1)
}

/// The number of a new trace. Its lower half is that of the query's span, as with Zipkin; the upper half of a wide one is the
/// time in seconds and nought, as with Datadog.
fn trace(id: u64, wide: bool) -> u128 {
    let upper = if wide { seconds() << 32 } else { 0 };
    u128::from(upper) << 64 | u128::from(id)
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::testing::query;

    fn names(spans: &[Span]) -> Vec<(&'static str, Option<&'static str>)> {
        let name_of = |id| {
            spans
                .iter()
                .find(|span| Some(span.id) == id)
                .map(|span| span.name)
        };
        spans
            .iter()
            .map(|span| (span.name, name_of(span.parent)))
            .collect()
    }

    #[test]
    fn spans_lie_within_each_other() {
        let following = Following::begin(7, Parent::None, false, false);
        let outer = following.enter("cache");
        let inner = following.enter("forward");
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        drop(following.ask(upstream));
        drop(following.ask(upstream));
        drop(inner);
        drop(following.enter("forward"));
        drop(outer);
        let (spans, lost) = following.end(query());
        assert_eq!(
            names(&spans),
            [
                ("connect", Some("forward")),
                ("connect", Some("forward")),
                ("forward", Some("cache")),
                ("forward", Some("cache")),
                ("cache", Some("servedns")),
                ("servedns", None)
            ]
        );
        assert_eq!(lost, 0);
        assert!(spans.iter().all(|span| span.trace == following.trace()));
        assert_eq!(following.trace(), spans[5].id.into());
    }

    #[test]
    fn a_client_s_trace_is_gone_on_with() {
        let parent = Parent::Span {
            trace: 1 << 64,
            span: 5,
            around: Some(4),
        };
        for (share, want) in [(false, (None, Some(5))), (true, (Some(5), Some(4)))] {
            let following = Following::begin(7, parent, false, share);
            let (spans, _) = following.end(query());
            let id = share.then_some(spans[0].id);
            assert_eq!((id, spans[0].parent), want, "{share}");
            assert_eq!((spans[0].trace, following.is_shared()), (1 << 64, share));
        }
    }

    #[test]
    fn what_goes_on_behind_the_query_is_not_told_of() {
        let following = Following::begin(7, Parent::None, true, false);
        let left = following.enter("cache");
        assert_eq!(following.end(query()).0.len(), 1);
        drop(left);
        assert_eq!(following.end(query()).0.len(), 1);
        assert!(following.trace() >> 64 > 0);
    }

    #[test]
    fn a_query_has_so_many_spans_and_no_more() {
        let following = Following::begin(7, Parent::None, false, false);
        for _ in 0..MAX_SPANS + 3 {
            drop(following.enter("rewrite"));
        }
        let (spans, lost) = following.end(query());
        assert_eq!((spans.len(), lost), (MAX_SPANS + 1, 3));
    }
}
