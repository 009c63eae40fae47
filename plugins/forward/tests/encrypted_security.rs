//! Upstreams that are not who they should be, or do what they should not.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use catena_core::message::{Rcode, Transport};
use catena_testkit::{Behaviour, Identity, Lie, Pki, Step, TestServer, Upstream, eventually};
use common::{ANSWER, NAMES, SCHEMES, Secure, ZONE, corefile, server};

/// Asks once and gives back why there was no answer.
fn failure(server: &TestServer) -> String {
    let answer = server.ask("a.example.org. A +bufsize=1232");
    answer.assert_rcode(Rcode::SERVFAIL);
    answer.extended_error().map(|(_, text)| text).unwrap_or_default()
}

/// Waits until a query is answered. One of them may have to wait longer than a short `read_timeout` where the machine has
/// other work, so that it says nothing about the server.
fn recovers(server: &TestServer) {
    let answer = eventually("an answer", || {
        let answer = server.ask("a.example.org. A");
        (answer.rcode() != Rcode::SERVFAIL).then_some(answer)
    });
    answer.assert_answer(ANSWER);
}

#[test]
fn a_certificate_that_does_not_fit_is_named_with_what_was_expected() {
    let pki = Pki::new("the right authority");
    let stranger = Pki::new("a stranger");
    let ca = pki.ca().display();
    let cases: [(&str, Identity, Vec<String>); 5] = [
        (
            "other names",
            pki.identity(&["one.example.net", "two.example.net", "192.0.2.99"]),
            vec![
                "certificate is valid for one.example.net, two.example.net, 192.0.2.99, not dns.example.org"
                    .to_owned(),
            ],
        ),
        (
            "another authority",
            stranger.identity(&NAMES),
            vec![
                "certificate signed by unknown authority: expected an authority in".to_owned(),
                ca.to_string(),
                "got a certificate of \"CN=a stranger\"".to_owned(),
            ],
        ),
        (
            "expired",
            pki.expired(&NAMES),
            vec![
                "certificate has expired or is not yet valid: current time 20".to_owned(),
                "is after 2020-01-01T00:00:00Z".to_owned(),
            ],
        ),
        (
            "not valid yet",
            pki.not_yet_valid(&NAMES),
            vec!["is before 2999-01-01T00:00:00Z".to_owned()],
        ),
        (
            "signed by itself",
            pki.self_signed(&NAMES),
            vec!["failed to verify certificate: x509: ".to_owned()],
        ),
    ];
    for (scheme, transport) in SCHEMES {
        for (case, identity, wanted) in &cases {
            let upstream = Upstream::start_over(transport, ZONE, Some(identity.server(&[])));
            let server = server(&corefile(&pki, scheme, &upstream.to_string(), ""));
            let error = failure(&server);
            for want in wanted {
                assert!(error.contains(want), "{scheme}, {case}: {error}");
            }
            let address = upstream.address().to_string();
            assert!(error.contains(&address), "{scheme}, {case}: {error}");
            assert_eq!(upstream.count(), 0, "{scheme}, {case}: no query was shown");
            server.wait_for_metric("catena_proxy_tls_failures_total", &[("to", &address)], 1.0);
        }
    }
}

#[test]
fn a_certificate_that_is_trusted_by_itself_is_still_held_to_its_names_and_dates() {
    let pki = Pki::new("nobody");
    let mine = pki.self_signed(&["dns.example.org"]);
    let upstream = Upstream::start_over(Transport::Tls, ZONE, Some(mine.server(&[])));
    let ask = |name: &str| {
        let corefile = format!(
            ".:@PORT@ {{\ncomplain\nforward . tls://{upstream} {{\ntls {}\ntls_servername {name}\n}}\n}}",
            mine.certificate.display()
        );
        server(&corefile)
    };
    ask("dns.example.org")
        .ask("a.example.org. A")
        .assert_answer(ANSWER);
    let error = failure(&ask("other.example.org"));
    assert!(
        error.contains("valid for dns.example.org, not other.example.org"),
        "{error}"
    );
}

#[test]
fn an_upstream_that_does_not_fit_is_left_for_one_that_does() {
    for (scheme, transport) in SCHEMES {
        let pki = Pki::new("the right authority");
        let wrong = Upstream::start_over(
            transport,
            ZONE,
            Some(pki.identity(&["other.example"]).server(&[])),
        );
        let right = Upstream::start_over(transport, ZONE, Some(pki.identity(&NAMES).server(&[])));
        let both = format!("{wrong} {scheme}://{right}");
        let options = "policy sequential\nread_timeout 1m";
        let server = server(&corefile(&pki, scheme, &both, options));
        let begun = Instant::now();
        server.ask("a.example.org. A").assert_answer(ANSWER);
        assert!(begun.elapsed() < Duration::from_secs(30), "{scheme}");
        assert_eq!((wrong.count(), right.count()), (0, 1), "{scheme}");
    }
}

