//! What the plugin counts. The names and labels that begin with `coredns_` are CoreDNS's.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use catena_core::message::Rcode;
use catena_metrics::{Counter, CounterFamily, Histogram, HistogramFamily, Registry, TIME_BUCKETS};
use catena_upstream::{Observer, Target};

/// The label `proxy_name` of what all plugins that ask upstreams count.
const PROXY: &str = "grpc";

/// RCODEs that have a counter of their own at hand.
const COMMON_RCODES: usize = 24;

/// The counters of one directive.
#[derive(Debug)]
pub(crate) struct Metrics {
    durations: HistogramFamily,
    responses: CounterFamily,
    upstreams: Vec<Upstream>,
}

#[derive(Debug)]
struct Upstream {
    to: String,
    requests: Counter,
    duration: OnceLock<Histogram>,
    responses: [OnceLock<Counter>; COMMON_RCODES],
    /// TLS sessions: new ones, and resumed ones.
    handshakes: [Counter; 2],
    failed_handshakes: Counter,
    oversized: Counter,
    foreign: Counter,
    busy: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, targets: &[Target]) -> Arc<Self> {
        let durations = registry.histogram(
            "coredns_grpc_request_duration_seconds",
            "Histogram of the time each request took.",
            &["to"],
            &TIME_BUCKETS,
        );
        let responses = registry.counter(
            "coredns_grpc_responses_total",
            "Counter of requests made per upstream.",
            &["rcode", "to"],
        );
        Arc::new(Self {
            durations,
            responses,
            upstreams: targets
                .iter()
                .map(|target| Upstream::new(registry, target.to_string()))
                .collect(),
        })
    }

    /// An upstream answered.
    pub(crate) fn answered(&self, upstream: usize, rcode: Rcode, elapsed: Duration) {
        let Some(upstream) = self.upstreams.get(upstream) else {
            return;
        };
        upstream.requests.inc();
        let duration = upstream
            .duration
            .get_or_init(|| self.durations.with(&[&upstream.to]));
        duration.observe(elapsed.as_secs_f64());
        let find = || self.responses.with(&[&rcode.to_string(), &upstream.to]);
        match upstream.responses.get(usize::from(rcode.code())) {
            Some(known) => known.get_or_init(find).inc(),
            None => find().inc(),
        }
    }
}

impl Upstream {
    fn new(registry: &Registry, to: String) -> Self {
        let requests = registry.counter(
            "coredns_grpc_requests_total",
            "Counter of requests made per upstream.",
            &["to"],
        );
        let handshakes = registry.counter(
            "catena_proxy_tls_handshakes_total",
            "TLS sessions with upstreams, new and resumed.",
            &["proxy_name", "to", "resumed"],
        );
        let by_upstream = |name, help| {
            registry
                .counter(name, help, &["proxy_name", "to"])
                .with_hidden_zero(&[PROXY, &to])
        };
        Self {
            requests: requests.with_hidden_zero(&[&to]),
            duration: OnceLock::new(),
            responses: [const { OnceLock::new() }; COMMON_RCODES],
            handshakes: ["false", "true"].map(|resumed| handshakes.with_hidden_zero(&[PROXY, &to, resumed])),
            failed_handshakes: by_upstream(
                "catena_proxy_tls_failures_total",
                "Connections to an upstream that did not come about because TLS failed.",
            ),
            oversized: by_upstream(
                "catena_proxy_oversized_answers_total",
                "Replies of an upstream that were longer than a DNS message can be, and were dropped.",
            ),
            foreign: by_upstream(
                "catena_proxy_foreign_answers_total",
                "Messages from an upstream's address that were the answer to no query, and were dropped.",
            ),
            busy: by_upstream(
                "catena_proxy_waiting_refused_total",
                "Queries that were not forwarded because too many wait for upstreams already.",
            ),
            to,
        }
    }
}

/// For the upstream client, which shares the counters with the handler.
pub(crate) struct Counting(pub(crate) Arc<Metrics>);

impl Counting {
    fn count(&self, upstream: usize, counter: impl FnOnce(&Upstream) -> &Counter) {
        if let Some(upstream) = self.0.upstreams.get(upstream) {
            counter(upstream).inc();
        }
    }
}

impl Observer for Counting {
    fn handshake(&self, upstream: usize, resumed: bool) {
        self.count(upstream, |upstream| &upstream.handshakes[usize::from(resumed)]);
    }

    fn handshake_failed(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.failed_handshakes);
    }

    fn oversized(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.oversized);
    }

    fn foreign(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.foreign);
    }

    fn busy(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.busy);
    }
}
