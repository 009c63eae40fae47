//! What the plugin counts. The names and labels are CoreDNS's.

use std::time::{SystemTime, UNIX_EPOCH};

use catena_metrics::{Gauge, GaugeFamily, Registry};

/// The gauges of one `hosts` directive.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    entries: GaugeFamily,
    reloaded: Gauge,
    label: Box<str>,
}

impl Metrics {
    /// The gauges for the hosts file called `label`.
    pub(crate) fn of(registry: &Registry, label: &str) -> Self {
        let entries = registry.gauge(
            "coredns_hosts_entries",
            "The combined number of entries in hosts and Corefile.",
            &["hostsfile"],
        );
        let reloaded = registry.gauge(
            "coredns_hosts_reload_timestamp_seconds",
            "The timestamp of the last reload of hosts file.",
            &[],
        );
        Self {
            entries,
            reloaded: reloaded.with(&[]),
            label: label.into(),
        }
    }

    /// A file with this many entries (those of the Corefile included), last changed at `modified`, was read.
    pub(crate) fn read(&self, entries: usize, modified: SystemTime) {
        // The label appears with the first file that is read, as in CoreDNS.
        self.entries.with(&[&*self.label]).set(entries as f64);
        let since_epoch = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.reloaded.set(since_epoch.as_secs_f64());
    }
}
