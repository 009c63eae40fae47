//! The listeners, dispatch and reload, with plugins of the tests' own.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use catena_core::counters::Event;
use common::{Running, ask, frame, id_of, query, rcode_of, read_frame, registry, write_frame};

const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

fn plain() -> Running {
    Running::start(".:@PORT@ {\n slow\n fixed\n}\n")
}

#[test]
fn a_query_from_memory_is_answered_without_a_task() {
    let server = plain();
    let socket = server.udp();
    for id in 0..100 {
        let answer = ask(&socket, &query(id, "example.org."));
        assert_eq!((id_of(&answer), rcode_of(&answer)), (id, 0));
    }
    assert_eq!(server.counters.get(Event::PolledInPlace), 100);
    assert_eq!(server.counters.get(Event::BecameTask), 0);
}

#[test]
fn a_query_that_waits_becomes_a_task_and_does_not_hold_up_others() {
    let server = plain();
    let socket = server.udp();
    socket.send(&query(1, "held1.example.org.")).expect("send");
    let answer = ask(&socket, &query(2, "example.org."));
    assert_eq!(id_of(&answer), 2);
    assert_eq!(server.counters.get(Event::BecameTask), 1);
    socket.send(&query(3, "free1.example.org.")).expect("send");
    let mut late = [0; 2].map(|_: u8| {
        let mut answer = [0; 512];
        socket.recv(&mut answer).expect("a late answer");
        id_of(&answer)
    });
    late.sort_unstable();
    assert_eq!(late, [1, 3]);
    assert_eq!(server.counters.get(Event::BecameTask), 1);
}

#[test]
fn a_panicking_plugin_costs_one_query_and_is_named_with_its_place() {
    let server = Running::start(".:@PORT@ {\n pass\n fragile\n fixed\n}\n");
    let socket = server.udp();
    for round in 0..3 {
        assert_eq!(
            rcode_of(&ask(&socket, &query(1, "panic.example."))),
            SERVFAIL,
            "round {round}"
        );
        assert_eq!(
            rcode_of(&ask(&socket, &query(2, "other.example."))),
            0,
            "round {round}"
        );
    }
    assert_eq!(server.counters.get(Event::Panic), 3);
    let told = "Recovered from panic in plugin/fragile: the name begins with p, at core/tests/common/mod.rs:";
    assert_eq!(
        server
            .log
            .lines()
            .iter()
            .filter(|line| line.contains(told))
            .count(),
        3
    );
}

#[test]
fn the_longest_zone_serves_and_a_name_outside_all_is_refused() {
    let server = Running::start("example.org:@PORT@ {\n fixed\n}\nsub.example.org:@PORT@ {\n fragile\n}\n");
    let socket = server.udp();
    for (case, name, want) in [
        ("the zone", "a.example.org.", 0),
        ("its apex, in other letters", "EXAMPLE.org.", 0),
        (
            "the deeper zone has no source of answers",
            "a.sub.example.org.",
            SERVFAIL,
        ),
        ("outside", "a.example.net.", REFUSED),
        ("a name that only ends alike", "notexample.org.", REFUSED),
        ("the root", ".", REFUSED),
    ] {
        assert_eq!(rcode_of(&ask(&socket, &query(7, name))), want, "case {case}");
    }
}

#[test]
fn responses_and_short_datagrams_get_no_answer() {
    let server = plain();
    let socket = server.udp();
    let mut response = query(1, "example.org.");
    response[2] |= 0x80;
    for message in [&response[..], &[], &[0; 11]] {
        socket.send(message).expect("send");
    }
    assert_eq!(id_of(&ask(&socket, &query(9, "example.org."))), 9);
    assert_eq!(server.counters.get(Event::DroppedUnanswerable), 3);
}

#[test]
fn a_thousand_pipelined_tcp_queries_in_one_write_are_all_answered() {
    let server = plain();
    let mut stream = server.tcp();
    let all: Vec<u8> = (0..1000)
        .flat_map(|id| frame(&query(id, "example.org.")))
        .collect();
    let mut writer = stream.try_clone().expect("clone");
    let writing = std::thread::spawn(move || writer.write_all(&all).expect("write"));
    let mut ids: Vec<u16> = (0..1000).map(|_| id_of(&read_frame(&mut stream))).collect();
    writing.join().expect("writer");
    ids.sort_unstable();
    assert_eq!(ids, (0..1000).collect::<Vec<u16>>());
}

#[test]
fn tcp_answers_come_in_the_order_in_which_they_are_ready() {
    let server = plain();
    let mut stream = server.tcp();
    let read = |stream: &mut TcpStream, count: usize| {
        let mut ids: Vec<u16> = (0..count).map(|_| id_of(&read_frame(stream))).collect();
        ids.sort_unstable();
        ids
    };
    write_frame(&mut stream, &query(1, "held1.example.org."));
    write_frame(&mut stream, &query(2, "held2.example.org."));
    write_frame(&mut stream, &query(3, "example.org."));
    assert_eq!(read(&mut stream, 1), [3]);
    write_frame(&mut stream, &query(4, "free2.example.org."));
    assert_eq!(read(&mut stream, 2), [2, 4]);
    write_frame(&mut stream, &query(5, "free1.example.org."));
    assert_eq!(read(&mut stream, 2), [1, 5]);
}

