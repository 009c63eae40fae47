//! The `hosts` plugin: answers A, AAAA and PTR queries from a file in the form of `/etc/hosts`, and from entries that
//! stand in the Corefile.
//!
//! ```corefile
//! example.org {
//!     hosts {
//!         192.0.2.1 www.example.org
//!         fallthrough
//!     }
//! }
//! ```
//!
//! The parts, in the order in which data flows through them:
//!
//! - `config` reads the directive;
//! - `entries` reads lines of an address and names;
//! - `table` makes of them an immutable table, which a query is answered from without a lock;
//! - `store` keeps the current table, and reads the file again when it has changed;
//! - `handler` answers queries.
//!
//! Files are read at the start and while the server runs, never in the setup. A file of more than 256 MiB is refused.

#![forbid(unsafe_code)]

mod config;
mod entries;
mod handler;
mod metrics;
mod store;
mod table;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};
use catena_metrics::Registry;

use config::Config;
use handler::Hosts;
use metrics::Metrics;
use store::{Refresh, Store};

/// The `hosts` plugin.
pub static PLUGIN: Definition = Definition::new("hosts", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let root = setup.settings().root.clone();
    let parsed = config::parse(setup.directives(), root.as_deref(), setup.block())?;
    for (span, text) in &parsed.warnings {
        setup.warn(span, text);
    }
    let config: Arc<Config> = Arc::new(parsed.config);
    let metrics = Metrics::of(&setup.shared::<Registry>(), &config.label);
    let store = Arc::new(Store::new(Arc::clone(&config), metrics));
    setup.lifecycle(Arc::new(Refresh::new(Arc::clone(&store), setup.previous())));
    setup.keep(Arc::clone(&store));
    setup.add(Hosts::new(config, store));
    Ok(())
}
