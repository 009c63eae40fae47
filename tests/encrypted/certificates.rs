//! Certificates: followed on disk, chosen by name, and the sessions that are made with them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use catena::message::{QueryBuilder, Rcode, Transport};
use catena_testkit::{Client, Over, Pki, TestServer, Trust, Upstream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, Stream};

use crate::servers::{block, client, in_process, port_number};

const ENCRYPTED: [Over; 5] = [Over::Tls, Over::Https, Over::Https3, Over::Quic, Over::Grpc];

const NAMES: [&str; 2] = ["dns.test", "127.0.0.1"];

fn hosts(number: u8) -> String {
    block(
        "example.org",
        &format!("    hosts {{\n        192.0.2.{number} www.example.org\n    }}"),
    )
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file of the authority")
}

/// Puts another certificate of the same authority beside the Corefile.
fn renew(server: &TestServer) {
    let identity = server.authority().0.identity(&NAMES);
    server.write("key.pem", &text(&identity.key));
    server.write("cert.pem", &text(&identity.certificate));
}

/// The certificate that a fresh client sees. Sessions are not gone on with, since these keep what was seen before.
fn shown(server: &TestServer, over: Over) -> Vec<u8> {
    let trust = Trust::new(server.authority().0, "dns.test");
    let address = (std::net::Ipv4Addr::LOCALHOST, server.port_of(port_number(over))).into();
    let client = Client::builder(address, over).trusting(&trust).open();
    client.ask("www.example.org. A").assert_rcode(Rcode::NOERROR);
    client.session().certificate.clone().expect("a certificate")
}

fn updates(server: &TestServer, result: &str) -> f64 {
    server
        .metrics()
        .value("catena_tls_certificate_updates_total", &[("result", result)])
        .unwrap_or(0.0)
}

#[test]
fn a_renewed_certificate_is_shown_without_a_reload_and_no_connection_is_lost() {
    let server = in_process(&hosts(1)).start();
    let kept = ENCRYPTED.map(|over| client(&server, over));
    let before = ENCRYPTED.map(|over| shown(&server, over));
    renew(&server);
    server.logs().wait_for("Took over the certificate in ");
    assert!(updates(&server, "taken_over") > 0.5);
    for ((over, kept), before) in ENCRYPTED.into_iter().zip(kept).zip(before) {
        assert_ne!(shown(&server, over), before, "{over:?}: the new one is shown");
        kept.ask("www.example.org. A")
            .assert_answer(["www.example.org. A 192.0.2.1"]);
    }
}

#[test]
fn a_renewed_certificate_comes_with_a_reload_at_once_and_kept_connections_have_the_new_chain() {
    let server = in_process(&hosts(1)).start();
    let kept = ENCRYPTED.map(|over| client(&server, over));
    let before = ENCRYPTED.map(|over| shown(&server, over));
    renew(&server);
    server.reload(&hosts(2)).expect("a good Corefile");
    for ((over, kept), before) in ENCRYPTED.into_iter().zip(kept).zip(before) {
        assert_ne!(shown(&server, over), before, "{over:?}: the new one is shown");
        kept.ask("www.example.org. A")
            .assert_answer(["www.example.org. A 192.0.2.2"]);
    }
}

#[test]
fn what_connects_after_a_reload_sees_the_certificate_that_it_brought() {
    let server = in_process(&hosts(1)).start();
    let identity = server.authority().0.identity(&NAMES);
    server.write("other.pem", &text(&identity.certificate));
    server.write("other.key", &text(&identity.key));
    let [own, other] =
        ["cert.pem key.pem", "other.pem other.key"].map(|files| hosts(1).replace("cert.pem key.pem", files));
    // The first comes while the listeners may still be starting.
    server.reload(&other).expect("another certificate");
    let second = ENCRYPTED.map(|over| shown(&server, over));
    server.reload(&own).expect("the first certificate");
    let first = ENCRYPTED.map(|over| shown(&server, over));
    assert_ne!(first, second);
    for (corefile, expected) in [(&other, &second), (&own, &first)].into_iter().cycle().take(8) {
        server.reload(corefile).expect("a good Corefile");
        for (over, expected) in ENCRYPTED.into_iter().zip(expected) {
            assert!(shown(&server, over) == *expected, "{over:?}");
        }
    }
}

