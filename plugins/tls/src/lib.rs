//! *tls* sets what encrypted listeners show to clients and ask of them.
//!
//! ```text
//! tls CERT KEY [CA] {
//!     client_auth nocert|request|require|verify_if_given|require_and_verify
//!     keylog FILE
//!     padding [BYTES]
//! }
//! ```

#![forbid(unsafe_code)]

mod config;
mod facts;
mod life;
mod metrics;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, MetadataProvider, Setup};
use catena_metrics::Registry;

use facts::Facts;
use life::Life;
use metrics::Metrics;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("tls", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let (config, certified) = config::parse(setup.directives(), setup.root())?;
    setup.settings().padding = config.padding;
    let life = match setup.previous::<Life>() {
        // The same one, so that clients can go on with their sessions after a reload.
        Some(before) if before.is_for(&config) => {
            before.refresh();
            before
        }
        _ => {
            let metrics = Metrics::new(&setup.shared::<Registry>(), config.files.cert());
            Arc::new(Life::new(config, certified, metrics))
        }
    };
    if let (Some(path), [directive, ..]) = (life.key_log_path(), setup.directives()) {
        let text = format!("Writing TLS Key Log to {:?}", path.display().to_string());
        setup.warn(directive.span(), text);
    }
    setup.settings().tls = Some(Arc::clone(life.identity()));
    setup.keep(Arc::clone(&life));
    setup.services().offer::<dyn MetadataProvider>(Arc::new(Facts));
    setup.lifecycle(life);
    Ok(())
}
