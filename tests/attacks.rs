//! Attacks on a forwarder with a cache, from one end to the other: each test is called after what it holds off.

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use catena_core::counters::Event;
use catena_core::message::Rcode;
use catena_testkit::{Behaviour, Lie, Query, Step, TestServer, Upstream, eventually};

const ZONE: &str = "a.example.org. 300 IN A 192.0.2.1";
const ANSWER: [&str; 1] = ["a.example.org. A 192.0.2.1"];

/// A production server in front of the upstream.
fn server(upstream: &Upstream) -> TestServer {
    server_waiting(upstream, "1m")
}

/// A server that waits so long for an answer before it asks again.
fn server_waiting(upstream: &Upstream, read_timeout: &str) -> TestServer {
    let corefile = format!(
        ".:@PORT@ {{
            errors
            log
            prometheus 127.0.0.1:@P1@
            cache 30 {{
                serve_stale
                prefetch 3
            }}
            loop
            forward . {} {{
                max_fails 0
                read_timeout {read_timeout}
            }}
            reload
            loadbalance
        }}",
        upstream.address()
    );
    let server = TestServer::start(catena::plugins::registry(), &corefile);
    // The probe of `loop` has come and gone, so that only the tests' queries count.
    upstream.wait_for(1);
    server
}

/// How often the upstream was asked about this.
fn asked(upstream: &Upstream, question: &str) -> usize {
    let (name, rtype) = question.split_once(' ').expect("a name and a type");
    let question = format!("{name} IN {rtype}");
    let seen = upstream.seen();
    seen.iter().filter(|seen| seen.question() == question).count()
}

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with an address of its own.
fn client(server: &TestServer, from: u8) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 2, from), 0)).expect("a socket");
    socket.connect(server.address()).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// How many answers come to these sockets until there is silence; each must have this last byte.
