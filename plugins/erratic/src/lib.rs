//! *erratic* gives fixed answers that it drops, delays or truncates every so often, for tests of clients.
//!
//! ```text
//! erratic {
//!     drop [AMOUNT]
//!     truncate [AMOUNT]
//!     delay [AMOUNT [DURATION]]
//!     large
//! }
//! ```

#![forbid(unsafe_code)]

mod config;
mod handler;
mod zone;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Autopath, Definition, Readiness, Setup};

use handler::Erratic;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("erratic", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives())?;
    let erratic = Arc::new(Erratic::new(config));
    setup.services().offer::<dyn Readiness>(erratic.clone());
    setup.services().offer::<dyn Autopath>(erratic.clone());
    setup.add_shared(erratic);
    Ok(())
}
