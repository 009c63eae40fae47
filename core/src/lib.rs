//! The framework of Catena: everything that a plugin author imports.
//!
//! A DNS server reads a [Corefile](corefile), builds a [chain of plugins](plugin) for each server block, receives
//! [messages](message) on its [listeners](server), and passes each query through the chain of the block that serves
//! its name. [`instance`] starts, reloads and stops all of it.

#![deny(unsafe_code)]

pub mod config;
pub mod corefile;
pub mod counters;
pub mod instance;
pub mod log;
pub mod message;
pub mod net;
pub mod plugin;
pub mod server;
pub mod worker;
