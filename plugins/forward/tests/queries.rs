//! Queries through the plugin to upstreams that the tests play.

use std::time::{Duration, Instant};

use catena_core::message::{Rcode, Transport};
use catena_plugin_forward::PLUGIN;
use catena_testkit::{Behaviour, Query, TestServer, Upstream};

const ZONE: &str = "a.example.org. 60 IN A 192.0.2.1\na.example.org. 60 IN MX 10 a.example.org.";
const ANSWER: [&str; 1] = ["a.example.org. 60 IN A 192.0.2.1"];

fn server(options: &str, upstreams: &[&Upstream]) -> TestServer {
    let to: Vec<String> = upstreams
        .iter()
        .map(|upstream| upstream.address().to_string())
        .collect();
    TestServer::start(
        &PLUGIN,
        &format!(".:@PORT@ {{\nforward . {} {{\n{options}\n}}\n}}", to.join(" ")),
    )
}

#[test]
fn answers_are_relayed_over_the_clients_transport() {
    let upstream = Upstream::start(ZONE);
    let server = server("", &[&upstream]);
    server.ask("a.example.org. A").assert_answer(ANSWER);
    server
        .ask("A.Example.ORG. A +tcp")
        .assert_answer(["A.Example.ORG. 60 IN A 192.0.2.1"]);
    server.ask("none.example.org. A").assert_rcode(Rcode::NXDOMAIN);
    let seen = upstream.wait_for(3);
    let transports: Vec<Transport> = seen.iter().map(|seen| seen.transport()).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp, Transport::Udp]);
    assert_eq!(seen[1].question(), "A.Example.ORG. IN A", "the letters go along");
}

#[test]
fn names_outside_of_from_and_below_except_are_not_forwarded() {
    let upstream = Upstream::start(ZONE);
    let corefile = format!(
        ".:@PORT@ {{\nforward example.org {} {{\nexcept private.example.org\nexcept example.org\n}}\n}}",
        upstream.address()
    );
    let server = TestServer::start(&PLUGIN, &corefile);
    for (name, rcode) in [
        ("example.org. MX", Rcode::NOERROR),
        ("x.example.org. A", Rcode::SERVFAIL),
        ("x.private.example.org. A", Rcode::SERVFAIL),
        ("example.net. A", Rcode::SERVFAIL),
    ] {
        server.ask(name).assert_rcode(rcode);
    }
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_lost_query_is_asked_again() {
    let upstream = Upstream::start(ZONE);
    upstream.behave(Behaviour::honest().dropping_first(1));
    let server = server("read_timeout 200ms", &[&upstream]);
    server.ask("a.example.org. A").assert_answer(ANSWER);
    assert!(upstream.count() >= 2);
}

#[test]
fn a_dead_upstream_is_skipped_within_the_query() {
    let (dead, alive) = (Upstream::start(ZONE), Upstream::start(ZONE));
    dead.stop();
    // Were it waited for, the answers would take a minute.
    let server = server("policy sequential\nread_timeout 1m", &[&dead, &alive]);
    for query in ["a.example.org. A", "a.example.org. A +tcp"] {
        let begun = Instant::now();
        server.ask(query).assert_answer(ANSWER);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(alive.count(), 2);
}

#[test]
fn without_a_working_upstream_the_answer_is_servfail_and_the_log_says_why() {
    let upstream = Upstream::start(ZONE);
    upstream.stop();
    let server = server("max_fails 0", &[&upstream]);
    server.ask("a.example.org. A").assert_rcode(Rcode::SERVFAIL);
}

#[test]
fn a_silent_upstream_costs_as_many_queries_as_attempts_are_allowed() {
    for (attempts, queries) in [(1, 1), (3, 3)] {
        let upstream = Upstream::start(ZONE);
        upstream.behave(Behaviour::silent());
        let options = format!("read_timeout 50ms\nmax_fails 0\nmax_connect_attempts {attempts}");
        server(&options, &[&upstream])
            .ask("a.example.org. A")
            .assert_rcode(Rcode::SERVFAIL);
        assert_eq!(upstream.wait_for(queries).len(), queries);
    }
}

#[test]
fn prefer_udp_asks_over_tcp_what_is_truncated() {
    let upstream = Upstream::start(ZONE);
    upstream.behave_over(Transport::Udp, Behaviour::honest().truncated());
    let relaying = server("", &[&upstream]);
    assert!(relaying.ask("a.example.org. A").flags().contains("tc"));
    let asking = server("prefer_udp", &[&upstream]);
    asking.ask("a.example.org. A +tcp").assert_answer(ANSWER);
    let transports: Vec<Transport> = upstream.seen().iter().map(|seen| seen.transport()).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Udp, Transport::Tcp]);
}

#[test]
fn force_tcp_is_stronger_than_prefer_udp() {
    let upstream = Upstream::start(ZONE);
    server("force_tcp\nprefer_udp", &[&upstream])
        .ask("a.example.org. A")
        .assert_answer(ANSWER);
    assert_eq!(upstream.count_over(Transport::Tcp), 1);
}

#[test]
fn failover_asks_on_and_gives_the_last_denial() {
    let (first, second) = (Upstream::start(ZONE), Upstream::start(ZONE));
    first.behave(Behaviour::honest().rcode("SERVFAIL"));
    let server = server("policy sequential\nfailover SERVFAIL REFUSED", &[&first, &second]);
    server.ask("a.example.org. A").assert_answer(ANSWER);
    second.behave(Behaviour::honest().rcode("REFUSED"));
    server.ask("a.example.org. A").assert_rcode(Rcode::REFUSED);
    assert_eq!((first.count(), second.count()), (2, 2));
}

