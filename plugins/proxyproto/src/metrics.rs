//! What the plugin counts. CoreDNS counts none of it, so the names are Catena's own.

use catena_metrics::{Counter, Registry};

/// The counters of all blocks.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Datagrams with a header that cannot be used.
    pub(crate) dropped: Counter,
    /// Connections with such a header.
    pub(crate) refused: Counter,
}

impl Metrics {
    pub(crate) fn of(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help, &[]).with(&[]);
        Self {
            dropped: counter(
                "catena_proxyproto_dropped_total",
                "Counter of datagrams dropped for their PROXY protocol header.",
            ),
            refused: counter(
                "catena_proxyproto_refused_total",
                "Counter of connections closed for their PROXY protocol header.",
            ),
        }
    }
}
