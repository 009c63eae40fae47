//! From server blocks to what the server runs: chains of plugins, and the listeners that lead to them.
//!
//! Nothing here opens a socket: `catena check` stops behind this module.

mod build;
mod listeners;
mod registry;

use std::path::PathBuf;
use std::sync::Arc;

use crate::counters::Counters;
use crate::log::LogSink;
use crate::plugin::{BlockInfo, BlockOutline, BlockSettings, Handover, Lifecycle, Services, Shared};
use crate::server::Site;

pub use build::build;
pub use listeners::ListenAddress;
pub use registry::Registry;

/// A configuration that is ready to start.
#[derive(Debug)]
pub struct Plan {
    /// The server blocks, in the order of the Corefile.
    pub blocks: Vec<PlannedBlock>,
    /// The listen addresses, in their order.
    pub listeners: Vec<PlannedListener>,
    /// Odd things that are no errors, as log lines.
    pub warnings: Vec<String>,
    /// What tells the Corefile from another.
    pub fingerprint: String,
    /// All files that were read.
    pub files: Vec<PathBuf>,
    /// What the plugins leave for the next configuration.
    pub handover: Handover,
}

/// A server block with its plugins set up.
pub struct PlannedBlock {
    /// Its keys, zones and directives.
    pub info: BlockInfo,
    /// Its settings.
    pub settings: BlockSettings,
    /// What its plugins do at start and stop, in the order of the plugins.
    pub lifecycles: Vec<Arc<dyn Lifecycle>>,
    /// What its plugins offer.
    pub services: Arc<Services>,
    /// What it looks like from its plugins' side.
    pub outline: Arc<BlockOutline>,
}

impl std::fmt::Debug for PlannedBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PlannedBlock({})", self.info.name())
    }
}

/// A listen address and what it serves.
#[derive(Debug)]
pub struct PlannedListener {
    /// Scheme and socket address.
    pub address: ListenAddress,
    /// The address as `bind` gives it; `None` where the listener is on all addresses.
    pub host: Option<String>,
    /// The zones on it, in the order of the Corefile.
    pub sites: Vec<Site>,
    /// Sockets to open; `None` is one for each worker.
    pub sockets: Option<usize>,
    /// What it is reached over, where it is one of plain DNS.
    pub transports: crate::plugin::Transports,
    /// Times of connections.
    pub timeouts: crate::plugin::Timeouts,
    /// Queries of other classes than IN reach the plugins.
    pub other_classes: bool,
    /// Reads the headers of proxies before the server.
    pub proxy: Option<Arc<dyn crate::plugin::ProxyHeader>>,
    /// Certificates, where the listener is encrypted.
    pub tls: Option<Arc<crate::net::tls::ListenerTls>>,
    /// Answers over encrypted connections are padded to a multiple of so many bytes, for clients that pad.
    pub padding: Option<u16>,
    /// Bounds on its connections and streams.
    pub bounds: crate::plugin::Bounds,
}

impl PlannedListener {
    /// The lines that the start prints: each zone, its port and its address; before it a warning for a name that is
    /// no host name.
    #[must_use]
    pub fn startup_lines(&self) -> Vec<String> {
        let mut zones: Vec<&str> = self.sites.iter().map(|site| site.zone.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        let mut lines = Vec::new();
        for zone in zones {
            if !listeners::is_preferred_syntax(zone) {
                lines.push(format!(
                    "Warning: Domain {zone:?} does not follow RFC1035 preferred syntax"
                ));
            }
            lines.push(self.address.startup_line(zone, self.host.as_deref()));
        }
        lines
    }
}

/// What a configuration is built with, beside the Corefile.
#[derive(Debug)]
pub struct BuildContext<'a> {
    /// The plugins that there are.
    pub registry: &'a Registry,
    /// Values that outlive reloads.
    pub shared: &'a Shared,
    /// What the configuration before left.
    pub previous: &'a Handover,
    /// What the server counts.
    pub counters: &'a Arc<Counters>,
    /// Where log lines go.
    pub log: &'a LogSink,
    /// How many workers will answer queries.
    pub workers: usize,
    /// The port of keys that name none (`-dns.port`).
    pub default_port: u16,
    /// The folder of the Corefile.
    pub folder: PathBuf,
}
