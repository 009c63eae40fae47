//! Attacks on a forwarder, and why they come to nothing. The engine's own tests are in `catena-upstream`.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use catena_core::counters::Event;
use catena_core::message::Rcode;
use catena_plugin_forward::PLUGIN;
use catena_testkit::{Behaviour, Lie, Query, TestServer, Upstream, eventually};

const ZONE: &str = "a.example.org. 60 IN A 192.0.2.1";
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
fn every_kind_of_lie_before_the_answer_is_ignored() {
    let upstream = Upstream::start(ZONE);
    let server = server("", &[&upstream]);
    for lie in Lie::ALL {
        upstream.behave(Behaviour::honest().lying(lie));
        server
            .ask("a.example.org. A")
            .assert_rcode(Rcode::NOERROR)
            .assert_answer(ANSWER);
    }
}

#[test]
fn lies_alone_never_become_an_answer() {
    let upstream = Upstream::start(ZONE);
    let server = server("read_timeout 50ms\nmax_fails 0", &[&upstream]);
    for lie in Lie::ALL {
        upstream.behave(Behaviour::only_lying(lie));
        server
            .ask("a.example.org. A")
            .assert_rcode(Rcode::SERVFAIL)
            .assert_answer::<&str>([]);
    }
}

#[test]
fn a_thousand_clients_with_one_question_put_few_queries_on_the_wire() {
    let upstream = Upstream::start(ZONE);
    upstream.behave(Behaviour::honest().held());
    let server = server("", &[&upstream]);
    let sockets: Vec<UdpSocket> = (0..1000).map(|_| server.udp_socket()).collect();
    let wire = Query::new("a.example.org.", "A").to_wire();
    for socket in &sockets {
        socket.send(&wire).unwrap();
    }
    eventually("all queries wait", || {
        (server.counters().get(Event::BecameTask) >= 1000).then_some(())
    });
    upstream.release();
    upstream.behave(Behaviour::honest());
    let mut buffer = [0; 512];
    for socket in &sockets {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert!(socket.recv(&mut buffer).is_ok());
    }
    let most = 40 * std::thread::available_parallelism().map_or(1, usize::from);
    assert!(upstream.count() <= most, "{} queries", upstream.count());
}

#[test]
fn upstream_queries_leave_from_random_ports_with_random_ids() {
    let upstream = Upstream::start(ZONE);
    let server = server("", &[&upstream]);
    for _ in 0..400 {
        server.ask("a.example.org. A");
    }
    let seen = upstream.seen();
    let mut ports: Vec<u16> = seen.iter().map(|seen| seen.peer().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() >= 8, "{} ports", ports.len());
    let mut ids: Vec<u16> = seen.iter().map(|seen| seen.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() >= 390, "{} ids of 400", ids.len());
}

#[test]
fn one_query_costs_a_bounded_number_of_upstream_queries() {
    let upstreams: Vec<Upstream> = (0..5).map(|_| Upstream::start(ZONE)).collect();
    for upstream in &upstreams {
        upstream.behave(Behaviour::honest().rcode("SERVFAIL"));
    }
    let all: Vec<&Upstream> = upstreams.iter().collect();
    server("failover SERVFAIL", &all)
        .ask("a.example.org. A")
        .assert_rcode(Rcode::SERVFAIL);
    assert_eq!(upstreams.iter().map(Upstream::count).sum::<usize>(), 5);
    for upstream in &upstreams {
        upstream.behave(Behaviour::silent());
    }
    server("read_timeout 20ms\nmax_fails 0", &all)
        .ask("a.example.org. A")
        .assert_rcode(Rcode::SERVFAIL);
    let all = || upstreams.iter().map(Upstream::count).sum::<usize>();
    eventually("the last query to be read", || (all() >= 5 + 10).then_some(()));
    assert_eq!(all(), 5 + 10);
}

/// With one of two upstreams silent, fewer than 1 % of 500 queries a second take longer than 100 ms after the first
/// second, and none is lost.
#[test]
fn a_silent_upstream_is_noticed_before_timeouts_tell() {
    const RATE: u32 = 500;
    const QUERIES: u16 = 1500;
    for policy in ["random", "sequential", "round_robin"] {
        let (dying, healthy) = (Upstream::start(ZONE), Upstream::start(ZONE));
        let server = server(&format!("policy {policy}"), &[&dying, &healthy]);
        for _ in 0..20 {
            server.ask("a.example.org. A").assert_answer(ANSWER);
        }
        dying.behave(Behaviour::silent());
        let taken = paced(&server, RATE, QUERIES);
        assert_eq!(taken.len(), usize::from(QUERIES), "{policy}: some were lost");
        // A query that never came to the silent one is late only where the machine has no time for the test.
        let met: Vec<String> = dying.seen().iter().map(|seen| seen.question()).collect();
        let (first, after) = taken
            .iter()
            .partition::<Vec<_>, _>(|(number, _)| u32::from(*number) < RATE);
        let late = after
            .iter()
            .filter(|(number, took)| {
                took.as_millis() > 100 && met.contains(&format!("n{number}.example.org. IN A"))
            })
            .count();
        assert!(
            late * 100 < after.len(),
            "{policy}: {late} of {} late",
            after.len()
        );
        assert!(
            !met.is_empty() && !first.is_empty(),
            "{policy}: the silent one was asked"
        );
    }
}

/// Sends a query for each number, so many a second, and tells for each answer its number and how long it took.
fn paced(server: &TestServer, rate: u32, total: u16) -> Vec<(u16, Duration)> {
    let socket = server.udp_socket();
    let receiver = socket.try_clone().unwrap();
    let begun = Instant::now();
    let due = move |number: u16| Duration::from_secs(1) * u32::from(number) / rate;
    let receiving = std::thread::spawn(move || {
        receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answers = Vec::new();
        let mut buffer = [0; 512];
        while answers.len() < usize::from(total) {
            let Ok(length) = receiver.recv(&mut buffer) else {
                break;
            };
            // No upstream has such a name, and says so.
            assert_eq!((length > 12, buffer[3] & 0xf), (true, 3), "NXDOMAIN");
            let number = u16::from_be_bytes([buffer[0], buffer[1]]);
            answers.push((number, begun.elapsed().saturating_sub(due(number))));
        }
        answers
    });
    for number in 0..total {
        std::thread::sleep(due(number).saturating_sub(begun.elapsed()));
        let query = Query::new(&format!("n{number}.example.org."), "A").id(number);
        socket.send(&query.to_wire()).unwrap();
    }
    receiving.join().unwrap()
}
