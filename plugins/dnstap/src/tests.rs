//! The plugin in a server, with collectors of all kinds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use catena_testkit::{RECORDS, TestServer, TestServerBuilder};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::PLUGIN;
use crate::frames::testing::{accept, next};
use crate::message::testing::{Dnstap, Message, decode};
use crate::stream::Bytes;

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

const CLIENT_QUERY: i32 = 5;
const CLIENT_RESPONSE: i32 = 6;

/// What a collector has read; none at the end that the server announced.
struct Collector(Receiver<Option<Dnstap>>);

impl Collector {
    /// Reads from the connection that comes of `connecting`.
    fn read<F>(connecting: F) -> Self
    where
        F: Future<Output = Box<dyn Bytes>> + Send + 'static,
    {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut bytes = connecting.await;
                accept(&mut bytes).await;
                while let Some(frame) = next(&mut bytes).await {
                    // A test that has seen enough is gone.
                    if sender.send(Some(decode(&frame))).is_err() {
                        return;
                    }
                }
                let _ = sender.send(None);
            });
        });
        Self(receiver)
    }

    /// Waits for the server to connect over TCP, with TLS or without.
    fn tcp(tls: Option<TlsAcceptor>) -> (Self, SocketAddr) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a socket for a runtime");
        let collector = Self::read(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let (stream, _) = listener.accept().await.expect("a connection");
            match tls {
                Some(tls) => Box::new(tls.accept(stream).await.expect("TLS")) as Box<dyn Bytes>,
                None => Box::new(stream),
            }
        });
        (collector, address)
    }

    fn next(&self) -> Dnstap {
        let read = self.0.recv_timeout(PATIENCE).expect("a message");
        read.expect("a message and not the end")
    }

    fn message(&self) -> Message {
        self.next().message.expect("a message in the frame")
    }

    #[track_caller]
    fn assert_end(&self) {
        let read = self.0.recv_timeout(PATIENCE).expect("an end in order");
        assert_eq!(read, None);
    }
}

/// A block that answers for a.example.org, with these `dnstap` lines.
fn server(lines: &str) -> TestServerBuilder {
    let corefile = format!(
        ".:@PORT@ {{
            {lines}
            records {{
                a.example.org. 60 IN A 192.0.2.1
            }}
        }}"
    );
    TestServer::builder([PLUGIN, RECORDS], &corefile)
}

#[test]
fn queries_and_answers_are_told_with_their_ends_and_times() {
    let (collector, address) = Collector::tcp(None);
    let server = server("dnstap tcp://@T1@ {\n identity me\n version 1.0\n extra \"{name} {/no/label}\"\n }")
        .with("T1", &address)
        .start();
    server.ask("a.example.org. A");
    let (query, response) = (collector.next(), collector.next());
    for frame in [&query, &response] {
        assert_eq!(frame.identity.as_deref(), Some(&b"me"[..]));
        assert_eq!(frame.version.as_deref(), Some(&b"1.0"[..]));
        assert_eq!(frame.extra.as_deref(), Some(&b"a.example.org. -"[..]));
    }
    let (query, response) = (query.message.unwrap(), response.message.unwrap());
    assert_eq!((query.kind, response.kind), (CLIENT_QUERY, CLIENT_RESPONSE));
    assert_eq!((query.socket_family, query.socket_protocol), (Some(1), Some(1)));
    assert_eq!(query.query_address.as_deref(), Some(&[127, 0, 0, 1][..]));
    assert_eq!(
        (query.query_port, query.query_time_sec),
        (response.query_port, response.query_time_sec)
    );
    assert!(query.query_port.is_some() && query.response_time_sec.is_none());
    assert!(response.response_time_sec >= response.query_time_sec && response.query_time_sec.is_some());
    assert_eq!((query.query_message, response.response_message), (None, None));
    server.ask("a.example.org. A +tcp");
    assert_eq!(collector.message().socket_protocol, Some(2));
    collector.next();
    let (status, _) = server.stop();
    assert_eq!(status, 0);
    collector.assert_end();
}

