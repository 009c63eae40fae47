//! The `grpc` plugin: passes queries on to DNS servers that take them in gRPC calls, and their answers back.
//!
//! ```corefile
//! example.org {
//!     grpc . 192.0.2.53:9005 {
//!         fallthrough
//!     }
//!     whoami
//! }
//! ```
//!
//! `config` reads the directive, `handler` matches queries and tries one upstream after the other, `metrics` counts.
//! Connections, TLS and the calls themselves are `catena-upstream`'s.

#![forbid(unsafe_code)]

mod config;
mod handler;
mod metrics;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup, once};
use catena_metrics::Registry;

use handler::Grpc;

/// The `grpc` plugin.
pub static PLUGIN: Definition = Definition::new("grpc", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let directive = once(setup.directives())?;
    let folder = setup.block().folder.clone();
    let root = setup.root().to_owned();
    let config = config::parse(directive, &folder, &root)?;
    let registry = setup.shared::<Registry>();
    let plugin = Arc::new(Grpc::new(config, &registry, setup.workers()));
    setup.lifecycle(Arc::clone(&plugin) as _);
    setup.add_shared(plugin);
    Ok(())
}
