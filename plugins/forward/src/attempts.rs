//! One client's query on its way through the upstreams.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use catena_core::message::Request;
use catena_upstream::random;
use catena_upstream::{Answer, Event, Exchange, ExchangeError, Group, Protocol};

use crate::config::Config;
use crate::metrics::Metrics;
use crate::policy::Order;

/// No new attempt is made later than this after the query came, since the client has gone by then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Failed attempts for each upstream, unless the Corefile says how many there may be in all.
const ATTEMPTS_PER_UPSTREAM: u64 = 2;

/// What one query has tried so far.
pub(crate) struct Attempts<'a> {
    config: &'a Config,
    group: &'a Group,
    metrics: &'a Metrics,
    order: Order,
    /// The place in the order that comes next, and how many before it in this round were down.
    place: usize,
    down: usize,
    failed: u64,
    limit: u64,
    /// It was sent to a second upstream since the first fell silent.
    moved: bool,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(config: &'a Config, group: &'a Group, metrics: &'a Metrics, order: Order) -> Self {
        let default = ATTEMPTS_PER_UPSTREAM * group.len() as u64;
        let limit = config.max_attempts.unwrap_or(default);
        Self {
            config,
            group,
            metrics,
            order,
            place: 0,
            down: 0,
            failed: 0,
            limit,
            moved: false,
        }
    }

    /// Whether there may be another attempt.
    pub(crate) fn may_go_on(&self) -> bool {
        self.limit == 0 || self.failed < self.limit
    }

    /// Whether so many failed that the query is lost.
    pub(crate) fn count_failure(&mut self) {
        self.failed += 1;
    }

    /// The upstream to ask next; `None` if all are down and none is to be asked then.
    pub(crate) fn next_upstream(&mut self) -> Option<usize> {
        let count = self.group.len();
        loop {
            if self.place >= count {
                self.place = 0;
                self.down = 0;
            }
            let upstream = self.order.at(self.place);
            self.place += 1;
            if self.group.is_down(upstream) {
                self.down += 1;
                if self.down < count {
                    continue;
                }
                return self.when_all_are_down();
            }
            if count > 1 && !self.group.admits(upstream) && self.other_than(upstream).is_some() {
                continue;
            }
            return Some(upstream);
        }
    }

    fn when_all_are_down(&self) -> Option<usize> {
        self.metrics.broken.inc();
        if self.config.failfast {
            return None;
        }
        // Probing itself may be what is broken.
        random::below(self.group.len()).ok()
    }

    /// Another upstream that nothing speaks against, the first in the order.
    fn other_than(&self, upstream: usize) -> Option<usize> {
        (0..self.group.len())
            .map(|place| self.order.at(place))
            .find(|&other| other != upstream && self.group.is_fine(other))
    }

    /// Asks an upstream, and another one too if the first falls silent while the query waits. Gives back who answered.
    pub(crate) async fn ask(
        &mut self,
        upstream: usize,
        request: &Request,
        protocol: Protocol,
    ) -> Result<(usize, Answer), ExchangeError> {
        let mut exchange = self.group.exchange(upstream, request.wire(), protocol);
        let first = match exchange.event().await {
            Event::Answer(answer) => Ok((upstream, answer)),
            Event::Failed(error) => Err(error),
            Event::Silence => match self.other_than(upstream) {
                Some(other) if !self.moved => {
                    self.moved = true;
                    let second = self.group.exchange(other, request.wire(), protocol);
                    return self.race([(upstream, exchange), (other, second)]).await;
                }
                _ => exchange.answer().await.map(|answer| (upstream, answer)),
            },
        };
        if first.is_err() {
            self.group.failed(upstream);
        }
        first
    }

    /// Waits for the first answer of two.
    async fn race(
        &mut self,
        mut exchanges: [(usize, Exchange<'_>); 2],
    ) -> Result<(usize, Answer), ExchangeError> {
        let mut failures = 0;
        loop {
            let (upstream, event) = poll_fn(|context| poll_either(&mut exchanges, context)).await;
            match event {
                Event::Answer(answer) => return Ok((upstream, answer)),
                Event::Silence => {}
                Event::Failed(error) => {
                    self.group.failed(upstream);
                    failures += 1;
                    if failures == exchanges.len() {
                        return Err(error);
                    }
                }
            }
        }
    }
}

fn poll_either(
    exchanges: &mut [(usize, Exchange<'_>); 2],
    context: &mut Context<'_>,
) -> Poll<(usize, Event)> {
    for (upstream, exchange) in exchanges {
        if let Poll::Ready(event) = exchange.poll_event(context) {
            return Poll::Ready((*upstream, event));
        }
    }
    Poll::Pending
}
