//! What Catena costs, beside its peers and the kernel's floor.
//!
//! `cargo run --release -p catena-bench -- run` measures; see `docs/performance.md` for what it measures and how to
//! read the tables, and this crate's README for how it is made.

#![forbid(unsafe_code)]

pub mod controller;
pub mod echo;
pub mod forwarder;
pub mod histogram;
pub mod load;
pub mod peers;
pub mod process;
pub mod query;
pub mod run;
pub mod tls;
pub mod upstream;
pub mod work;
