//! The `errors` plugin: logs why queries failed, one line each, or one for many that are alike.
//!
//! ```corefile
//! . {
//!     errors {
//!         consolidate 5m "timed out" warning show_first
//!     }
//!     whoami
//! }
//! ```
//!
//! The parts: `config` reads the directive, `handler` sees the errors that come back through the chain, `window`
//! counts those that are alike, and `report` says at the end of their time how many there were.

#![forbid(unsafe_code)]

mod config;
mod handler;
mod level;
mod report;
mod window;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, PanicPolicy, Setup};

use handler::Errors;
use report::{Reporter, Reports};

/// The `errors` plugin.
pub static PLUGIN: Definition = Definition::new("errors", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives())?;
    // With `debug` a panic ends the process, and prints its stack.
    if config.stacktrace && setup.settings().panics == PanicPolicy::Catch {
        setup.settings().panics = PanicPolicy::CatchWithStack;
    }
    let reports = Arc::new(Reports::new(config.rules, setup.log_sink().clone()));
    if reports.have_rules() {
        setup.lifecycle(Arc::new(Reporter::new(Arc::clone(&reports))));
    }
    setup.add(Errors::new(reports));
    Ok(())
}
