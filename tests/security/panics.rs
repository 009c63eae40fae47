//! Plugins that panic, or never answer.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use catena::instance::{CorefileSource, Options, Server};
use catena::message::{Rcode, Request};
use catena::plugin::{Definition, Next, Outcome, Plugin, PluginError};
use catena_testkit::TestServer;

use crate::builder;
use crate::common::{self, Catena, Folder, PATIENCE, exchange, udp_client};

/// Panics for names that begin with `p`.
struct Fragile;

#[async_trait]
impl Plugin for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        assert!(
            !request.name_display().to_string().starts_with('p'),
            "the name begins with p"
        );
        next.run(request).await
    }
}

const FRAGILE: Definition = Definition::new("fragile", |setup| {
    setup.add(Fragile);
    Ok(())
});

#[test]
fn a_panicking_plugin_costs_its_queries_alone_among_all_plugins_of_the_server() {
    let registry = catena::plugins::registry().with_before(FRAGILE, "whoami");
    let server = TestServer::start(registry, ".:@PORT@ {\n  log\n  errors\n  fragile\n  whoami\n}");
    let mut connection = server.connect();
    for round in 0..20 {
        server.ask("panic.example. A").assert_rcode(Rcode::SERVFAIL);
        server.ask("other.example. A").assert_rcode(Rcode::NOERROR);
        connection
            .send("panic.example. A +id=1")
            .send("other.example. A +id=2");
        let mut rcodes =
            [connection.receive(), connection.receive()].map(|answer| (answer.id(), answer.rcode()));
        rcodes.sort_unstable_by_key(|(id, _)| *id);
        assert_eq!(
            rcodes,
            [(1, Rcode::SERVFAIL), (2, Rcode::NOERROR)],
            "round {round}"
        );
    }
    let told = server.logs().lines_with("the name begins with p, at ");
    assert_eq!(told.len(), 40);
    assert!(
        told.iter()
            .all(|line| line.contains("plugin/fragile") && line.contains("tests/security/panics.rs:")),
        "{told:?}"
    );
}

/// Says to [`serve_in_a_process_of_its_own`] that it is one.
const SERVE: &str = "CATENA_TEST_SERVES";

#[test]
fn a_panic_in_a_block_with_debug_ends_the_process_with_status_2_and_shows_where() {
    let folder = Folder::with(".:@PORT@ {\n    debug\n    fragile\n    whoami\n}\n");
    let program = std::env::current_exe().expect("this program");
    let script = format!(
        "{SERVE}='{}' exec '{}' --exact panics::serve_in_a_process_of_its_own --nocapture --ignored",
        folder.path("Corefile").display(),
        program.display()
    );
    let folder = folder.binary("/bin/sh");
    let mut process = folder.spawn(&["-c", &script], None);
    process.wait_for("this serves");
    let server = folder.address_of(0);
    assert_eq!(common::ask(server, "other.example. A").rcode(), Rcode::NOERROR);
    let message = builder("panic.example.", 1).to_wire();
    assert_eq!(
        exchange(&udp_client(server), &message, Duration::from_secs(5)),
        None
    );
    assert_eq!(process.wait_exit(), 2);
    assert!(
        process.stderr().contains("the name begins with p"),
        "{}",
        process.stderr()
    );
    assert!(
        process.stderr().contains("tests/security/panics.rs:"),
        "{}",
        process.stderr()
    );
}

#[test]
#[ignore = "the server for another test"]
fn serve_in_a_process_of_its_own() {
    let Some(corefile) = std::env::var_os(SERVE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let registry = catena::plugins::registry().with_before(FRAGILE, "whoami");
    let status = runtime.block_on(async {
        let mut options = Options::new(CorefileSource::File(corefile.into()), registry);
        options.banner = vec!["this serves".to_owned()];
        Server::start(options).await.expect("a server").run().await
    });
    assert_eq!(ExitCode::from(status as u8), ExitCode::SUCCESS);
}

#[test]
fn a_query_that_a_plugin_holds_for_ever_is_given_up_after_the_time_of_cancel() {
    let corefile =
        ".:@PORT@ {\n    cancel 300ms\n    erratic {\n        drop 0\n        delay 1 1h\n    }\n}\n";
    let server = Catena::serve(corefile);
    let began = Instant::now();
    let answer = server.ask("example.org. A");
    assert_eq!(answer.rcode(), Rcode::SERVFAIL);
    assert!(
        (Duration::from_millis(250)..PATIENCE).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
}
