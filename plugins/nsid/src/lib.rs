//! *nsid* names the server in its answers to clients that ask for it by EDNS (RFC 5001).
//!
//! ```text
//! nsid [DATA...]
//! ```

#![forbid(unsafe_code)]

mod config;
mod handler;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup, host_name, once};

use handler::Nsid;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("nsid", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let data = config::parse(once(setup.directives())?)?;
    let data = data.unwrap_or_else(|| host_name().into_bytes());
    setup.add(Nsid { data: data.into() });
    Ok(())
}
