//! *health* says over HTTP that the server lives, and lets it finish before it stops.
//!
//! ```text
//! health [ADDRESS] {
//!     lameduck DURATION
//! }
//! ```

#![forbid(unsafe_code)]

mod check;
mod config;
mod endpoint;
mod metrics;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use endpoint::Health;
use metrics::Metrics;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new(config::NAME, setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives())?;
    let metrics = Metrics::new(&setup.shared::<catena_metrics::Registry>());
    let health = Health::new(config, setup.shared(), metrics);
    setup.lifecycle(Arc::new(health));
    Ok(())
}
