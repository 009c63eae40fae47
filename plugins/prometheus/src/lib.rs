//! *prometheus* counts queries and answers, and shows all metrics of the server over HTTP.
//!
//! ```text
//! prometheus [ADDRESS] {
//!     plugin_times
//!     runtime_metrics
//!     tls FILE
//! }
//! ```

#![forbid(unsafe_code)]

mod config;
mod dropped;
mod enabled;
mod endpoint;
mod handler;
mod metrics;
mod negotiate;
mod process;
mod sites;
mod times;
mod web;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, HopObserver, ServerObserver, Setup};
use catena_metrics::Registry;

use dropped::Dropped;
use endpoint::Exporter;
use handler::Prometheus;
use metrics::Families;
use times::PluginTimes;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new(config::NAME, setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives(), &setup.block().folder)?;
    let registry = setup.shared::<Registry>();
    let families = Arc::new(Families::new(&registry));
    let dropped = setup.shared::<Dropped>();
    dropped.set_families(&families);
    setup.services().offer::<dyn ServerObserver>(dropped);
    let prometheus = Arc::new(Prometheus::new(&setup.block().keys, families));
    let times = config.plugin_times.then(|| observe(setup, &registry));
    let exporter = Exporter::new(
        config,
        registry,
        setup.shared(),
        setup.shared(),
        Arc::clone(&prometheus),
        times,
    );
    setup.add_shared(prometheus);
    setup.lifecycle(Arc::new(exporter));
    Ok(())
}

/// Measures the plugins of the block. The chain asks one observer, so who observes it already is told by this one.
fn observe(setup: &mut Setup<'_>, registry: &Registry) -> Arc<PluginTimes> {
    let zone = setup.block().zones.first().map(ToString::to_string);
    let services = setup.services();
    let other = services.first::<dyn HopObserver>().cloned();
    let times = Arc::new(PluginTimes::new(registry, &zone.unwrap_or_default(), other));
    services.offer_first::<dyn HopObserver>(Arc::clone(&times) as _);
    times
}
