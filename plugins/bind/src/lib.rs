//! *bind* makes a server block listen on chosen addresses instead of all.
//!
//! ```text
//! bind ADDRESS|IFACE... {
//!     except ADDRESS|IFACE...
//! }
//! ```

#![forbid(unsafe_code)]

mod config;
mod hosts;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("bind", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    setup.settings().listen = config::parse(setup.directives())?;
    Ok(())
}
