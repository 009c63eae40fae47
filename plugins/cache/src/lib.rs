//! The `cache` plugin: keeps answers until their TTL ends, and gives them again without asking anybody.
//!
//! ```corefile
//! . {
//!     cache 300 {
//!         serve_stale 1h verify 100ms
//!     }
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! The parts:
//!
//! - `config` reads the directive;
//! - `handler` decides what happens to a query: given from memory, fetched, or refreshed behind the client's back;
//! - `flight` lets one of many equal queries through, and the others wait for its outcome;
//! - `fetch` asks the plugins behind, and `classify` tells what their answer means and for how long; `shared` is what came of
//!   it for those who waited;
//! - `store` holds the answers, each an `entry`, and lets other plugins purge them;
//! - `metrics` counts.
//!
//! Answers are kept in wire form. A hit copies one and patches what differs from client to client; nothing is parsed, and
//! no buffer is allocated. Which answers have to go when there are too many is `quick_cache`'s business: one that was asked
//! for again stays, whatever number of others is asked for once.

#![forbid(unsafe_code)]

mod classify;
mod config;
mod entry;
mod fetch;
mod flight;
mod handler;
mod metrics;
mod shared;
mod store;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{CachePurge, Definition, Setup};
use catena_metrics::Registry;

use fetch::Inner;
use handler::Cache;
use metrics::{Caches, Metrics};
use store::Store;

/// The `cache` plugin.
pub static PLUGIN: Definition = Definition::new("cache", setup);

/// What a reload finds of the configuration before.
#[derive(Debug)]
struct Kept {
    /// The block that the answers came from.
    fingerprint: String,
    store: Arc<Store>,
}

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives(), setup.block())?;
    let fingerprint = setup.block_fingerprint().to_owned();
    // Another block may answer otherwise, so what it answered before must not stay.
    let store = match setup.previous::<Kept>() {
        Some(kept) if kept.fingerprint == fingerprint => Arc::clone(&kept.store),
        _ => Arc::new(Store::new(&config)),
    };
    setup.keep(Arc::new(Kept {
        fingerprint,
        store: Arc::clone(&store),
    }));
    setup
        .services()
        .offer::<dyn CachePurge>(Arc::clone(&store) as Arc<_>);
    let registry = setup.shared::<Registry>();
    let metrics = Metrics::new(&registry, config.label());
    let inner = Arc::new(Inner {
        config,
        store,
        metrics,
    });
    setup.shared::<Caches>().show(&registry, &inner);
    setup.lifecycle(Arc::clone(&inner) as Arc<_>);
    setup.add(Cache::new(inner));
    Ok(())
}