#[test]
fn what_the_server_answers_by_itself_has_no_response() {
    let (collector, address) = Collector::tcp(None);
    let corefile = ".:@PORT@ {\n dnstap tcp://@T1@\n}";
    let server = TestServer::builder([PLUGIN], corefile)
        .with("T1", &address)
        .start();
    server.ask("a.example.org. A");
    server.stop();
    assert_eq!(collector.message().kind, CLIENT_QUERY);
    collector.assert_end();
}

#[test]
fn with_full_the_wire_form_goes_along_cut_as_it_was_sent() {
    let (collector, address) = Collector::tcp(None);
    let mut many = String::new();
    for last in 0..100 {
        many.push_str(&format!("many.example.org. 60 IN A 192.0.2.{last}\n"));
    }
    let corefile = format!(".:@PORT@ {{\n dnstap tcp://@T1@ full\n records {{\n {many} }}\n}}");
    let server = TestServer::builder([PLUGIN, RECORDS], &corefile)
        .with("T1", &address)
        .start();
    let answer = server.ask("many.example.org. A");
    answer.assert_flags("aa rd tc");
    let query = collector.message().query_message.expect("the query");
    let response = collector.message().response_message.expect("the answer");
    assert_eq!(query[..2], response[..2]);
    assert!(
        response.len() <= 512 && response[2] & 0x02 != 0,
        "{} bytes",
        response.len()
    );
    server.stop();
    collector.assert_end();
}

#[test]
fn each_line_tells_its_own_collector_in_its_own_form() {
    let (one, one_at) = Collector::tcp(None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let two = Collector::read(async move {
        let listener = UnixListener::from_std(listener).unwrap();
        Box::new(listener.accept().await.unwrap().0) as Box<dyn Bytes>
    });
    let server = server("dnstap tcp://@T1@ full\n dnstap @T2@ {\n identity two\n }")
        .with("T1", &one_at)
        .with("T2", path.to_str().unwrap())
        .start();
    server.ask("a.example.org. A");
    assert!(one.message().query_message.is_some());
    let second = two.next();
    assert_eq!(second.identity.as_deref(), Some(&b"two"[..]));
    assert!(second.message.unwrap().query_message.is_none());
    assert_eq!([one.message().kind, two.message().kind], [CLIENT_RESPONSE; 2]);
}

#[test]
fn a_collector_that_is_not_there_costs_messages_and_no_answers() {
    let server = server("dnstap tcp://127.0.0.1:@P1@").start();
    server
        .logs()
        .wait_for("[ERROR] plugin/dnstap: No connection to dnstap endpoint: tcp://127.0.0.1:");
    server
        .ask("a.example.org. A")
        .assert_answer(["a.example.org. 60 IN A 192.0.2.1"]);
    let endpoint = format!("tcp://127.0.0.1:{}", server.port_of(1));
    server.wait_for_metric("catena_dnstap_dropped_total", &[("endpoint", &endpoint)], 2.0);
}

#[test]
fn a_collector_that_comes_back_is_found() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, connected) = channel();
    let collector = {
        listener.set_nonblocking(true).unwrap();
        Collector::read(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let (mut first, _) = listener.accept().await.unwrap();
            accept(&mut first).await;
            // Long enough for the connection not to pass for one that is refused each time.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            drop(first);
            let (second, _) = listener.accept().await.unwrap();
            told.send(()).unwrap();
            Box::new(second) as Box<dyn Bytes>
        })
    };
    let server = server("dnstap tcp://@T1@").with("T1", &address).start();
    connected.recv_timeout(PATIENCE).unwrap();
    // The greeting may still be on its way: what is asked meanwhile is kept for it.
    server.ask("a.example.org. A");
    assert_eq!(collector.message().kind, CLIENT_QUERY);
}

/// A certificate for 127.0.0.1 and its key, as files.
struct Pki {
    folder: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.file("cert.pem")).unwrap()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.file("key.pem")).unwrap()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate()], self.key())
            .unwrap();
        Arc::new(config).into()
    }

    fn connector(&self, with_certificate: bool) -> TlsConnector {
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match with_certificate {
            true => builder
                .with_client_auth_cert(vec![self.certificate()], self.key())
                .unwrap(),
            false => builder.with_no_client_auth(),
        };
        Arc::new(config).into()
    }
}

