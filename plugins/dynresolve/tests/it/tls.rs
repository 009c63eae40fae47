//! HTTPS.

use std::net::Ipv4Addr;
use std::sync::Arc;

use catena_testkit::{TestServer, eventually};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::http::TOKEN;
use crate::{PLUGINS, corefile};

const TLS: &str = "api tls cert.pem key.pem";

/// A certificate in PEM form, its key, and what a client has to trust.
struct Pair {
    cert: String,
    key: String,
    der: rustls_pki_types::CertificateDer<'static>,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap();
    Pair {
        cert: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
    }
}

fn start(pair: &Pair, listen: &str) -> TestServer {
    let text = corefile(TLS, "").replace("127.0.0.1:@P1@", &format!("{listen}:@P1@"));
    TestServer::builder(PLUGINS, &text)
        .file("cert.pem", pair.cert.as_str())
        .file("key.pem", pair.key.as_str())
        .start()
}

/// Asks for all services over TLS; gives the response, and what ALPN agreed on.
fn ask(
    server: &TestServer,
    pair: &Pair,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[u8],
) -> std::io::Result<(u16, Option<Vec<u8>>)> {
    let mut roots = RootCertStore::empty();
    roots.add(pair.der.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server.port_of(1))).await?;
        let name = ServerName::try_from("api.test").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let stream = hyper_util::rt::TokioIo::new(stream);
        let request = hyper::Request::get("https://api.test/v1/services")
            .header("host", "api.test")
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(String::new())
            .unwrap();
        let response = if alpn == b"h2" {
            let executor = hyper_util::rt::TokioExecutor::new();
            let (mut client, connection) = hyper::client::conn::http2::handshake(executor, stream)
                .await
                .unwrap();
            tokio::spawn(connection);
            client.send_request(request).await
        } else {
            let (mut client, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            client.send_request(request).await
        };
        Ok((response.unwrap().status().as_u16(), agreed))
    })
}

#[test]
fn tls_12_and_13_and_both_versions_of_http_work() {
    let pair = pair();
    for listen in ["127.0.0.1", "0.0.0.0"] {
        let server = start(&pair, listen);
        for versions in [&[&TLS12], &[&TLS13]] {
            for alpn in [&b"h2"[..], b"http/1.1"] {
                assert_eq!(
                    ask(&server, &pair, versions, alpn).unwrap(),
                    (200, Some(alpn.to_vec()))
                );
            }
        }
        // HTTP in the clear is not taken.
        let http = crate::http::Http::of(&server);
        assert!(
            http.try_send("GET", "/v1/services", b"")
                .is_none_or(|reply| reply.status == 400)
        );
    }
}

/// The greeting of a client that knows TLS up to a version (RFC 5246, section 7.4.1.2), with one cipher suite of its time.
fn client_hello(version: [u8; 2]) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend([7; 32]); // random
    hello.push(0); // no session
    hello.extend([0, 4, 0xc0, 0x09, 0xc0, 0x2b]); // ECDHE_ECDSA with AES_128_CBC_SHA, and with AES_128_GCM_SHA256
    hello.extend([1, 0]); // no compression
    hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]); // signatures: ecdsa_secp256r1_sha256
    let mut message = vec![1, 0, 0, hello.len() as u8];
    message.extend(hello);
    let mut record = vec![22, 3, 1, 0, message.len() as u8];
    record.extend(message);
    record
}

#[test]
fn older_versions_of_tls_are_refused() {
    const PROTOCOL_VERSION: u8 = 70;
    let server = start(&pair(), "127.0.0.1");
    for (version, refused) in [([3, 1], true), ([3, 2], true), ([3, 3], false)] {
        let mut stream = crate::http::Http::of(&server).connect();
        std::io::Write::write_all(&mut stream, &client_hello(version)).unwrap();
        let mut alert = [0; 7];
        std::io::Read::read_exact(&mut stream, &mut alert).unwrap();
        // A fatal alert (RFC 5246, section 7.2); the newest version is refused for another reason.
        assert_eq!((alert[0], alert[5]), (21, 2), "{version:?}: {alert:?}");
        assert_eq!(alert[6] == PROTOCOL_VERSION, refused, "{version:?}: {alert:?}");
    }
}

#[test]
fn a_new_certificate_is_taken_over_without_a_restart() {
    let (old, new) = (pair(), pair());
    let server = start(&old, "127.0.0.1");
    assert!(ask(&server, &old, &[&TLS13], b"h2").is_ok());
    // Half of it: the old one stays.
    server.write("cert.pem", &new.cert);
    server.logs().wait_for("Keeping the old certificate");
    assert!(ask(&server, &old, &[&TLS13], b"h2").is_ok());
    server.write("key.pem", &new.key);
    server.logs().wait_for("Took over the certificate");
    eventually("the new certificate", || {
        ask(&server, &new, &[&TLS13], b"h2").ok()
    });
    let refused = ask(&server, &old, &[&TLS13], b"h2").unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    // Files that are away for a moment change nothing.
    server.remove("cert.pem");
    assert!(ask(&server, &new, &[&TLS13], b"h2").is_ok());
}

#[test]
fn bad_certificates_and_keys_are_errors_at_the_start_with_their_place() {
    let (one, other) = (pair(), pair());
    for (case, cert, key, want) in [
        (
            "no certificate",
            None,
            Some(&*one.key),
            "Corefile:5:11: plugin/dynresolve: cannot read ",
        ),
        (
            "no key",
            Some(&*one.cert),
            None,
            "Corefile:5:20: plugin/dynresolve: cannot read ",
        ),
        (
            "empty",
            Some(""),
            Some(&*one.key),
            "Corefile:5:11: plugin/dynresolve: no certificate in the file",
        ),
        (
            "a key for a certificate",
            Some(&*one.key),
            Some(&*one.key),
            "Corefile:5:11: plugin/dynresolve: no certificate in the file",
        ),
        (
            "a certificate for a key",
            Some(&*one.cert),
            Some(&*one.cert),
            "Corefile:5:20: plugin/dynresolve: no private key in the file",
        ),
        (
            "another key",
            Some(&*one.cert),
            Some(&*other.key),
            "Corefile:5:20: plugin/dynresolve: the key does not belong to the certificate, expected the key of that certificate",
        ),
    ] {
        let mut server = TestServer::builder(PLUGINS, &corefile(TLS, ""));
        for (name, content) in [("cert.pem", cert), ("key.pem", key)] {
            if let Some(content) = content {
                server = server.file(name, content);
            }
        }
        let error = server.try_start().unwrap_err().to_string();
        assert!(error.contains(want), "case {case}: {error}");
    }
}
