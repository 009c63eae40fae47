//! The `dynresolve` plugin: answers address queries for services that a controller registers over a REST API.
//!
//! ```corefile
//! service.local {
//!     dynresolve {
//!         api listen 127.0.0.1:8080
//!         api token {env.DYNRESOLVE_TOKEN}
//!     }
//! }
//! ```
//!
//! The parts, in the order in which data flows through them:
//!
//! - `config` reads the directive, and `names` the names of services in the zones of the block;
//! - `api` takes requests on a thread of its own, `body` reads their JSON, `render` writes that of the responses;
//! - `store` takes the writes, one at a time, and `table` is what queries read meanwhile, without a lock;
//! - `persist` keeps the store in a file;
//! - `handler` answers queries: from the `table` as long as an answer is fresh, then by way of a `source`, and `apex`
//!   denies what is not there;
//! - `instance` holds it together, and `life` starts, stops and hands over at a reload.
//!
//! Nothing is opened before the start: a Corefile can be checked on a machine without its token and certificate.

#![forbid(unsafe_code)]

mod apex;
mod api;
mod body;
mod config;
mod handler;
mod instance;
mod life;
mod metrics;
mod names;
mod persist;
mod render;
mod service;
mod source;
mod store;
mod table;
mod tls;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Readiness, Setup};
use catena_metrics::Registry;

use handler::Dynresolve;
use instance::{Instance, Instances};
use life::Life;
use names::Zones;

/// The `dynresolve` plugin.
pub static PLUGIN: Definition = Definition::new("dynresolve", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives(), setup.root())?;
    let registry: Arc<Registry> = setup.shared();
    let instances: Arc<Instances> = setup.shared();
    instances.show(&registry);
    let zones = Zones::new(&setup.block().zones);
    let instance = Arc::new(Instance::new(setup.block().name(), config, zones, &registry));
    instances.add(&instance);
    let ready: Arc<dyn Readiness> = Arc::clone(&instance) as Arc<dyn Readiness>;
    setup.services().offer(ready);
    setup.lifecycle(Arc::new(Life::new(Arc::clone(&instance), instances)));
    setup.add(Dynresolve::new(instance));
    Ok(())
}
