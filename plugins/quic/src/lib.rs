//! *quic* bounds the streams of listeners of DNS over QUIC.
//!
//! ```text
//! quic {
//!     max_streams NUMBER
//!     worker_pool_size NUMBER
//! }
//! ```

#![forbid(unsafe_code)]

use catena_bounds::{Bound, Zero};
use catena_core::corefile::{ConfigErrors, Scheme};
use catena_core::plugin::{Definition, Setup};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("quic", setup);

const BOUNDS: &[Bound] = &[
    Bound {
        option: "max_streams",
        zero: Zero::Refused,
        set: |bounds, number| bounds.streams = Some(number),
    },
    Bound {
        option: "worker_pool_size",
        zero: Zero::Refused,
        set: |bounds, number| bounds.all_streams = Some(number),
    },
];

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    catena_bounds::read(setup, Scheme::Quic, BOUNDS)
}

#[cfg(test)]
mod tests;