#[test]
fn a_pair_that_cannot_be_used_leaves_the_old_one_and_is_told_and_counted() {
    let server = in_process(&hosts(1)).start();
    let before = shown(&server, Over::Tls);
    let strangers = Pki::new("stranger");
    let stranger = strangers.identity(&NAMES);
    for (number, (case, file, content)) in [
        ("no PEM", "cert.pem", "rubbish".to_owned()),
        (
            "a certificate of another key",
            "cert.pem",
            text(&stranger.certificate),
        ),
        ("a key that is none", "key.pem", "rubbish".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        server.write(file, &content);
        server
            .logs()
            .wait_for_count("Keeping the old certificate, that in ", number + 1);
        assert!(updates(&server, "refused") > number as f64 + 0.5, "case {case}");
        for over in ENCRYPTED {
            shown(&server, over);
        }
        assert_eq!(shown(&server, Over::Tls), before, "case {case}");
        // A reload with it changes nothing either.
        let error = server.reload(&hosts(2)).expect_err("a pair that cannot be used");
        assert!(error.contains("plugin/tls"), "case {case}: {error}");
        client(&server, Over::Tls)
            .ask("www.example.org. A")
            .assert_answer(["www.example.org. A 192.0.2.1"]);
    }
    // Files that are away for a moment are no news.
    server.remove("cert.pem");
    shown(&server, Over::Https);
    renew(&server);
    server.logs().wait_for("Took over the certificate in ");
    assert_ne!(shown(&server, Over::Tls), before);
}

/// Two blocks on each port, with a certificate each.
fn two_names() -> (TestServer, Pki) {
    let pki = Pki::new("authority");
    // Many names make the certificate long enough to tell a handshake with it from one without.
    let many: Vec<String> = (0..100).map(|number| format!("host{number}.example")).collect();
    let names = |first: &'static [&'static str]| -> Vec<&str> {
        first
            .iter()
            .copied()
            .chain(many.iter().map(String::as_str))
            .collect()
    };
    let (a, b) = (
        pki.identity(&names(&["a.test", "127.0.0.1"])),
        pki.identity(&names(&["*.b.test", "b.test"])),
    );
    let corefile = ["a", "b"]
        .map(|name| {
            block(&format!("{name}.test"), "    whoami")
                .replace("cert.pem key.pem", &format!("{name}.pem {name}.key"))
        })
        .concat();
    let server = in_process(&corefile)
        .workers(2)
        .file("a.pem", text(&a.certificate))
        .file("a.key", text(&a.key))
        .file("b.pem", text(&b.certificate))
        .file("b.key", text(&b.key))
        .start();
    (server, pki)
}

fn open(server: &TestServer, over: Over, trust: &Trust) -> Client {
    let address = (std::net::Ipv4Addr::LOCALHOST, server.port_of(port_number(over))).into();
    Client::builder(address, over).trusting(trust).open()
}

#[test]
fn the_server_name_chooses_among_the_certificates_of_blocks_on_one_port() {
    let (server, pki) = two_names();
    for over in ENCRYPTED {
        let seen = |name: &str| {
            let client = open(&server, over, &Trust::new(&pki, name));
            client.ask("x.a.test. A").assert_rcode(Rcode::NOERROR);
            client.session().certificate.clone().expect("a certificate")
        };
        let (a, b) = (seen("a.test"), seen("b.test"));
        assert_ne!(a, b, "{over:?}");
        assert_eq!(seen("x.b.test"), b, "{over:?}: a wildcard");
        assert_eq!(seen("B.Test"), b, "{over:?}: letters do not matter");
        // Whoever names no host gets the first.
        assert_eq!(seen("127.0.0.1"), a, "{over:?}");
        let address = (std::net::Ipv4Addr::LOCALHOST, server.port_of(port_number(over))).into();
        let unknown = Client::builder(address, over).trusting(&Trust::new(&pki, "c.test"));
        assert!(unknown.try_open().is_err(), "{over:?}: neither has this name");
    }
}

/// Connections from many ports, so that the kernel gives them to both workers.
const CONNECTIONS: usize = 24;

