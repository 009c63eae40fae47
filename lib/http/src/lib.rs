//! HTTP endpoints of plugins: health checks, metrics, profiles.
//!
//! A server has one [`Endpoints`], which all plugins share. A plugin mounts a [`Handler`] under a path of a listen
//! address; plugins that name the same address share its socket. A reload keeps the socket: the new configuration
//! mounts its handler beside the old one and activates it when it serves, and the old one is taken off afterwards. So a
//! check that comes meanwhile finds one of the two, and never a closed port.
//!
//! ```
//! use std::sync::Arc;
//! use catena_http::{Address, Endpoints, Handler, Reply, RequestHead, Route, text};
//!
//! struct Fine;
//!
//! #[async_trait::async_trait]
//! impl Handler for Fine {
//!     async fn handle(&self, _: &RequestHead) -> Reply {
//!         text(200, "OK")
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let endpoints = Arc::new(Endpoints::default());
//! let address: Address = "127.0.0.1:0".parse()?;
//! let mounted = endpoints.mount(&address, Route::new("/health", Arc::new(Fine))).await?;
//! mounted.activate();
//! println!("http://{}/health", mounted.local_address());
//! mounted.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Bounds
//!
//! An address has at most [`MAX_CONNECTIONS`] connections; more wait to be accepted. A request's head must come within
//! [`TIMEOUT`] of the connection or of the answer before it, and a client that takes nothing off an answer for as long is
//! cut off. Heads have at most 16 KiB. Bodies of requests are not read.

#![forbid(unsafe_code)]

mod address;
mod connection;
mod endpoint;
mod reply;
pub mod testing;

use std::time::Duration;

pub use address::{Address, AddressError};
pub use endpoint::{EndpointError, Endpoints, Handler, Mounted, Route, TlsSource};
pub use reply::{Reply, RequestHead, not_found, text, with_type};
pub use tokio_rustls::rustls;

/// Connections that an address has at a time.
pub const MAX_CONNECTIONS: usize = 256;

/// For a request's head to come, for a client to take what is sent, and between two requests, as in CoreDNS.
pub const TIMEOUT: Duration = Duration::from_secs(5);
