//! What the plugin counts.

use std::path::Path;

use catena_metrics::{Counter, Registry};

/// The counters of one certificate.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    taken_over: Counter,
    refused: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, cert: &Path) -> Self {
        let file = cert.display().to_string();
        let updates = registry.counter(
            "catena_tls_certificate_updates_total",
            "Changes of certificate files that were noticed, by whether the new pair could be used.",
            &["file", "result"],
        );
        Self {
            taken_over: updates.with(&[&file, "taken_over"]),
            refused: updates.with(&[&file, "refused"]),
        }
    }

    pub(crate) fn taken_over(&self) {
        self.taken_over.inc();
    }

    pub(crate) fn refused(&self) {
        self.refused.inc();
    }
}
