//! *https* bounds the connections of listeners of DNS over HTTPS.
//!
//! ```text
//! https {
//!     max_connections NUMBER
//! }
//! ```

#![forbid(unsafe_code)]

use catena_bounds::{Bound, Zero};
use catena_core::corefile::{ConfigErrors, Scheme};
use catena_core::plugin::{Definition, Setup};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("https", setup);

const BOUNDS: &[Bound] = &[Bound {
    option: "max_connections",
    zero: Zero::Unbounded,
    set: |bounds, number| bounds.connections = Some(number),
}];

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    catena_bounds::read(setup, Scheme::Https, BOUNDS)
}

#[cfg(test)]
mod tests;
