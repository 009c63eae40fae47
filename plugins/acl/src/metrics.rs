//! What the plugin counts. The names and labels are CoreDNS's.

use std::sync::Arc;

use catena_core::message::Request;
use catena_facts::{ByServer, Surroundings};
use catena_metrics::{Counter, CounterFamily, Registry};

use crate::config::{Action, Rule};

/// The counters of the block.
#[derive(Debug)]
pub(crate) struct Metrics {
    allowed: CounterFamily,
    blocked: CounterFamily,
    dropped: CounterFamily,
    filtered: CounterFamily,
    surroundings: Arc<Surroundings>,
    /// Handles that are kept, since their look-up takes a lock: what passes, and what does not by rule and zone.
    passes: ByServer<Counter>,
    stopped: Vec<Vec<[ByServer<Counter>; 3]>>,
}

impl Metrics {
    /// The counters for rules that have so many zones each.
    pub(crate) fn new(registry: &Registry, zones: Vec<usize>, surroundings: Arc<Surroundings>) -> Self {
        let stopped = |name: &str, help: &str| registry.counter(name, help, &["server", "zone", "view"]);
        Self {
            allowed: registry.counter(
                "coredns_acl_allowed_requests_total",
                "Counter of DNS requests being allowed.",
                &["server", "view"],
            ),
            blocked: stopped(
                "coredns_acl_blocked_requests_total",
                "Counter of DNS requests being blocked.",
            ),
            dropped: stopped(
                "coredns_acl_dropped_requests_total",
                "Counter of DNS requests being dropped.",
            ),
            filtered: stopped(
                "coredns_acl_filtered_requests_total",
                "Counter of DNS requests being filtered.",
            ),
            surroundings,
            passes: ByServer::new(),
            stopped: zones
                .into_iter()
                .map(|zones| (0..zones).map(|_| Default::default()).collect())
                .collect(),
        }
    }

    /// A query passes.
    pub(crate) fn allow(&self, request: &Request) {
        let make = |server: &str| self.allowed.with(&[server, self.surroundings.view_name()]);
        self.passes.with(request.server(), make, Counter::inc);
    }

    /// A query does not pass, by a rule's zone.
    pub(crate) fn stop(&self, request: &Request, action: Action, rules: &[Rule], rule: usize, zone: usize) {
        let (family, slot) = match action {
            Action::Allow => return self.allow(request),
            Action::Block => (&self.blocked, 0),
            Action::Drop => (&self.dropped, 1),
            Action::Filter => (&self.filtered, 2),
        };
        let make = |server: &str| {
            family.with(&[
                server,
                rules[rule].zones[zone].as_str(),
                self.surroundings.view_name(),
            ])
        };
        self.stopped[rule][zone][slot].with(request.server(), make, Counter::inc);
    }
}
