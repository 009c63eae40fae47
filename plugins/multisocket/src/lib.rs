//! *multisocket* sets how many sockets listen on one port; the kernel spreads the load over them.
//!
//! ```text
//! multisocket [NUM_SOCKETS]
//! ```

#![forbid(unsafe_code)]

mod config;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup, once};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("multisocket", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let count = config::parse(once(setup.directives())?)?;
    // There is a worker for each core unless the operator wants it otherwise.
    let count = count.unwrap_or_else(|| setup.workers().max(1));
    setup.settings().sockets = Some(count);
    Ok(())
}
