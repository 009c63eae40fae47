//! What the plugin counts. The names and labels are CoreDNS's.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use catena_core::message::Request;
use catena_facts::Surroundings;
use catena_metrics::{Counter, CounterFamily, Registry};

use crate::facts::Facts;
use crate::script::Script;

/// The counters of the block.
pub(crate) struct Metrics {
    matches: CounterFamily,
    template_failures: CounterFamily,
    record_failures: CounterFamily,
    surroundings: Arc<Surroundings>,
    /// Handles that are kept, since their look-up takes a lock.
    known: ArcSwap<Vec<(Key, Counter)>>,
}

/// What tells one counter of matches from another. Classes and types without a name share one, so there are few.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    server: Arc<str>,
    zone: Box<str>,
    class: &'static str,
    rtype: &'static str,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, surroundings: Arc<Surroundings>) -> Self {
        const FAILURE: &[&str] = &["server", "zone", "view", "class", "type", "section", "template"];
        Self {
            matches: registry.counter(
                "coredns_template_matches_total",
                "Counter of template regex matches.",
                &["server", "zone", "view", "class", "type"],
            ),
            template_failures: registry.counter(
                "coredns_template_template_failures_total",
                "Counter of go template failures.",
                FAILURE,
            ),
            record_failures: registry.counter(
                "coredns_template_rr_failures_total",
                "Counter of mis-templated RRs.",
                FAILURE,
            ),
            surroundings,
            known: ArcSwap::from_pointee(Vec::new()),
        }
    }

    /// A rule fits a query.
    pub(crate) fn fits(&self, request: &Request, zone: &str, class: &'static str, rtype: &'static str) {
        let server = request.server();
        let known = self.known.load();
        let found = known.iter().find(|(key, _)| {
            key.rtype == rtype
                && *key.zone == *zone
                && key.class == class
                && (Arc::ptr_eq(&key.server, server) || key.server == *server)
        });
        match found {
            Some((_, counter)) => counter.inc(),
            None => self.first(request, zone, class, rtype),
        }
    }

    #[cold]
    fn first(&self, request: &Request, zone: &str, class: &'static str, rtype: &'static str) {
        let server = request.server();
        let counter = self
            .matches
            .with(&[server, zone, self.surroundings.view_name(), class, rtype]);
        counter.inc();
        let key = Key {
            server: Arc::clone(server),
            zone: zone.into(),
            class,
            rtype,
        };
        self.known.rcu(|known| {
            let mut known = Vec::clone(known);
            if !known.iter().any(|(other, _)| *other == key) {
                known.push((key.clone(), counter.clone()));
            }
            known
        });
    }

    /// A template gave no text.
    pub(crate) fn template_failed(&self, facts: &Facts<'_>, section: &str, script: &Script) {
        self.failed(&self.template_failures, facts, section, script);
    }

    /// A template gave a text that is no record.
    pub(crate) fn record_failed(&self, facts: &Facts<'_>, section: &str, script: &Script) {
        self.failed(&self.record_failures, facts, section, script);
    }

    #[cold]
    fn failed(&self, family: &CounterFamily, facts: &Facts<'_>, section: &str, script: &Script) {
        let counter = family.with(&[
            facts.request.server(),
            facts.zone,
            self.surroundings.view_name(),
            facts.class,
            facts.rtype,
            section,
            script.label(),
        ]);
        counter.inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
