//! Endpoints as their clients and the plugins that mount routes see them.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use async_trait::async_trait;
use catena_http::testing::{self, Received};
use catena_http::{
    Address, EndpointError, Endpoints, Handler, Mounted, Reply, RequestHead, Route, TlsSource, rustls, text,
};
use rustls_pki_types::PrivateKeyDer;
use tokio::sync::{Notify, Semaphore};

struct Says(&'static str);

#[async_trait]
impl Handler for Says {
    async fn handle(&self, _: &RequestHead) -> Reply {
        text(200, self.0)
    }
}

fn says(path: &'static str, what: &'static str) -> Route {
    Route::new(path, Arc::new(Says(what)))
}

async fn mount(endpoints: &Arc<Endpoints>, address: SocketAddr, route: Route) -> Mounted {
    endpoints
        .mount(&address.to_string().parse().unwrap(), route)
        .await
        .unwrap()
}

/// A free address; its port is kept by a socket that does not listen.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn get(address: SocketAddr, path: &'static str) -> std::io::Result<Received> {
    tokio::task::spawn_blocking(move || testing::get(address, path))
        .await
        .unwrap()
}

async fn body(address: SocketAddr, path: &'static str) -> String {
    let received = get(address, path).await.unwrap();
    format!("{} {}", received.status, received.body)
}

#[tokio::test]
async fn a_route_answers_once_it_is_active_and_its_path_only() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let mounted = mount(&endpoints, address, says("/health", "OK")).await;
    assert_eq!(body(address, "/health").await, "503 Starting");
    mounted.activate();
    for (path, want) in [
        ("/health", "200 OK"),
        ("/health?verbose=1", "200 OK"),
        ("/health/", "404 404 page not found\n"),
        ("/healthz", "404 404 page not found\n"),
        ("/", "404 404 page not found\n"),
    ] {
        assert_eq!(body(address, path).await, want, "{path}");
    }
    let head = tokio::task::spawn_blocking(move || testing::request(address, "HEAD", "/health", &[]))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.status, head.body.as_str(), head.header("content-length")),
        (200, "", Some("2"))
    );
    let post = tokio::task::spawn_blocking(move || testing::request(address, "POST", "/health", &[]))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(post.body, "OK");
}

#[tokio::test]
async fn a_path_with_a_slash_at_its_end_serves_all_below() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let mounted = mount(&endpoints, address, says("/debug/pprof/", "index")).await;
    mounted.activate();
    assert_eq!(body(address, "/debug/pprof/cmdline").await, "200 index");
    assert_eq!(get(address, "/debug/pprof").await.unwrap().status, 404);
}

#[tokio::test]
async fn two_plugins_share_an_address() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let health = mount(&endpoints, address, says("/health", "healthy")).await;
    let ready = mount(&endpoints, address, says("/ready", "ready")).await;
    health.activate();
    ready.activate();
    assert_eq!(body(address, "/health").await, "200 healthy");
    assert_eq!(body(address, "/ready").await, "200 ready");
    health.close().await;
    assert_eq!(get(address, "/health").await.unwrap().status, 404);
    assert_eq!(body(address, "/ready").await, "200 ready");
}

#[tokio::test]
async fn a_reload_changes_the_handler_and_keeps_the_socket_and_its_connections() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let old = mount(&endpoints, address, says("/health", "old")).await;
    old.activate();
    let ask = |mut stream: TcpStream| {
        tokio::task::spawn_blocking(move || {
            stream
                .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
                .unwrap();
            let mut answer = [0; 512];
            let len = stream.read(&mut answer).unwrap();
            (String::from_utf8_lossy(&answer[..len]).into_owned(), stream)
        })
    };
    let (answer, stream) = ask(TcpStream::connect(address).unwrap()).await.unwrap();
    assert!(answer.ends_with("old"), "{answer}");
    let new = mount(&endpoints, address, says("/health", "new")).await;
    assert_eq!(body(address, "/health").await, "200 old");
    new.activate();
    old.close().await;
    assert_eq!(body(address, "/health").await, "200 new");
    let (answer, _) = ask(stream).await.unwrap();
    assert!(answer.ends_with("new"), "{answer}");
}

#[tokio::test]
async fn a_route_that_fails_to_start_leaves_the_one_before() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let old = mount(&endpoints, address, says("/health", "old")).await;
    old.activate();
    drop(mount(&endpoints, address, says("/health", "failed")).await);
    assert_eq!(body(address, "/health").await, "200 old");
}

