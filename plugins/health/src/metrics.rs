//! What the plugin counts. The names are CoreDNS's.

use std::time::Duration;

use catena_metrics::{Counter, Histogram, Registry};

/// Upper bounds in seconds, each ten times the one before.
const BUCKETS: [f64; 5] = [0.000_25, 0.002_5, 0.025, 0.25, 2.5];

/// The metrics of the self-check, one for the whole server.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    duration: Histogram,
    failures: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let duration = registry.histogram(
            "coredns_health_request_duration_seconds",
            "Histogram of the time (in seconds) each request took.",
            &[],
            &BUCKETS,
        );
        let failures = registry.counter(
            "coredns_health_request_failures_total",
            "The number of times the health check failed.",
            &[],
        );
        Self {
            duration: duration.with(&[]),
            failures: failures.with(&[]),
        }
    }

    /// A check took so long, and failed or not.
    pub(crate) fn checked(&self, elapsed: Duration, failed: bool) {
        self.duration.observe(elapsed.as_secs_f64());
        if failed {
            self.failures.inc();
        }
    }
}
