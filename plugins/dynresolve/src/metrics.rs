//! What the plugin counts, by zone.

use std::fmt::Debug;

use catena_metrics::{Counter, CounterFamily, Gauge, Histogram, Registry, TIME_BUCKETS};

use crate::names::Zones;

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// By the SOA or NS record of the apex.
    Apex,
    /// From a fresh entry.
    Cache,
    /// By the fallback address.
    Fallback,
    /// By the plugins behind.
    Next,
    /// The name is there, the type is not.
    Nodata,
    /// There is no such name.
    Nxdomain,
    /// From the store.
    Source,
    /// From an entry that is no longer fresh, since the store could not be read.
    Stale,
}

/// In the order of [`Answered`].
const OUTCOMES: [&str; 8] = [
    "apex", "cache", "fallback", "next", "nodata", "nxdomain", "source", "stale",
];

/// The counters of one instance.
pub(crate) struct Metrics {
    /// For each zone one counter for each outcome.
    queries: Vec<[Counter; OUTCOMES.len()]>,
    requests: CounterFamily,
    zone: String,
    /// Accepted writes.
    pub(crate) writes: Counter,
    /// Failed attempts to write the file.
    pub(crate) persist_errors: Counter,
    /// How long writing the file takes, in seconds.
    pub(crate) persist_seconds: Histogram,
    /// When the file was written last, in seconds since 1970.
    pub(crate) persisted: Gauge,
    /// Panics that were caught.
    pub(crate) panics: Counter,
}

impl Metrics {
    /// The counters for these zones; what belongs to no single one goes to the first.
    pub(crate) fn of(registry: &Registry, zones: &Zones) -> Self {
        let queries = registry.counter(
            "coredns_dynresolve_queries_total",
            "Counter of queries by what answered them.",
            &["zone", "outcome"],
        );
        let of_zone = |zone: &str| OUTCOMES.map(|outcome| queries.with(&[zone, outcome]));
        let zone = zones.get(0).as_str();
        let counter = |name: &str, help: &str| registry.counter(name, help, &["zone"]).with(&[zone]);
        Self {
            queries: zones.iter().map(|zone| of_zone(zone.as_str())).collect(),
            requests: registry.counter(
                "coredns_dynresolve_api_requests_total",
                "Counter of requests to the API.",
                &["zone", "method", "status"],
            ),
            writes: counter("coredns_dynresolve_writes_total", "Counter of accepted writes."),
            persist_errors: counter(
                "coredns_dynresolve_persist_errors_total",
                "Counter of failed attempts to write the state to its file.",
            ),
            persist_seconds: registry
                .histogram(
                    "coredns_dynresolve_persist_duration_seconds",
                    "Histogram of the time that writing the state to its file took.",
                    &["zone"],
                    &TIME_BUCKETS,
                )
                .with(&[zone]),
            persisted: registry
                .gauge(
                    "coredns_dynresolve_persist_timestamp_seconds",
                    "The time at which the state was last written to its file.",
                    &["zone"],
                )
                .with(&[zone]),
            panics: counter(
                "coredns_dynresolve_panics_total",
                "Counter of panics that were caught.",
            ),
            zone: zone.to_owned(),
        }
    }

    /// Counts a query.
    #[inline]
    pub(crate) fn answered(&self, zone: usize, answered: Answered) {
        if let Some(counters) = self.queries.get(zone) {
            counters[answered as usize].inc();
        }
    }

    /// Counts a request to the API.
    pub(crate) fn request(&self, method: &str, status: u16) {
        let method = match method {
            "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PATCH" | "POST" | "PUT" => method,
            _ => "other",
        };
        self.requests
            .with(&[&self.zone, method, &status.to_string()])
            .inc();
    }
}

impl Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Metrics({})", self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_label() {
        let registry = Registry::default();
        let metrics = Metrics::of(&registry, &Zones::new(&["example.org".parse().unwrap()]));
        let all = [
            (Answered::Apex, "apex"),
            (Answered::Cache, "cache"),
            (Answered::Fallback, "fallback"),
            (Answered::Next, "next"),
            (Answered::Nodata, "nodata"),
            (Answered::Nxdomain, "nxdomain"),
            (Answered::Source, "source"),
            (Answered::Stale, "stale"),
        ];
        for (answered, label) in all {
            metrics.answered(0, answered);
            let family = registry.counter("coredns_dynresolve_queries_total", "", &["zone", "outcome"]);
            assert_eq!(family.with(&["example.org.", label]).get(), 1, "{label}");
        }
    }
}
