//! Runs the plugins' setups, block by block.

use std::sync::Arc;

use super::{BuildContext, Plan, PlannedBlock, listeners};
use crate::corefile::{Collector, ConfigErrors, Corefile, Directive, Key, ServerBlock, fingerprint, keys};
use crate::plugin::setup::{Build, Environment};
use crate::plugin::{
    BlockInfo, BlockOutline, BlockSettings, Chain, Definition, Handover, HopObserver, Lifecycle, Services,
    Setup,
};

/// A block behind its plugins' setups.
pub(super) struct BuiltBlock {
    pub(super) info: BlockInfo,
    pub(super) settings: BlockSettings,
    pub(super) chain: Arc<Chain>,
    pub(super) services: Arc<Services>,
    pub(super) lifecycles: Vec<Arc<dyn Lifecycle>>,
    pub(super) other_classes: bool,
}

/// Builds what a Corefile says.
///
/// # Errors
///
/// All errors that are independent of each other: of keys, of each plugin in each block, and between blocks.
pub fn build(corefile: &Corefile, context: &BuildContext<'_>) -> Result<Plan, ConfigErrors> {
    let mut errors = Collector::default();
    let mut warnings: Vec<String> = corefile
        .warnings
        .iter()
        .map(|warning| format!("[WARNING] {warning}"))
        .collect();
    let mut handover = Handover::default();
    let mut blocks = Vec::new();
    for (index, block) in corefile.blocks.iter().enumerate() {
        let Some(keys) = errors.take(keys(&block.keys, context.default_port)) else {
            continue;
        };
        let mut build = Build {
            handover: std::mem::take(&mut handover),
            ..Build::default()
        };
        let info = block_info(index, block, keys, context);
        let other_classes = set_up(block, &info, &mut build, corefile, context, &mut errors);
        warnings.append(&mut build.warnings);
        handover = build.handover;
        let chain = Chain::new(build.plugins, build.settings.panics, Arc::clone(context.counters));
        let observer = build.services.first::<dyn HopObserver>().cloned();
        blocks.push(BuiltBlock {
            info,
            chain: Arc::new(chain.with_observer(observer)),
            settings: build.settings,
            services: Arc::new(build.services),
            lifecycles: build.lifecycles,
            other_classes,
        });
    }
    for block in &blocks {
        for lifecycle in &block.lifecycles {
            errors.take(lifecycle.validate(&block.info, &block.services));
        }
    }
    let listeners = listeners::plan(&blocks, &mut errors);
    let blocks = blocks.into_iter().map(PlannedBlock::from).collect();
    let fingerprint = corefile.fingerprint();
    errors.finish(Plan {
        fingerprint,
        blocks,
        listeners,
        warnings,
        files: corefile.files.clone(),
        handover,
    })
}

impl From<BuiltBlock> for PlannedBlock {
    fn from(block: BuiltBlock) -> Self {
        Self {
            outline: Arc::new(outline(&block)),
            info: block.info,
            settings: block.settings,
            lifecycles: block.lifecycles,
            services: block.services,
        }
    }
}

fn outline(block: &BuiltBlock) -> BlockOutline {
    let mut plugins: Vec<&'static str> = Vec::new();
    for name in block.chain.names() {
        if !plugins.contains(&name) {
            plugins.push(name);
        }
    }
    let view = block.settings.filters.first();
    BlockOutline {
        zone: block
            .info
            .zones
            .first()
            .map_or_else(String::new, |zone| zone.as_str().to_owned()),
        servers: listeners::labels(block),
        view: view.map_or_else(String::new, |view| view.view_name().to_owned()),
        plugins,
    }
}

fn block_info(index: usize, block: &ServerBlock, keys: Vec<Key>, context: &BuildContext<'_>) -> BlockInfo {
    let mut directives: Vec<String> = Vec::new();
    for directive in &block.directives {
        if !directives.iter().any(|name| name == directive.name()) {
            directives.push(directive.name().to_owned());
        }
    }
    BlockInfo {
        index,
        zones: keys.iter().map(|key| key.zone.clone()).collect(),
        keys,
        folder: context.folder.clone(),
        directives,
    }
}

/// Runs the setups of a block in the order of the registry. Says whether one lets other classes in.
fn set_up(
    block: &ServerBlock,
    info: &BlockInfo,
    build: &mut Build,
    corefile: &Corefile,
    context: &BuildContext<'_>,
    errors: &mut Collector,
) -> bool {
    let environment = Environment {
        shared: context.shared,
        previous: context.previous,
        log: context.log,
        workers: context.workers,
        files: &corefile.files,
    };
    let fingerprint = fingerprint(&block.keys, &block.directives);
    let mut other_classes = false;
    for definition in context.registry.definitions() {
        let directives: Vec<Directive> = block.directives_named(definition.name).cloned().collect();
        if directives.is_empty() {
            continue;
        }
        other_classes |= definition.other_classes;
        let result = run(definition, &directives, info, build, &environment, &fingerprint);
        if build.settings.debug {
            // What the plugins behind it say in their setup is wanted already.
            context.log.set_debug(true);
        }
        errors.take(result.map_err(|errors| errors.in_directive(definition.name)));
    }
    other_classes
}

fn run(
    definition: &Definition,
    directives: &[Directive],
    block: &BlockInfo,
    build: &mut Build,
    environment: &Environment<'_>,
    fingerprint: &str,
) -> Result<(), ConfigErrors> {
    let mut setup = Setup {
        plugin: definition.name,
        directives,
        block,
        build,
        environment,
        fingerprint,
    };
    (definition.setup)(&mut setup)
}
