//! The metrics of this plugin.

use catena_metrics::{Counter, Registry};

/// Counts queries for names below `localhost`, or with `localhost` in front.
pub(crate) fn intercepted(registry: &Registry) -> Counter {
    let name = "coredns_local_localhost_requests_total";
    registry
        .counter(name, "Counter of special localhost subdomain requests.", &[])
        .with(&[])
}
