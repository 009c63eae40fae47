//! The `log` plugin: a line for each query and its answer.
//!
//! ```corefile
//! example.org {
//!     log . "{remote} {name} {type} {rcode} {duration}" {
//!         class denial error
//!     }
//!     whoami
//! }
//! ```
//!
//! The parts: `config` reads the directives into rules, `format` splits a format into parts once, `classify` tells
//! what kind of answer a message is, `line` writes a line from what is known of query and answer, `labels` asks other
//! plugins for facts, `transfer` follows answers of many messages, and `handler` is the link of the chain.
//!
//! A line is put together in a buffer that each thread keeps, so that it costs no allocation, and goes to the log's
//! bounded sink: a slow reader of the log never makes a query wait.

#![forbid(unsafe_code)]

mod classify;
mod config;
mod format;
mod handler;
mod labels;
mod line;
mod transfer;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use handler::Log;
use labels::Labels;

/// The `log` plugin.
pub static PLUGIN: Definition = Definition::new("log", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    // Only with the plugin `metadata` do labels have values.
    let metadata = setup.block().has_directive("metadata");
    let parsed = config::parse(setup.directives(), metadata)?;
    for (span, text) in &parsed.warnings {
        setup.warn(span, text);
    }
    let labels = Arc::new(Labels::default());
    if parsed.rules.iter().any(|rule| rule.format.has_labels()) {
        setup.lifecycle(Arc::clone(&labels) as Arc<_>);
    }
    setup.add(Log::new(parsed.rules, setup.log_sink().clone(), labels));
    Ok(())
}
