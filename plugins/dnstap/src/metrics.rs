//! What the plugin counts. CoreDNS counts none of it, so the names are Catena's own.

use std::sync::atomic::{AtomicU64, Ordering};

use catena_metrics::{Counter, Registry};

use crate::config::Endpoint;

/// The counters of one tap.
#[derive(Debug)]
pub(crate) struct Metrics {
    messages: Counter,
    dropped: Counter,
    /// Dropped since this was last told to the operator.
    unreported: AtomicU64,
}

impl Metrics {
    pub(crate) fn of(registry: &Registry, endpoint: &Endpoint) -> Self {
        let endpoint = endpoint.to_string();
        let counter = |name, help| registry.counter(name, help, &["endpoint"]).with(&[&endpoint]);
        Self {
            messages: counter(
                "catena_dnstap_messages_total",
                "Counter of dnstap messages written to a collector.",
            ),
            dropped: counter(
                "catena_dnstap_dropped_total",
                "Counter of dnstap messages that no collector took, or not fast enough.",
            ),
            unreported: AtomicU64::new(0),
        }
    }

    /// So many messages were written.
    pub(crate) fn wrote(&self, count: usize) {
        self.messages.add(count as u64);
    }

    /// So many messages are lost.
    pub(crate) fn lost(&self, count: usize) {
        self.dropped.add(count as u64);
        self.unreported.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How many were lost since this was asked the last time.
    pub(crate) fn take_lost(&self) -> u64 {
        self.unreported.swap(0, Ordering::Relaxed)
    }
}
