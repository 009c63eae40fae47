//! Catena: a DNS server that runs CoreDNS's Corefiles, and a framework for plugins.
//!
//! The program is [`run`] with the stock list of [`plugins`]. A program with a plugin more is as short:
//!
//! ```no_run
//! use std::process::ExitCode;
//! # mod mine { pub static PLUGIN: catena::plugin::Definition = catena::plugin::Definition::new("mine", |_| Ok(())); }
//!
//! fn main() -> ExitCode {
//!     catena::run(catena::plugins::registry().with_before(mine::PLUGIN, "forward"))
//! }
//! ```
//!
//! A server inside another program is [`instance::Server`].

#![forbid(unsafe_code)]

mod cli;
pub mod plugins;

pub use catena_core::{config, corefile, counters, instance, log, message, net, plugin, server, worker};
pub use cli::{COREDNS_VERSION, NAME, VERSION, run};
