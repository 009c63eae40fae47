//! The `on` plugin: runs commands when the server has started, and when it ends.
//!
//! ```corefile
//! . {
//!     on startup touch /run/catena-is-up
//!     on shutdown rm -f /run/catena-is-up
//!     whoami
//! }
//! ```
//!
//! `config` reads the directives, `words` splits a command line as a shell does, `command` runs commands.

#![forbid(unsafe_code)]

mod command;
mod config;
mod words;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use command::Hooks;

/// The `on` plugin.
pub static PLUGIN: Definition = Definition::new("on", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let commands = config::parse(setup.directives())?;
    setup.lifecycle(Arc::new(Hooks::new(commands)));
    Ok(())
}
