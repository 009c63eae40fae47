//! Listeners of all transports, from outside: what they answer, what they hold off, how they go on.

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod certificates;
mod facts;
mod http2;
mod programs;
mod quic;
mod raw_http2;
mod reloads;
mod servers;
mod table;
