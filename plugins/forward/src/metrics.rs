//! What the plugin counts. The names and labels that begin with `coredns_` are CoreDNS's.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use catena_core::message::Rcode;
use catena_metrics::{Counter, Histogram, HistogramFamily, Registry, TIME_BUCKETS};
use catena_upstream::{Observer, Protocol, Target};

/// The label `proxy_name`.
const PROXY: &str = "forward";

/// RCODEs that have a histogram of their own at hand.
const COMMON_RCODES: usize = 24;

/// The counters of one directive.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// All upstreams were down.
    pub(crate) broken: Counter,
    /// Queries beyond `max_concurrent`.
    pub(crate) rejected: Counter,
    durations: HistogramFamily,
    upstreams: Vec<Upstream>,
}

#[derive(Debug)]
struct Upstream {
    to: String,
    /// In the order of [`Protocol::ALL`].
    reused: [Counter; Protocol::ALL.len()],
    opened: [Counter; Protocol::ALL.len()],
    /// TLS sessions: new ones, and resumed ones.
    handshakes: [Counter; 2],
    failed_handshakes: Counter,
    oversized: Counter,
    failed_probes: Counter,
    silent: Counter,
    foreign: Counter,
    busy: Counter,
    durations: [OnceLock<Histogram>; COMMON_RCODES],
}

impl Metrics {
    /// The counters for these upstreams. Two directives with the same upstream count together, as in CoreDNS.
    pub(crate) fn new(registry: &Registry, targets: &[Target]) -> Arc<Self> {
        let broken = registry.counter(
            "coredns_forward_healthcheck_broken_total",
            "Counter of the number of complete failures of the healthchecks.",
            &[],
        );
        let rejected = registry.counter(
            "coredns_forward_max_concurrent_rejects_total",
            "Counter of the number of queries rejected because the concurrent queries were at maximum.",
            &[],
        );
        let durations = registry.histogram(
            "coredns_proxy_request_duration_seconds",
            "Histogram of the time each request took.",
            &["proxy_name", "to", "rcode"],
            &TIME_BUCKETS,
        );
        Arc::new(Self {
            broken: broken.with(&[]),
            rejected: rejected.with(&[]),
            durations,
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
        let find = || self.durations.with(&[PROXY, &upstream.to, &rcode.to_string()]);
        match upstream.durations.get(usize::from(rcode.code())) {
            Some(known) => known.get_or_init(find).observe(elapsed.as_secs_f64()),
            None => find().observe(elapsed.as_secs_f64()),
        }
    }
}

impl Upstream {
    fn new(registry: &Registry, to: String) -> Self {
        let by_protocol = |name, help| {
            let family = registry.counter(name, help, &["proxy_name", "to", "proto"]);
            Protocol::ALL.map(|protocol| family.with_hidden_zero(&[PROXY, &to, protocol.name()]))
        };
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
            reused: by_protocol(
                "coredns_proxy_conn_cache_hits_total",
                "Counter of connection cache hits per upstream and protocol.",
            ),
            opened: by_protocol(
                "coredns_proxy_conn_cache_misses_total",
                "Counter of connection cache misses per upstream and protocol.",
            ),
            handshakes: ["false", "true"].map(|resumed| handshakes.with_hidden_zero(&[PROXY, &to, resumed])),
            failed_handshakes: by_upstream(
                "catena_proxy_tls_failures_total",
                "Connections to an upstream that did not come about because TLS failed.",
            ),
            oversized: by_upstream(
                "catena_proxy_oversized_answers_total",
                "Replies of an upstream that were longer than a DNS message can be, and were dropped.",
            ),
            failed_probes: by_upstream(
                "coredns_proxy_healthcheck_failures_total",
                "Counter of the number of failed healthchecks.",
            ),
            silent: by_upstream(
                "catena_proxy_silences_total",
                "Times that an upstream fell silent while others answered.",
            ),
            foreign: by_upstream(
                "catena_proxy_foreign_answers_total",
                "Messages from an upstream's address that were the answer to no query, and were dropped.",
            ),
            busy: by_upstream(
                "catena_proxy_waiting_refused_total",
                "Queries that were not forwarded because too many wait for upstreams already.",
            ),
            durations: [const { OnceLock::new() }; COMMON_RCODES],
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
    fn connection(&self, upstream: usize, protocol: Protocol, reused: bool) {
        let Some(place) = Protocol::ALL.iter().position(|&known| known == protocol) else {
            return;
        };
        self.count(upstream, |upstream| {
            if reused {
                &upstream.reused[place]
            } else {
                &upstream.opened[place]
            }
        });
    }

    fn handshake(&self, upstream: usize, resumed: bool) {
        self.count(upstream, |upstream| &upstream.handshakes[usize::from(resumed)]);
    }

    fn handshake_failed(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.failed_handshakes);
    }

    fn oversized(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.oversized);
    }

    fn probe_failed(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.failed_probes);
    }

    fn fell_silent(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.silent);
    }

    fn foreign(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.foreign);
    }

    fn busy(&self, upstream: usize) {
        self.count(upstream, |upstream| &upstream.busy);
    }
}
