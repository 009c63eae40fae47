//! The `template` plugin: answers with records that templates make of the query.
//!
//! ```corefile
//! example.org {
//!     template IN A {
//!         match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)[.]
//!         answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
//!     }
//! }
//! ```
//!
//! `config` reads the directives, of which each is a `rule` with `pattern`s for names and a `script` for each record;
//! `facts` is what scripts are told of a query. `handler` answers queries, `metrics` counts what fits and what fails.
//!
//! A query that no rule fits costs the search alone; one that a rule fits is answered at once. It waits only where the
//! answer has a CNAME record, whose target the server is asked for as its client could ask.

#![forbid(unsafe_code)]

mod config;
mod facts;
mod handler;
mod metrics;
mod pattern;
mod rule;
mod script;

use std::sync::Arc;

use catena_core::corefile::{ConfigErrors, Directive};
use catena_core::plugin::{Definition, Setup};
use catena_facts::Surroundings;
use catena_metrics::Registry;

use handler::Templates;
use metrics::Metrics;

/// The `template` plugin.
pub static PLUGIN: Definition = Definition::new(handler::NAME, setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let rules = config::parse(setup.directives(), &setup.block().zones)?;
    let options = setup.directives().iter().flat_map(Directive::options);
    for line in options.filter(|line| line.name() == "upstream") {
        setup.warn(
            line.span(),
            "`upstream` has no effect: targets are always looked up",
        );
    }
    let surroundings = Arc::new(Surroundings::of(PLUGIN.name));
    let metrics = Metrics::new(&setup.shared::<Registry>(), Arc::clone(&surroundings));
    setup.lifecycle(Arc::clone(&surroundings) as Arc<_>);
    let requery = setup.shared();
    setup.add(Templates::new(rules, metrics, surroundings, requery));
    Ok(())
}
