//! Bounds of encrypted listeners: sizes, times, connections, each with what it counts.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena::counters::Event;
use catena_testkit::{Client, Over, Query, Reply, TestServer, eventually};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::common::{PATIENCE, alone};
use crate::servers::{Served, block, client, in_process, port_number};

const STREAMS: [Over; 4] = [Over::Tls, Over::Http1, Over::Https, Over::Grpc];

fn address(server: &TestServer, over: Over) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, server.port_of(port_number(over))).into()
}

fn count(server: &TestServer, event: Event) -> u64 {
    server.counters().get(event)
}

/// Waits until the server has counted so many of an event.
#[track_caller]
fn wait_for_count(server: &TestServer, event: Event, at_least: u64) {
    eventually(&format!("{at_least} times {event:?}"), || {
        (count(server, event) >= at_least).then_some(())
    });
}

/// A stream of TLS of the test's own.
fn tls(server: &TestServer, over: Over, application: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
    let trust = server.authority().1;
    let config = Arc::new(trust.config(vec![application.to_vec()]));
    let name = ServerName::try_from("dns.test").expect("a name");
    let stream = TcpStream::connect(address(server, over)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    StreamOwned::new(ClientConnection::new(config, name).expect("a client"), stream)
}

/// How long a stream is open.
fn time_to_end(mut stream: impl Read, began: Instant) -> Duration {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("open after {PATIENCE:?}"),
            // A reset, or an end without TLS's last word, is an end as well.
            Ok(0) | Err(_) => return began.elapsed(),
        }
    }
}

#[track_caller]
fn assert_serves(server: &TestServer) {
    for over in Over::ALL {
        let began = Instant::now();
        client(server, over).ask("www.example.org. A");
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{over:?}: {:?}",
            began.elapsed()
        );
    }
}

/// CVE-2026-32936 (GHSA-63cw-r7xf-jmwr): what is longer than a message is refused before it is decoded.
#[test]
fn paths_that_are_too_long_are_refused_before_they_are_decoded() {
    let _alone = alone();
    let served = Served::new(&block(".", "    whoami"));
    let value = |length: usize| format!("dns={}", "A".repeat(length));
    let cases = [
        ("64 KiB", value(64 << 10)),
        ("1 MiB", value(1 << 20)),
        ("16 MiB", value(16 << 20)),
        ("a million parameters", "a=b&".repeat(1_000_000)),
        ("90,000 bytes of parameters", "a&".repeat(45_000)),
        (
            "a message and 30,000 parameters",
            format!("{}&{}", value(40), "a&".repeat(30_000)),
        ),
    ];
    let pid = served.catena.pid();
    for (case, query) in &cases {
        let (before, memory) = (cpu_ticks(pid), served.catena.rss_kib());
        const EACH: u32 = 10;
        for _ in 0..EACH {
            let status = http1_status(
                &served,
                &format!("GET /dns-query?{query} HTTP/1.1\r\nhost: dns.test\r\n\r\n"),
            );
            assert!(
                matches!(status, None | Some(400 | 413 | 414 | 431)),
                "case {case}: {status:?}"
            );
        }
        let ticks = cpu_ticks(pid) - before;
        let grown = served.catena.peak_kib().saturating_sub(memory);
        println!("{case}: {} ms each, {grown} KiB", ticks * 10 / u64::from(EACH));
        // An unoptimised build, with the handshake; what is not bounded takes seconds.
        assert!(
            ticks * 10 / u64::from(EACH) < 50,
            "case {case}: {ticks} ticks for {EACH}"
        );
        assert!(grown < 4 * 1024, "case {case}: {grown} KiB");
    }
    served.client(Over::HttpsGet).ask("www.example.org. A");
}

/// Time on a processor so far, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    [11, 12]
        .iter()
        .filter_map(|place| fields[*place].parse::<u64>().ok())
        .sum()
}

