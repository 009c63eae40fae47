//! *transports* makes a server block listen on UDP alone, or on TCP alone.
//!
//! ```text
//! transports udp|tcp...
//! ```

#![forbid(unsafe_code)]

mod config;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup, once};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("transports", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let transports = config::parse(once(setup.directives())?)?;
    setup.settings().transports = transports;
    Ok(())
}
