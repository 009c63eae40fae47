//! *chaos* answers TXT queries of class CH for the server's version, authors and host name.
//!
//! ```text
//! chaos [VERSION] [AUTHORS...]
//! ```
//!
//! With it in any block of a listener, queries of other classes than IN reach the plugins of that listener.

#![forbid(unsafe_code)]

mod config;
mod handler;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup, host_name};

use handler::Chaos;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("chaos", setup).with_other_classes();

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives())?;
    setup.add(Chaos {
        config,
        host_name: host_name(),
    });
    Ok(())
}