/// The status of a request over HTTP/1.1; none if the connection ends before.
fn http1_status(served: &Served, request: &str) -> Option<u16> {
    let config = Arc::new(served.trust.config(vec![b"http/1.1".to_vec()]));
    let name = ServerName::try_from("dns.test").expect("a name");
    let stream = TcpStream::connect(served.address(Over::Http1)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut tls = StreamOwned::new(ClientConnection::new(config, name).expect("a client"), stream);
    // The server may have enough before the end.
    let _ = tls.write_all(request.as_bytes());
    let mut head = [0; 12];
    tls.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}

#[test]
fn bodies_and_heads_that_are_too_long_are_refused_and_counted() {
    let server = in_process(&block(".", "    whoami")).start();
    let long = vec![0; 65_536];
    let mut refused = 0;
    for over in [Over::Http1, Over::Https, Over::Https3] {
        assert_eq!(
            client(&server, over).send(&long),
            Reply::HttpStatus(400),
            "{over:?}"
        );
        refused += 1;
        wait_for_count(&server, Event::HttpTooLarge, refused);
    }
    assert_eq!(
        client(&server, Over::Grpc).send(&vec![0; 65_600]),
        Reply::GrpcStatus(8)
    );
    wait_for_count(&server, Event::HttpTooLarge, refused + 1);

    let mut stream = tls(&server, Over::Http1, b"http/1.1");
    let field = format!("x: {}\r\n", "y".repeat(60_000));
    let head = format!("GET /dns-query HTTP/1.1\r\nhost: dns.test\r\n{field}{field}\r\n");
    let _ = stream.write_all(head.as_bytes());
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("a response");
    assert_eq!(&status, b"HTTP/1.1 431");
    wait_for_count(&server, Event::HttpTooLarge, refused + 2);
    assert_serves(&server);
}

/// A body that is announced and does not come.
#[test]
fn bodies_that_do_not_come_in_time_are_given_up_and_counted() {
    let server = in_process(&block(".", "    timeouts {\n        read 1s\n    }\n    whoami")).start();
    let mut stream = tls(&server, Over::Http1, b"http/1.1");
    let head = "POST /dns-query HTTP/1.1\r\nhost: dns.test\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("an open connection");
    let began = Instant::now();
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("a response");
    assert_eq!(&status, b"HTTP/1.1 400");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    wait_for_count(&server, Event::HttpSlow, 1);
}

#[test]
fn connections_that_say_nothing_or_a_byte_at_a_time_are_closed_in_time() {
    let _alone = alone();
    let server = in_process(&block(
        ".",
        "    timeouts {\n        read 1s\n        idle 2s\n    }\n    whoami",
    ))
    .start();
    let range = Duration::from_millis(900)..Duration::from_secs(20);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for over in STREAMS {
            let (server, range) = (&server, &range);
            let application: &[u8] = match over {
                Over::Http1 => b"http/1.1",
                Over::Tls => b"dot",
                _ => b"h2",
            };
            scope.spawn(move || {
                // Before the handshake, in its middle, and behind it.
                let silent = TcpStream::connect(address(server, over)).expect("a connection");
                let time = time_to_end(&silent, began);
                assert!(range.contains(&time), "silent over {over:?}: {time:?}");
                let mut half = TcpStream::connect(address(server, over)).expect("a connection");
                let began = Instant::now();
                half.write_all(&[0x16, 3, 1, 2]).expect("an open connection");
                let time = time_to_end(&half, began);
                assert!(range.contains(&time), "half over {over:?}: {time:?}");
                let mut slow = tls(server, over, application);
                let began = Instant::now();
                let bytes: &[u8] = match over {
                    Over::Http1 => b"GET /dns-q",
                    Over::Tls => &[0, 40, 1, 2, 3],
                    _ => b"PRI * HTTP",
                };
                slow.write_all(&bytes[..1]).expect("an open connection");
                slow.flush().expect("an open connection");
                for byte in &bytes[1..] {
                    std::thread::sleep(Duration::from_millis(300));
                    if slow.write_all(&[*byte]).and_then(|()| slow.flush()).is_err() {
                        break;
                    }
                }
                let time = time_to_end(&mut slow, began);
                assert!(range.contains(&time), "slow over {over:?}: {time:?}");
            });
        }
    });
    assert!(count(&server, Event::HandshakeSlow) >= 2 * STREAMS.len() as u64);
    assert_serves(&server);
}

#[test]
fn connections_without_queries_are_closed_after_the_idle_time_over_every_transport() {
    let _alone = alone();
    let server = in_process(&block(".", "    timeouts {\n        idle 1s\n    }\n    whoami")).start();
    let kept: Vec<Client> = Over::ALL[1..].iter().map(|over| client(&server, *over)).collect();
    for client in &kept {
        client.ask("www.example.org. A");
    }
    let began = Instant::now();
    for client in &kept {
        client.assert_closed();
    }
    // Sooner than after the default.
    assert!(
        began.elapsed() < Duration::from_millis(9_900),
        "{:?}",
        began.elapsed()
    );
    // QUIC's own time is not the server's to count.
    wait_for_count(&server, Event::TcpIdle, kept.len() as u64 - 3);
}

