//! Queries through the plugin to gRPC servers that the tests play.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::time::{Duration, Instant};

use async_trait::async_trait;
use catena_core::corefile::ConfigErrors;
use catena_core::message::{Rcode, Request, Transport};
use catena_core::plugin::{Definition, Next, Outcome, Plugin, PluginError, Setup};
use catena_plugin_grpc::PLUGIN;
use catena_testkit::{Behaviour, Lie, Pki, RECORDS, Step, TestServer, Upstream};

const ZONE: &str = "a.example.org. 60 IN A 192.0.2.1";
const ANSWER: [&str; 1] = ["a.example.org. 60 IN A 192.0.2.1"];

/// Answers failures with their text in an extended error.
struct Complain;

static COMPLAIN: Definition = Definition::new("complain", complain);

fn complain(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    setup.add(Complain);
    Ok(())
}

#[async_trait]
impl Plugin for Complain {
    fn name(&self) -> &'static str {
        "complain"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let error = match next.run(request).await {
            Err(error) => error.to_string(),
            answered => return answered,
        };
        let mut response = request.reply().finish();
        response.set_rcode(Rcode::SERVFAIL);
        response.add_extended_error(0, &error);
        Ok(response.into())
    }
}

fn upstream() -> Upstream {
    Upstream::start_over(Transport::Grpc, ZONE, None)
}

fn server(directive: &str) -> TestServer {
    let corefile = format!(".:@PORT@ {{\ncomplain\n{directive}\n}}");
    TestServer::start([COMPLAIN, PLUGIN, RECORDS], &corefile)
}

fn failure(server: &TestServer) -> String {
    let answer = server.ask("a.example.org. A +bufsize=1232");
    answer.assert_rcode(Rcode::SERVFAIL);
    answer.extended_error().map(|(_, text)| text).unwrap_or_default()
}

#[test]
fn answers_are_relayed_on_one_connection() {
    let upstream = upstream();
    let server = server(&format!("grpc . {upstream}"));
    server.ask("a.example.org. A").assert_answer(ANSWER);
    server
        .ask("A.Example.ORG. A +tcp")
        .assert_answer(["A.Example.ORG. 60 IN A 192.0.2.1"]);
    server.ask("none.example.org. A").assert_rcode(Rcode::NXDOMAIN);
    assert_eq!(upstream.count(), 3);
    assert_eq!(upstream.sessions().len(), 1);
    let to = upstream.to_string();
    for (name, labels, want) in [
        ("coredns_grpc_requests_total", vec![("to", to.as_str())], 3.0),
        (
            "coredns_grpc_responses_total",
            vec![("to", to.as_str()), ("rcode", "NXDOMAIN")],
            1.0,
        ),
        (
            "coredns_grpc_request_duration_seconds_count",
            vec![("to", to.as_str())],
            3.0,
        ),
    ] {
        assert_eq!(server.metrics().value(name, &labels), Some(want), "{name}");
    }
}

