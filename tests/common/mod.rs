//! The built binary in a folder of its own, and clients for it.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test binary uses a part"
)]

mod client;
mod folder;
mod http;
mod load;
mod panels;
mod ports;
mod process;
pub mod samples;

pub use client::{ask, exchange, udp_client};
pub use folder::{Catena, Finished, Folder};
pub use http::get;
pub use load::{Load, Tally};
pub use panels::{Panel, SOURCES, samples};
pub use process::Process;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_catena");

/// The program as users build it: the one under test if that is optimised, else what an earlier build with
/// `--release` left.
pub fn release_binary() -> Option<PathBuf> {
    let under_test = Path::new(BINARY);
    if !cfg!(debug_assertions) {
        return Some(under_test.to_owned());
    }
    let release = under_test.parent()?.parent()?.join("release/catena");
    release.exists().then_some(release)
}

/// Keeps other tests of the same file waiting: what is measured must not be disturbed by them.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
