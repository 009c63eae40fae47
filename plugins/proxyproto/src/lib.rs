//! The `proxyproto` plugin: clients behind a proxy or load balancer that tells their addresses by the PROXY protocol.
//!
//! ```corefile
//! . {
//!     proxyproto {
//!         allow 192.0.2.0/24
//!     }
//!     whoami
//! }
//! ```
//!
//! The parts:
//!
//! - `config` reads the directives;
//! - `header` reads headers of both versions;
//! - `policy` decides who is believed, and tells the listeners;
//! - `sessions` remembers clients whose datagrams come without headers.
//!
//! It is no link of the chain: the listeners read headers before there is a query, so that all plugins, metrics and
//! logs see the client.

#![forbid(unsafe_code)]

mod config;
mod header;
mod metrics;
mod policy;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};
use catena_metrics::Registry;

use metrics::Metrics;
use policy::Rules;
use sessions::Sessions;

/// The `proxyproto` plugin.
pub static PLUGIN: Definition = Definition::new("proxyproto", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives())?;
    let metrics = Metrics::of(&setup.shared::<Registry>());
    // Clients that are known go on being known, unless fewer may be.
    let kept = setup
        .previous::<Kept>()
        .filter(|kept| kept.count == config.sessions.map(|limits| limits.count));
    let kept = kept.unwrap_or_else(|| {
        Arc::new(Kept {
            sessions: Arc::default(),
            count: config.sessions.map(|limits| limits.count),
        })
    });
    let rules = Rules::new(config, Arc::clone(&kept.sessions), metrics);
    setup.keep(kept);
    setup.settings().proxy = Some(Arc::new(rules));
    Ok(())
}

/// What a reload hands over.
struct Kept {
    sessions: Arc<Sessions>,
    count: Option<usize>,
}
