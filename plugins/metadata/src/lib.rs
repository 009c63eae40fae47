//! The `metadata` plugin: lets the plugins of a block tell each other, and the log, facts about queries.
//!
//! ```corefile
//! example.org {
//!     metadata
//!     log . "{remote} {name} {/view/name}"
//!     whoami
//! }
//! ```
//!
//! The plugin offers [`MetadataZones`] to the block. Who wants metadata asks [`catena_facts::Surroundings`], who gives
//! some is a [`MetadataProvider`](catena_core::plugin::MetadataProvider); values are made when somebody asks for them, so
//! that metadata which nobody uses costs a query nothing.

#![forbid(unsafe_code)]

use std::sync::Arc;

use catena_core::corefile::{Collector, ConfigErrors};
use catena_core::message::Request;
use catena_core::plugin::{AtOnce, Definition, Plugin, Setup, once};
use catena_facts::MetadataZones;

/// The `metadata` plugin.
pub static PLUGIN: Definition = Definition::new("metadata", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let directive = once(setup.directives())?;
    directive.no_block()?;
    let mut errors = Collector::default();
    let mut zones = Vec::new();
    for arg in directive.args() {
        zones.extend(errors.take(arg.zones()).unwrap_or_default());
    }
    if directive.args().is_empty() {
        zones.clone_from(&setup.block().zones);
    }
    errors.finish(())?;
    setup.services().offer(Arc::new(MetadataZones(zones)));
    setup.add(Metadata);
    Ok(())
}

/// The link of the chain, which lets everything pass: a block with nothing but `metadata` is a block with plugins.
#[derive(Debug)]
struct Metadata;

impl Plugin for Metadata {
    fn name(&self) -> &'static str {
        "metadata"
    }

    fn serve_at_once(&self, _: &mut Request) -> AtOnce {
        AtOnce::Pass
    }
}

#[cfg(test)]
mod tests {
    use catena_core::message::QueryBuilder;
    use catena_core::plugin::testing::{FIXED, set_up};

    use super::*;

    #[test]
    fn the_zones_are_those_given_or_those_of_the_block() {
        for (text, want) in [
            ("metadata", &["."][..]),
            (
                "metadata example.org example.net",
                &["example.org.", "example.net."],
            ),
            ("metadata 192.0.2.0/24", &["2.0.192.in-addr.arpa."]),
        ] {
            let block = set_up(&[PLUGIN], text).unwrap();
            let zones = block.services.first::<MetadataZones>().unwrap();
            let zones: Vec<_> = zones.0.iter().map(ToString::to_string).collect();
            assert_eq!(zones, want, "{text}");
        }
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (text, want) in [
            (
                "metadata {\n label x\n}",
                "Corefile:1:1: plugin/metadata: `metadata` takes no block",
            ),
            (
                "metadata\nmetadata",
                "Corefile:2:1: plugin/metadata: this plugin can only be used once per Server Block",
            ),
            (
                "metadata a..b",
                "Corefile:1:10: plugin/metadata: got `a..b`, expected a zone",
            ),
        ] {
            let errors = set_up(&[PLUGIN], text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "{text}");
        }
    }

    #[tokio::test]
    async fn queries_pass() {
        let block = set_up(&[PLUGIN, FIXED], "metadata\nfixed").unwrap();
        let mut request = QueryBuilder::new("a.", 1_u16).unwrap().to_request().unwrap();
        assert_eq!(block.reply(&mut request).await.answer_count(), 1);
    }
}
