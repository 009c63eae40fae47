//! *cancel* gives up on queries that take too long: the plugins behind it are stopped, and the client gets SERVFAIL.
//!
//! ```text
//! cancel [TIMEOUT]
//! ```

#![forbid(unsafe_code)]

mod config;
mod handler;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use handler::Cancel;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("cancel", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let limit = config::parse(setup.directives())?;
    setup.add(Cancel { limit });
    Ok(())
}
