//! Listeners and dispatch: from sockets to the chain of the block that serves a query, and back.
//!
//! ```text
//! datagram, frame ── admit ── table ── chain ── fit ── datagram, frame
//!      udp, tcp        query.rs                          udp, tcp
//! ```
//!
//! Each worker thread has its own sockets on every listen address (SO_REUSEPORT), its own runtime, and its own
//! waiting queries. An [`Endpoint`] is what the workers share of a listen address: the table, replaced at a reload.

mod accept;
mod control;
mod endpoint;
mod exchange;
mod generation;
mod greet;
mod grpc;
mod http;
mod http2;
mod https;
mod https3;
mod inbox;
mod places;
mod query;
mod quic;
mod quic_proxy;
mod quic_settings;
mod readers;
mod records;
mod requery;
mod table;
pub mod tcp;
pub mod udp;
mod within;
mod worker;

pub use control::Control;
pub use endpoint::Endpoint;
pub use requery::{MAX_REQUERIES, Requery};
pub use table::{Found, Site, Table};

pub(crate) use accept::Guests;
pub(crate) use control::ControlRequest;
pub(crate) use generation::{Generation, GenerationEnd};
pub(crate) use table::TableParts;
pub(crate) use worker::{Command, WorkerContext, WorkerThread};
