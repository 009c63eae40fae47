//! *timeouts* sets how long connections of clients may take, and how many queries one of them may carry.
//!
//! ```text
//! timeouts {
//!     read DURATION
//!     write DURATION
//!     idle DURATION
//!     maxtcpqueries MAXIMUM
//!     edns_keepalive
//! }
//! ```

#![forbid(unsafe_code)]

mod config;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("timeouts", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    setup.settings().timeouts = config::parse(setup.directives())?;
    Ok(())
}
