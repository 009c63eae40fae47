//! Attacks on HTTP/2, as DNS over HTTPS and gRPC have it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catena::counters::Event;
use catena_testkit::{Behaviour, Over, Query, Reply, TestServer, Upstream};

use crate::common::{Catena, alone};
use crate::raw_http2::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, Http2, INITIAL_WINDOW,
    RST_STREAM, WINDOW_UPDATE, frame, headers, request,
};
use crate::servers::forward_to;

/// HTTP/2 and gRPC in the clear beside plain DNS.
fn corefile(directives: &str) -> String {
    format!("dns://.:@PORT@ https://.:@P1@ grpc://.:@P2@ {{\n    bind 127.0.0.1\n{directives}\n}}\n")
}

fn start(directives: &str) -> TestServer {
    TestServer::start(catena::plugins::registry(), &corefile(directives))
}

fn https(server: &TestServer) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, server.port_of(1)).into()
}

fn path(name: &str) -> String {
    let wire = Query::from(format!("{name} A +id=0")).to_wire();
    format!("/dns-query?dns={}", URL_SAFE_NO_PAD.encode(wire))
}

/// The server answers others as if nothing was.
#[track_caller]
fn assert_serves(server: &TestServer) {
    let began = Instant::now();
    server.ask("www.example.org. A");
    server.ask_on(server.port_of(1), "www.example.org. A +https");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// The numbers of streams that a client opens.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

/// CVE-2023-44487: requests that are reset at once are begun all the same, more of them than may be open.
#[test]
fn rapid_reset_has_no_more_in_flight_than_streams_and_ends_the_connection() {
    let upstream = Upstream::start("www.example.org. 60 IN A 192.0.2.1");
    let server = start(&forward_to(&upstream));
    upstream.behave(Behaviour::honest().held());
    let queries = |name: &str| {
        let seen = upstream.seen();
        seen.iter()
            .filter(|seen| seen.question().starts_with(name))
            .count()
    };

    // As fast as can be: what is reset before it is begun.
    let block = request("GET", &path("fast.example.org."));
    let mut flood = Http2::open(https(&server), &[]);
    for stream in streams(20_000) {
        let both = [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &block),
            frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()),
        ];
        if !flood.write(&both.concat()) {
            break;
        }
    }
    let code = flood.goaway();
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");

    // Slow enough that each is begun.
    let block = request("GET", &path("slow.example.org."));
    let mut slow = Http2::open(https(&server), &[]);
    for stream in streams(1_000) {
        let open = slow.send(HEADERS, END_HEADERS | END_STREAM, stream, &block)
            && slow.ping()
            && slow.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        if !open {
            break;
        }
    }
    let (fast, slow) = (queries("fast."), queries("slow."));
    println!("{fast} queries of the fast, {slow} of the slow");
    assert!(fast <= 250, "{fast} queries");
    assert!((1..=250).contains(&slow), "{slow} queries");
    assert!(slow < 250 || server.counters().get(Event::HttpInFlight) > 0);

    upstream.behave(Behaviour::honest());
    upstream.release();
    assert_serves(&server);
}

/// CVE-2024-27316: a head without an end.
#[test]
fn a_head_without_an_end_is_not_kept() {
    let _alone = alone();
    let server = Catena::serve(&corefile("    whoami"));
    let before = server.rss_kib();
    for port in [1, 2] {
        let mut flood = Http2::open(server.folder.address_of(port), &[]);
        let part = frame(CONTINUATION, 0, 1, &headers(&[("x", &"y".repeat(16_000))]));
        let mut open = flood.send(HEADERS, END_STREAM, 1, &request("GET", "/dns-query"));
        let mut sent = 0;
        while open && sent < 64 << 20 {
            open = flood.write(&part);
            sent += part.len();
        }
        println!("{sent} bytes, then GOAWAY with {:?}", flood.goaway());
        assert!(!open, "the connection is open after {sent} bytes");
    }
    let grown = server.peak_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    server.ask("www.example.org. A");
}

/// CVE-2025-8671 (MadeYouReset): the client makes the server reset streams, which are then not counted as open.
#[test]
fn resets_that_the_client_provokes_end_the_connection() {
    let upstream = Upstream::start("www.example.org. 60 IN A 192.0.2.1");
    let server = start(&forward_to(&upstream));
    upstream.behave(Behaviour::honest().held());
    let block = request("GET", &path("www.example.org."));
    for (case, provocation) in [
        (
            "a window that grows by nothing",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        ),
        (
            "a window that is too large",
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        ),
        ("data behind the end", frame(DATA, 0, 0, b"x")),
    ] {
        let before = upstream.count();
        let mut client = Http2::open(https(&server), &[]);
        let mut count = 0;
        for stream in streams(2_000) {
            let mut provocation = provocation.clone();
            provocation[5..9].copy_from_slice(&stream.to_be_bytes());
            count += 1;
            if !client.send(HEADERS, END_HEADERS | END_STREAM, stream, &block)
                || !client.write(&provocation)
                || !client.ping()
            {
                break;
            }
        }
        println!("{case}: {count} streams, {} queries", upstream.count() - before);
        assert!(count <= 251, "case {case}: {count} streams");
        assert!(upstream.count() - before <= 250, "case {case}");
    }
    upstream.behave(Behaviour::honest());
    upstream.release();
    assert_serves(&server);
}

