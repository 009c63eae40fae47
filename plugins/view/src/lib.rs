//! The `view` plugin: chooses among server blocks of one zone by conditions on queries.
//!
//! ```corefile
//! example.org {
//!     view internal {
//!         expr incidr(client_ip(), '192.0.2.0/24')
//!     }
//!     hosts {
//!         192.0.2.1 www.example.org
//!     }
//! }
//! ```
//!
//! `config` reads the directive; the conditions are expressions of [`catena_expr`].

#![forbid(unsafe_code)]

mod config;

use std::sync::Arc;

use catena_core::corefile::ConfigErrors;
use catena_core::message::Request;
use catena_core::plugin::{AtOnce, Definition, MetadataProvider, MetadataSink, Plugin, Setup, ViewFilter};
use catena_expr::Expr;
use catena_facts::Surroundings;

/// The `view` plugin.
pub static PLUGIN: Definition = Definition::new("view", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let (name, conditions) = config::parse(setup.directives())?;
    let surroundings = Arc::new(Surroundings::of(PLUGIN.name));
    setup.lifecycle(Arc::clone(&surroundings) as Arc<_>);
    let view = Arc::new(View {
        name,
        conditions,
        surroundings,
    });
    setup.settings().filters.push(Arc::clone(&view) as Arc<_>);
    setup
        .services()
        .offer::<dyn ViewFilter>(Arc::clone(&view) as Arc<_>);
    setup
        .services()
        .offer::<dyn MetadataProvider>(Arc::clone(&view) as Arc<_>);
    setup.add_shared(view);
    Ok(())
}

/// The conditions of a block.
#[derive(Debug)]
struct View {
    name: String,
    conditions: Vec<Expr>,
    surroundings: Arc<Surroundings>,
}

impl ViewFilter for View {
    fn view_name(&self) -> &str {
        &self.name
    }

    fn accepts(&self, request: &Request) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(request, &self.surroundings))
    }
}

impl MetadataProvider for View {
    fn provide(&self, request: &Request, sink: &mut dyn MetadataSink) {
        // Whoever asks without the plugin `metadata` in the block gets nothing.
        if self.surroundings.has_metadata(request) {
            sink.add("view/name", &self.name);
        }
    }
}

/// The link of the chain, which lets everything pass: the choice has been made before.
impl Plugin for View {
    fn name(&self) -> &'static str {
        "view"
    }

    fn serve_at_once(&self, _: &mut Request) -> AtOnce {
        AtOnce::Pass
    }
}

#[cfg(test)]
mod tests {
    use catena_core::message::{QueryBuilder, Transport};
    use catena_core::plugin::testing::{FIXED, set_up};
    use catena_facts::MetadataZones;

    use super::*;

    #[tokio::test]
    async fn all_conditions_must_hold_and_queries_pass() {
        let text = "view v1 {\n expr name() endsWith 'example.org.'\n expr proto() == 'udp'\n}\nfixed";
        let block = set_up(&[FIXED, PLUGIN], text).unwrap();
        let filter = &block.settings.filters[0];
        assert_eq!(filter.view_name(), "v1");
        let query = |name: &str| QueryBuilder::new(name, 1_u16).unwrap();
        for (request, want) in [
            (query("A.EXAMPLE.org.").to_request().unwrap(), true),
            (query("a.example.net.").to_request().unwrap(), false),
            (
                query("a.example.org.").to_request_over(Transport::Tcp).unwrap(),
                false,
            ),
        ] {
            assert_eq!(filter.accepts(&request), want, "{}", request.qname());
        }
        let mut request = query("a.example.net.").to_request().unwrap();
        assert_eq!(block.reply(&mut request).await.answer_count(), 1);
    }

    #[test]
    fn a_view_without_conditions_holds_always() {
        let block = set_up(&[PLUGIN], "view v").unwrap();
        let request = QueryBuilder::new("a.", 1_u16).unwrap().to_request().unwrap();
        assert!(block.settings.filters[0].accepts(&request));
    }

    #[derive(Default)]
    struct Given(Vec<(String, String)>);

    impl MetadataSink for Given {
        fn add(&mut self, label: &str, value: &str) {
            self.0.push((label.to_owned(), value.to_owned()));
        }
    }

    #[test]
    fn the_name_is_metadata_where_there_is_metadata() {
        let request = QueryBuilder::new("a.", 1_u16).unwrap().to_request().unwrap();
        for (with_metadata, want) in [
            (false, vec![]),
            (true, vec![("view/name".to_owned(), "v".to_owned())]),
        ] {
            let view = View {
                name: "v".to_owned(),
                conditions: Vec::new(),
                surroundings: Arc::default(),
            };
            let mut services = catena_core::plugin::Services::default();
            if with_metadata {
                services.offer(Arc::new(MetadataZones(vec![catena_core::message::Zone::root()])));
            }
            view.surroundings.set(Arc::new(services));
            let mut given = Given::default();
            view.provide(&request, &mut given);
            assert_eq!(given.0, want);
        }
    }
}