#[test]
fn a_tcp_frame_may_come_byte_by_byte() {
    let server = plain();
    let mut stream = server.tcp();
    stream.set_nodelay(true).expect("nodelay");
    for byte in frame(&query(5, "example.org.")) {
        stream.write_all(&[byte]).expect("write");
    }
    assert_eq!(id_of(&read_frame(&mut stream)), 5);
}

#[test]
fn a_tcp_frame_of_65535_bytes_is_read_and_the_connection_goes_on() {
    let server = plain();
    let mut stream = server.tcp();
    let mut large = query(1, "example.org.");
    large.resize(65_535, 0);
    write_frame(&mut stream, &large);
    write_frame(&mut stream, &query(2, "example.org."));
    let mut ids = [id_of(&read_frame(&mut stream)), id_of(&read_frame(&mut stream))];
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn more_queries_than_may_be_in_flight_are_answered_all_the_same() {
    let server = plain();
    let mut stream = server.tcp();
    let all: Vec<u8> = (0..600)
        .flat_map(|id| frame(&query(id, "50.example.org.")))
        .collect();
    stream.write_all(&all).expect("write");
    let mut ids: Vec<u16> = (0..600).map(|_| id_of(&read_frame(&mut stream))).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..600).collect::<Vec<u16>>());
    assert!(server.counters.get(Event::TcpInFlight) > 0);
}

#[test]
fn a_half_closed_tcp_client_gets_its_answers_and_then_the_end() {
    let server = plain();
    let mut stream = server.tcp();
    write_frame(&mut stream, &query(1, "200.example.org."));
    stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
    assert_eq!(id_of(&read_frame(&mut stream)), 1);
    assert_eq!(stream.read(&mut [0; 1]).expect("end"), 0);
}

#[test]
fn a_tcp_client_that_never_reads_is_not_read_either_and_is_closed() {
    let server = plain();
    let mut stream = server.tcp();
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .expect("timeout");
    let batch: Vec<u8> = (0..100)
        .flat_map(|id| frame(&query(id, "example.org.")))
        .collect();
    let began = Instant::now();
    // The kernel's buffers fill, the server stops reading, and after the write time it closes.
    while stream.write_all(&batch).is_ok() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the server never closed"
        );
    }
    server.wait_for(Event::TcpSlowReader, 1);
}

#[test]
fn a_kept_tcp_connection_goes_on_with_the_new_configuration() {
    let server = Running::start("example.org:@PORT@ {\n fixed\n}\n");
    let mut stream = server.tcp();
    write_frame(&mut stream, &query(1, "example.org."));
    assert_eq!(rcode_of(&read_frame(&mut stream)), 0);
    server
        .reload("example.net:@PORT@ {\n fixed\n}\n")
        .expect("reload");
    write_frame(&mut stream, &query(2, "example.org."));
    assert_eq!(rcode_of(&read_frame(&mut stream)), REFUSED);
    write_frame(&mut stream, &query(3, "example.net."));
    assert_eq!(rcode_of(&read_frame(&mut stream)), 0);
}

#[test]
fn a_corefile_that_does_not_load_leaves_everything_as_it_was() {
    let server = plain();
    let socket = server.udp();
    for (case, corefile, word) in [
        ("syntax", ".:@PORT@ {\n fixed\n", "Corefile:"),
        (
            "unknown directive",
            ".:@PORT@ {\n fixd\n}\n",
            "did you mean `fixed`",
        ),
        (
            "the same zone twice",
            ".:@PORT@ {\n fixed\n}\n.:@PORT@ {\n fixed\n}\n",
            "already defined",
        ),
        (
            "a transport without its certificate",
            "quic://.:@PORT@ {\n fixed\n}\n",
            "needs a certificate",
        ),
    ] {
        let error = server.reload(corefile).expect_err(case);
        assert!(error.contains(word), "case {case}: {error}");
        assert_eq!(
            rcode_of(&ask(&socket, &query(1, "example.org."))),
            0,
            "case {case}"
        );
    }
}

#[test]
fn a_stop_answers_what_has_come() {
    let server = plain();
    let socket = server.udp();
    let mut stream = server.tcp();
    socket.send(&query(1, "500.example.org.")).expect("send");
    write_frame(&mut stream, &query(2, "500.example.org."));
    server.wait_for(Event::BecameTask, 2);
    assert_eq!(server.stop(), 0);
    let mut answer = [0; 512];
    socket.recv(&mut answer).expect("the answer over UDP");
    assert_eq!(id_of(&answer), 1);
    assert_eq!(id_of(&read_frame(&mut stream)), 2);
}

#[test]
fn two_workers_share_the_queries() {
    let server = Running::start_with(".:@PORT@ {\n fixed\n}\n", registry(), 2);
    for id in 0..200 {
        // Each socket has another port, and so may meet another worker.
        assert_eq!(id_of(&ask(&server.udp(), &query(id, "example.org."))), id);
    }
    assert_eq!(server.counters.get(Event::UdpQuery), 200);
}
