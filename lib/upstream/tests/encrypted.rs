//! Exchanges over TLS, HTTP and QUIC: what travels, what is resumed, and what happens when connections end.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod play;

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use catena_core::message::Transport;
use catena_testkit::{Behaviour, Pki, Step, Upstream};
use catena_upstream::{ExchangeError, Group, Method, Observer, Options, Protocol, Scheme, Target, Tls};
use play::{answer, query, with_id};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

const NAME: &str = "dns.example.org";

const KINDS: [(Scheme, Transport); 5] = [
    (Scheme::Tls, Transport::Tls),
    (Scheme::Https, Transport::Https),
    (Scheme::Https3, Transport::Https3),
    (Scheme::Quic, Transport::Quic),
    (Scheme::Grpc, Transport::Grpc),
];

fn target(scheme: Scheme, address: std::net::SocketAddr, pki: &Pki) -> Target {
    let tls = Tls::from_files(None, Some(pki.ca())).unwrap();
    Target::secure(scheme, address, &tls, Some(NAME), Method::Post).unwrap()
}

fn upstream(transport: Transport, config: ServerConfig) -> Upstream {
    Upstream::start_over(transport, "a.example. 60 IN A 192.0.2.1", Some(config))
}

async fn ask(group: &Group, name: &str) -> Result<Vec<u8>, ExchangeError> {
    group
        .exchange(0, &query(name), Protocol::Udp)
        .answer()
        .await
        .map(|answer| answer.response.into_wire())
}

/// A stream that notes what is read from it.
struct Noting {
    stream: TcpStream,
    read: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read
            .lock()
            .unwrap()
            .extend_from_slice(&buffer.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The TLS records among these bytes that could carry queries (RFC 8446, section 5.1: type 23).
fn data_records(bytes: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = bytes;
    while let Some((&[kind, _, _, high, low], behind)) = rest.split_first_chunk::<5>() {
        count += usize::from(kind == 23);
        rest = behind
            .get(usize::from(u16::from_be_bytes([high, low]))..)
            .unwrap_or_default();
    }
    count
}

#[tokio::test]
async fn queries_that_wait_together_travel_in_one_record() {
    // As many as go on one connection.
    const ROUND: usize = 30;
    let pki = Pki::new("upstreams");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(pki.identity(&[NAME]).server(&[])));
    let read = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&read);
    // Answers each round of queries together, when it is whole.
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let noting = Noting {
            stream,
            read: Arc::clone(&noted),
        };
        let mut stream = acceptor.accept(noting).await.unwrap();
        loop {
            let mut answers = Vec::new();
            for _ in 0..ROUND {
                let Ok(length) = stream.read_u16().await else {
                    return;
                };
                let mut message = vec![0; usize::from(length)];
                stream.read_exact(&mut message).await.unwrap();
                let answer = answer(&message);
                answers.extend_from_slice(&u16::try_from(answer.len()).unwrap().to_be_bytes());
                answers.extend_from_slice(&answer);
            }
            stream.write_all(&answers).await.unwrap();
        }
    });
    let group = Group::new(
        vec![target(Scheme::Tls, address, &pki)],
        Options::default(),
        1,
        (),
    );
    let mut records = Vec::new();
    for round in 0..3 {
        let before = data_records(&read.lock().unwrap());
        let mut exchanges: Vec<_> = (0..ROUND)
            .map(|number| group.exchange(0, &query(&format!("n{round}-{number}.example")), Protocol::Udp))
            .collect();
        for (number, exchange) in exchanges.iter_mut().enumerate() {
            let wire = exchange.answer().await.unwrap().response.into_wire();
            let asked = query(&format!("n{round}-{number}.example"));
            assert_eq!(with_id(&wire, 0), answer(&asked));
        }
        records.push(data_records(&read.lock().unwrap()) - before);
    }
    // The first round has the end of the handshake with it.
    assert_eq!(records, [2, 1, 1], "records for {ROUND} queries each");
}

/// Sessions as the library keeps them, and how often one was resumed.
#[derive(Debug)]
struct Counting {
    inner: Arc<ServerSessionMemoryCache>,
    resumed: AtomicUsize,
}

