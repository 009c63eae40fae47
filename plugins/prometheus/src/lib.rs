//! *prometheus* counts queries and answers, and shows all metrics of the server over HTTP.
//!
//! ```text
//! prometheus [ADDRESS] {
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
mod web;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, ServerObserver, Setup};
use catena_metrics::Registry;

use dropped::Dropped;
use endpoint::Exporter;
use handler::Prometheus;
use metrics::Families;

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
    let exporter = Exporter::new(
        config,
        registry,
        setup.shared(),
        setup.shared(),
        Arc::clone(&prometheus),
    );
    setup.add_shared(prometheus);
    setup.lifecycle(Arc::new(exporter));
    Ok(())
}
