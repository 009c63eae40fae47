//! *local* answers queries for local names from memory, so that they go nowhere else: `localhost`, everything below it,
//! `localhost` in front of other names, and the reverse zones of 0.0.0.0/8, 127.0.0.0/8 and 255.0.0.0/8.
//!
//! ```text
//! local {
//!     localhost_prefix on|off
//! }
//! ```

#![forbid(unsafe_code)]

mod answer;
mod config;
mod handler;
mod metrics;
mod names;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use handler::Local;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("local", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives())?;
    let intercepted = metrics::intercepted(&setup.shared());
    setup.add(Local { config, intercepted });
    Ok(())
}
