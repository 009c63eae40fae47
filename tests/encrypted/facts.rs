//! What plugins are told of a query: transport, addresses, ports, listener, over every transport.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use catena::message::{Rcode, TlsSession};
use catena_testkit::{Client, Over, Pki, TestServer, Trust};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::common::PATIENCE;
use crate::servers::{block, in_process, port_number};

const fn is_udp(over: Over) -> bool {
    matches!(over, Over::Udp | Over::Quic | Over::Https3 | Over::Https3Get)
}

const fn scheme(over: Over) -> &'static str {
    match over {
        Over::Udp | Over::Tcp => "dns",
        Over::Tls => "tls",
        Over::Https3 | Over::Https3Get => "https3",
        Over::Quic => "quic",
        Over::Grpc => "grpc",
        _ => "https",
    }
}

/// A client whose address ends in this number.
fn client_from(server: &TestServer, over: Over, number: u8) -> Client {
    let address = (Ipv4Addr::LOCALHOST, server.port_of(port_number(over))).into();
    Client::builder(address, over)
        .trusting(server.authority().1)
        .from_address(IpAddr::from([127, 0, 0, number]))
        .open()
}

#[test]
fn log_metrics_and_whoami_know_transport_and_addresses() {
    let directives = "    prometheus 127.0.0.1:@P9@
    log . \"{name} {proto} {remote}:{port} to {local} {rcode}\"
    whoami";
    let server = in_process(&block("example.org", directives)).start();
    for over in Over::ALL {
        let client = client_from(&server, over, 5);
        let name = format!("{}.example.org.", over.word());
        let answer = client.ask(format!("{name} A"));
        let port = client.session().local.expect("the client's end").port();
        let proto = if is_udp(over) { "udp" } else { "tcp" };
        answer.assert_additional([
            format!("{name} 0 IN A 127.0.0.5"),
            format!("_{proto}.{name} 0 IN SRV 0 0 {port} ."),
        ]);
        server
            .logs()
            .wait_for(&format!("{name} {proto} 127.0.0.5:{port} to 127.0.0.1 NOERROR"));
        let listener = format!(
            "{}://127.0.0.1:{}",
            scheme(over),
            server.port_of(port_number(over))
        );
        let counted = |name: &str, labels: &[(&str, &str)]| {
            let of = [("server", listener.as_str()), ("zone", "example.org.")];
            server.wait_for_metric(name, &[&of, labels].concat(), 1.0);
        };
        counted(
            "coredns_dns_requests_total",
            &[("proto", proto), ("family", "1"), ("type", "A")],
        );
        counted(
            "coredns_dns_responses_total",
            &[("rcode", "NOERROR"), ("plugin", "log")],
        );
        counted("coredns_dns_response_size_bytes_count", &[("proto", proto)]);
    }
    // HTTP and QUIC count their own outcomes.
    for (name, status) in [
        ("coredns_dns_https_responses_total", "200"),
        ("coredns_dns_https3_responses_total", "200"),
        ("coredns_dns_quic_responses_total", "0x0"),
    ] {
        server.wait_for_metric(name, &[("status", status)], 1.0);
    }
}

#[test]
fn log_and_view_know_the_facts_of_tls_on_every_encrypted_transport() {
    let pki = Pki::new("clients");
    let device = pki.identity(&["device.test"]);
    let read = |path: &Path| std::fs::read_to_string(path).expect("a file of the authority");
    let der = CertificateDer::from_pem_file(&device.certificate).expect("a certificate");
    let session = TlsSession::new("1.3", None, Some(&der));
    let fingerprint = session.client_fingerprint.expect("that of the certificate");
    let common = "    metadata
    log . \"from {port} {/tls/version} {/tls/server-name} {/tls/client-sha256}\"
    tls cert.pem key.pem clients.pem {\n        client_auth verify_if_given\n    }";
    let blocks = |view: &str, number: u8| {
        let hosts = format!("    hosts {{\n        192.0.2.{number} example.org\n    }}");
        block("example.org", &format!("{view}{common}\n{hosts}")).replace("    tls cert.pem key.pem\n", "")
    };
    let known =
        format!("    view known {{\n        expr metadata('tls/client-sha256') == '{fingerprint}'\n    }}\n");
    let server = in_process(&(blocks(&known, 2) + &blocks("", 1)))
        .file("clients.pem", read(pki.ca()))
        .start();
    let ask = |over, trust: &Trust| {
        let address = (Ipv4Addr::LOCALHOST, server.port_of(port_number(over))).into();
        let client = Client::builder(address, over).trusting(trust).open();
        let number = client.ask("example.org. A").wire().last().copied();
        (number, client.session().local.expect("the client's end").port())
    };
    let authority = server.authority().0;
    for over in Over::ALL {
        let encrypted = !matches!(over, Over::Udp | Over::Tcp);
        let version = if encrypted { "1.3 dns.test" } else { "- -" };
        let showing = Trust::showing(authority, "dns.test", &device);
        for (trust, number, shown) in [(&showing, 2, &*fingerprint), (server.authority().1, 1, "-")] {
            let (number, shown) = if encrypted { (number, shown) } else { (1, "-") };
            let (answered, port) = ask(over, trust);
            assert_eq!(answered, Some(number), "{over:?}");
            server.logs().wait_for(&format!("from {port} {version} {shown}"));
        }
    }
    // An older version, and a server that is called by its address.
    let old = Trust::tls12(authority, "127.0.0.1");
    let (answered, port) = ask(Over::Tls, &old);
    assert_eq!(answered, Some(1));
    server.logs().wait_for(&format!("from {port} 1.2 - -"));
}

