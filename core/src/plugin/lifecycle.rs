//! The phases of a plugin's life around the queries: validate, start, stop.

use std::sync::Arc;

use async_trait::async_trait;

use super::{BlockInfo, Services, Shared};
use crate::corefile::ConfigErrors;
use crate::counters::Counters;
use crate::instance::CorefileSource;
use crate::log::LogSink;
use crate::server::Control;

/// What a plugin does when its server starts and stops. A plugin that needs it registers one with
/// [`Setup::lifecycle`](super::Setup::lifecycle).
///
/// The order is: setup of all plugins (reads the Corefile; no network, no clock), `validate` of all, `start` of all,
/// listeners open, queries come. At a reload the new configuration goes through the same phases beside the old one;
/// then the listeners change over, and `stop` is called on the old one once its queries are answered.
#[async_trait]
pub trait Lifecycle: Send + Sync + 'static {
    /// The plugin's name.
    fn name(&self) -> &'static str;

    /// Checks rules between this plugin and others of its block, when all are set up.
    ///
    /// # Errors
    ///
    /// A configuration that cannot work.
    fn validate(&self, block: &BlockInfo, services: &Services) -> Result<(), ConfigErrors> {
        let _ = (block, services);
        Ok(())
    }

    /// Opens what the plugin needs and starts its background work, on the control runtime.
    ///
    /// # Errors
    ///
    /// An error stops the server's start, or the reload; the plugins that were started are stopped again.
    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        let _ = context;
        Ok(())
    }

    /// Called when the listeners serve the new configuration.
    async fn started(&self) {}

    /// Ends background work and closes what `start` opened. New queries no longer come, and those that came are
    /// answered.
    async fn stop(&self, reason: StopReason) {
        let _ = reason;
    }

    /// Called first at a stop, while queries are still answered: a health check may go off now, and may wait.
    async fn before_stop(&self, reason: StopReason) {
        let _ = reason;
    }
}

/// Why a plugin stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// A new configuration has taken over.
    Reload,
    /// The server ends.
    Shutdown,
    /// The start of this configuration failed.
    Failed,
}

/// What a plugin may use when it starts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StartContext {
    /// The server: its reload and stop.
    pub control: Control,
    /// Where the Corefile comes from.
    pub source: Arc<CorefileSource>,
    /// What tells this Corefile from another; see [`Corefile::fingerprint`](crate::corefile::Corefile::fingerprint).
    pub fingerprint: Arc<str>,
    /// Values that outlive reloads.
    pub shared: Shared,
    /// What the server counts.
    pub counters: Arc<Counters>,
    /// Where log lines go.
    pub log: LogSink,
    /// How many workers answer queries.
    pub workers: usize,
    /// The plugin runs beside an older configuration, which it will replace.
    pub reload: bool,
    /// The services that the plugins of the block offer.
    pub services: Arc<Services>,
    /// What the block looks like.
    pub block: Arc<BlockOutline>,
}

impl StartContext {
    /// What a plugin meets without a server, as in tests: nobody listens to `control`, and no plugin offers a service.
    #[must_use]
    pub fn detached(shared: Shared, log: LogSink) -> Self {
        let workers = 1;
        Self {
            control: Control::new().0,
            source: Arc::new(CorefileSource::text("Corefile", "")),
            fingerprint: Arc::from(""),
            shared,
            counters: Arc::new(Counters::new(workers)),
            log,
            workers,
            reload: false,
            services: Arc::new(Services::default()),
            block: Arc::default(),
        }
    }
}

/// What became of a block when all its plugins were set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockOutline {
    /// Its first zone.
    pub zone: String,
    /// The listeners of its first key as metrics name them, such as `dns://:53`: one for each address of `bind`.
    pub servers: Vec<String>,
    /// The name of its view; empty without one.
    pub view: String,
    /// The plugins that handle queries, in their order, each once.
    pub plugins: Vec<&'static str>,
}

/// Why a plugin could not start.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    message: String,
}

impl StartError {
    /// An error that is shown as it is, as in `listen tcp 127.0.0.1:8080: bind: address already in use`.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}
