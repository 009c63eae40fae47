//! Runs the tests of the examples together with all others; `cargo test` alone only compiles them.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "an example's main program is not called by its tests"
)]

#[path = "../examples/custom_server.rs"]
mod custom_server;
#[path = "../examples/embedded_server.rs"]
mod embedded_server;
#[path = "../examples/plugin_in_one_file.rs"]
mod plugin_in_one_file;
#[path = "../examples/writing_a_plugin.rs"]
mod writing_a_plugin;