#[test]
fn acl_and_view_judge_the_client_of_every_transport() {
    let corefile = block(
        "example.org",
        "    view near {\n        expr incidr(client_ip(), '127.0.0.8/29') && server_ip() == '127.0.0.1'\n    }
    hosts {\n        192.0.2.8 www.example.org\n    }",
    ) + &block(
        "example.org",
        "    view over_udp {\n        expr proto() == 'udp' && incidr(client_ip(), '127.0.0.16/29')\n    }
    hosts {\n        192.0.2.16 www.example.org\n    }",
    ) + &block(
        "example.org",
        "    acl {\n        block net 127.0.0.3/32\n        filter net 127.0.0.4/32\n    }
    hosts {\n        192.0.2.1 www.example.org\n    }",
    );
    let server = in_process(&corefile).start();
    for over in Over::ALL {
        let ask = |number| client_from(&server, over, number).ask("www.example.org. A");
        let case = |number: u8| format!("127.0.0.{number} over {over:?}");
        for (number, want) in [(1, 1), (9, 8), (15, 8), (17, if is_udp(over) { 16 } else { 1 })] {
            let answer = ask(number);
            assert_eq!(answer.wire().last(), Some(&want), "{}: {answer}", case(number));
        }
        let blocked = ask(3);
        assert_eq!(blocked.rcode(), Rcode::REFUSED, "{}", case(3));
        let filtered = ask(4);
        assert_eq!(
            (filtered.rcode(), filtered.answer().len()),
            (Rcode::NOERROR, 0),
            "{}",
            case(4)
        );
    }
}

/// A message of dnstap, as far as it is looked at here: its type, protocol, the client's port.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tapped {
    kind: u64,
    protocol: u64,
    client: Vec<u8>,
    port: u64,
}

/// Plays a collector of Frame Streams for one connection.
fn collector() -> (u16, Receiver<Tapped>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the server");
        while let Some(frame) = frame(&mut stream) {
            match frame {
                Frame::Control(kind) if kind == READY => {
                    let accept = [
                        &[0, 0, 0, ACCEPT][..],
                        &[0, 0, 0, 1, 0, 0, 0, CONTENT.len() as u8],
                        CONTENT,
                    ]
                    .concat();
                    let length = accept.len() as u8;
                    stream
                        .write_all(&[&[0, 0, 0, 0, 0, 0, 0, length][..], &accept].concat())
                        .expect("an open connection");
                }
                Frame::Control(_) => {}
                Frame::Data(bytes) => {
                    if sender.send(read_dnstap(&bytes)).is_err() {
                        return;
                    }
                }
            }
        }
    });
    (port, receiver)
}

const CONTENT: &[u8] = b"protobuf:dnstap.Dnstap";
const READY: u8 = 4;
const ACCEPT: u8 = 1;

enum Frame {
    Control(u8),
    Data(Vec<u8>),
}

fn frame(stream: &mut TcpStream) -> Option<Frame> {
    let mut number = || {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).ok()?;
        Some((u32::from_be_bytes(bytes) as usize, ()))
    };
    let (length, ()) = number()?;
    let control = length == 0;
    let length = if control { number()?.0 } else { length };
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).ok()?;
    Some(if control {
        Frame::Control(bytes[3])
    } else {
        Frame::Data(bytes)
    })
}

/// A field of a message in Protocol Buffers.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            5 => {
                bytes = &bytes[4..];
                Field::Number(0)
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (field, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(field)
            }
            other => panic!("a field of kind {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

/// The fields' numbers are those of `dnstap.proto`.
fn read_dnstap(bytes: &[u8]) -> Tapped {
    let mut tapped = Tapped::default();
    for (number, field) in fields(bytes) {
        let Field::Bytes(message) = field else { continue };
        if number != 14 {
            continue;
        }
        for (number, field) in fields(message) {
            match (number, field) {
                (1, Field::Number(kind)) => tapped.kind = kind,
                (3, Field::Number(protocol)) => tapped.protocol = protocol,
                (4, Field::Bytes(client)) => tapped.client = client.to_vec(),
                (6, Field::Number(port)) => tapped.port = port,
                _ => {}
            }
        }
    }
    tapped
}

#[test]
fn dnstap_tells_the_client_and_the_kind_of_its_socket() {
    const CLIENT_QUERY: u64 = 5;
    const CLIENT_RESPONSE: u64 = 6;
    let (port, tapped) = collector();
    let directives = format!("    dnstap tcp://127.0.0.1:{port} full\n    whoami");
    let server = in_process(&block("example.org", &directives)).start();
    for over in Over::ALL {
        let client = client_from(&server, over, 6);
        client.ask("www.example.org. A");
        for kind in [CLIENT_QUERY, CLIENT_RESPONSE] {
            let want = Tapped {
                kind,
                // UDP is 1, TCP is 2, as CoreDNS tells all transports.
                protocol: if is_udp(over) { 1 } else { 2 },
                client: vec![127, 0, 0, 6],
                port: u64::from(client.session().local.expect("the client's end").port()),
            };
            assert_eq!(
                tapped.recv_timeout(PATIENCE).expect("a message"),
                want,
                "{over:?}"
            );
        }
    }
}
