use super::*;
use std::future::Future;
use std::num::NonZeroU32;
use std::task::Poll;

use catena_core::corefile::testing::parse_directives;
use catena_metrics::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::api::Access;
use crate::config;
use crate::instance::Instance;
use crate::names::Zones;

const LONG: Duration = Duration::from_secs(20);

/// Limits that no test runs into.
const WIDE: Limits = Limits {
    connections: 10,
    strangers: 10,
    header: LONG,
    body: LONG,
    idle: LONG,
    grace: Duration::from_millis(200),
};

struct Served {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
}

async fn served(limits: Limits, allow: &[&str]) -> Served {
    let text = "dynresolve {\n api listen 127.0.0.1:1\n api token x\n}";
    let config = config::parse(&parse_directives(text).unwrap(), std::path::Path::new("")).unwrap();
    let zones = Zones::new(&["service.local".parse().unwrap()]);
    let instance = Arc::new(Instance::new(
        "service.local".to_owned(),
        config,
        zones,
        &Registry::default(),
    ));
    let allow = allow.iter().map(|network| network.parse().unwrap()).collect();
    let access = Access::new("x", allow, NonZeroU32::MAX);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), watch::Sender::new(false));
    let api = Arc::new(Api {
        instance,
        access,
        limits,
    });
    let served = tokio::spawn(serve(listener, None, api, stop.subscribe()));
    Served {
        address,
        stop,
        served,
    }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

const GET: &[u8] = b"GET /v1/services HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n";
const LIST: &str = r#"{"zone":"service.local","services":{}}"#;

/// Asks for all services.
async fn ask(stream: &mut TcpStream) {
    stream.write_all(GET).await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(LIST.as_bytes()) {
        assert_ne!(
            stream.read_buf(&mut text).await.unwrap(),
            0,
            "{}",
            String::from_utf8_lossy(&text)
        );
    }
}

/// All that the server says until it closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end too.
    let _ = timeout(LONG, stream.read_to_end(&mut text))
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&text).into_owned()
}

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn clients_that_say_nothing_or_half_a_header_are_cut_off() {
    let served = served(
        Limits {
            header: SHORT,
            ..WIDE
        },
        &[],
    )
    .await;
    for (case, bytes) in [
        ("nothing", &b""[..]),
        ("half a header", &GET[..20]),
        ("half a preface", b"PRI * HTTP/2.0\r\n"),
    ] {
        let mut stream = served.connect().await;
        stream.write_all(bytes).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(!said.contains("200"), "case {case}: {said}");
    }
    ask(&mut served.connect().await).await;
}

#[tokio::test]
async fn a_header_that_trickles_in_is_cut_off_all_the_same() {
    let served = served(
        Limits {
            header: SHORT,
            ..WIDE
        },
        &[],
    )
    .await;
    let mut stream = served.connect().await;
    let started = Instant::now();
    for byte in GET.iter().take(30).cycle() {
        assert!(started.elapsed() < LONG, "the server takes it for ever");
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        // The server closes; the next bytes are refused.
        let mut buffer = [0; 1];
        let read = timeout(Duration::from_millis(10), stream.read(&mut buffer)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            break;
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_408() {
    let served = served(Limits { body: SHORT, ..WIDE }, &[]).await;
    let mut stream = served.connect().await;
    let head =
        "PUT /v1/services/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let said = rest(&mut stream).await;
    assert!(
        said.starts_with("HTTP/1.1 408 ") && said.ends_with("{\"error\":\"the body took too long\"}"),
        "{said}"
    );
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let served = served(Limits { idle: SHORT, ..WIDE }, &[]).await;
    let mut stream = served.connect().await;
    ask(&mut stream).await;
    assert_eq!(rest(&mut stream).await, "");
}

/// Whether a future is not done yet, after the server has had its turns.
async fn is_pending(mut future: std::pin::Pin<&mut impl Future>) -> bool {
    for _ in 0..1000 {
        let polled =
            std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if polled {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

#[tokio::test]
async fn connections_are_bounded_and_the_next_ones_wait_for_room() {
    let served = served(
        Limits {
            connections: 2,
            ..WIDE
        },
        &[],
    )
    .await;
    let (mut one, mut two, mut three) = (
        served.connect().await,
        served.connect().await,
        served.connect().await,
    );
    ask(&mut one).await;
    ask(&mut two).await;
    let mut third = pin!(ask(&mut three));
    assert!(is_pending(third.as_mut()).await);
    for _ in 0..20 {
        ask(&mut one).await;
    }
    assert!(is_pending(third.as_mut()).await);
    drop(two);
    timeout(LONG, third).await.expect("there is room for it");
}

#[tokio::test]
async fn strangers_take_no_room_from_others() {
    let served = served(
        Limits {
            connections: 1,
            strangers: 1,
            ..WIDE
        },
        &["192.0.2.0/24"],
    )
    .await;
    let mut first = served.connect().await;
    first.write_all(GET).await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"}") {
        assert_ne!(first.read_buf(&mut text).await.unwrap(), 0);
    }
    assert!(text.starts_with(b"HTTP/1.1 403 "));
    // The first one stays; for a second one there is no room.
    let mut second = served.connect().await;
    let _ = second.write_all(GET).await;
    assert_eq!(rest(&mut second).await, "");
}

#[tokio::test]
async fn a_stop_answers_those_who_have_connected_and_ends() {
    let served = served(
        Limits {
            grace: Duration::from_secs(4),
            ..WIDE
        },
        &[],
    )
    .await;
    let (mut idle, mut fresh) = (served.connect().await, served.connect().await);
    ask(&mut idle).await;
    // The server has taken both by the time that it answers on a third.
    ask(&mut served.connect().await).await;
    served.stop.send_replace(true);
    assert_eq!(rest(&mut idle).await, "");
    fresh.write_all(GET).await.unwrap();
    let said = rest(&mut fresh).await;
    assert!(said.ends_with(LIST), "{said}");
    timeout(LONG, served.served).await.expect("the end").unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