fn answers(sockets: &[UdpSocket], last: u8) -> usize {
    let mut buffer = [0; 512];
    let mut count = 0;
    for socket in sockets {
        loop {
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    assert_eq!(buffer[length - 1], last, "{:?}", &buffer[..length]);
                    count += 1;
                    // Once they come, they come one after the other.
                    let soon = Some(Duration::from_millis(300));
                    socket.set_read_timeout(soon).expect("a timeout");
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    count
}

#[test]
fn poisoning_mismatched_answers_are_neither_given_nor_kept() {
    for lie in Lie::ALL {
        let upstream = Upstream::start(ZONE);
        let server = server(&upstream);
        upstream.behave(Behaviour::honest().lying(lie));
        for round in 0..2 {
            let answer = server.ask("a.example.org. A");
            answer.assert_rcode(Rcode::NOERROR).assert_answer(ANSWER);
            assert_eq!(asked(&upstream, "a.example.org. A"), 1, "{lie:?}, round {round}");
        }
        // What the lie named is not there either.
        upstream.behave(Behaviour::honest());
        for query in ["x.example.org. A", "a.example.org. TYPE65"] {
            assert_eq!(server.ask(query).answer().len(), 0, "{lie:?}: {query}");
        }
    }
}

#[test]
fn poisoning_an_answer_of_lies_alone_is_kept_by_nobody() {
    for lie in [Lie::OtherName, Lie::OtherType, Lie::OtherId, Lie::Garbage] {
        let upstream = Upstream::start(ZONE);
        let server = server_waiting(&upstream, "1s");
        upstream.behave(Behaviour::only_lying(lie));
        server.ask("a.example.org. A").assert_rcode(Rcode::SERVFAIL);
        upstream.behave(Behaviour::honest());
        server.ask("a.example.org. A").assert_answer(ANSWER);
    }
}

/// CVE-2024-0874: what was not validated must not reach who wants validated answers; and signatures are for who asks for
/// them.
#[test]
fn cd_and_do_mixing_each_client_gets_what_was_said_to_the_same_flags() {
    let upstream = Upstream::start(ZONE);
    let server = server(&upstream);
    // The last number of the address tells which flags the upstream saw.
    upstream.behave(Behaviour::scripted(|seen, honest| {
        let request = seen.request();
        let flags = 2 * u8::from(request.dnssec_ok()) + u8::from(request.cd());
        let mut wire = honest.to_vec();
        let address = [192, 0, 2, 1];
        let at = wire.windows(4).position(|bytes| bytes == address);
        if let Some(at) = at {
            wire[at + 3] = 10 + flags;
        }
        vec![Step::Send(wire)]
    }));
    for round in 0..3 {
        for (flags, last) in [("", 10), ("+cd", 11), ("+edns", 10), ("+do", 12), ("+do +cd", 13)] {
            let answer = server.ask(format!("a.example.org. A {flags}").as_str());
            answer.assert_answer([format!("a.example.org. A 192.0.2.{last}")]);
            assert!(round < 2 || asked(&upstream, "a.example.org. A") == 4, "{flags}");
        }
    }
}

/// CVE-2023-30464: every further upstream query with the same question is one more chance to guess.
#[test]
fn birthday_a_thousand_same_questions_are_one_upstream_query() {
    for (question, most) in [
        ("a.example.org. A", 1),
        ("b.example.org. A", 1),
        // The type of the probe of `loop`, which must be able to come back.
        ("a.example.org. HINFO", 4),
    ] {
        let upstream = Upstream::start(ZONE);
        let server = server(&upstream);
        upstream.behave(Behaviour::honest().held());
        let sockets: Vec<UdpSocket> = (0..1000_u16)
            .map(|number| {
                let socket = client(&server, (number % 200) as u8 + 1);
                let mut wire = Query::from(question).to_wire();
                wire[..2].copy_from_slice(&number.to_be_bytes());
                socket.send(&wire).expect("a query");
                socket
            })
            .collect();
        server.wait_for_metric("coredns_cache_requests_total", &[], 1000.0);
        let seen = asked(&upstream, question);
        assert!((1..=most).contains(&seen), "{question}: {seen}");
        upstream.release();
        let mut buffer = [0; 512];
        for (number, socket) in sockets.iter().enumerate() {
            let length = socket.recv(&mut buffer).expect("an answer");
            assert!(
                length > 12 && buffer[..2] == (number as u16).to_be_bytes(),
                "{question}"
            );
        }
        let seen = asked(&upstream, question);
        assert!(seen <= most, "{question}: {seen} in the end");
    }
}

/// CVE-2024-33655 (DNSBomb): queries are collected behind a slow upstream, and all answers leave at one time.
#[test]
fn pulse_from_a_slow_upstream_has_a_bound_for_each_source() {
    let upstream = Upstream::start(ZONE);
    let server = server(&upstream);
    upstream.behave(Behaviour::honest().held());
    // Both could be forged: one that is to be hit, and another who asks the same.
    let victim = [client(&server, 1)];
    let other = [client(&server, 2)];
    let mut wire = Query::new("a.example.org.", "A").to_wire();
    let sent = 4000;
    for number in 0..sent {
        wire[..2].copy_from_slice(&(number as u16).to_be_bytes());
        victim[0].send(&wire).expect("a query");
        if number % 256 == 255 {
            // The socket's buffer is not the bound that is shown here.
            server.wait_for_metric("coredns_cache_requests_total", &[], f64::from(number));
        }
    }
    server.wait_for_metric("coredns_cache_requests_total", &[], f64::from(sent));
    other[0].send(&wire).expect("a query");
    server.wait_for_metric("coredns_cache_requests_total", &[], f64::from(sent + 1));
    let refused = server
        .metrics()
        .value("catena_cache_waiting_refused_total", &[])
        .unwrap_or_default();
    assert_eq!(refused, f64::from(sent - 2048 - 1));
    assert_eq!(asked(&upstream, "a.example.org. A"), 1);
    upstream.release();
    // The kernel may drop of what is left, and nobody sends more than that.
    assert!((1..=2049).contains(&answers(&victim, 1)));
    assert_eq!(
        answers(&other, 1),
        1,
        "who is not the source of all that is answered"
    );
    assert_eq!(server.counters().get(Event::DroppedInFlight), 0);
}

/// CVE-2026-26018: a name that somebody guesses, or learns, must not end the server.
#[test]
fn loop_cannot_be_used_to_stop_the_server_by_a_guessed_name() {
    let upstream = Upstream::start(ZONE);
    let server = server(&upstream);
    let probe = upstream.seen()[0].question().replace(" IN ", " ");
    assert!(probe.ends_with(" HINFO"), "{probe}");
    // The old scheme: two decimal numbers of a weak generator. Each is asked more often than a loop would.
    let socket = server.udp_socket();
    for number in 0..1000_u64 {
        let guess = number.wrapping_mul(6_364_136_223_846_793_005) >> 2;
        let wire = Query::new(&format!("{guess}.{}.", guess / 7), "HINFO").to_wire();
        for _ in 0..4 {
            socket.send(&wire).expect("a query");
        }
        if number % 50 == 49 {
            server.ask("a.example.org. A");
        }
    }
    // Who sees the upstream's queries knows the real one. Once the probe is over it is a name as any other.
    let began = Instant::now();
    eventually("the end of the probe", || {
        (began.elapsed() > Duration::from_secs(3)).then_some(())
    });
    for _ in 0..10 {
        server.ask(probe.as_str());
    }
    server.ask("a.example.org. A").assert_answer(ANSWER);
    assert!(
        !server.logs().lines().iter().any(|line| line.contains("[FATAL]")),
        "{:?}",
        server.logs().lines()
    );
    assert_eq!(server.stop().0, 0);
}

/// What clients and upstreams name goes into the log as it is harmless.
#[test]
fn ansi_and_newline_injection_into_logs_stays_text() {
    let upstream = Upstream::start(ZONE);
    let server = server_waiting(&upstream, "1s");
    upstream.behave(Behaviour::silent());
    // The bytes of a name as DNS has them: an escape sequence, a line break, a forged line, a C1 control.
    let name = b"\x1b[31m\n[FATAL] a\x9b1m";
    let mut wire = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8];
    wire.extend_from_slice(name);
    wire.extend_from_slice(&[0, 0, 1, 0, 1]);
    let socket = server.udp_socket();
    socket.send(&wire).expect("a query");
    // One line of `log`, one of `errors`: the upstream does not answer.
    server.logs().wait_for("[ERROR] plugin/errors: 2 ");
    server.logs().wait_for("SERVFAIL");
    for line in server.logs().lines() {
        assert!(!line.starts_with("[FATAL]"), "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
