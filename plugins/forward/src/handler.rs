//! What happens to one query.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use catena_core::message::{QName, Rcode, Request, Response};
use catena_core::plugin::{
    HopObserver, Lifecycle, MetadataProvider, MetadataSink, Next, Outcome, Plugin, PluginError, StartContext,
    StartError, Tap, TapEvent, TapKind,
};
use catena_metrics::Registry;
use catena_upstream::{Answer, Event, ExchangeError, Group, Protocol, Target};

use crate::attempts::{Attempts, Sent};
use crate::config::Config;
use crate::metrics::{Counting, Metrics};
use crate::target::{self, ResolveError};

const NAME: &str = "forward";

/// Forwards queries as one directive says.
pub(crate) struct Forward {
    config: Config,
    registry: Arc<Registry>,
    workers: usize,
    /// There from the start on, or once the host names among the targets have been looked up.
    upstreams: OnceLock<Upstreams>,
    taps: OnceLock<Vec<Arc<dyn Tap>>>,
    observer: OnceLock<Arc<dyn HopObserver>>,
    concurrent: AtomicU64,
    /// Queries are labelled with the upstream that was asked: the block has `metadata`.
    labelled: bool,
}

/// The upstream that was asked last for a query.
struct Asked(SocketAddr);

/// Tells other plugins which upstream was asked.
pub(crate) struct UpstreamLabel;

impl MetadataProvider for UpstreamLabel {
    fn provide(&self, request: &Request, sink: &mut dyn MetadataSink) {
        if let Some(Asked(upstream)) = request.extensions().get() {
            sink.add("forward/upstream", &upstream.to_string());
        }
    }
}

struct Upstreams {
    group: Group,
    metrics: Arc<Metrics>,
}

impl Forward {
    /// # Errors
    ///
    /// An upstream has a name that no certificate can be for.
    pub(crate) fn new(
        config: Config,
        registry: Arc<Registry>,
        workers: usize,
        labelled: bool,
    ) -> Result<Self, ResolveError> {
        let forward = Self {
            config,
            registry,
            workers,
            upstreams: OnceLock::new(),
            taps: OnceLock::new(),
            observer: OnceLock::new(),
            concurrent: AtomicU64::new(0),
            labelled,
        };
        let Config {
            targets, security, ..
        } = &forward.config;
        if let Some(targets) = target::known(targets, security)? {
            forward.open(targets);
        }
        Ok(forward)
    }

    /// From now on, these are the upstreams.
    fn open(&self, targets: Vec<Target>) {
        self.upstreams.get_or_init(|| {
            let metrics = Metrics::new(&self.registry, &targets);
            let counting = Counting(Arc::clone(&metrics));
            let group = Group::new(targets, self.config.options.clone(), self.workers, counting);
            Upstreams { group, metrics }
        });
    }

    fn matches(&self, name: &QName) -> bool {
        let Config { from, except, .. } = &self.config;
        name.is_within(from)
            && (name.as_wire() == from.as_wire() || !except.iter().any(|ignored| name.is_within(ignored)))
    }

    fn protocol(&self, request: &Request) -> Protocol {
        if self.config.force_tcp {
            Protocol::Tcp
        } else if self.config.prefer_udp || request.transport().is_datagram() {
            Protocol::Udp
        } else {
            Protocol::Tcp
        }
    }