#[test]
fn a_session_of_one_worker_is_resumed_by_the_other() {
    let (server, pki) = two_names();
    for (case, trust) in [
        ("TLS 1.3", Trust::new(&pki, "b.test")),
        ("TLS 1.2", Trust::tls12(&pki, "b.test")),
    ] {
        for over in [Over::Tls, Over::Https, Over::Http1, Over::Grpc] {
            let trust = &trust;
            let resumed = (0..CONNECTIONS).filter(|_| {
                let client = open(&server, over, trust);
                // Tickets come behind the handshake.
                client.ask("x.b.test. A");
                client.session().resumed
            });
            // The first one is new; kinds of listeners have sessions of their own.
            assert!(resumed.count() >= CONNECTIONS - 1, "{case} over {over:?}");
        }
    }
    // QUIC does not tell, but a handshake without a certificate is shorter.
    for over in [Over::Quic, Over::Https3] {
        let trust = Trust::new(&pki, "b.test");
        let lengths: Vec<u64> = (0..CONNECTIONS)
            .map(|_| {
                let client = open(&server, over, &trust);
                client.ask("x.b.test. A");
                client.session().handshake_bytes.expect("a length")
            })
            .collect();
        let (first, rest) = lengths.split_first().expect("lengths");
        assert!(
            rest.iter().all(|length| *length < *first - 1_000),
            "{over:?}: {lengths:?}"
        );
    }
    let counters = server.counters();
    let count = counters.get(catena::counters::Event::HandshakeResumed) as usize;
    assert!(count >= 8 * (CONNECTIONS - 1), "{count} resumed");
}

#[test]
fn early_data_is_not_taken() {
    // Another server, which would take it, gives clients the tickets to offer it with.
    let pki = Pki::new("authority");
    let identity = pki.identity(&NAMES);
    let zone = "www.example.org. 60 IN A 192.0.2.9";
    let server = in_process(&hosts(1))
        .file("a.pem", text(&identity.certificate))
        .file("a.key", text(&identity.key))
        .start();
    server
        .reload(&hosts(1).replace("cert.pem key.pem", "a.pem a.key"))
        .expect("another certificate");
    let eager = |transport, size| {
        let mut config = identity.server(&[]);
        config.max_early_data_size = size;
        Upstream::start_over(transport, zone, Some(config))
    };

    let trust = Trust::new(&pki, "dns.test");
    let upstream = eager(Transport::Tls, 16 << 10);
    Client::builder(upstream.address(), Over::Tls)
        .trusting(&trust)
        .open()
        .ask("www.example.org. A");
    let config = trust.config(vec![b"dot".to_vec()]);
    let name = ServerName::try_from("dns.test").expect("a name");
    let mut connection = ClientConnection::new(config.into(), name).expect("a client");
    let frame = |id: u16| {
        let wire = QueryBuilder::new("www.example.org.", 1u16)
            .expect("a name")
            .id(id)
            .to_wire();
        [&(wire.len() as u16).to_be_bytes(), wire.as_slice()].concat()
    };
    let mut early = connection.early_data().expect("a ticket that allows early data");
    early.write_all(&frame(1)).expect("room for a query");
    let address = (std::net::Ipv4Addr::LOCALHOST, server.port_of(1));
    let mut stream = TcpStream::connect(address).expect("a connection");
    let mut tls = Stream::new(&mut connection, &mut stream);
    tls.write_all(&frame(2)).expect("an open connection");
    let mut answer = [0; 4];
    tls.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer[2..], [0, 2], "the early query was not taken");
    assert!(!connection.is_early_data_accepted());

    for (transport, over) in [(Transport::Quic, Over::Quic), (Transport::Https3, Over::Https3)] {
        let trust = Trust::new(&pki, "dns.test");
        let upstream = eager(transport, u32::MAX);
        let first = Client::builder(upstream.address(), over).trusting(&trust).open();
        first.ask("www.example.org. A");
        let second = Client::builder(upstream.address(), over).trusting(&trust).open();
        assert_eq!(
            second.session().early_data_accepted,
            Some(true),
            "the test's own server"
        );
        second.ask("www.example.org. A");
        let client = open(&server, over, &trust);
        assert_eq!(client.session().early_data_accepted, Some(false), "{over:?}");
        client
            .ask("www.example.org. A")
            .assert_answer(["www.example.org. A 192.0.2.1"]);
    }
}
