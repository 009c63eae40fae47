//! *ready* says over HTTP whether all plugins that know it are ready to answer.
//!
//! ```text
//! ready [ADDRESS] {
//!     monitor until-ready|continuously
//! }
//! ```

#![forbid(unsafe_code)]

mod board;
mod config;
mod endpoint;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use endpoint::Ready;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new(config::NAME, setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives())?;
    let ready = Ready::new(config, setup.shared(), setup.shared());
    setup.lifecycle(Arc::new(ready));
    Ok(())
}