    /// Counts the query among those that wait, if there may be one more.
    fn enter(&self, metrics: &Metrics) -> Result<Option<Permit<'_>>, PluginError> {
        let limit = self.config.max_concurrent;
        if limit == 0 {
            return Ok(None);
        }
        let permit = Permit(&self.concurrent);
        if self.concurrent.fetch_add(1, Ordering::Relaxed) < limit {
            return Ok(Some(permit));
        }
        metrics.rejected.inc();
        let message = format!("concurrent queries exceeded maximum {limit}");
        Err(PluginError::bare(NAME, message).with_rcode(Rcode::REFUSED))
    }

    /// Goes on with a query whose first attempt did not simply give the answer, until one stands.
    async fn carry_on(
        &self,
        upstreams: &Upstreams,
        request: &Request,
        mut attempts: Attempts<'_>,
        first: (Sent<'_>, Event),
        last: &mut usize,
    ) -> Result<Response, PluginError> {
        let mut denials = 0;
        let mut last_error = None;
        let (mut sent, mut event) = (first.0, Some(first.1));
        let mut asked = request.received();
        loop {
            let (upstream, protocol) = (sent.upstream, sent.protocol);
            match self
                .attempt(upstreams, request, &mut attempts, sent, event.take())
                .await
            {
                Ok(response) => {
                    denials += 1;
                    // When all upstreams deny it, the last denial stands.
                    if !self.config.failover.contains(&response.rcode()) || denials >= upstreams.group.len() {
                        return Ok(response);
                    }
                }
                Err(error @ (ExchangeError::Malformed | ExchangeError::OtherQuestion)) => {
                    return Err(failure(&error).with_rcode(Rcode::FORMERR));
                }
                Err(error) => {
                    if self.taps().is_some() {
                        let ends = (upstreams.group.address(upstream), None);
                        let protocol = upstreams.group.protocol(upstream).unwrap_or(protocol);
                        self.tap(request, ends, protocol, asked.elapsed(), None);
                    }
                    last_error = Some(error);
                    attempts.count_failure();
                }
            }
            let next = if attempts.may_go_on(request) {
                attempts.next_upstream()
            } else {
                None
            };
            let Some(upstream) = next else { break };
            *last = upstream;
            sent = attempts.send(upstream, request, self.protocol(request));
            asked = Instant::now();
        }
        Err(last_error.map_or_else(no_healthy, |error| failure(&error)))
    }

    /// Waits for one upstream's answer; asks over TCP too if it does not fit into a datagram and `prefer_udp` is set.
    async fn attempt(
        &self,
        upstreams: &Upstreams,
        request: &Request,
        attempts: &mut Attempts<'_>,
        mut sent: Sent<'_>,
        mut event: Option<Event>,
    ) -> Result<Response, ExchangeError> {
        loop {
            let protocol = sent.protocol;
            let (upstream, answer) = attempts.answer(sent, request, event.take()).await?;
            let response = self.take(upstreams, request, upstream, answer);
            if !self.wants_tcp(&response, protocol) {
                return Ok(response);
            }
            sent = attempts.send(upstream, request, Protocol::Tcp);
        }
    }

    /// Makes an upstream's answer the client's.
    fn take(&self, upstreams: &Upstreams, request: &Request, upstream: usize, answer: Answer) -> Response {
        let Answer {
            mut response,
            elapsed,
            protocol,
            local,
            ..
        } = answer;
        response.set_id(request.id());
        upstreams.metrics.answered(upstream, response.rcode(), elapsed);
        if self.taps().is_some() {
            let peer = upstreams.group.address(upstream);
            self.tap(request, (peer, local), protocol, elapsed, Some(&response));
        }
        response
    }

    /// Shows the taps of the block a query that was sent so long ago, and what came of it.
    fn tap(
        &self,
        request: &Request,
        (peer, local): (SocketAddr, Option<SocketAddr>),
        protocol: Protocol,
        elapsed: Duration,
        response: Option<&Response>,
    ) {
        let now = SystemTime::now();
        let asked = now.checked_sub(elapsed).unwrap_or(now);
        let query = TapEvent {
            kind: TapKind::ForwarderQuery,
            wire: request.wire(),
            peer,
            local,
            stream: !protocol.is_datagram(),
            asked,
            at: asked,
        };
        for tap in self.taps().into_iter().flatten() {
            tap.tap(request, query);
            if let Some(response) = response {
                let answered = TapEvent {
                    kind: TapKind::ForwarderResponse,
                    wire: response.wire(),
                    at: now,
                    ..query
                };
                tap.tap(request, answered);
            }
        }
    }

    /// Whether the query is to be asked again over TCP, since its answer did not fit into a datagram.
    fn wants_tcp(&self, response: &Response, protocol: Protocol) -> bool {
        response.tc() && protocol == Protocol::Udp && self.config.prefer_udp
    }

    fn taps(&self) -> Option<&[Arc<dyn Tap>]> {
        self.taps.get().filter(|taps| !taps.is_empty()).map(Vec::as_slice)
    }

    /// Whether a first answer is the one for the client.
    fn stands(&self, response: &Response, protocol: Protocol) -> bool {
        !self.config.failover.contains(&response.rcode()) && !self.wants_tcp(response, protocol)
    }

    /// Whether another `forward` behind this one is to answer instead.
    fn passes_on(&self, response: &Response) -> bool {
        let rcode = response.rcode();
        self.config.next.contains(&rcode)
            || self.config.next_on_nodata && rcode == Rcode::NOERROR && response.answer_count() == 0
    }
}

#[async_trait]
impl Plugin for Forward {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        if !self.matches(request.qname()) {
            return next.run(request).await;
        }
        let Some(upstreams) = self.upstreams.get() else {
            return Err(PluginError::new(
                NAME,
                "the upstreams have not been looked up yet",
            ));
        };
        let _permit = self.enter(&upstreams.metrics)?;
        let order = self
            .config
            .policy
            .order(upstreams.group.len())
            .map_err(|error| failure(&error.into()))?;
        let observer = self.observer.get().map(|observer| &**observer);
        let mut attempts = Attempts::new(
            &self.config,
            &upstreams.group,
            &upstreams.metrics,
            observer,
            order,
        );
        let Some(mut upstream) = attempts.next_upstream() else {
            return Err(no_healthy());
        };
        let mut sent = attempts.send(upstream, request, self.protocol(request));
        let result = match sent.exchange.event().await {
            Event::Answer(answer) if self.stands(&answer.response, sent.protocol) => {
                // For an observer, the asking ends here.
                drop(sent);
                Ok(self.take(upstreams, request, upstream, answer))
            }
            // The rest is rare, and apart so that it does not make the common case's future large.
            event => {
                Box::pin(self.carry_on(upstreams, request, attempts, (sent, event), &mut upstream)).await
            }
        };
        if self.labelled {
            let asked = Asked(upstreams.group.address(upstream));
            request.extensions_mut().insert(asked);
        }
        let response = result?;
        if next.plugin_name() == Some(NAME) && self.passes_on(&response) {
            return next.run(request).await;
        }
        Ok(Outcome::Reply(response))
    }
}

#[async_trait]
impl Lifecycle for Forward {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        self.taps
            .get_or_init(|| context.services.all::<dyn Tap>().cloned().collect());
        if let Some(observer) = context.services.first::<dyn HopObserver>() {
            self.observer.get_or_init(|| Arc::clone(observer));
        }
        if self.upstreams.get().is_none() {
            let Config {
                targets,
                resolvers,
                security,
                ..
            } = &self.config;
            let targets = target::resolve(targets, resolvers, security)
                .await
                .map_err(|error| StartError::new(format!("plugin/{NAME}: failed to resolve: {error}")))?;
            self.open(targets);
        }
        Ok(())
    }
}

/// Counts a waiting query for as long as it lives.
struct Permit<'a>(&'a AtomicU64);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn no_healthy() -> PluginError {
    PluginError::bare(NAME, "no healthy proxies")
}

fn failure(error: &ExchangeError) -> PluginError {
    PluginError::bare(NAME, error.to_string())
}