#[tokio::test]
async fn connections_are_refused_at_once_after_the_last_route_is_closed() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let mounted = mount(&endpoints, address, says("/health", "OK")).await;
    mounted.activate();
    assert_eq!(body(address, "/health").await, "200 OK");
    let idle = TcpStream::connect(address).unwrap();
    mounted.close().await;
    let error = get(address, "/health").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    drop(idle);
    assert!(format!("{endpoints:?}").contains("{}"), "{endpoints:?}");
}

/// Says when it was asked, and answers when it may.
#[derive(Default)]
struct Held {
    asked: Notify,
    may: Arc<Notify>,
}

#[async_trait]
impl Handler for Held {
    async fn handle(&self, _: &RequestHead) -> Reply {
        self.asked.notify_one();
        self.may.notified().await;
        text(200, "late")
    }
}

#[tokio::test]
async fn a_request_that_is_under_way_is_answered_at_the_end() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let held = Arc::new(Held::default());
    let mounted = mount(&endpoints, address, Route::new("/slow", held.clone())).await;
    mounted.activate();
    let asking = tokio::spawn(get(address, "/slow"));
    held.asked.notified().await;
    let closing = tokio::spawn(mounted.close());
    held.may.notify_one();
    assert_eq!(asking.await.unwrap().unwrap().body, "late");
    closing.await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_had_says_why() {
    let endpoints = Arc::new(Endpoints::default());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = endpoints
        .mount(&address.to_string().parse().unwrap(), says("/", ""))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("listen tcp {address}: bind: address already in use")
    );
    let nowhere: Address = "no-such-host.invalid:80".parse().unwrap();
    let error = endpoints.mount(&nowhere, says("/", "")).await.unwrap_err();
    assert!(matches!(error, EndpointError::Lookup { .. }), "{error}");
}

#[tokio::test]
async fn idle_and_slow_clients_do_not_keep_others_out() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let mounted = mount(&endpoints, address, says("/health", "OK")).await;
    mounted.activate();
    // All places but one are taken by clients that send half a head.
    let slow: Vec<TcpStream> = (1..catena_http::MAX_CONNECTIONS)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nho").unwrap();
            stream
        })
        .collect();
    assert_eq!(body(address, "/health").await, "200 OK");
    // More than there are places for: who comes now waits, and is served when the slow ones have run out of time.
    let more: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(body(address, "/health").await, "200 OK");
    drop((slow, more));
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let mounted = mount(&endpoints, address, says("/health", "OK")).await;
    mounted.activate();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut sent = 0_usize;
        stream.write_all(b"GET /health HTTP/1.1\r\nx: ").unwrap();
        while sent < 1024 * 1024 && stream.write_all(&[b'a'; 1024]).is_ok() {
            sent += 1024;
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        (sent, String::from_utf8_lossy(&answer).into_owned())
    });
    let (_, answer) = answer.await.unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert_eq!(body(address, "/health").await, "200 OK");
}

struct Certificate(Arc<rustls::ServerConfig>);

impl TlsSource for Certificate {
    fn server_config(&self) -> std::io::Result<Arc<rustls::ServerConfig>> {
        Ok(Arc::clone(&self.0))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[tokio::test]
async fn tls_is_spoken_where_a_route_wants_it() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = signed.cert.der().clone();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let tls = Arc::new(Certificate(Arc::new(config)));
    let mounted = mount(&endpoints, address, says("/metrics", "secret").with_tls(tls)).await;
    mounted.activate();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let received = tokio::task::spawn_blocking(move || {
        let connection =
            rustls::ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, TcpStream::connect(address).unwrap());
        testing::exchange(&mut stream, address, "GET", "/metrics", &[]).unwrap()
    });
    assert_eq!(received.await.unwrap().body, "secret");
    assert!(get(address, "/metrics").await.is_err());
}

#[tokio::test]
async fn many_clients_at_once_are_answered() {
    let endpoints = Arc::new(Endpoints::default());
    let address = free();
    let mounted = mount(&endpoints, address, says("/health", "OK")).await;
    mounted.activate();
    let threads = Arc::new(Semaphore::new(16));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let threads = Arc::clone(&threads);
        asking.spawn(async move {
            let _slot = threads.acquire().await;
            body(address, "/health").await
        });
    }
    while let Some(answer) = asking.join_next().await {
        assert_eq!(answer.unwrap(), "200 OK");
    }
}
