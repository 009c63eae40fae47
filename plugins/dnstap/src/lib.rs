//! The `dnstap` plugin: copies queries and answers to collectors, as [dnstap](https://dnstap.info) messages.
//!
//! ```corefile
//! . {
//!     dnstap tcp://127.0.0.1:6000 full
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! The parts, in the order in which data flows through them:
//!
//! - `config` reads the directives;
//! - `handler` sees what passes and makes messages of it; `extra` fills the field that the operator writes;
//! - `message` writes them as Protocol Buffers;
//! - `outgoing` and `incoming` carry them to collectors that the server connects to, and to those that connect to it,
//!   over `stream` (connections of all kinds), `frames` (Frame Streams), `tls` and `unix`;
//! - `metrics` counts what was written and what was lost.
//!
//! A query never waits for a collector: what a collector does not take in time is dropped and counted.

#![forbid(unsafe_code)]

mod config;
mod extra;
mod frames;
mod handler;
mod incoming;
mod message;
mod metrics;
mod outgoing;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod unix;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup, Tap};
use catena_facts::Surroundings;
use catena_metrics::Registry;

use handler::Dnstap;
use metrics::Metrics;
use unix::OwnSockets;

/// The `dnstap` plugin.
pub static PLUGIN: Definition = Definition::new("dnstap", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let parsed = config::parse(setup.directives())?;
    for (span, text) in &parsed.warnings {
        setup.warn(span, text);
    }
    let surroundings = Arc::new(Surroundings::of(PLUGIN.name));
    setup.lifecycle(Arc::clone(&surroundings) as _);
    for config in parsed.configs {
        let metrics = Metrics::of(&setup.shared::<Registry>(), &config.endpoint);
        let sockets = setup.shared::<OwnSockets>();
        let tap = Arc::new(Dnstap::new(config, metrics, Arc::clone(&surroundings), sockets));
        setup.lifecycle(Arc::clone(&tap) as _);
        setup.services().offer::<dyn Tap>(Arc::clone(&tap) as _);
        setup.add_shared(tap);
    }
    Ok(())
}
