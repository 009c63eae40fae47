//! The plugin interface: what a plugin is, and what it meets.
//!
//! A plugin is one link of the chain that serves a server block. It answers a query, or passes it on with
//! [`Next::run`] and may change what comes back: answers travel as values.
//!
//! ```
//! use async_trait::async_trait;
//! use catena_core::message::{Rcode, Request};
//! use catena_core::plugin::{Next, Outcome, Plugin, PluginError};
//!
//! /// Refuses queries for TXT records.
//! struct NoText;
//!
//! #[async_trait]
//! impl Plugin for NoText {
//!     fn name(&self) -> &'static str {
//!         "notext"
//!     }
//!
//!     async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
//!         if request.qtype_code() == 16 {
//!             return Ok(Outcome::Status(Rcode::REFUSED));
//!         }
//!         next.run(request).await
//!     }
//! }
//! ```
//!
//! Its setup function reads its directives of the Corefile and adds it to the chain:
//!
//! ```
//! # use async_trait::async_trait;
//! # use catena_core::message::Request;
//! # use catena_core::plugin::{Next, Outcome, Plugin, PluginError};
//! # struct NoText;
//! # #[async_trait]
//! # impl Plugin for NoText {
//! #     fn name(&self) -> &'static str { "notext" }
//! #     async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
//! #         next.run(request).await
//! #     }
//! # }
//! use catena_core::corefile::ConfigErrors;
//! use catena_core::plugin::{Definition, Setup};
//!
//! pub static PLUGIN: Definition = Definition::new("notext", setup);
//!
//! fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
//!     for directive in setup.directives() {
//!         directive.no_args()?;
//!         directive.no_block()?;
//!     }
//!     setup.add(NoText);
//!     Ok(())
//! }
//! ```

mod chain;
mod error;
mod fall;
mod host;
mod lifecycle;
mod outcome;
pub(crate) mod panics;
mod services;
mod settings;
pub(crate) mod setup;
mod shared;
pub mod testing;

use async_trait::async_trait;

use crate::message::Request;

pub use crate::server::Control;
pub use chain::{Chain, Next, OwnedNext, Run};
pub use error::{ExtendedError, PluginError};
pub use fall::Fallthrough;
pub use host::host_name;
pub use lifecycle::{BlockOutline, Lifecycle, StartContext, StartError, StopReason};
pub use outcome::{AtOnce, MessageSource, Outcome, TransferStream};
pub use panics::{PanicPolicy, install_panic_hook};
pub use services::{
    Autopath, CachePurge, Hop, HopObserver, MetadataProvider, MetadataSink, Readiness, ServerObserver,
    Services, Tap, TapEvent, TapKind, Transferer,
};
pub use settings::{
    BlockSettings, Bounds, ListenHost, Proxied, ProxiedConnection, ProxyHeader, SchemeBounds, Timeouts,
    Transports, ViewFilter,
};
pub use setup::{BlockInfo, Definition, Setup, once};
pub use shared::{Handover, Shared};

/// One link of the chain that serves a server block.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// Name in the Corefile, in logs and in metrics.
    fn name(&self) -> &'static str;

    /// Decides about `request` without waiting, if that can be done. The chain asks this first, and calls
    /// [`Plugin::serve_dns`] only when the answer is [`AtOnce::Wait`], as it is by default.
    ///
    /// A plugin that answers from memory, or has nothing to do with most queries, saves the future of `serve_dns` here:
    /// an allocation and two calls, on each query.
    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        let _ = request;
        AtOnce::Wait
    }

    /// Answers `request`, or passes it on with [`Next::run`], which is what a plugin does that decides everything in
    /// [`Plugin::serve_at_once`].
    ///
    /// # Errors
    ///
    /// An error is answered with its RCODE (SERVFAIL by default) and nothing else; the `errors` plugin logs it.
    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        next.run(request).await
    }
}
