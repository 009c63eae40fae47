//! The `trace` plugin: follows queries through the plugins of their block, and sends what it saw to a collector.
//!
//! ```corefile
//! . {
//!     trace zipkin localhost:9411 {
//!         every 100
//!     }
//!     whoami
//! }
//! ```
//!
//! A query that is followed has one span for itself, and within it one for each plugin behind `trace` that it meets.
//!
//! The parts, in the order in which data flows through them:
//!
//! - `config` reads the directives, `target` what they say of the collector;
//! - `handler` chooses queries, `parent` reads whether a client follows its query itself;
//! - `following` collects the spans of one query, which are described in `span`;
//! - `backlog` keeps spans that wait, `exporter` sends them in batches, in the form of `zipkin`, `datadog` or `otlp`, by
//!   `collector`, an HTTP client;
//! - `metrics` counts what was sent and what was lost.
//!
//! A query never waits for a collector: spans that it does not take in time are dropped and counted.

#![forbid(unsafe_code)]

mod backlog;
mod collector;
mod config;
mod datadog;
mod exporter;
mod following;
mod handler;
mod metrics;
mod otlp;
mod parent;
mod span;
mod target;
#[cfg(test)]
mod testing;
mod zipkin;

use std::net::SocketAddr;
use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, HopObserver, MetadataProvider, Setup};
use catena_metrics::Registry;

use backlog::Backlog;
use exporter::{Exporter, Service};
use handler::Trace;
use metrics::Metrics;

/// The `trace` plugin.
pub static PLUGIN: Definition = Definition::new(config::NAME, setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let parsed = config::parse(setup.directives())?;
    for (span, text) in &parsed.warnings {
        setup.warn(span, text);
    }
    let config = parsed.config;
    let service = Service {
        name: config.service.clone(),
        address: service_address(setup),
    };
    let metrics = Arc::new(Metrics::of(&setup.shared::<Registry>(), &config.target));
    let backlog = Arc::new(Backlog::new(config.backlog, config.batch, Arc::clone(&metrics)));
    let trace = Arc::new(Trace::new(&config, Arc::clone(&backlog)));
    setup.lifecycle(Arc::new(Exporter::new(config, service, backlog, metrics)));
    setup.services().offer::<dyn HopObserver>(Arc::clone(&trace) as _);
    setup
        .services()
        .offer::<dyn MetadataProvider>(Arc::clone(&trace) as _);
    setup.add_shared(trace);
    Ok(())
}

/// Where the service is found, if `bind` says so: its first address, and the first port of the block.
fn service_address(setup: &mut Setup<'_>) -> Option<SocketAddr> {
    let port = setup.block().keys.first()?.port;
    let host = setup.settings().listen.first()?;
    Some(SocketAddr::new(host.ip, port))
}
