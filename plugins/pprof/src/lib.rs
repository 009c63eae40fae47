//! The `pprof` plugin: profiles of the running process over HTTP, in the format of Go's `pprof` tool.
//!
//! ```corefile
//! . {
//!     pprof localhost:6053
//!     whoami
//! }
//! ```
//!
//! The parts, in the order in which a request meets them:
//!
//! - `config` reads the directive;
//! - `endpoint` mounts the pages and closes them, `pages` chooses among them, `index` lists them;
//! - `cpu` samples call stacks, `heap` shows memory, `threads` shows the threads and how long they were blocked;
//! - `profile` writes what they found in Protocol Buffers;
//! - `slot` lets one profile at a time be taken, and `metrics` counts.

#![forbid(unsafe_code)]

mod config;
mod cpu;
mod endpoint;
mod heap;
mod index;
mod metrics;
mod pages;
mod profile;
mod slot;
mod threads;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use endpoint::Pprof;
use metrics::Metrics;
use pages::Pages;

/// The `pprof` plugin.
pub static PLUGIN: Definition = Definition::new(config::NAME, setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives())?;
    if let Some(rate) = &config.odd_rate {
        setup.warn(
            rate.span(),
            format_args!("`block {rate}`: the system counts each time that a thread is blocked, so the rate is always 1"),
        );
    }
    let metrics = Metrics::new(&setup.shared::<catena_metrics::Registry>());
    let pages = Arc::new(Pages::new(config.block, metrics));
    setup.lifecycle(Arc::new(Pprof::new(config.address, setup.shared(), pages)));
    Ok(())
}