impl StoresServerSessions for Counting {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.inner.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.inner.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let taken = self.inner.take(key);
        self.resumed
            .fetch_add(usize::from(taken.is_some()), Ordering::Relaxed);
        taken
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn sessions_are_resumed_over_each_protocol() {
    for (scheme, transport) in KINDS {
        let pki = Pki::new("upstreams");
        let store = Arc::new(Counting {
            inner: ServerSessionMemoryCache::new(64),
            resumed: AtomicUsize::new(0),
        });
        let mut config = pki.identity(&[NAME]).server(&[]);
        config.session_storage = Arc::clone(&store) as _;
        let upstream = upstream(transport, config);
        let options = Options {
            // A connection does not outlive its query.
            expire: Duration::ZERO,
            ..Options::default()
        };
        let group = Group::new(vec![target(scheme, upstream.address(), &pki)], options, 1, ());
        for _ in 0..4 {
            ask(&group, "a.example").await.unwrap();
            // Time itself has to pass, so that the connection expires.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let sessions = upstream.sessions().len();
        assert!(sessions >= 3, "{scheme:?}: {sessions} connections");
        let resumed = store.resumed.load(Ordering::Relaxed);
        assert_eq!(resumed, sessions - 1, "{scheme:?}");
    }
}

#[tokio::test]
async fn nothing_is_lost_while_an_upstream_closes_its_connections_again_and_again() {
    for (scheme, transport) in KINDS {
        let pki = Pki::new("upstreams");
        let upstream = upstream(transport, pki.identity(&[NAME]).server(&[]));
        let count = AtomicUsize::new(0);
        upstream.behave(Behaviour::scripted(move |_, honest| {
            if count.fetch_add(1, Ordering::Relaxed) % 100 == 99 {
                return vec![Step::Close];
            }
            vec![Step::Send(honest.to_vec())]
        }));
        let targets = vec![target(scheme, upstream.address(), &pki)];
        let group = Arc::new(Group::new(targets, Options::default(), 1, ()));
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let group = Arc::clone(&group);
                tokio::spawn(async move {
                    for round in 0..60 {
                        let asked = ask(&group, "a.example").await;
                        assert!(asked.is_ok(), "{scheme:?}, round {round}: {asked:?}");
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        let connections = upstream.sessions().len();
        assert!(
            (5..60).contains(&connections),
            "{scheme:?}: {connections} connections"
        );
    }
}

#[derive(Default)]
struct Busy(AtomicUsize);

impl Observer for &'static Busy {
    fn busy(&self, _: usize) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An upstream that answers in order does not keep all queries waiting behind a slow one.
#[tokio::test]
async fn a_connection_that_has_come_to_a_halt_is_left_alone() {
    let pki = Pki::new("upstreams");
    let upstream = upstream(Transport::Tls, pki.identity(&[NAME]).server(&[]));
    let targets = vec![target(Scheme::Tls, upstream.address(), &pki)];
    let group = Group::new(targets, Options::default(), 1, ());
    for _ in 0..20 {
        ask(&group, "a.example").await.unwrap();
    }
    upstream.behave(Behaviour::silent());
    let first = group.exchange(0, &query("slow.example"), Protocol::Udp);
    while upstream.count() < 21 {
        tokio::task::yield_now().await;
    }
    // Longer than the usual round trip explains.
    tokio::time::sleep(Duration::from_millis(150)).await;
    upstream.behave(Behaviour::honest());
    ask(&group, "a.example").await.unwrap();
    assert_eq!(upstream.sessions().len(), 2);
    drop(first);
}

/// Connections that never come about do not add up.
#[tokio::test]
async fn there_are_never_more_than_so_many_connections() {
    static BUSY: Busy = Busy(AtomicUsize::new(0));
    let pki = Pki::new("upstreams");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let targets = vec![target(Scheme::Tls, address, &pki)];
    let options = Options {
        read_timeout: Duration::from_millis(300),
        max_fails: 0,
        ..Options::default()
    };
    let group = Group::new(targets, options, 1, &BUSY);
    let opened = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            match tokio::time::timeout(Duration::from_secs(1), listener.accept()).await {
                Ok(stream) => kept.push(stream),
                Err(_) => return kept.len(),
            }
        }
    });
    let exchanges: Vec<_> = (0..5000)
        .map(|number| group.exchange(0, &query(&format!("n{number}.example")), Protocol::Udp))
        .collect();
    for mut exchange in exchanges {
        let failed = exchange.answer().await.unwrap_err().to_string();
        assert!(failed.contains("tls handshake: i/o timeout"), "{failed}");
    }
    assert_eq!(opened.await.unwrap(), 4, "connections for 5000 queries");
    assert_eq!(BUSY.0.load(Ordering::Relaxed), 0);
}
