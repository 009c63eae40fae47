//! The `loop` plugin: finds out whether the server forwards to itself, and ends it if so.
//!
//! ```corefile
//! . {
//!     loop
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! When the server has started it is asked, from here, for a name that nobody can guess. If the name is asked for more
//! than twice, the query has come back: the server forwards to itself, be it directly or through others.
//!
//! - `probe` makes the name, asks, and keeps count;
//! - `handler` sees the queries.

#![forbid(unsafe_code)]

mod handler;
mod probe;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::message::Zone;
use catena_core::plugin::{Definition, Setup, once};

use handler::Loop;
use probe::{Detector, Probe, Target};

/// The `loop` plugin.
pub static PLUGIN: Definition = Definition::new("loop", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let directive = once(setup.directives())?;
    directive.no_args()?;
    directive.no_block()?;
    let block = setup.block();
    let zone = block.zones.first().cloned().unwrap_or_else(Zone::root);
    let port = block.keys.first().map_or(53, |key| key.port);
    let target = Target::new(setup.settings().listen.first(), port);
    let detector =
        Arc::new(Detector::new(&zone, target).map_err(|error| directive.error(error.to_string()))?);
    setup.lifecycle(Arc::new(Probe::new(Arc::clone(&detector))));
    setup.add(Loop::new(detector));
    Ok(())
}