/// RUSTSEC-2026-0258: frames without content that cost the server and not the client.
#[test]
fn a_flood_of_empty_frames_leaves_others_their_share() {
    let server = start("    whoami");
    let empty: Vec<u8> = frame(DATA, 0, 1, &[]).repeat(1_000);
    let mut flood = Http2::open(https(&server), &[]);
    flood.send(HEADERS, END_HEADERS, 1, &request("POST", "/dns-query"));
    let began = Instant::now();
    let mut sent = 0;
    while flood.write(&empty) && began.elapsed() < Duration::from_secs(6) && sent < 2_000_000 {
        sent += 1_000;
        if sent % 100_000 == 0 {
            assert_serves(&server);
        }
    }
    println!("{sent} frames in {:?}", began.elapsed());
    assert_serves(&server);
    // The request had its time, or the connection is at its end.
    let slow = server.counters().get(Event::HttpSlow);
    assert!(slow > 0 || !flood.ping(), "{slow} slow requests");
}

/// Clients that take nothing: the streams have their time, then they end.
#[test]
fn clients_without_a_window_lose_their_streams_and_pin_nothing() {
    let server = start("    timeouts {\n        write 1s\n    }\n    whoami");
    let mut client = Http2::open(https(&server), &[(INITIAL_WINDOW, 0)]);
    let block = request("GET", &path("www.example.org."));
    for stream in streams(100) {
        assert!(client.send(HEADERS, END_HEADERS | END_STREAM, stream, &block));
    }
    let mut reset = 0;
    while reset < 100 {
        let frame = client.receive().expect("an open connection");
        if frame.kind == RST_STREAM {
            assert_eq!(frame.payload, CANCEL.to_be_bytes());
            reset += 1;
        }
    }
    assert_eq!(server.counters().get(Event::StreamSlowReader), 100);
    // The connection goes on.
    assert!(client.ping());
    assert_serves(&server);
}

#[test]
fn a_client_with_a_small_window_gets_its_answer_in_parts() {
    let server = start("    whoami");
    let mut client = Http2::open(https(&server), &[(INITIAL_WINDOW, 10)]);
    let block = request("GET", &path("www.example.org."));
    assert!(client.send(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    let mut answer = Vec::new();
    loop {
        let frame = client.receive().expect("an open connection");
        match frame.kind {
            DATA => {
                assert!(frame.payload.len() <= 10, "{} bytes", frame.payload.len());
                answer.extend_from_slice(&frame.payload);
                client.send(WINDOW_UPDATE, 0, 1, &(frame.payload.len() as u32).to_be_bytes());
            }
            HEADERS => {}
            other => panic!("a frame of kind {other}"),
        }
        if frame.flags & END_STREAM != 0 {
            break;
        }
    }
    assert!(answer.len() > 40, "{} bytes", answer.len());
    assert_eq!(answer[3] & 0xf, 0, "NOERROR");
}

/// What is longer than a message can be is refused before it is read as one.
#[test]
fn grpc_messages_without_bound_are_refused() {
    /// `8` in the code of RFC 7541, appendix B, with its length before it.
    const RESOURCE_EXHAUSTED: [u8; 2] = [0x81, 0x7b];
    let server = start("    whoami");
    let block = headers(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "dns.test"),
        (":path", "/coredns.dns.DnsService/Query"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]);
    // A message that claims four gigabytes, and many small ones.
    for (case, begin) in [
        ("one message", vec![0, 0xff, 0xff, 0xff, 0xff]),
        ("many", vec![0, 0, 0, 0, 2, 10, 0]),
    ] {
        let mut client = Http2::open((Ipv4Addr::LOCALHOST, server.port_of(2)).into(), &[]);
        assert!(client.send(HEADERS, END_HEADERS, 1, &block));
        assert!(client.send(DATA, 0, 1, &begin));
        // No more than the window that each server grants at first.
        for _ in 0..3 {
            client.send(DATA, 0, 1, &begin.repeat(16_000 / begin.len()));
        }
        client.ping();
        for _ in 0..2 {
            client.send(DATA, 0, 1, &begin.repeat(16_000 / begin.len()));
        }
        let answer = client
            .receive()
            .unwrap_or_else(|| panic!("case {case}: the connection ended"));
        assert_eq!(answer.kind, HEADERS, "case {case}: {answer:?}");
        let found = answer.payload.windows(2).any(|part| part == RESOURCE_EXHAUSTED);
        assert!(found, "case {case}: {answer:?}");
    }
    assert_eq!(server.counters().get(Event::HttpTooLarge), 2);
    assert_eq!(
        server.client_on(server.port_of(2), Over::Grpc).send(&[0; 11]),
        Reply::GrpcStatus(2),
        "others are served"
    );
}
