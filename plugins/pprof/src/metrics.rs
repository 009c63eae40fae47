//! What the plugin counts. CoreDNS counts none of it, so the names are Catena's own.

use catena_metrics::{CounterFamily, Registry};

/// The counters of the whole server.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    profiles: CounterFamily,
    refused: CounterFamily,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            profiles: registry.counter(
                "catena_pprof_profiles_total",
                "Counter of profiles that were taken.",
                &["profile"],
            ),
            refused: registry.counter(
                "catena_pprof_refused_total",
                "Counter of profiles that were refused: another one was being taken (busy), or it would take too long.",
                &["reason"],
            ),
        }
    }

    /// A profile of this name was taken.
    pub(crate) fn took(&self, profile: &'static str) {
        self.profiles.with(&[profile]).inc();
    }

    /// A profile was refused since another one is being taken.
    pub(crate) fn busy(&self) {
        self.refused.with(&["busy"]).inc();
    }

    /// A profile was refused since it would take too long.
    pub(crate) fn too_long(&self) {
        self.refused.with(&["seconds"]).inc();
    }
}
