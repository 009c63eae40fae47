//! Load where each query has a stream of its own: DNS over HTTPS, HTTP/3 and QUIC.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::task::yield_now;

use super::{Client, LOST_AFTER, STRIDE, Stats};
use crate::query::{Expect, Queries};

/// A connection on which many queries can be asked at once.
pub(super) trait Exchange: Clone + Send + 'static {
    /// Asks query number `query`, and returns the answer.
    fn exchange(&mut self, query: usize) -> impl Future<Output = io::Result<Vec<u8>>> + Send;
}

/// Clients that each keep a number of streams in flight on one connection.
pub struct StreamsLoad {
    runtime: Runtime,
    shared: Arc<Shared>,
}

impl StreamsLoad {
    /// A load on the connections that `open` makes, with `window` streams in flight on each.
    pub(super) fn new<E: Exchange, F: Future<Output = io::Result<E>>>(
        queries: &Queries,
        expect: Expect,
        (connections, window): (usize, usize),
        mut open: impl FnMut() -> F,
    ) -> io::Result<Self> {
        let runtime = runtime()?;
        let shared = Arc::new(Shared {
            queries: queries.clone(),
            expect,
            state: Mutex::new(State {
                stats: Stats::default(),
                next_query: 0,
                in_flight: vec![None; connections * window],
                failure: None,
            }),
        });
        for connection in 0..connections {
            let open = runtime.block_on(open())?;
            for place in 0..window {
                let place = connection * window + place;
                runtime.spawn(ask(open.clone(), Arc::clone(&shared), place));
            }
        }
        Ok(Self { runtime, shared })
    }
}

/// A runtime that lives while it is stepped.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The port from which a client of `server` connects: any.
pub(super) fn any_port(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

impl Client for StreamsLoad {
    fn step(&mut self) -> io::Result<usize> {
        let before = self.shared.state().stats.answered;
        self.runtime.block_on(async {
            for _ in 0..TURNS {
                yield_now().await;
            }
        });
        let mut state = self.shared.state();
        match state.failure.take() {
            Some(error) => Err(error),
            None => Ok(state.stats.answered.saturating_sub(before) as usize),
        }
    }

    fn take_stats(&mut self) -> Stats {
        let mut state = self.shared.state();
        let mut stats = std::mem::take(&mut state.stats);
        for place in &mut state.in_flight {
            if place.is_some_and(|sent| sent.elapsed() > LOST_AFTER) {
                stats.lost += 1;
                *place = None;
            }
        }
        stats
    }
}

/// Asks one query after the other, as long as the connection lives.
async fn ask<E: Exchange>(mut connection: E, shared: Arc<Shared>, place: usize) {
    loop {
        let query = shared.begin(place);
        match connection.exchange(query).await {
            Ok(answer) => shared.end(place, query, &answer),
            Err(error) => {
                shared.state().failure.get_or_insert(error);
                return;
            }
        }
    }
}

struct Shared {
    queries: Queries,
    expect: Expect,
    state: Mutex<State>,
}

struct State {
    stats: Stats,
    next_query: u64,
    in_flight: Vec<Option<Instant>>,
    failure: Option<io::Error>,
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, place: usize) -> usize {
        let mut state = self.state();
        state.next_query = state.next_query.wrapping_add(STRIDE);
        state.in_flight[place] = Some(Instant::now());
        (state.next_query % self.queries.len().max(1) as u64) as usize
    }

    fn end(&self, place: usize, query: usize, answer: &[u8]) {
        // RFC 8484, section 4.1, and RFC 9250, section 4.2.1: the id is 0.
        let is_good = answer.starts_with(&[0, 0]) && self.queries.accepts(query, answer, self.expect);
        let mut state = self.state();
        match state.in_flight[place].take().map(|sent| sent.elapsed()) {
            // It was counted as lost.
            None => state.stats.stray += 1,
            Some(took) if took > LOST_AFTER => state.stats.lost += 1,
            Some(_) if !is_good => state.stats.wrong += 1,
            Some(took) => {
                state.stats.answered += 1;
                state.stats.latency.record(took.as_nanos() as u64);
            }
        }
    }
}

/// How often the runtime looks at its sockets in a step.
const TURNS: usize = 4;
