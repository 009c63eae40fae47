//! *reload* looks at the Corefile, and all that it imports, at intervals, and makes the server take over a change.
//!
//! The server itself changes configurations without losing a query; this plugin only says when.

#![forbid(unsafe_code)]

mod config;
mod watch;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use watch::{ReloadMetrics, Watch, Watcher};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new(config::NAME, setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives())?;
    let watcher = setup.shared::<Watcher>();
    let metrics = ReloadMetrics::new(&setup.shared::<catena_metrics::Registry>());
    setup.lifecycle(Arc::new(Watch::new(config, watcher, metrics)));
    Ok(())
}
