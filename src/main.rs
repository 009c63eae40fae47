//! The Catena server.

use std::process::ExitCode;

/// Answers that outlive a query, tasks and boxed futures come and go at the rate of queries.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    catena::run(catena::plugins::registry())
}
