//! The endpoint behind TLS and passwords.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use catena_http::rustls::{self, ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use catena_http::testing::{Received, exchange, get, request};
use catena_plugin_prometheus::PLUGIN;
use catena_testkit::{RECORDS, TestServer};

const COREFILE: &str = ".:@PORT@ {\n prometheus 127.0.0.1:@P1@ {\n  tls web.yml\n }\n records\n}";

/// `alice:secret` and `alice:wrong` in base64.
const RIGHT: &str = "Basic YWxpY2U6c2VjcmV0";
const WRONG: &str = "Basic YWxpY2U6d3Jvbmc=";
/// `bob:secret`.
const UNKNOWN: &str = "Basic Ym9iOnNlY3JldA==";

fn users() -> String {
    let hash = bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap();
    format!("basic_auth_users:\n  alice: {hash}\n")
}

fn start(web: &str) -> (TestServer, SocketAddr) {
    let server = TestServer::builder([PLUGIN, RECORDS], COREFILE)
        .file("web.yml", web)
        .start();
    let at = SocketAddr::from(([127, 0, 0, 1], server.port_of(1)));
    (server, at)
}

fn status(at: SocketAddr, authorization: &str) -> u16 {
    request(at, "GET", "/metrics", &[("authorization", authorization)])
        .unwrap()
        .status
}

#[test]
fn only_known_users_read_and_all_answers_have_the_headers() {
    let web = format!(
        "{}http_server_config:\n  headers:\n    X-Content-Type-Options: nosniff\n",
        users()
    );
    let (_server, at) = start(&web);
    let refused = get(at, "/metrics").unwrap();
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Basic"))
    );
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    for (authorization, want) in [
        (RIGHT, 200),
        (WRONG, 401),
        (RIGHT, 200),
        (UNKNOWN, 401),
        ("Basic", 401),
        ("Basic !!!", 401),
        ("Bearer YWxpY2U6c2VjcmV0", 401),
        ("basic YWxpY2U6c2VjcmV0", 200),
    ] {
        assert_eq!(status(at, authorization), want, "{authorization}");
    }
}

#[test]
fn a_changed_file_holds_at_once_and_a_broken_one_shows_nothing() {
    let (server, at) = start(&users());
    assert_eq!(get(at, "/metrics").unwrap().status, 401);
    server.write("web.yml", "");
    assert_eq!(get(at, "/metrics").unwrap().status, 200);
    server.write("web.yml", "nonsense: 1");
    let answer = get(at, "/metrics").unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, "Internal Server Error\n")
    );
    server
        .logs()
        .wait_for("[ERROR] plugin/prometheus: Unable to parse configuration: unknown key `nonsense`");
}

#[test]
fn a_rate_is_held() {
    let (_server, at) = start("rate_limit:\n  interval: 1h\n  burst: 2\n");
    let statuses: Vec<u16> = (0..3).map(|_| get(at, "/metrics").unwrap().status).collect();
    assert_eq!(statuses, [200, 200, 429]);
}

#[test]
fn a_file_that_cannot_be_used_opens_nothing() {
    for (web, want) in [
        (
            "tls_server_config:\n  cert_file: none.pem\n  key_file: none.key\n",
            "none.",
        ),
        ("tls_server_config:\n  cert: nonsense\n  key: nonsense\n", "TLS: "),
        ("basic_auth_users: {alice: plain}", "is no bcrypt hash"),
    ] {
        let (server, at) = start(web);
        let line = server
            .logs()
            .wait_for("[ERROR] Failed to start metrics handler: ");
        assert!(line.contains(want), "{line}");
        assert!(get(at, "/metrics").is_err());
        server.ask("a.example.org. A");
    }
}

/// A certificate for `localhost` and the client's trust in it.
fn tls(web: &str) -> (TestServer, SocketAddr, ClientConfig) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let server = TestServer::builder([PLUGIN, RECORDS], COREFILE)
        .file(
            "web.yml",
            format!("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n{web}"),
        )
        .file("cert.pem", certificate)
        .file("key.pem", key)
        .start();
    let at = SocketAddr::from(([127, 0, 0, 1], server.port_of(1)));
    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, at, client)
}

fn scrape(at: SocketAddr, client: ClientConfig, headers: &[(&str, &str)]) -> std::io::Result<Received> {
    let connection = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(at)?);
    exchange(&mut stream, at, "GET", "/metrics", headers)
}

#[test]
fn metrics_are_read_over_tls_and_not_in_the_clear() {
    let (_server, at, client) = tls(&users());
    assert_eq!(scrape(at, client.clone(), &[]).unwrap().status, 401);
    let answer = scrape(at, client, &[("authorization", RIGHT)]).unwrap();
    assert!(answer.body.contains("coredns_panics_total 0"), "{}", answer.body);
    assert!(get(at, "/metrics").is_err());
}

#[test]
fn a_client_without_a_certificate_is_turned_away_where_one_is_wanted() {
    let wanted = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n";
    let (_server, at, client) = tls(wanted);
    assert!(scrape(at, client, &[]).is_err());
    let (_server, at, client) = tls(&wanted.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"));
    assert_eq!(scrape(at, client, &[]).unwrap().status, 200);
}

#[test]
fn versions_and_suites_are_those_of_the_file() {
    let lists = "  min_version: TLS12\n  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  \
                 curve_preferences: [CurveP256]\n  prefer_server_cipher_suites: false\n";
    let (_server, at, client) = tls(lists);
    let connection = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(at).unwrap());
    assert_eq!(
        exchange(&mut stream, at, "GET", "/metrics", &[]).unwrap().status,
        200
    );
    assert_eq!(
        stream.conn.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_2)
    );
    let suite = stream.conn.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(
        suite,
        rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    );
}
