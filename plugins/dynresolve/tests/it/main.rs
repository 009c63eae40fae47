//! The plugin in a server: DNS on one side, HTTP on the other.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

mod answers;
mod api;
mod connections;
mod docs;
mod http;
mod openapi;
mod persist;
mod purge;
mod reload;
mod start;
mod tls;

use catena_core::plugin::Definition;
use catena_plugin_dynresolve::PLUGIN;
use catena_testkit::{RECORDS, TestServer};

/// The plugins of the tests, in their order.
const PLUGINS: [Definition; 2] = [PLUGIN, RECORDS];

/// A Corefile with one block of `service.local` whose API is on `@P1@`, with these options and plugins behind.
fn corefile(options: &str, behind: &str) -> String {
    format!(
        "service.local:@PORT@ {{\n dynresolve {{\n  api listen 127.0.0.1:@P1@\n  api token {token}\n  {options}\n }}\n \
         {behind}\n}}\n",
        token = http::TOKEN
    )
}

/// A server of that Corefile.
#[track_caller]
fn serve(options: &str, behind: &str) -> TestServer {
    TestServer::start(PLUGINS, &corefile(options, behind))
}