/// Clients that ask and take nothing.
#[test]
fn readers_that_do_not_read_are_closed_and_counted() {
    let _alone = alone();
    let server = in_process(&block(
        ".",
        "    timeouts {\n        write 1s\n        idle 2s\n    }\n    whoami",
    ))
    .start();
    let wire = Query::from("www.example.org. A").to_wire();
    let frame = [&(wire.len() as u16).to_be_bytes(), wire.as_slice()].concat();
    let post = [
        format!(
            "POST /dns-query HTTP/1.1\r\nhost: dns.test\r\ncontent-length: {}\r\n\r\n",
            wire.len()
        )
        .as_bytes(),
        &wire,
    ]
    .concat();
    for (number, (over, application, message)) in
        [(Over::Tls, &b"dot"[..], frame), (Over::Http1, b"http/1.1", post)]
            .into_iter()
            .enumerate()
    {
        let mut stream = tls(&server, over, application);
        stream
            .sock
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("a timeout");
        let many = message.repeat(100);
        // Until the server reads no more; then it waits for the reader.
        while stream.write_all(&many).is_ok() {}
        wait_for_count(&server, Event::TcpSlowReader, number as u64 + 1);
        drop(stream);
    }
    assert_serves(&server);
}

#[test]
fn listeners_with_a_bound_serve_those_who_wait_when_a_place_is_free() {
    let directives =
        "    https {\n        max_connections 1\n    }\n    grpc_server {\n        max_connections 1\n    }
    https3 {\n        max_connections 1\n    }\n    whoami";
    let server = in_process(&block(".", directives)).start();
    for (number, over) in [Over::Https, Over::Http1, Over::Grpc].into_iter().enumerate() {
        let first = client(&server, over);
        first.ask("www.example.org. A");
        let builder = Client::builder(address(&server, over), over).trusting(server.authority().1);
        let second = std::thread::spawn(move || builder.open().ask("www.example.org. A"));
        wait_for_count(&server, Event::ListenerFull, number as u64 + 1);
        assert!(!second.is_finished());
        drop(first);
        second.join().expect("an answer");
    }
    // QUIC has no queue to wait in: the client is told.
    let first = client(&server, Over::Https3);
    first.ask("www.example.org. A");
    let second = Client::builder(address(&server, Over::Https3), Over::Https3).trusting(server.authority().1);
    let refused = match second.try_open() {
        Ok(client) => client.send(&Query::from("www.example.org. A").to_wire()),
        Err(_) => Reply::Closed,
    };
    assert!(
        matches!(refused, Reply::QuicClosed(0x107) | Reply::Closed),
        "{refused:?}"
    );
    assert_eq!(count(&server, Event::ListenerFull), 4);
}

/// Connections that never shake hands, more than there are places for.
#[test]
fn a_flood_of_handshakes_leaves_what_is_open_and_what_is_plain_alone() {
    const FLOOD: usize = 4_200;
    let _alone = alone();
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("the limit on descriptors");
    assert!(limit > 2 * FLOOD as u64, "the limit on descriptors is {limit}");
    let server = in_process(&block(
        ".",
        "    timeouts {\n        read 5s\n        idle 30s\n    }\n    whoami",
    ))
    .start();
    let kept = client(&server, Over::Tls);
    kept.ask("www.example.org. A");
    let mut hello = Vec::new();
    let config = Arc::new(server.authority().1.config(vec![b"dot".to_vec()]));
    let name = ServerName::try_from("dns.test").expect("a name");
    ClientConnection::new(config, name)
        .expect("a client")
        .write_tls(&mut hello)
        .expect("room");
    let mut flood: Vec<TcpStream> = Vec::new();
    let mut slowest = Duration::ZERO;
    for number in 0..FLOOD {
        let mut stream = TcpStream::connect(address(&server, Over::Tls)).expect("a connection");
        // One in ten makes the server sign something and goes silent then.
        if number % 10 == 0 {
            let _ = stream.write_all(&hello);
        }
        flood.push(stream);
        if number % 100 == 0 {
            let began = Instant::now();
            server.ask("www.example.org. A");
            kept.ask("www.example.org. A");
            slowest = slowest.max(began.elapsed());
        }
    }
    wait_for_count(&server, Event::HandshakeRefused, 1);
    println!("UDP and a kept connection within {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    // They have their time, and no more.
    wait_for_count(&server, Event::HandshakeSlow, 4_000);
    client(&server, Over::Tls).ask("www.example.org. A");
    drop(flood);
}
