//! The endpoint in a whole server.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use catena_core::config::Registry;
use catena_core::message::Request;
use catena_core::plugin::{AtOnce, Definition, Plugin, Readiness};
use catena_http::testing::get;
use catena_plugin_ready::PLUGIN;
use catena_testkit::TestServer;

/// Answers all queries, is not ready at first, and is so from the third query to the fifth.
#[derive(Default)]
struct Erratic(AtomicU64);

impl Plugin for Erratic {
    fn name(&self) -> &'static str {
        "erratic"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        self.0.fetch_add(1, Ordering::Relaxed);
        AtOnce::Answer(request.reply().finish().into())
    }
}

impl Readiness for Erratic {
    fn name(&self) -> &'static str {
        "erratic"
    }

    fn ready(&self) -> bool {
        (3..5).contains(&self.0.load(Ordering::Relaxed))
    }
}

const PLAIN_ERRATIC: Definition = Definition::new("erratic", |setup| {
    let erratic = Arc::new(Erratic::default());
    setup.services().offer::<dyn Readiness>(Arc::clone(&erratic) as _);
    setup.add_shared(erratic);
    Ok(())
});

fn registry() -> Registry {
    Registry::new([PLUGIN, PLAIN_ERRATIC])
}

const ERRATIC: &str = "erratic {\n  drop 0\n }";

fn address(server: &TestServer, number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.port_of(number)))
}

fn ready(at: SocketAddr) -> (u16, String) {
    let answer = get(at, "/ready").expect("an answer");
    (answer.status, answer.body)
}

fn ask(server: &TestServer, times: usize) {
    for _ in 0..times {
        server.ask("a.example.org. A");
    }
}

const OK: &str = "OK";

#[test]
fn plugins_are_named_until_they_are_ready_and_each_endpoint_speaks_for_all() {
    let corefile = format!(
        "example.org:@PORT@ {{\n ready 127.0.0.1:@P1@\n {ERRATIC}\n}}\nexample.net:@PORT@ {{\n ready 127.0.0.1:@P2@\n erratic\n}}"
    );
    let server = TestServer::start(registry(), &corefile);
    for number in [1, 2] {
        assert_eq!(ready(address(&server, number)).0, 503);
    }
    let (status, body) = ready(address(&server, 1));
    assert_eq!((status, body.as_str()), (503, "erratic"));
    server
        .logs()
        .wait_for("[INFO] plugin/ready: Plugins not ready: \"erratic\"");
    ask(&server, 3);
    assert_eq!(get(address(&server, 1), "/").unwrap().status, 404);
}

#[test]
fn once_ready_is_ready_until_a_reload() {
    let corefile = format!(".:@PORT@ {{\n ready 127.0.0.1:@P1@\n {ERRATIC}\n}}");
    let server = TestServer::start(registry(), &corefile);
    let at = address(&server, 1);
    assert_eq!(ready(at), (503, "erratic".to_owned()));
    ask(&server, 3);
    assert_eq!(ready(at), (200, OK.to_owned()));
    ask(&server, 4);
    assert_eq!(ready(at), (200, OK.to_owned()));
    server.reload(&corefile).unwrap();
    assert_eq!(ready(at), (503, "erratic".to_owned()));
    ask(&server, 3);
    assert_eq!(ready(at), (200, OK.to_owned()));
    // One that fails leaves the state as it is.
    assert!(
        server
            .reload(&format!("{corefile}\n.:@P2@ {{\n bind 192.0.2.1\n}}"))
            .is_err()
    );
    assert_eq!(ready(at), (200, OK.to_owned()));
}

#[test]
fn a_port_in_use_is_told_and_the_server_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let server = TestServer::start(registry(), &format!(".:@PORT@ {{\n ready {at}\n {ERRATIC}\n}}"));
    ask(&server, 1);
    server
        .logs()
        .wait_for("[WARNING] plugin/ready: No readiness endpoint: listen tcp");
}

#[test]
fn a_stop_closes_it_first() {
    let server = TestServer::start(registry(), ".:@PORT@ {\n ready 127.0.0.1:@P1@\n erratic\n}");
    let at = address(&server, 1);
    get(at, "/ready").unwrap();
    let (status, _) = server.stop();
    assert_eq!(status, 0);
    assert_eq!(
        get(at, "/ready").unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}
