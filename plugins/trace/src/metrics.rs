//! What the plugin counts. CoreDNS counts none of it, so the names are Catena's own.

use std::sync::atomic::{AtomicU64, Ordering};

use catena_metrics::{Counter, Registry};

use crate::target::Target;

/// The counters of one collector.
#[derive(Debug)]
pub(crate) struct Metrics {
    sent: Counter,
    backlog: Counter,
    query: Counter,
    refused: Counter,
    failures: Counter,
    /// Lost since this was last told to the operator.
    unreported: AtomicU64,
}

impl Metrics {
    pub(crate) fn of(registry: &Registry, target: &Target) -> Self {
        let endpoint = target.to_string();
        let counter = |name, help| registry.counter(name, help, &["endpoint"]).with(&[&endpoint]);
        let dropped = |reason| {
            let family = registry.counter(
                "catena_trace_dropped_total",
                "Counter of spans that were lost: too many waited (backlog), a query had too many (query), or the \
                 collector refused them (refused).",
                &["endpoint", "reason"],
            );
            family.with(&[&endpoint, reason])
        };
        Self {
            sent: counter(
                "catena_trace_spans_total",
                "Counter of spans that a collector took.",
            ),
            backlog: dropped("backlog"),
            query: dropped("query"),
            refused: dropped("refused"),
            failures: counter(
                "catena_trace_failures_total",
                "Counter of attempts to send spans that failed.",
            ),
            unreported: AtomicU64::new(0),
        }
    }

    /// The collector took so many spans.
    pub(crate) fn sent(&self, count: usize) {
        self.sent.add(count as u64);
    }

    /// The collector refused so many spans.
    pub(crate) fn refused(&self, count: usize) {
        self.refused.add(count as u64);
        self.failures.inc();
    }

    /// So many spans are lost since too many waited.
    pub(crate) fn overflowed(&self, count: u64) {
        self.backlog.add(count);
        self.unreported.fetch_add(count, Ordering::Relaxed);
    }

    /// So many spans are lost since their query had too many.
    pub(crate) fn overlong(&self, count: u64) {
        self.query.add(count);
    }

    /// Spans could not be sent, and wait.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    /// How many were lost since this was asked the last time.
    pub(crate) fn take_lost(&self) -> u64 {
        self.unreported.swap(0, Ordering::Relaxed)
    }
}
