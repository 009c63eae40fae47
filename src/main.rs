//! The Catena server.

use std::process::ExitCode;

/// Answers that outlive a query, tasks and boxed futures come and go at the rate of queries.
#[cfg(not(feature = "jemalloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The same, with profiles of the memory in use.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    catena::run(catena::plugins::registry())
}