#[test]
fn a_collector_behind_tls_needs_a_certificate_that_is_trusted_or_skipverify() {
    let pki = Pki::new();
    let (lenient, lenient_at) = Collector::tcp(Some(pki.acceptor()));
    let (_strict, strict_at) = Collector::tcp(Some(pki.acceptor()));
    let server = server("dnstap tls://@T1@ {\n skipverify\n }\n dnstap tls://@T2@")
        .with("T1", &lenient_at)
        .with("T2", &strict_at)
        .start();
    server.logs().wait_for(&format!(
        "No connection to dnstap endpoint: tls://{strict_at}: invalid peer certificate"
    ));
    server.ask("a.example.org. A");
    assert_eq!(lenient.message().kind, CLIENT_QUERY);
}

#[test]
fn collectors_connect_to_a_listening_tap() {
    let server = server("dnstap listen tcp://127.0.0.1:@P1@ {\n identity in\n }").start();
    let address = format!("127.0.0.1:{}", server.port_of(1));
    let collectors: Vec<Collector> = (0..2)
        .map(|_| {
            let address = address.clone();
            Collector::read(
                async move { Box::new(TcpStream::connect(address).await.unwrap()) as Box<dyn Bytes> },
            )
        })
        .collect();
    for collector in &collectors {
        // A collector reads what happens once it has greeted.
        let first = catena_testkit::eventually("a message", || {
            server.ask("a.example.org. A");
            collector.0.try_recv().ok().flatten()
        });
        assert_eq!(first.identity.as_deref(), Some(&b"in"[..]));
    }
    server.stop();
    for collector in &collectors {
        while collector
            .0
            .recv_timeout(PATIENCE)
            .expect("an end in order")
            .is_some()
        {}
    }
}

#[test]
fn a_listening_socket_lives_through_a_reload_and_goes_with_the_server() {
    let lines = |version: &str| format!("dnstap listen @DIR@/tap.sock {{\n version {version}\n }}");
    let server = server(&lines("1")).start();
    let path = server.path("tap.sock");
    let connect = || {
        let path = path.clone();
        Collector::read(async move { Box::new(UnixStream::connect(path).await.unwrap()) as Box<dyn Bytes> })
    };
    let first_version = |collector: &Collector| {
        catena_testkit::eventually("a message", || {
            server.ask("a.example.org. A");
            collector.0.try_recv().ok().flatten()
        })
        .version
    };
    let old = connect();
    assert_eq!(first_version(&old).as_deref(), Some(&b"1"[..]));
    let corefile = std::fs::read_to_string(server.path("Corefile")).unwrap();
    server
        .reload(&corefile.replace("version 1", "version 2"))
        .unwrap();
    while old.0.recv_timeout(PATIENCE).expect("an end in order").is_some() {}
    let new = connect();
    assert_eq!(first_version(&new).as_deref(), Some(&b"2"[..]));
    server.stop();
    assert!(!path.exists());
}

#[test]
fn with_a_ca_only_collectors_with_a_certificate_are_let_in() {
    let pki = Pki::new();
    let files = format!(
        "tls {0}/cert.pem {0}/key.pem {0}/cert.pem",
        pki.folder.path().display()
    );
    let server = server(&format!(
        "dnstap listen tls://127.0.0.1:@P1@ {{\n {files}\n }}\n dnstap listen tls://127.0.0.1:@P2@ {{\n {files}\n \
         skipverify\n }}"
    ))
    .start();
    let connect = |port: usize, with_certificate| {
        let (address, tls) = (
            format!("127.0.0.1:{}", server.port_of(port)),
            pki.connector(with_certificate),
        );
        async move {
            let stream = TcpStream::connect(address).await.unwrap();
            tls.connect("127.0.0.1".try_into().unwrap(), stream)
                .await
                .unwrap()
        }
    };
    for (port, with_certificate) in [(1, true), (2, true), (2, false)] {
        let connecting = connect(port, with_certificate);
        let collector = Collector::read(async move { Box::new(connecting.await) as Box<dyn Bytes> });
        catena_testkit::eventually("a message", || {
            server.ask("a.example.org. A");
            collector.0.try_recv().ok().flatten()
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let refused = runtime.block_on(async {
        let mut stream = connect(1, false).await;
        tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 64]).await
    });
    assert!(refused.is_err(), "{refused:?}");
}
