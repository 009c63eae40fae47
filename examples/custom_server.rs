//! The stock server with one plugin more: `records` of the test kit, directly before `hosts`.
//!
//! ```text
//! cargo run --example custom_server -- -plugins
//! ```

use std::process::ExitCode;

use catena_testkit::RECORDS;

fn main() -> ExitCode {
    catena::run(catena::plugins::registry().with_before(RECORDS, "hosts"))
}
