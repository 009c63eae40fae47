//! Upstreams over TLS, HTTPS, HTTP/3 and QUIC.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use catena_core::message::{Rcode, Transport};
use catena_testkit::{Answer, Behaviour, Pki, Query, Step, Upstream, eventually};
use common::{ANSWER, NAMES, SCHEMES, Secure, ZONE, server};

#[test]
fn answers_are_relayed_over_each_protocol() {
    for (scheme, transport) in SCHEMES {
        let secure = Secure::start(transport);
        let server = server(&secure.corefile(scheme, ""));
        server.ask("a.example.org. A").assert_answer(ANSWER);
        server
            .ask("A.Example.ORG. A +tcp")
            .assert_answer(["A.Example.ORG. 60 IN A 192.0.2.1"]);
        server.ask("none.example.org. A").assert_rcode(Rcode::NXDOMAIN);
        let seen = secure.upstream.wait_for(3);
        assert!(seen.iter().all(|seen| seen.transport() == transport), "{scheme}");
        assert_eq!(
            seen[1].question(),
            "A.Example.ORG. IN A",
            "{scheme}: the letters go along"
        );
        // RFC 8484, section 4.1, and RFC 9250, section 4.2.1.
        let zeroed = transport != Transport::Tls;
        assert_eq!(seen.iter().all(|seen| seen.id() == 0), zeroed, "{scheme}");
        assert_eq!(
            secure.upstream.sessions().len(),
            1,
            "{scheme}: one connection for all"
        );
    }
}

#[test]
fn https_may_ask_in_the_path() {
    for (scheme, transport) in [("https", Transport::Https), ("https3", Transport::Https3)] {
        let secure = Secure::start(transport);
        let server = server(&secure.corefile(scheme, "doh_method GET"));
        server.ask("a.example.org. A").assert_answer(ANSWER);
        assert_eq!(secure.upstream.count(), 1, "{scheme}");
    }
}

#[test]
fn many_queries_share_a_connection_and_are_answered_in_any_order() {
    for (scheme, transport) in SCHEMES {
        let secure = Secure::start(transport);
        secure.upstream.behave(Behaviour::honest().held());
        let server = server(&secure.corefile(scheme, ""));
        let sockets: Vec<UdpSocket> = (0..20).map(|_| server.udp_socket()).collect();
        for socket in &sockets {
            socket.send(&Query::new("a.example.org.", "A").to_wire()).unwrap();
        }
        secure.upstream.wait_for(20);
        secure.upstream.release();
        let mut buffer = [0; 512];
        for socket in &sockets {
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            assert!(socket.recv(&mut buffer).is_ok(), "{scheme}");
        }
        assert_eq!(secure.upstream.sessions().len(), 1, "{scheme}");
    }
}

#[test]
fn sessions_are_resumed_and_counted() {
    for (scheme, transport) in [("tls", Transport::Tls), ("https", Transport::Https)] {
        let secure = Secure::start(transport);
        // Each query finds the connection before expired.
        let server = server(&secure.corefile(scheme, "expire 1ms"));
        for round in 1..=3 {
            eventually("another connection", || {
                server.ask("a.example.org. A").assert_answer(ANSWER);
                (secure.upstream.sessions().len() >= round).then_some(())
            });
        }
        let sessions = secure.upstream.sessions();
        assert!(!sessions[0].resumed, "{scheme}");
        assert!(
            sessions[1].resumed && sessions[2].resumed,
            "{scheme}: {sessions:?}"
        );
        let to = secure.upstream.to_string();
        for (resumed, least) in [("false", 1.0), ("true", 2.0)] {
            server.wait_for_metric(
                "catena_proxy_tls_handshakes_total",
                &[("to", &to), ("resumed", resumed)],
                least,
            );
        }
    }
}

