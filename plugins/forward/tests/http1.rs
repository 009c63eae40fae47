//! DNS over HTTPS with upstreams that speak HTTP/1.1 only.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};

use catena_core::message::{Rcode, Transport};
use catena_testkit::{Answer, Behaviour, Pki, Query, Step, Upstream, eventually};
use common::{ANSWER, NAMES, Secure, ZONE, server};

const CLIENTS: usize = 40;

/// As many as there may be of one worker.
const CONNECTIONS: usize = 16;

fn old() -> Secure {
    let pki = Pki::new("upstreams");
    let tls = pki.identity(&NAMES).server(&[b"http/1.1"]);
    Secure {
        upstream: Upstream::start_over(Transport::Https, ZONE, Some(tls)),
        pki,
    }
}

#[test]
fn answers_are_relayed_on_one_connection_with_either_method() {
    for method in ["POST", "GET"] {
        let secure = old();
        let server = server(&secure.corefile("https", &format!("doh_method {method}")));
        for _ in 0..5 {
            server.ask("a.example.org. A").assert_answer(ANSWER);
        }
        server.ask("none.example.org. A").assert_rcode(Rcode::NXDOMAIN);
        assert!(
            secure.upstream.seen().iter().all(|seen| seen.id() == 0),
            "{method}"
        );
        assert_eq!(secure.upstream.sessions().len(), 1, "{method}");
    }
}

#[test]
fn queries_that_wait_have_connections_of_their_own_up_to_a_bound() {
    let secure = old();
    let server = server(&secure.corefile("https", "read_timeout 1m\nmax_fails 0"));
    // All workers get to know what it speaks.
    for _ in 0..CLIENTS {
        server.ask("a.example.org. A").assert_answer(ANSWER);
    }
    secure.upstream.behave(Behaviour::honest().held());
    let sockets: Vec<UdpSocket> = (0..2 * CLIENTS).map(|_| server.udp_socket()).collect();
    for (number, socket) in sockets.iter().enumerate() {
        let query = Query::new(&format!("n{number}.example.org."), "A");
        socket.send(&query.to_wire()).unwrap();
    }
    secure.upstream.wait_for(CLIENTS + CONNECTIONS);
    secure.upstream.behave(Behaviour::honest());
    secure.upstream.release();
    let mut buffer = [0; 512];
    for socket in &sockets {
        socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[3] & 0xf, 3, "NXDOMAIN");
    }
    assert_eq!(secure.upstream.wait_for(3 * CLIENTS).len(), 3 * CLIENTS);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(secure.upstream.sessions().len() <= workers * CONNECTIONS);
}

#[test]
fn what_a_closed_connection_took_along_is_asked_on_another() {
    let secure = old();
    let server = server(&secure.corefile("https", "read_timeout 1m\nmax_fails 0"));
    server.ask("a.example.org. A").assert_answer(ANSWER);
    for round in 1..=5 {
        let closes = AtomicBool::new(true);
        secure.upstream.behave(Behaviour::scripted(move |_, honest| {
            if closes.swap(false, Ordering::Relaxed) {
                vec![Step::Close]
            } else {
                vec![Step::Send(honest.to_vec())]
            }
        }));
        server.ask("a.example.org. A").assert_answer(ANSWER);
        assert_eq!(secure.upstream.count(), 1 + 2 * round);
        assert!(secure.upstream.sessions().len() > round);
    }
}

#[test]
fn queries_that_waited_behind_others_do_not_count_as_lost_where_each_answer_closes_its_connection() {
    let secure = old();
    let server = server(&secure.corefile("https", "read_timeout 1m\nmax_fails 0"));
    for _ in 0..CLIENTS {
        server.ask("a.example.org. A").assert_answer(ANSWER);
    }
    secure.upstream.behave(Behaviour::scripted(|_, honest| {
        vec![Step::Send(honest.to_vec()), Step::Close]
    }));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // So many that each connection has more of them than a query may be lost times.
    let sockets: Vec<UdpSocket> = (0..workers * CONNECTIONS * 12)
        .map(|_| server.udp_socket())
        .collect();
    for (number, socket) in sockets.iter().enumerate() {
        let query = Query::from(format!("n{number}.example.org. A +bufsize=1232").as_str());
        socket.send(&query.to_wire()).unwrap();
    }
    let mut buffer = [0; 512];
    for (number, socket) in sockets.iter().enumerate() {
        let length = socket.recv(&mut buffer).unwrap();
        let answer = Answer::from_wire(buffer[..length].to_vec()).unwrap();
        assert_eq!(answer.extended_error(), None, "query {number}");
        answer.assert_rcode(Rcode::NXDOMAIN);
    }
}

#[test]
fn an_answer_that_is_none_fails_and_the_next_is_relayed() {
    let secure = old();
    let server = server(&secure.corefile("https", "max_fails 0\nmax_connect_attempts 1"));
    let to = secure.upstream.to_string();
    let endless = || vec![Step::SendRaw(vec![0; 4 << 20])];
    for (case, step) in [
        ("endless", endless()),
        ("garbage", vec![Step::SendRaw(vec![7; 3])]),
    ] {
        secure
            .upstream
            .behave(Behaviour::scripted(move |_, _| step.clone()));
        server.ask("a.example.org. A").assert_rcode(Rcode::SERVFAIL);
        secure.upstream.behave(Behaviour::honest());
        let answer = server.ask("a.example.org. A");
        assert_eq!(answer.rcode(), Rcode::NOERROR, "{case}");
    }
    server.wait_for_metric("catena_proxy_oversized_answers_total", &[("to", &to)], 1.0);
}

#[test]
fn an_upstream_that_falls_silent_is_left_and_comes_back() {
    let secure = old();
    let options = "read_timeout 100ms\nmax_fails 1\nhealth_check 20ms domain probe.example.org";
    let server = server(&secure.corefile("https", options));
    secure.upstream.behave(Behaviour::silent());
    server.ask("a.example.org. A").assert_rcode(Rcode::SERVFAIL);
    secure.upstream.behave(Behaviour::honest());
    let answer = eventually("an answer", || {
        let answer = server.ask("a.example.org. A");
        (answer.rcode() != Rcode::SERVFAIL).then_some(answer)
    });
    answer.assert_answer(ANSWER);
    eventually("a probe", || {
        let seen = secure.upstream.seen();
        seen.iter()
            .any(|seen| seen.question() == "probe.example.org. IN NS")
            .then_some(())
    });
}
