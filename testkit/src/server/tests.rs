use catena_core::message::Rcode;

use super::*;
use crate::RECORDS;

const COREFILE: &str = "
    example.org:@PORT@ {
        records {
            a.example.org. 60 IN A 192.0.2.1
            a.example.org. 60 IN TXT \"two words\" one
        }
    }";

#[test]
fn a_corefile_is_served_over_udp_and_tcp() {
    let server = TestServer::start([RECORDS], COREFILE);
    server
        .ask("A.example.org. A")
        .assert_answer(["A.example.org. 60 IN A 192.0.2.1"]);
    server
        .ask("a.example.org. TXT +tcp")
        .assert_answer(["a.example.org. 60 IN TXT \"two words\" one"]);
    server
        .ask("a.example.net. A")
        .assert_rcode(Rcode::REFUSED)
        .assert_flags("rd");
    server
        .ask_at(
            SocketAddr::from(([127, 0, 0, 2], server.port())),
            "a.example.org. A",
        )
        .assert_flags("aa rd");
    let mut connection = server.connect();
    connection.send_all([
        Query::from("a.example.org. A +id=1"),
        Query::from("b.example.org. A +id=2"),
    ]);
    let mut ids = [connection.receive().id(), connection.receive().id()];
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    assert_eq!(connection.stream().peer_addr().expect("a peer"), server.address());
    connection.half_close();
    assert_eq!(connection.assert_closed(), []);
}

#[test]
fn a_response_is_met_with_silence() {
    let server = TestServer::start([RECORDS], COREFILE);
    let mut response = Query::from("a.example.org. A").to_wire();
    response[2] |= 0x80;
    server.assert_silent(Query::raw(response));
}

#[test]
fn a_reload_takes_another_corefile_or_says_why_not() {
    let server = TestServer::builder([RECORDS], COREFILE)
        .file("other", "records {\n b.example.org. 60 IN A @ADDRESS@\n}\n")
        .with("ADDRESS", "192.0.2.2")
        .start();
    let error = server
        .reload("example.org:@PORT@ {\n recrods\n}")
        .expect_err("an unknown directive");
    assert!(error.contains("Corefile:2:2: "), "{error}");
    server.ask("a.example.org. A").assert_rcode(Rcode::NOERROR);
    server
        .reload("example.org:@PORT@ {\n import other\n}")
        .expect("a good Corefile");
    server.ask("a.example.org. A").assert_rcode(Rcode::NXDOMAIN);
    server
        .ask("b.example.org. A")
        .assert_answer(["b.example.org. 60 IN A 192.0.2.2"]);
    server.logs().wait_for("[INFO] Reloading complete");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let error = TestServer::builder([RECORDS], "example.org {\n records {\n  nonsense\n }\n}").try_start();
    let error = error.expect_err("no record").to_string();
    assert!(
        error.starts_with("Corefile:3:3: plugin/records: a record without a type"),
        "{error}"
    );
}

#[test]
fn two_servers_have_different_ports_and_end_with_a_status() {
    let corefile = "example.org:@PORT@ example.net:@P1@ {\n records {\n a.example.net. A 192.0.2.9\n }\n}";
    let one = TestServer::start([RECORDS], corefile);
    let other = TestServer::start([RECORDS], COREFILE);
    one.ask_on(one.port_of(1), "a.example.net. A")
        .assert_answer(["a.example.net. 300 A 192.0.2.9"]);
    one.ask("a.example.net. A").assert_rcode(Rcode::REFUSED);
    other.ask("a.example.org. A").assert_rcode(Rcode::NOERROR);
    let (status, log) = one.stop();
    assert_eq!(status, 0);
    assert!(
        log.iter().any(|line| line.starts_with("example.net.:")),
        "{log:?}"
    );
}

#[tokio::test]
async fn a_server_can_be_used_within_a_runtime() {
    let server = TestServer::start([RECORDS], COREFILE);
    server.reload(COREFILE).expect("the same Corefile");
    server.ask("a.example.org. A").assert_rcode(Rcode::NOERROR);
}

#[test]
fn metrics_of_the_registry_are_seen() {
    let server = TestServer::start([RECORDS], COREFILE);
    let registry = server.shared().of::<catena_metrics::Registry>();
    let counter = registry
        .counter("coredns_test_total", "Counts.", &["zone"])
        .with(&["example.org."]);
    counter.add(3);
    assert!(
        (server.wait_for_metric("coredns_test_total", &[("zone", "example.org.")], 3.0) - 3.0).abs() < 0.1
    );
    assert_eq!(
        server.metrics().value("coredns_test_total", &[("zone", ".")]),
        None
    );
}

#[test]
fn a_server_that_is_stopped_at_once_does_not_linger() {
    for _ in 0..50 {
        let (status, log) = TestServer::start([RECORDS], COREFILE).stop();
        assert_eq!(status, 0);
        assert!(
            !log.iter().any(|line| line.contains("not answered within")),
            "{log:?}"
        );
    }
}
