//! *bufsize* lowers the UDP size that clients announce by EDNS, so that answers are not fragmented on their way.
//!
//! ```text
//! bufsize [SIZE]
//! ```
//!
//! `SIZE` is 512 to 4096 bytes, 1232 by default. The lowered size is what answers are cut to, what plugins behind this
//! one pass on to upstreams, and what the client sees in the answer's OPT record.

#![forbid(unsafe_code)]

mod config;
mod handler;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use handler::Bufsize;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("bufsize", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let max = config::parse(setup.directives())?;
    setup.add(Bufsize { max });
    Ok(())
}
