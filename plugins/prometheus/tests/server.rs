//! Metrics of a whole server, as a scrape sees them.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use catena_http::testing::{Received, get, request};
use catena_plugin_prometheus::PLUGIN;
use catena_testkit::{RECORDS, TestServer};

const COREFILE: &str = "
    example.org:@PORT@ sub.example.org:@PORT@ {
        prometheus 127.0.0.1:@P1@
        records {
            a.example.org. 60 IN A 192.0.2.1
            a.sub.example.org. 60 IN A 192.0.2.2
        }
    }
    example.net:@P2@ {
        records
    }";

fn address(server: &TestServer, number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.port_of(number)))
}

fn scrape(server: &TestServer, path: &str) -> Received {
    let answer = get(address(server, 1), path).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

/// The samples of a metric, with the server's port left out.
fn samples(server: &TestServer, name: &str) -> Vec<String> {
    let body = scrape(server, "/metrics").body;
    let ports = [server.port_of(0), server.port_of(2)];
    let lines = body.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines
        .map(|line| {
            let text = line.replace(name, "");
            ports
                .iter()
                .fold(text, |text, port| text.replace(&format!(":{port}\""), ":PORT\""))
        })
        .collect()
}

#[test]
fn queries_are_counted_by_zone_type_and_protocol() {
    let server = TestServer::start([PLUGIN, RECORDS], COREFILE);
    server.ask("a.example.org. A");
    server.ask("A.Example.org. A +tcp");
    server.ask("a.sub.example.org. TXT +do");
    server.ask("b.example.org. CAA");
    assert_eq!(
        samples(&server, "coredns_dns_requests_total"),
        [
            "{family=\"1\",proto=\"tcp\",server=\"dns://:PORT\",type=\"A\",view=\"\",zone=\"example.org.\"} 1",
            "{family=\"1\",proto=\"udp\",server=\"dns://:PORT\",type=\"A\",view=\"\",zone=\"example.org.\"} 1",
            "{family=\"1\",proto=\"udp\",server=\"dns://:PORT\",type=\"TXT\",view=\"\",zone=\"sub.example.org.\"} 1",
            "{family=\"1\",proto=\"udp\",server=\"dns://:PORT\",type=\"other\",view=\"\",zone=\"example.org.\"} 1",
        ]
    );
    assert_eq!(
        samples(&server, "coredns_dns_responses_total"),
        [
            "{plugin=\"records\",rcode=\"NOERROR\",server=\"dns://:PORT\",view=\"\",zone=\"example.org.\"} 2",
            "{plugin=\"records\",rcode=\"NOERROR\",server=\"dns://:PORT\",view=\"\",zone=\"sub.example.org.\"} 1",
            "{plugin=\"records\",rcode=\"NXDOMAIN\",server=\"dns://:PORT\",view=\"\",zone=\"example.org.\"} 1",
        ]
    );
    assert_eq!(
        samples(&server, "coredns_dns_do_requests_total"),
        ["{server=\"dns://:PORT\",view=\"\",zone=\"sub.example.org.\"} 1"]
    );
}

#[test]
fn a_ds_query_counts_for_the_zone_that_holds_its_name() {
    let server = TestServer::start([PLUGIN, RECORDS], COREFILE);
    server.ask("sub.example.org. DS");
    let requests = samples(&server, "coredns_dns_requests_total");
    assert!(
        requests[0].contains("type=\"DS\"") && requests[0].contains("zone=\"sub.example.org.\""),
        "{requests:?}"
    );
}

#[test]
fn what_the_server_refuses_is_dropped_on_every_listener() {
    let server = TestServer::start([PLUGIN, RECORDS], COREFILE);
    server.ask("a.example.com. A");
    server.ask("a.example.org. A CH");
    server.ask_on(server.port_of(2), "a.example.com. AAAA");
    server.ask_on(server.port_of(2), "a.example.net. AAAA");
    let mut responses = samples(&server, "coredns_dns_responses_total");
    responses.sort();
    assert_eq!(
        responses,
        [
            "{plugin=\"\",rcode=\"REFUSED\",server=\"dns://:PORT\",view=\"\",zone=\"dropped\"} 1",
            "{plugin=\"\",rcode=\"REFUSED\",server=\"dns://:PORT\",view=\"\",zone=\"dropped\"} 2",
        ]
    );
}

#[test]
fn plugins_of_blocks_with_prometheus_are_enabled_until_a_reload_says_otherwise() {
    let server = TestServer::start([PLUGIN, RECORDS], COREFILE);
    let enabled = |server: &TestServer| samples(server, "coredns_plugin_enabled");
    assert_eq!(
        enabled(&server),
        [
            "{name=\"prometheus\",server=\"dns://:PORT\",view=\"\",zone=\"example.org.\"} 1",
            "{name=\"records\",server=\"dns://:PORT\",view=\"\",zone=\"example.org.\"} 1",
        ]
    );
    server
        .reload("example.com:@PORT@ {\n prometheus 127.0.0.1:@P1@\n}")
        .unwrap();
    assert_eq!(
        enabled(&server),
        ["{name=\"prometheus\",server=\"dns://:PORT\",view=\"\",zone=\"example.com.\"} 1"]
    );
}

#[test]
fn a_scrape_names_the_metrics_that_it_wants() {
    let server = TestServer::start([PLUGIN, RECORDS], COREFILE);
    let answer = scrape(&server, "/metrics?name%5B%5D=coredns_panics_total");
    assert_eq!(
        answer.body,
        "# HELP coredns_panics_total A metrics that counts the number of panics.\n# TYPE coredns_panics_total counter\n\
         coredns_panics_total 0\n"
    );
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
    );
    assert_eq!(scrape(&server, "/metrics?name[]=no_such_metric").body, "");
    assert_eq!(get(address(&server, 1), "/").unwrap().status, 404);
    let utf8 = request(
        address(&server, 1),
        "GET",
        "/metrics",
        &[("accept", "text/plain;escaping=allow-utf-8")],
    )
    .unwrap();
    assert!(
        utf8.header("content-type")
            .unwrap()
            .ends_with("escaping=allow-utf-8")
    );
}

