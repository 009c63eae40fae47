//! *https3* bounds the connections and streams of listeners of DNS over HTTP/3.
//!
//! ```text
//! https3 {
//!     max_streams NUMBER
//!     max_connections NUMBER
//! }
//! ```

#![forbid(unsafe_code)]

use catena_bounds::{Bound, Zero};
use catena_core::corefile::{ConfigErrors, Scheme};
use catena_core::plugin::{Definition, Setup};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("https3", setup);

const BOUNDS: &[Bound] = &[
    Bound {
        option: "max_streams",
        zero: Zero::Default,
        set: |bounds, number| bounds.streams = Some(number),
    },
    Bound {
        option: "max_connections",
        zero: Zero::Unbounded,
        set: |bounds, number| bounds.connections = Some(number),
    },
];

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    catena_bounds::read(setup, Scheme::Https3, BOUNDS)
}

#[cfg(test)]
mod tests;
