//! The `acl` plugin: lets queries pass, refuses, empties or drops them, by their type and their client's network.
//!
//! ```corefile
//! example.org {
//!     acl {
//!         allow net 192.0.2.0/24
//!         block
//!     }
//!     whoami
//! }
//! ```
//!
//! `config` reads the directives, `handler` decides about queries, `metrics` counts what was decided.

#![forbid(unsafe_code)]

mod config;
mod handler;
mod metrics;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};
use catena_facts::Surroundings;
use catena_metrics::Registry;

use handler::Acl;
use metrics::Metrics;

/// The `acl` plugin.
pub static PLUGIN: Definition = Definition::new("acl", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let rules = config::parse(setup.directives(), &setup.block().zones)?;
    let surroundings = Arc::new(Surroundings::of(PLUGIN.name));
    let zones = rules.iter().map(|rule| rule.zones.len()).collect();
    let metrics = Metrics::new(&setup.shared::<Registry>(), zones, Arc::clone(&surroundings));
    setup.lifecycle(surroundings);
    setup.add(Acl::new(rules, metrics));
    Ok(())
}