#[test]
fn queries_that_are_lost_with_their_connection_are_asked_again() {
    for (scheme, transport) in SCHEMES {
        let secure = Secure::start(transport);
        // The third query on its way ends the connection, with the others unanswered.
        let count = std::sync::atomic::AtomicUsize::new(0);
        secure.upstream.behave(Behaviour::scripted(move |_, honest| {
            match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => vec![Step::Send(honest.to_vec())],
                1..=8 => vec![Step::Hold],
                9 => vec![Step::Close],
                _ => vec![Step::Send(honest.to_vec())],
            }
        }));
        let server = server(&secure.corefile(scheme, "max_connect_attempts 1"));
        server.ask("a.example.org. A").assert_answer(ANSWER);
        let sockets: Vec<UdpSocket> = (0..9).map(|_| server.udp_socket()).collect();
        for socket in &sockets {
            let query = Query::from("a.example.org. A +bufsize=1232");
            socket.send(&query.to_wire()).unwrap();
        }
        let mut buffer = [0; 512];
        for socket in &sockets {
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let length = socket.recv(&mut buffer).unwrap();
            let answer = Answer::from_wire(buffer[..length].to_vec()).unwrap();
            assert_eq!(answer.extended_error(), None, "{scheme}");
            answer.assert_answer(ANSWER);
        }
        assert_eq!(secure.upstream.count(), 1 + 9 + 9, "{scheme}");
        assert_eq!(
            secure.upstream.sessions().len(),
            2,
            "{scheme}: one more connection for all"
        );
    }
}

#[test]
fn an_upstream_that_comes_back_is_asked_on_a_new_connection() {
    for (scheme, transport) in SCHEMES {
        let secure = Secure::start(transport);
        let server = server(&secure.corefile(scheme, "read_timeout 1s"));
        server.ask("a.example.org. A").assert_answer(ANSWER);
        secure.upstream.stop();
        secure.upstream.revive();
        server.ask("a.example.org. A").assert_answer(ANSWER);
        assert_eq!(secure.upstream.sessions().len(), 2, "{scheme}");
    }
}

#[test]
fn an_upstream_that_closes_after_each_answer_loses_nothing() {
    for (scheme, transport) in SCHEMES {
        let secure = Secure::start(transport);
        secure.upstream.behave(Behaviour::scripted(|_, honest| {
            vec![
                Step::Send(honest.to_vec()),
                Step::Wait(Duration::from_millis(1)),
                Step::Close,
            ]
        }));
        let server = server(&secure.corefile(scheme, ""));
        for _ in 0..10 {
            let answer = server.ask("a.example.org. A +bufsize=1232");
            assert_eq!(answer.extended_error(), None, "{scheme}");
            answer.assert_answer(ANSWER);
        }
    }
}

#[test]
fn probes_go_the_way_of_queries() {
    for (scheme, transport) in SCHEMES {
        let secure = Secure::start(transport);
        secure.upstream.behave(Behaviour::honest().dropping_first(1));
        let options = "read_timeout 500ms\nhealth_check 20ms domain probe.example.org";
        let server = server(&secure.corefile(scheme, options));
        server.ask("a.example.org. A").assert_answer(ANSWER);
        let seen = secure.upstream.wait_for(3);
        let probes = seen
            .iter()
            .filter(|seen| seen.question() == "probe.example.org. IN NS");
        assert!(probes.clone().count() >= 1, "{scheme}");
        assert!(
            probes.clone().all(|seen| seen.transport() == transport),
            "{scheme}"
        );
    }
}

#[test]
fn a_client_certificate_is_shown_where_one_is_asked_for() {
    for (scheme, transport) in SCHEMES {
        let pki = Pki::new("upstreams");
        let clients = Pki::new("clients");
        let tls = pki.identity(&NAMES).server_for(&clients, &[]);
        let upstream = Upstream::start_over(transport, ZONE, Some(tls));
        let mine = clients.identity(&["client.example.org"]);
        let corefile = |files: &str| {
            format!(
                ".:@PORT@ {{\nforward . {scheme}://{upstream} {{\ntls {files}\ntls_servername dns.example.org\nmax_connect_attempts 2\n}}\n}}"
            )
        };
        let ca = pki.ca().display();
        let (certificate, key) = (mine.certificate.display(), mine.key.display());
        server(&corefile(&format!("{certificate} {key} {ca}")))
            .ask("a.example.org. A")
            .assert_answer(ANSWER);
        server(&corefile(&format!("{ca}")))
            .ask("a.example.org. A")
            .assert_rcode(Rcode::SERVFAIL);
    }
}

