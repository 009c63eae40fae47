use std::sync::Arc;

use catena_core::message::{Rcode, Transport};

use super::*;
use crate::{Behaviour, Pki, RECORDS, TestServer, Upstream};

const ZONE: &str = "a.example.org. 60 IN A 192.0.2.1";

#[test]
fn every_transport_in_the_clear_is_asked_by_a_word_of_the_query() {
    let blocks: String = ["", "https://", "grpc://", "tls://"]
        .into_iter()
        .enumerate()
        .map(|(number, scheme)| {
            let port = if number == 0 {
                "PORT".to_owned()
            } else {
                format!("P{number}")
            };
            format!("{scheme}example.org:@{port}@ {{\n records {{\n {ZONE}\n }}\n}}\n")
        })
        .collect();
    let server = TestServer::start([RECORDS], &blocks);
    for (port, words) in [
        (0, &["udp", "tcp"][..]),
        (1, &["https", "https-get", "http1", "http1-get"]),
        (2, &["grpc"]),
        (3, &["tls"]),
    ] {
        for word in words {
            let query = format!("a.example.org. A +{word}");
            server
                .ask_on(server.port_of(port), query)
                .assert_answer([ZONE])
                .assert_flags("aa rd");
        }
    }
    // What comes in place of an answer to a message that is none.
    let nonsense = |over| {
        server
            .client_on(server.port_of(if over == Over::Grpc { 2 } else { 1 }), over)
            .send(b"?")
    };
    assert_eq!(nonsense(Over::Https), Reply::HttpStatus(400));
    assert_eq!(nonsense(Over::Http1), Reply::HttpStatus(400));
    assert_eq!(nonsense(Over::Grpc), Reply::GrpcStatus(2));
}

#[test]
fn encrypted_transports_are_asked_with_trust_in_an_authority() {
    let pki = Pki::new("authority");
    let identity = pki.identity(&["dns.test"]);
    for (transport, over) in [
        (Transport::Tls, Over::Tls),
        (Transport::Https, Over::Https),
        (Transport::Https3, Over::Https3),
        (Transport::Quic, Over::Quic),
        (Transport::Grpc, Over::Grpc),
    ] {
        let upstream = Upstream::start_over(transport, ZONE, Some(identity.server(&[])));
        let trust = Trust::new(&pki, "dns.test");
        let open = |trust: &Trust| {
            Client::builder(upstream.address(), over)
                .trusting(trust)
                .try_open()
        };
        let client = open(&trust).expect("a connection");
        client.ask("a.example.org. A").assert_rcode(Rcode::NOERROR);
        assert!(client.session().encrypted, "{over:?}");
        assert!(client.session().certificate.is_some(), "{over:?}");
        let replies = client.send_all(&[
            client.wire_of(&"a.example.org. A".into()),
            client.wire_of(&"b. A".into()),
        ]);
        assert!(
            replies.iter().all(|reply| reply.message().is_some()),
            "{replies:?}"
        );
        // Neither another name nor another authority is trusted.
        assert!(open(&trust.named("other.test")).is_err(), "{over:?}");
        let stranger = Arc::new(Pki::new("stranger"));
        assert!(open(&Trust::new(&stranger, "dns.test")).is_err(), "{over:?}");
        if transport == Transport::Tls {
            upstream.behave(Behaviour::silent());
            let wire = client.wire_of(&"a.example.org. A".into());
            assert_eq!(
                client.send_within(&wire, Duration::from_millis(100)),
                Reply::Silence
            );
        }
    }
}
