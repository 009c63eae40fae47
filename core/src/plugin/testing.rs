//! Help for the tests of plugins: a plugin's setup and its chain, without a server around them.
//!
//! ```
//! use catena_core::message::{QueryBuilder, Rcode};
//! use catena_core::plugin::testing::{FIXED, set_up};
//! use catena_core::plugin::Outcome;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let block = set_up(&[FIXED], "fixed")?;
//! let mut request = QueryBuilder::new("www.example.org.", 1_u16)?.to_request()?;
//! let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! let outcome = runtime.block_on(block.ask(&mut request))?;
//! assert_eq!(outcome.rcode(), Some(Rcode::NOERROR));
//! # Ok(())
//! # }
//! ```

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use super::setup::{Build, Environment};
use super::{
    AtOnce, BlockInfo, BlockSettings, Chain, Definition, Handover, HopObserver, Lifecycle, Outcome, Plugin,
    PluginError, Services, Setup, Shared,
};
use crate::corefile::testing::parse_directives;
use crate::corefile::{ConfigErrors, Directive, fingerprint};
use crate::counters::Counters;
use crate::log::{Captured, LogSink};
use crate::message::{CLASS_IN, Owner, Request, Response, Zone};

/// How many workers a setup is told of.
pub const WORKERS: usize = 2;

/// What the setups of a block have made.
pub struct TestBlock {
    /// The plugins.
    pub chain: Arc<Chain>,
    /// The settings.
    pub settings: BlockSettings,
    /// What the plugins offer.
    pub services: Services,
    /// What the plugins do at start and stop.
    pub lifecycles: Vec<Arc<dyn Lifecycle>>,
    /// Log lines about what is odd and no error.
    pub warnings: Vec<String>,
    /// What belongs to all blocks, such as the registry of metrics.
    pub shared: Shared,
    /// The lines that went to the log's sink.
    pub log: Captured,
}

impl TestBlock {
    /// Runs the chain.
    ///
    /// # Errors
    ///
    /// What a plugin says, or that the chain ended without an answer.
    pub async fn ask(&self, request: &mut Request) -> Result<Outcome, PluginError> {
        self.chain.start().run(request).await
    }

    /// Runs the chain and takes the reply.
    ///
    /// # Panics
    ///
    /// When there is an error, or an outcome of another kind.
    pub async fn reply(&self, request: &mut Request) -> Response {
        match self.ask(request).await {
            Ok(Outcome::Reply(response)) => response,
            other => panic!("expected a reply, got {other:?}"),
        }
    }
}

impl std::fmt::Debug for TestBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TestBlock({:?})", self.chain)
    }
}

/// Sets a block of the root zone up: `text` is what stands between its braces, with the first line as line 1 of
/// "Corefile", and `definitions` are the plugins that there are, in their order.
///
/// # Errors
///
/// The text cannot be read, or a setup refuses its directives.
pub fn set_up(definitions: &[Definition], text: &str) -> Result<TestBlock, ConfigErrors> {
    let directives = parse_directives(text)?;
    let info = BlockInfo {
        index: 0,
        keys: Vec::new(),
        zones: vec![Zone::root()],
        folder: PathBuf::new(),
        directives: directives
            .iter()
            .map(|directive| directive.name().to_owned())
            .collect(),
    };
    let (shared, previous) = (Shared::default(), Handover::default());
    let (log, captured) = LogSink::captured();
    let environment = Environment {
        shared: &shared,
        previous: &previous,
        log: &log,
        workers: WORKERS,
        files: &[],
    };
    let fingerprint = fingerprint(&[], &directives);
    let mut build = Build::default();
    for definition in definitions {
        let named = |directive: &&Directive| directive.name() == definition.name;
        let mine: Vec<Directive> = directives.iter().filter(named).cloned().collect();
        if mine.is_empty() {
            continue;
        }
        let mut setup = Setup {
            plugin: definition.name,
            directives: &mine,
            block: &info,
            build: &mut build,
            environment: &environment,
            fingerprint: &fingerprint,
        };
        (definition.setup)(&mut setup).map_err(|errors| errors.in_directive(definition.name))?;
    }
    let counters = Arc::new(Counters::new(WORKERS));
    let chain = Chain::new(build.plugins, build.settings.panics, counters);
    let observer = build.services.first::<dyn HopObserver>().cloned();
    Ok(TestBlock {
        chain: Arc::new(chain.with_observer(observer)),
        settings: build.settings,
        services: build.services,
        lifecycles: build.lifecycles,
        warnings: build.warnings,
        shared,
        log: captured,
    })
}

/// A plugin for the end of a chain under test: it answers every query with the address 192.0.2.1, TTL 60 and AA.
pub const FIXED: Definition = Definition::new("fixed", |setup| {
    setup.add(Fixed);
    Ok(())
});

struct Fixed;

impl Plugin for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let mut reply = request.reply();
        reply.authoritative(true);
        reply.answer(Owner::Question, 1_u16, CLASS_IN, 60, address);
        AtOnce::Answer(reply.finish().into())
    }
}
