//! Tests of Catena plugins, from one directive to a whole server.
//!
//! | what is tested | with |
//! |---|---|
//! | a setup function and its error messages | [`setup_plugin`], [`setup_error`], [`assert_setup_errors`] |
//! | what a plugin makes of a query, without sockets | [`Handler`], with [`Records`] or [`from_fn`] behind the plugin |
//! | a Corefile as a server runs it, over UDP and TCP | [`TestServer`], [`Connection`] |
//! | a plugin that asks others | [`Upstream`], which can be slow, dead or dishonest: [`Behaviour`], [`Lie`] |
//! | the same over TLS, HTTP, QUIC and gRPC | queries with `+tls`, `+https`, …, [`Over`], `Client`, `Upstream::start_over`, certificates of `Pki`: with the feature `encrypted` |
//! | what is logged and counted | [`Logs`], [`Metrics`] |
//!
//! Queries are written as for `dig` ([`Query`]), records as in zone files ([`Record`]), and tables of both are
//! [`Case`]s. A test of a plugin in full:
//!
//! ```
//! use async_trait::async_trait;
//! use catena_core::corefile::ConfigErrors;
//! use catena_core::message::{Rcode, Request};
//! use catena_core::plugin::{Definition, Next, Outcome, Plugin, PluginError, Setup};
//! use catena_testkit::{Case, Handler, RECORDS, Records, TestServer, assert_setup_errors, check_all};
//!
//! /// Refuses queries for one type.
//! struct Refuse(u16);
//!
//! #[async_trait]
//! impl Plugin for Refuse {
//!     fn name(&self) -> &'static str {
//!         "refuse"
//!     }
//!
//!     async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
//!         if request.qtype_code() == self.0 {
//!             return Ok(Outcome::Status(Rcode::REFUSED));
//!         }
//!         next.run(request).await
//!     }
//! }
//!
//! static PLUGIN: Definition = Definition::new("refuse", setup);
//!
//! fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
//!     for directive in setup.directives() {
//!         let code = directive.one_arg("TYPE")?.count(1..=65535)?;
//!         setup.add(Refuse(code as u16));
//!     }
//!     Ok(())
//! }
//!
//! // Bad input, and what an operator is told.
//! assert_setup_errors(&PLUGIN, [
//!     ("no type", "refuse", "Corefile:1:1: plugin/refuse: "),
//!     ("not a number", "refuse MX", "Corefile:1:8: plugin/refuse: "),
//! ]);
//!
//! // The plugin alone, with records behind it.
//! let records = Records::new("a.example.org. 60 IN A 192.0.2.1\na.example.org. 60 IN MX 10 a.example.org.");
//! let handler = Handler::builder(&PLUGIN, "refuse 15").end(records.clone()).build().unwrap();
//! check_all(&handler, &[
//!     Case::new("refused", "a.example.org. MX").rcode("REFUSED"),
//!     Case::new("passed on", "a.example.org. A").answer(["a.example.org. 60 IN A 192.0.2.1"]).flags("aa rd"),
//! ]);
//! assert_eq!(records.count(), 1);
//!
//! // The same in a server.
//! let server = TestServer::start([PLUGIN, RECORDS], "
//!     .:@PORT@ {
//!         refuse 15
//!         records {
//!             a.example.org. 60 IN A 192.0.2.1
//!         }
//!     }");
//! server.ask("a.example.org. MX +tcp").assert_rcode(Rcode::REFUSED);
//! server.ask("a.example.org. A").assert_answer(["a.example.org. A 192.0.2.1"]);
//! ```
//!
//! # Encrypted transports
//!
//! With the feature `encrypted`, `TestServerBuilder::encrypted` puts a certificate for `dns.test`, `localhost` and the
//! loopback addresses into the files `cert.pem` and `key.pem` beside the Corefile, and its authority into `ca.pem`. A
//! Corefile with `tls cert.pem key.pem` and keys such as `tls://.:@P1@` is then asked with
//! `server.ask_on(server.port_of(1), "a.example.org. A +tls")`, or over a kept connection with `TestServer::client_on`.
//! What comes in place of an answer (an HTTP status, a code of QUIC or gRPC) shows in `Reply`.
//!
//! # Time
//!
//! No test sleeps. What happens elsewhere is waited for: [`Logs::wait_for`], [`Upstream::wait_for`],
//! [`TestServer::wait_for_metric`], and [`eventually`] where nothing else tells. Silence is shown by what comes after it
//! ([`TestServer::assert_silent`]), order by [`Behaviour::held`] and [`Upstream::release`]. The clock of a [`Handler`] can
//! be stopped ([`HandlerBuilder::paused`]); an hour passes with [`Handler::pass`] at once then.
//!
//! # Ports
//!
//! Servers and upstreams choose free ports and keep them from other tests, also from those of other processes. A
//! Corefile names them `@PORT@` and `@P1@` to `@P9@`.
//!
//! # Failures
//!
//! Everything here panics when it does not get what it expects, since a test is what calls it. The message shows the
//! answer as `dig` would, or the log.

#![forbid(unsafe_code)]

mod answer;
mod case;
#[cfg(feature = "encrypted")]
mod client;
mod connection;
mod folder;
mod handler;
mod logs;
mod metrics;
mod over;
#[cfg(feature = "encrypted")]
mod pki;
mod plugins;
mod ports;
mod query;
mod record;
mod server;
mod setup;
mod upstream;
mod wait;
mod zone;

pub use answer::Answer;
pub use case::{Ask, Case, check_all};
#[cfg(feature = "encrypted")]
pub use client::{Client, ClientBuilder, Reply, Session as ClientSession, Trust};
pub use connection::Connection;
pub use handler::{Handler, HandlerBuilder};
pub use logs::Logs;
pub use metrics::Metrics;
pub use over::Over;
#[cfg(feature = "encrypted")]
pub use pki::{Identity, Pki};
pub use plugins::{Plugins, RECORDS, Records, from_fn};
pub use query::Query;
pub use record::{Record, RecordError};
pub use server::{TestServer, TestServerBuilder};
pub use setup::{assert_setup_errors, setup_error, setup_plugin};
pub use upstream::{Behaviour, Lie, Seen, Session, Step, Upstream};
pub use wait::eventually;
