//! The `forward` plugin: passes queries on to upstream resolvers, and their answers back.
//!
//! ```corefile
//! . {
//!     forward . 192.0.2.53 192.0.2.54 {
//!         policy sequential
//!     }
//! }
//! ```
//!
//! The parts:
//!
//! - `config` reads the directive, `target` what it forwards to;
//! - `handler` matches queries and judges answers, `attempts` tries one upstream after the other;
//! - `metrics` counts.
//!
//! Sockets, ids, TLS, HTTP and QUIC, retransmission over kept connections and the watch over silent upstreams are
//! `catena-upstream`'s.

#![forbid(unsafe_code)]

mod attempts;
mod config;
mod handler;
mod metrics;
mod target;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, MetadataProvider, Setup};
use catena_metrics::Registry;

use handler::{Forward, UpstreamLabel};

/// The `forward` plugin.
pub static PLUGIN: Definition = Definition::new("forward", setup).with_other_classes();

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let folder = setup.block().folder.clone();
    let root = setup.root().to_owned();
    let registry = setup.shared::<Registry>();
    let labelled = setup.block().has_directive("metadata");
    let mut plugins = Vec::new();
    for directive in setup.directives() {
        let parsed = config::parse(directive, &folder, &root)?;
        if let Some(warning) = parsed.warning {
            setup.warn(directive.span(), warning);
        }
        let forward = Forward::new(parsed.config, Arc::clone(&registry), setup.workers(), labelled);
        plugins.push(Arc::new(
            forward.map_err(|error| directive.error(error.to_string()))?,
        ));
    }
    if labelled {
        setup
            .services()
            .offer::<dyn MetadataProvider>(Arc::new(UpstreamLabel));
    }
    for plugin in plugins {
        setup.lifecycle(Arc::clone(&plugin) as _);
        setup.add_shared(plugin);
    }
    Ok(())
}