#[test]
fn an_upstream_that_never_answers_the_handshake_costs_no_more_than_its_time() {
    // A port that is free for TCP may be taken for UDP.
    let (silent, silent_udp) = std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0").unwrap())
        .find_map(|tcp| {
            let udp = UdpSocket::bind(tcp.local_addr().unwrap()).ok()?;
            Some((tcp, udp))
        })
        .unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let pki = Pki::new("nobody");
    for (scheme, _) in SCHEMES {
        let options = "read_timeout 200ms\nmax_connect_attempts 2\nmax_fails 0";
        let server = server(&corefile(&pki, scheme, &address, options));
        let begun = Instant::now();
        let error = failure(&server);
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{scheme}: {:?}",
            begun.elapsed()
        );
        assert!(error.contains("tls handshake: i/o timeout"), "{scheme}: {error}");
        assert!(error.contains(&address), "{scheme}: {error}");
    }
    drop(silent_udp);
}

#[test]
fn bytes_that_are_no_tls_are_an_error_at_once() {
    let pki = Pki::new("nobody");
    for (scheme, _) in [SCHEMES[0], SCHEMES[1]] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let talker = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
                let _ = stream.read(&mut [0; 1024]);
            }
        });
        let options = "max_fails 0\nread_timeout 1m";
        let server = server(&corefile(&pki, scheme, &address, options));
        let begun = Instant::now();
        let error = failure(&server);
        assert!(begun.elapsed() < Duration::from_secs(30), "{scheme}");
        assert!(error.contains(": tls: "), "{scheme}: {error}");
        talker.join().unwrap();
    }
}

#[test]
fn every_kind_of_lie_over_an_authenticated_connection_is_no_answer() {
    for (scheme, transport) in SCHEMES {
        let secure = Secure::start(transport);
        let options = "read_timeout 50ms\nmax_fails 0\nmax_connect_attempts 1";
        let server = server(&secure.corefile(scheme, options));
        for lie in Lie::ALL {
            // An error without a question is the upstream's; other ports do not exist; and ids do not matter on streams.
            let is_none = matches!(lie, Lie::FormErr | Lie::OtherPort)
                || matches!(lie, Lie::OtherId) && matches!(transport, Transport::Https | Transport::Https3);
            if is_none {
                continue;
            }
            secure.upstream.behave(Behaviour::only_lying(lie));
            let answer = server.ask("a.example.org. A");
            answer.assert_answer::<&str>([]);
            assert_ne!(answer.rcode(), Rcode::NOERROR, "{scheme}: {lie:?}");
        }
        secure.upstream.behave(Behaviour::honest());
        recovers(&server);
    }
}

#[test]
fn an_endless_body_is_cut_off_and_counted() {
    for (scheme, transport) in [("https", Transport::Https), ("https3", Transport::Https3)] {
        let secure = Secure::start(transport);
        secure
            .upstream
            .behave(Behaviour::scripted(|_, _| vec![Step::SendRaw(vec![0; 4 << 20])]));
        let server = server(&secure.corefile(scheme, "max_connect_attempts 1\nmax_fails 0"));
        let error = failure(&server);
        assert!(
            error.contains("longer than a DNS message can be"),
            "{scheme}: {error}"
        );
        let to = secure.upstream.to_string();
        server.wait_for_metric("catena_proxy_oversized_answers_total", &[("to", &to)], 1.0);
        secure.upstream.behave(Behaviour::honest());
        server.ask("a.example.org. A").assert_answer(ANSWER);
    }
}

#[test]
fn quic_with_another_id_is_a_broken_connection() {
    let secure = Secure::start(Transport::Quic);
    secure.upstream.behave(Behaviour::scripted(|_, honest| {
        let mut wire = honest.to_vec();
        wire[1] = 1;
        vec![Step::Send(wire)]
    }));
    let server = server(&secure.corefile("quic", "max_connect_attempts 1\nmax_fails 0"));
    failure(&server);
    secure.upstream.behave(Behaviour::honest());
    server.ask("a.example.org. A").assert_answer(ANSWER);
    assert_eq!(secure.upstream.sessions().len(), 2);
}

#[test]
fn a_silent_upstream_keeps_no_streams_and_holds_up_nobody() {
    for (scheme, transport) in SCHEMES {
        let secure = Secure::start(transport);
        secure.upstream.behave(Behaviour::silent());
        let server =
            server(&secure.corefile(scheme, "read_timeout 100ms\nmax_fails 0\nmax_connect_attempts 1"));
        // More than there may be streams on a connection.
        let sockets: Vec<UdpSocket> = (0..300).map(|_| server.udp_socket()).collect();
        for (number, socket) in sockets.iter().enumerate() {
            let query = catena_testkit::Query::new(&format!("n{number}.example.org."), "A");
            socket.send(&query.to_wire()).unwrap();
        }
        let mut buffer = [0; 512];
        for socket in &sockets {
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket.recv(&mut buffer).unwrap();
            assert_eq!(buffer[3] & 0xf, 2, "{scheme}: SERVFAIL");
        }
        secure.upstream.behave(Behaviour::honest());
        recovers(&server);
    }
}
