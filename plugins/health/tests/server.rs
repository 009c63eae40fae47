//! The endpoint in a whole server.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use catena_http::testing::{get, request};
use catena_plugin_health::PLUGIN;
use catena_testkit::{RECORDS, TestServer};

fn address(server: &TestServer, number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.port_of(number)))
}

#[test]
fn it_is_ok_for_every_method_and_on_its_path_only() {
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        ".:@PORT@ {\n health 127.0.0.1:@P1@\n records\n}",
    );
    let at = address(&server, 1);
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let answer = request(at, method, "/health", &[]).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "OK"), "{method}");
    }
    for path in ["/", "/health/", "/healthz", "/ready"] {
        assert_eq!(get(at, path).unwrap().status, 404, "{path}");
    }
}

#[test]
fn two_blocks_may_name_one_address() {
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        "example.org:@PORT@ {\n health :@P1@\n records\n}\nexample.net:@PORT@ {\n health :@P1@\n records\n}",
    );
    assert_eq!(get(address(&server, 1), "/health").unwrap().body, "OK");
}

#[test]
fn a_port_in_use_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let error = TestServer::builder(
        [PLUGIN, RECORDS],
        &format!(".:@PORT@ {{\n health {at}\n records\n}}"),
    )
    .try_start()
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("listen tcp {at}: bind: address already in use")
    );
}

#[test]
fn a_reload_keeps_moves_and_ends_it_and_a_failed_one_changes_nothing() {
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        ".:@PORT@ {\n health 127.0.0.1:@P1@\n records\n}",
    );
    let (first, second) = (address(&server, 1), address(&server, 2));
    server
        .reload(".:@PORT@ {\n health 127.0.0.1:@P1@\n records\n}")
        .unwrap();
    assert_eq!(get(first, "/health").unwrap().body, "OK");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let blocked = TcpListener::bind(taken).unwrap();
    let failing = format!(
        ".:@PORT@ {{\n health 127.0.0.1:@P1@\n records\n}}\nexample.org:@PORT@ {{\n health {taken}\n records\n}}"
    );
    assert!(
        server
            .reload(&failing)
            .unwrap_err()
            .contains("address already in use")
    );
    drop(blocked);
    assert_eq!(get(first, "/health").unwrap().body, "OK");
    server
        .reload(".:@PORT@ {\n health 127.0.0.1:@P2@\n records\n}")
        .unwrap();
    assert_eq!(get(second, "/health").unwrap().body, "OK");
    refused(first);
    server.reload(".:@PORT@ {\n records\n}").unwrap();
    refused(second);
}

/// Waits until nobody listens there any more.
fn refused(at: SocketAddr) {
    catena_testkit::eventually("a closed endpoint", || {
        get(at, "/health")
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            .then_some(())
    });
}

#[test]
fn a_reload_leaves_no_gap() {
    let corefile = ".:@PORT@ {\n health 127.0.0.1:@P1@\n records\n}";
    let server = TestServer::start([PLUGIN, RECORDS], corefile);
    let at = address(&server, 1);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(get(at, "/health").expect("an answer during reloads").body, "OK");
                asked += 1;
            }
            asked
        });
        for _ in 0..20 {
            server.reload(corefile).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(asking.join().unwrap() > 0);
    });
}

#[test]
fn a_lame_duck_answers_and_then_ends() {
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        ".:@PORT@ {\n health 127.0.0.1:@P1@ {\n  lameduck 1s\n }\n records\n}",
    );
    let at = address(&server, 1);
    server.control().stop(0);
    server.logs().wait_for("Going into lameduck mode for 1s");
    assert_eq!(get(at, "/health").unwrap().body, "OK");
    server.ask("a.example.org. A");
    let (status, _) = server.stop();
    assert_eq!(status, 0);
    assert_eq!(
        get(at, "/health").unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn the_server_checks_itself() {
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        ".:@PORT@ {\n health 127.0.0.1:@P1@\n records\n}",
    );
    server.wait_for_metric("coredns_health_request_duration_seconds_count", &[], 1.0);
    assert_eq!(
        server
            .metrics()
            .value("coredns_health_request_failures_total", &[]),
        Some(0.0)
    );
}