#[test]
fn names_outside_of_from_and_below_except_go_to_the_next_plugin() {
    let upstream = upstream();
    let server = server(&format!(
        "grpc example.org {upstream} {{\nexcept private.example.org\n}}\nrecords {{\nx.private.example.org. 60 IN A 192.0.2.7\n}}"
    ));
    server.ask("a.example.org. A").assert_answer(ANSWER);
    server
        .ask("x.private.example.org. A")
        .assert_answer(["x.private.example.org. 60 IN A 192.0.2.7"]);
    server.ask("example.net. A").assert_rcode(Rcode::NXDOMAIN);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn what_the_upstream_does_not_know_falls_through_for_the_zones_that_may() {
    let upstream = upstream();
    let server = server(&format!(
        "grpc . {upstream} {{\nfallthrough sub.example.org\n}}\nrecords {{\nb.sub.example.org. 60 IN A 192.0.2.9\n}}"
    ));
    server
        .ask("b.sub.example.org. A")
        .assert_answer(["b.sub.example.org. 60 IN A 192.0.2.9"]);
    server.ask("b.example.org. A").assert_rcode(Rcode::NXDOMAIN);
    upstream.stop();
    server
        .ask("b.sub.example.org. A")
        .assert_answer(["b.sub.example.org. 60 IN A 192.0.2.9"]);
    server.ask("a.example.org. A").assert_rcode(Rcode::SERVFAIL);
}

#[test]
fn each_upstream_is_tried_once_in_the_order_of_the_policy() {
    let (dead, alive) = (upstream(), upstream());
    dead.stop();
    let server = server(&format!("grpc . {dead} {alive} {{\npolicy sequential\n}}"));
    let begun = Instant::now();
    server.ask("a.example.org. A").assert_answer(ANSWER);
    assert!(begun.elapsed() < Duration::from_secs(4));
    alive.stop();
    let error = failure(&server);
    assert!(
        error.starts_with(
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: dial tcp 127.0.0.1:"
        ),
        "{error}"
    );
    assert!(error.contains("connection refused"), "{error}");
}

#[test]
fn round_robin_takes_turns() {
    let both = [upstream(), upstream()];
    let server = server(&format!(
        "grpc . {} {} {{\npolicy round_robin\n}}",
        both[0], both[1]
    ));
    for _ in 0..4 {
        server.ask("a.example.org. A").assert_answer(ANSWER);
    }
    assert!(both.iter().all(|upstream| upstream.count() == 2));
}

#[test]
fn tls_is_spoken_with_a_name_or_a_ca() {
    let pki = Pki::new("upstreams");
    let tls = pki.identity(&["dns.example.org"]).server(&[]);
    let upstream = Upstream::start_over(Transport::Grpc, ZONE, Some(tls));
    let ca = pki.ca().display();
    server(&format!(
        "grpc . {upstream} {{\ntls {ca}\ntls_servername dns.example.org\n}}"
    ))
    .ask("a.example.org. A")
    .assert_answer(ANSWER);
    for (case, options, want) in [
        (
            "another name",
            format!("tls {ca}\ntls_servername other.example.org"),
            "certificate is valid for dns.example.org, not other.example.org",
        ),
        (
            "the address",
            format!("tls {ca}"),
            "certificate is valid for dns.example.org, not 127.0.0.1",
        ),
        (
            "the system's authorities",
            "tls_servername dns.example.org".to_owned(),
            "certificate signed by unknown authority: expected an authority that the system trusts",
        ),
    ] {
        let error = failure(&server(&format!("grpc . {upstream} {{\n{options}\n}}")));
        assert!(error.contains(want), "case {case}: {error}");
    }
}

#[test]
fn a_unix_socket_can_be_called() {
    let upstream = upstream();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grpc.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let address = upstream.address();
    // Carries what comes on the socket to the upstream.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (client, server) = (stream.unwrap(), std::net::TcpStream::connect(address).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (server, client);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    server(&format!("grpc . unix://{}", path.display()))
        .ask("a.example.org. A")
        .assert_answer(ANSWER);
    let error = failure(&server(&format!("grpc . unix://{}.none", path.display())));
    assert!(error.contains("no such file or directory"), "{error}");
}

#[test]
fn an_answer_to_another_question_is_formerr_as_with_coredns() {
    let upstream = upstream();
    let server = server(&format!("grpc . {upstream}"));
    for lie in [Lie::OtherName, Lie::OtherType] {
        upstream.behave(Behaviour::only_lying(lie));
        server.ask("a.example.org. A").assert_rcode(Rcode::FORMERR);
    }
}

#[test]
fn garbage_and_endless_messages_are_no_answers() {
    let upstream = upstream();
    let server = server(&format!("grpc . {upstream}"));
    for (case, bytes, want) in [
        ("no frame", b"x".to_vec(), "what came is no DNS message"),
        (
            "a frame of garbage",
            b"\0\0\0\0\x05abcde".to_vec(),
            "what came is no DNS message",
        ),
        ("endless", vec![0; 4 << 20], "longer than a DNS message can be"),
    ] {
        upstream.behave(Behaviour::scripted(move |_, _| {
            vec![Step::SendRaw(bytes.clone())]
        }));
        let error = failure(&server);
        assert!(error.contains(want), "case {case}: {error}");
    }
    let to = upstream.to_string();
    server.wait_for_metric("catena_proxy_oversized_answers_total", &[("to", &to)], 1.0);
    upstream.behave(Behaviour::honest());
    server.ask("a.example.org. A").assert_answer(ANSWER);
}

#[test]
fn a_silent_upstream_costs_five_seconds_and_says_so() {
    let upstream = upstream();
    upstream.behave(Behaviour::silent());
    let server = server(&format!("grpc . {upstream}"));
    let begun = Instant::now();
    let error = failure(&server);
    assert_eq!(
        error,
        "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    );
    assert!(begun.elapsed() >= Duration::from_secs(4));
}