#[test]
fn the_server_shows_what_it_counts_itself() {
    let server = TestServer::start([PLUGIN, RECORDS], COREFILE);
    server.ask("a.example.org. A");
    let body = scrape(&server, "/metrics").body;
    for name in [
        "catena_build_info{",
        "catena_queries_polled_in_place_total ",
        "catena_tcp_connections_refused_total ",
        "catena_udp_datagrams_received_total ",
        "coredns_build_info{",
        "coredns_panics_total ",
        "process_resident_memory_bytes ",
    ] {
        assert!(body.contains(&format!("\n{name}")), "{name} in {body}");
    }
    assert!(!body.contains("catena_thread_cpu_seconds_total"), "{body}");
}

#[test]
fn runtime_metrics_show_the_threads() {
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        ".:@PORT@ {\n prometheus 127.0.0.1:@P1@ {\n  runtime_metrics\n }\n records\n}",
    );
    let body = scrape(&server, "/metrics").body;
    assert!(
        body.contains("catena_thread_cpu_seconds_total{thread=\"worker-0\"}"),
        "{body}"
    );
}

#[test]
fn counters_go_on_through_a_reload_and_the_endpoint_moves() {
    let server = TestServer::start([PLUGIN, RECORDS], COREFILE);
    server.ask("a.example.org. A");
    server.reload(COREFILE).unwrap();
    server.ask("a.example.org. A");
    let requests = samples(&server, "coredns_dns_requests_total");
    assert!(requests[0].ends_with(" 2"), "{requests:?}");
    let old = address(&server, 1);
    server.reload(&COREFILE.replace("@P1@", "@P3@")).unwrap();
    assert_eq!(get(address(&server, 3), "/metrics").unwrap().status, 200);
    catena_testkit::eventually("a closed endpoint", || {
        get(old, "/metrics")
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            .then_some(())
    });
}

#[test]
fn a_port_in_use_is_logged_and_the_server_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        &format!(".:@PORT@ {{\n prometheus {at}\n records\n}}"),
    );
    server.ask("a.example.org. A");
    server
        .logs()
        .wait_for("[ERROR] Failed to start metrics handler: listen tcp");
}

#[test]
fn scrapes_do_not_hold_queries_up() {
    let server = TestServer::start([PLUGIN, RECORDS], COREFILE);
    let at = address(&server, 1);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraping = scope.spawn(|| {
            let mut scrapes = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(get(at, "/metrics").unwrap().status, 200);
                scrapes += 1;
            }
            scrapes
        });
        for _ in 0..200 {
            server.ask("a.example.org. A");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(scraping.join().unwrap() > 0);
    });
    let requests = samples(&server, "coredns_dns_requests_total");
    assert!(requests[0].ends_with(" 200"), "{requests:?}");
}

#[test]
fn the_time_at_each_plugin_is_shown_where_it_is_asked_for() {
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        "example.org:@PORT@ {
            prometheus 127.0.0.1:@P1@ {
                plugin_times
            }
            records {
                a.example.org. 60 IN A 192.0.2.1
            }
        }
        example.net:@PORT@ {
            prometheus 127.0.0.1:@P1@
            records
        }",
    );
    for _ in 0..3 {
        server.ask("a.example.org. A");
    }
    server.ask("a.example.net. A");
    let label = |plugin: &str| format!("{{plugin=\"{plugin}\",view=\"\",zone=\"example.org.\"}} 3");
    assert_eq!(
        samples(&server, "catena_plugin_duration_seconds_count"),
        [label("prometheus"), label("records")]
    );
}