#[test]
fn names_stand_behind_each_upstream() {
    let pki = Pki::new("upstreams");
    let upstreams = ["one.example.org", "two.example.org"].map(|name| {
        let tls = pki.identity(&[name]).server(&[]);
        (name, Upstream::start_over(Transport::Tls, ZONE, Some(tls)))
    });
    let to: Vec<String> = upstreams
        .iter()
        .map(|(name, upstream)| format!("tls://127.0.0.1%{name}:{}", upstream.address().port()))
        .collect();
    let corefile = format!(
        ".:@PORT@ {{\nforward . {} {{\ntls {}\npolicy round_robin\n}}\n}}",
        to.join(" "),
        pki.ca().display()
    );
    let server = server(&corefile);
    for _ in 0..4 {
        server.ask("a.example.org. A").assert_answer(ANSWER);
    }
    assert!(upstreams.iter().all(|(_, upstream)| upstream.count() == 2));
}

#[test]
fn without_a_name_the_certificate_is_for_the_address() {
    for (scheme, transport) in SCHEMES {
        let pki = Pki::new("upstreams");
        let upstream = Upstream::start_over(transport, ZONE, Some(pki.identity(&["127.0.0.1"]).server(&[])));
        let corefile = format!(
            ".:@PORT@ {{\nforward . {scheme}://{upstream} {{\ntls {}\n}}\n}}",
            pki.ca().display()
        );
        server(&corefile).ask("a.example.org. A").assert_answer(ANSWER);
    }
}

#[test]
fn the_certificate_of_a_host_name_is_for_that_name() {
    let pki = Pki::new("upstreams");
    let tls = pki.identity(&["localhost"]).server(&[]);
    let upstream = Upstream::start_over(Transport::Tls, ZONE, Some(tls));
    let corefile = format!(
        ".:@PORT@ {{\nforward . tls://localhost:{} {{\ntls {}\n}}\n}}",
        upstream.address().port(),
        pki.ca().display()
    );
    server(&corefile).ask("a.example.org. A").assert_answer(ANSWER);
}

#[test]
fn plain_and_encrypted_upstreams_stand_side_by_side() {
    let pki = Pki::new("upstreams");
    let plain = Upstream::start(ZONE);
    let secure = SCHEMES.map(|(scheme, transport)| {
        let tls = pki.identity(&NAMES).server(&[]);
        (scheme, Upstream::start_over(transport, ZONE, Some(tls)))
    });
    let to: Vec<String> = secure
        .iter()
        .map(|(scheme, upstream)| format!("{scheme}://{upstream}"))
        .collect();
    let corefile = format!(
        ".:@PORT@ {{\nforward . {plain} {} {{\ntls {}\ntls_servername dns.example.org\npolicy round_robin\n}}\n}}",
        to.join(" "),
        pki.ca().display()
    );
    let server = server(&corefile);
    for _ in 0..10 {
        server.ask("a.example.org. A").assert_answer(ANSWER);
    }
    assert_eq!(plain.count(), 2);
    assert!(secure.iter().all(|(_, upstream)| upstream.count() == 2));
}

#[test]
fn hits_and_misses_are_counted_under_the_protocol() {
    for ((scheme, transport), proto) in SCHEMES.into_iter().zip(["tcp-tls", "https", "https3", "quic"]) {
        let secure = Secure::start(transport);
        let server = server(&secure.corefile(scheme, ""));
        for _ in 0..3 {
            server.ask("a.example.org. A").assert_answer(ANSWER);
        }
        let to = secure.upstream.to_string();
        let labels = [("to", to.as_str()), ("proto", proto), ("proxy_name", "forward")];
        let value = |name| server.metrics().value(name, &labels);
        assert_eq!(
            value("coredns_proxy_conn_cache_misses_total"),
            Some(1.0),
            "{scheme}"
        );
        assert_eq!(
            value("coredns_proxy_conn_cache_hits_total"),
            Some(2.0),
            "{scheme}"
        );
    }
}
