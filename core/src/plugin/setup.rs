//! What a plugin's setup function works with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BlockSettings, Handover, Lifecycle, Plugin, Services, Shared};
use crate::corefile::{ConfigError, ConfigErrors, Directive, Key, Span};
use crate::log::LogSink;
use crate::message::Zone;

/// A plugin as the server's list names it.
#[derive(Clone, Copy)]
pub struct Definition {
    /// Its directive in the Corefile.
    pub name: &'static str,
    /// Reads its directives and adds it to the block.
    pub setup: fn(&mut Setup<'_>) -> Result<(), ConfigErrors>,
    /// With it in any block of a listener, queries of other classes than IN reach the plugins of that listener.
    pub other_classes: bool,
}

impl Definition {
    /// A plugin with this name and setup function.
    #[must_use]
    pub const fn new(name: &'static str, setup: fn(&mut Setup<'_>) -> Result<(), ConfigErrors>) -> Self {
        Self {
            name,
            setup,
            other_classes: false,
        }
    }

    /// Lets queries of other classes than IN reach the plugins.
    #[must_use]
    pub const fn with_other_classes(mut self) -> Self {
        self.other_classes = true;
        self
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Definition({})", self.name)
    }
}

/// The directive of a plugin that can stand in a block once only.
///
/// ```
/// use catena_core::corefile::testing::parse_directives;
/// use catena_core::plugin::once;
///
/// let lines = parse_directives("errors\nerrors").unwrap();
/// assert_eq!(
///     once(&lines).unwrap_err().headline(),
///     "Corefile:2:1: this plugin can only be used once per Server Block",
/// );
/// ```
///
/// # Errors
///
/// There are several; the second one is named.
pub fn once(directives: &[Directive]) -> Result<&Directive, ConfigError> {
    match directives {
        [directive] => Ok(directive),
        [first, second, ..] => {
            let place = format!("the first `{}` stands at {}", first.name(), first.span());
            Err(second
                .error("this plugin can only be used once per Server Block")
                .with_note(place))
        }
        [] => Err(ConfigError::without_place(
            "a plugin was set up without a directive",
        )),
    }
}

/// The server block that a plugin belongs to.
#[derive(Clone, Debug)]
pub struct BlockInfo {
    /// Its place among the Corefile's blocks, from 0.
    pub index: usize,
    /// Its keys: zone, port and scheme each.
    pub keys: Vec<Key>,
    /// The keys' zones, in their order.
    pub zones: Vec<Zone>,
    /// The folder that relative paths start from, unless `root` says otherwise: the Corefile's own.
    pub folder: PathBuf,
    /// The names of all directives of the block.
    pub directives: Vec<String>,
}

impl BlockInfo {
    /// What the block is called: its first key. Two configurations' blocks of one name are the same block.
    #[must_use]
    pub fn name(&self) -> String {
        self.keys.first().map_or_else(String::new, ToString::to_string)
    }

    /// Whether a directive stands in the block.
    #[must_use]
    pub fn has_directive(&self, name: &str) -> bool {
        self.directives.iter().any(|directive| directive == name)
    }
}

/// What a plugin's setup function works with: the directives to read, and the block to add to.
///
/// A setup function uses no network and no clock, since `catena check` runs it too; see [`Lifecycle::start`].
pub struct Setup<'a> {
    pub(crate) plugin: &'static str,
    pub(crate) directives: &'a [Directive],
    pub(crate) block: &'a BlockInfo,
    pub(crate) build: &'a mut Build,
    pub(crate) environment: &'a Environment<'a>,
    pub(crate) fingerprint: &'a str,
}

/// What is the same for all setups of one configuration.
pub(crate) struct Environment<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) previous: &'a Handover,
    pub(crate) log: &'a LogSink,
    pub(crate) workers: usize,
    pub(crate) files: &'a [PathBuf],
}

/// What the setups of a block have made so far.
#[derive(Default)]
pub(crate) struct Build {
    pub(crate) plugins: Vec<Arc<dyn Plugin>>,
    pub(crate) lifecycles: Vec<Arc<dyn Lifecycle>>,
    pub(crate) services: Services,
    pub(crate) settings: BlockSettings,
    pub(crate) handover: Handover,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Setup<'a> {
    /// All occurrences of the plugin's directive in the block, in their order.
    #[must_use]
    pub fn directives(&self) -> &'a [Directive] {
        self.directives
    }

    /// The server block.
    #[must_use]
    pub fn block(&self) -> &'a BlockInfo {
        self.block
    }

    /// What tells the block from others: digits that depend on its keys and the words of all its lines, those of imports
    /// included, and not on where they stand. A block with the same digits as before has not changed.
    #[must_use]
    pub fn block_fingerprint(&self) -> &str {
        self.fingerprint
    }

    /// Adds a link to the block's chain, at this plugin's place. Several calls add several links.
    pub fn add(&mut self, plugin: impl Plugin) {
        self.add_shared(Arc::new(plugin));
    }

    /// The same for a plugin that something else holds too.
    pub fn add_shared(&mut self, plugin: Arc<dyn Plugin>) {
        self.build.plugins.push(plugin);
    }

    /// Registers work for the server's start and stop.
    pub fn lifecycle(&mut self, lifecycle: Arc<dyn Lifecycle>) {
        self.build.lifecycles.push(lifecycle);
    }

    /// The services of the block; those of plugins that come later in the order are not there yet.
    pub fn services(&mut self) -> &mut Services {
        &mut self.build.services
    }

    /// The block's settings.
    pub fn settings(&mut self) -> &mut BlockSettings {
        &mut self.build.settings
    }

    /// The folder that relative paths start from.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.build.settings.root.as_deref().unwrap_or(&self.block.folder)
    }

    /// The server's one `T`, kept across reloads.
    #[must_use]
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.environment.shared.of()
    }

    /// What the same plugin of the same block left with [`Setup::keep`] in the configuration before this one.
    #[must_use]
    pub fn previous<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.environment
            .previous
            .previous(&self.block.name(), self.plugin)
    }

    /// Leaves a value for the same plugin of the same block in the next configuration.
    pub fn keep<T: Send + Sync + 'static>(&mut self, value: Arc<T>) {
        self.build.handover.keep(&self.block.name(), self.plugin, value);
    }

    /// Where log lines go.
    #[must_use]
    pub fn log_sink(&self) -> &LogSink {
        self.environment.log
    }

    /// How many workers will answer queries.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.environment.workers
    }

    /// The files that the configuration was read from.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        self.environment.files
    }

    /// Tells the operator of something odd that is no error; it is logged as `[WARNING] plugin/NAME: text`.
    pub fn warn(&mut self, span: &Span, text: impl fmt::Display) {
        let _ = span;
        self.build
            .warnings
            .push(format!("[WARNING] plugin/{}: {text}", self.plugin));
    }
}

impl fmt::Debug for Setup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setup({} in {})", self.plugin, self.block.name())
    }
}
