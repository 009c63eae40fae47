//! The `loadbalance` plugin: changes the order of addresses in answers, so that clients which take the first one are
//! spread over all.
//!
//! ```corefile
//! . {
//!     loadbalance
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! - `config` reads the directive, `weights` a file of weights;
//! - `order` arranges the records of a section;
//! - `store` keeps the current weights, and reads the file again when it has changed;
//! - `handler` lets queries pass and arranges what comes back.

#![forbid(unsafe_code)]

mod config;
mod handler;
mod order;
mod store;
mod weights;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use config::Policy;
use handler::LoadBalance;
use store::{Refresh, Store};

/// The `loadbalance` plugin.
pub static PLUGIN: Definition = Definition::new("loadbalance", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let root = setup.settings().root.clone();
    let config = config::parse(setup.directives(), root.as_deref(), &setup.block().folder)?;
    let weights = match config.policy {
        Policy::RoundRobin => None,
        Policy::Weighted(file) => {
            let store = Arc::new(Store::new(file));
            setup.lifecycle(Arc::new(Refresh::new(Arc::clone(&store))));
            Some(store)
        }
    };
    setup.add(LoadBalance::new(weights, config.prefer));
    Ok(())
}