#[test]
fn next_leads_to_the_next_forward_only() {
    let (first, second) = (
        Upstream::start(ZONE),
        Upstream::start("b.example.org. 60 IN A 192.0.2.2"),
    );
    let corefile = format!(
        ".:@PORT@ {{\nforward . {} {{\nnext NXDOMAIN\nnext_on_nodata\n}}\nforward . {} {{\nnext NXDOMAIN\n}}\n}}",
        first.address(),
        second.address()
    );
    let server = TestServer::start(&PLUGIN, &corefile);
    server.ask("a.example.org. A").assert_answer(ANSWER);
    assert_eq!(second.count(), 0);
    server
        .ask("b.example.org. A")
        .assert_answer(["b.example.org. 60 IN A 192.0.2.2"]);
    server.ask("a.example.org. TXT").assert_rcode(Rcode::NXDOMAIN);
    server.ask("none.example.org. A").assert_rcode(Rcode::NXDOMAIN);
    assert_eq!(second.count(), 3);
}

#[test]
fn queries_beyond_max_concurrent_are_refused_at_once() {
    let upstream = Upstream::start(ZONE);
    upstream.behave(Behaviour::honest().held());
    let server = server("max_concurrent 2", &[&upstream]);
    let mut connection = server.connect();
    connection
        .send(Query::new("a.example.org.", "A"))
        .send(Query::new("a.example.org.", "MX"));
    upstream.wait_for(2);
    server.ask("a.example.org. A").assert_rcode(Rcode::REFUSED);
    assert_eq!(
        server
            .metrics()
            .value("coredns_forward_max_concurrent_rejects_total", &[]),
        Some(1.0)
    );
    upstream.release();
    connection.receive().assert_rcode(Rcode::NOERROR);
    connection.receive().assert_rcode(Rcode::NOERROR);
}

#[test]
fn an_upstream_that_fails_is_probed_and_used_again() {
    let upstream = Upstream::start(ZONE);
    let server = server(
        "max_fails 1\nhealth_check 20ms\nfailfast_all_unhealthy_upstreams",
        &[&upstream],
    );
    upstream.stop();
    server.ask("a.example.org. A").assert_rcode(Rcode::SERVFAIL);
    let to = upstream.address().to_string();
    let labels = [("proxy_name", "forward"), ("to", to.as_str())];
    server.wait_for_metric("coredns_proxy_healthcheck_failures_total", &labels, 3.0);
    server.ask("a.example.org. A").assert_rcode(Rcode::SERVFAIL);
    assert_eq!(
        server
            .metrics()
            .value("coredns_forward_healthcheck_broken_total", &[]),
        Some(1.0)
    );
    upstream.revive();
    upstream.wait_for(1);
    catena_testkit::eventually("the upstream is up", || {
        (server.ask("a.example.org. A").rcode() == Rcode::NOERROR).then_some(())
    });
}

#[test]
fn what_upstreams_take_is_counted_by_rcode() {
    let upstream = Upstream::start(ZONE);
    let server = server("", &[&upstream]);
    for _ in 0..3 {
        server.ask("a.example.org. A");
    }
    server.ask("none.example.org. A +tcp");
    let to = upstream.address().to_string();
    let count = |rcode: &str| {
        let labels = [("proxy_name", "forward"), ("to", to.as_str()), ("rcode", rcode)];
        server
            .metrics()
            .value("coredns_proxy_request_duration_seconds_count", &labels)
    };
    assert_eq!(
        (count("NOERROR"), count("NXDOMAIN"), count("SERVFAIL")),
        (Some(3.0), Some(1.0), None)
    );
    let connections = |name: &str, proto: &str| {
        let labels = [("proxy_name", "forward"), ("to", to.as_str()), ("proto", proto)];
        server.metrics().value(name, &labels)
    };
    assert_eq!(
        connections("coredns_proxy_conn_cache_misses_total", "udp"),
        Some(1.0)
    );
    assert_eq!(
        connections("coredns_proxy_conn_cache_hits_total", "udp"),
        Some(2.0)
    );
    assert_eq!(
        connections("coredns_proxy_conn_cache_misses_total", "tcp"),
        Some(1.0)
    );
}

#[test]
fn host_names_are_looked_up_at_the_start() {
    let resolver = Upstream::start("up.example.net. 60 IN A 127.0.0.1");
    let upstream = Upstream::start(ZONE);
    let corefile = |name: &str| {
        format!(
            ".:@PORT@ {{\nforward . {name}:{} {{\nresolver {}\n}}\n}}",
            upstream.address().port(),
            resolver.address()
        )
    };
    let server = TestServer::start(&PLUGIN, &corefile("up.example.net"));
    server.ask("a.example.org. A").assert_answer(ANSWER);
    assert_eq!(resolver.count(), 2, "A and AAAA");
    let refused = TestServer::builder(&PLUGIN, &corefile("nowhere.example.net")).try_start();
    let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("nowhere.example.net"), "{error}");
}

#[test]
fn an_update_never_reaches_an_upstream() {
    let upstream = Upstream::start(ZONE);
    let server = server("", &[&upstream]);
    for opcode in [1u8, 2, 3, 5, 6, 15] {
        let mut wire = Query::new("example.org.", "SOA").to_wire();
        wire[2] = wire[2] & 0x87 | opcode << 3;
        server.ask(Query::raw(wire)).assert_rcode(Rcode::NOTIMP);
    }
    assert_eq!(upstream.count(), 0);
}
