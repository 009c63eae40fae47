//! One client's query on its way through the upstreams.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use catena_core::message::Request;
use catena_core::plugin::{Hop, HopObserver};
use catena_upstream::random;
use catena_upstream::{Answer, Event, Exchange, ExchangeError, Group, Order, Protocol};

use crate::config::Config;
use crate::metrics::Metrics;

/// No new attempt is made later than this after the query came, since the client has gone by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Failed attempts for each upstream, unless the Corefile says how many there may be in all.
const ATTEMPTS_PER_UPSTREAM: u64 = 2;

/// What one query has tried so far.
pub(crate) struct Attempts<'a> {
    config: &'a Config,
    group: &'a Group,
    metrics: &'a Metrics,
    observer: Option<&'a dyn HopObserver>,
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
    pub(crate) fn new(
        config: &'a Config,
        group: &'a Group,
        metrics: &'a Metrics,
        observer: Option<&'a dyn HopObserver>,
        order: Order,
    ) -> Self {
        let default = ATTEMPTS_PER_UPSTREAM * group.len() as u64;
        let limit = config.max_attempts.unwrap_or(default);
        Self {
            config,
            group,
            metrics,
            observer,
            order,
            place: 0,
            down: 0,
            failed: 0,
            limit,
            moved: false,
        }
    }

    /// Whether there may be another attempt.
    pub(crate) fn may_go_on(&self, request: &Request) -> bool {
        (self.limit == 0 || self.failed < self.limit) && request.received().elapsed() < PATIENCE
    }

    /// An attempt failed.
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

    /// Waits for the answer of an upstream that was asked. If it falls silent meanwhile, another one is asked too.
    /// Gives back who answered.
    pub(crate) async fn answer(
        &mut self,
        mut sent: Sent<'_>,
        request: &Request,
        event: Option<Event>,
    ) -> Result<(usize, Answer), ExchangeError> {
        let event = match event {
            Some(event) => event,
            None => sent.exchange.event().await,
        };
        let upstream = sent.upstream;
        let answer = match event {
            Event::Answer(answer) => Ok((upstream, answer)),
            Event::Failed(error) => Err(error),
            Event::Silence => match self.other_than(upstream) {
                Some(other) if !self.moved => {
                    self.moved = true;
                    let second = self.send(other, request, sent.protocol);
                    return self.race([sent, second]).await;
                }
                _ => sent.exchange.answer().await.map(|answer| (upstream, answer)),
            },
        };
        if answer.is_err() {
            self.group.failed(upstream);
        }
        answer
    }

    /// Asks an upstream.
    pub(crate) fn send(&self, upstream: usize, request: &Request, protocol: Protocol) -> Sent<'a> {
        let address = || self.group.address(upstream);
        Sent {
            upstream,
            protocol,
            exchange: self.group.exchange(upstream, request.wire(), protocol),
            _hop: self
                .observer
                .and_then(|observer| observer.ask(request, address())),
        }
    }

    /// Waits for the first answer of two.
    async fn race(&mut self, mut exchanges: [Sent<'_>; 2]) -> Result<(usize, Answer), ExchangeError> {
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

/// A query on its way to an upstream.
pub(crate) struct Sent<'g> {
    pub(crate) upstream: usize,
    pub(crate) protocol: Protocol,
    pub(crate) exchange: Exchange<'g>,
    /// Ends what an observer sees of it.
    _hop: Option<Hop>,
}

fn poll_either(exchanges: &mut [Sent<'_>; 2], context: &mut Context<'_>) -> Poll<(usize, Event)> {
    for sent in exchanges {
        if let Poll::Ready(event) = sent.exchange.poll_event(context) {
            return Poll::Ready((sent.upstream, event));
        }
    }
    Poll::Pending
}
