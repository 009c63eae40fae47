//! Bounds of the listeners: what happens when one is hit, and that it is counted.

mod common;

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use catena_core::config::Registry;
use catena_core::counters::Event;
use catena_core::message::Request;
use catena_core::plugin::{AtOnce, Definition, Plugin};
use parking_lot::{Condvar, Mutex};

use common::{FIXED, Running, SLOW, ask, frame, id_of, query, read_frame, write_frame};

/// Times and limits that no test has to wait long for.
const SHORT: Definition = Definition::new("short", |setup| {
    let timeouts = &mut setup.settings().timeouts;
    timeouts.read = Some(Duration::from_millis(200));
    timeouts.idle = Some(Duration::from_millis(200));
    timeouts.max_queries = Some(3);
    Ok(())
});

/// Holds the worker's thread itself, so that it does nothing at all, for as long as the test wants.
struct Asleep(Arc<Bed>);

#[derive(Default)]
struct Bed {
    awake: Mutex<bool>,
    woken: Condvar,
}

impl Plugin for Asleep {
    fn name(&self) -> &'static str {
        "asleep"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        if request.name_display().to_string().starts_with("sleep.") {
            let mut awake = self.0.awake.lock();
            while !*awake {
                self.0.woken.wait(&mut awake);
            }
        }
        AtOnce::Pass
    }
}

const ASLEEP: Definition = Definition::new("asleep", |setup| {
    setup.add(Asleep(setup.shared()));
    Ok(())
});

fn registry() -> Registry {
    Registry::new([SHORT, ASLEEP, SLOW, FIXED])
}

/// Waits until the server has closed the connection.
fn read_end(stream: &mut TcpStream) {
    let end = stream.read(&mut [0; 1]);
    assert!(!matches!(end, Ok(1..)), "{end:?}");
}

#[test]
fn connections_without_a_query_or_behind_one_are_closed_after_their_time_and_counted() {
    let server = Running::start_with(".:@PORT@ {\n short\n slow\n fixed\n}\n", registry(), 1);
    let mut silent = server.tcp();
    let mut idle = server.tcp();
    write_frame(&mut idle, &query(1, "example.org."));
    assert_eq!(id_of(&read_frame(&mut idle)), 1);
    read_end(&mut silent);
    read_end(&mut idle);
    server.wait_for(Event::TcpIdle, 2);
    assert_eq!(server.counters.get(Event::TcpAccepted), 2);
}

#[test]
fn a_connection_is_closed_behind_its_last_allowed_query_with_all_of_them_answered_and_counted() {
    let server = Running::start_with(".:@PORT@ {\n short\n slow\n fixed\n}\n", registry(), 1);
    let mut stream = server.tcp();
    let frames: Vec<u8> = (1..=5).flat_map(|id| frame(&query(id, "example.org."))).collect();
    std::io::Write::write_all(&mut stream, &frames).expect("write");
    let mut ids: Vec<u16> = (0..3).map(|_| id_of(&read_frame(&mut stream))).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
    read_end(&mut stream);
    server.wait_for(Event::TcpQueryLimit, 1);
}

#[test]
fn connections_beyond_the_bound_are_closed_at_once_and_counted() {
    let server = Running::start_as(".:@PORT@ {\n slow\n fixed\n}\n", registry(), |options| {
        options.max_connections = 2;
    });
    let mut kept = [server.tcp(), server.tcp()];
    for stream in &mut kept {
        write_frame(stream, &query(1, "example.org."));
        assert_eq!(id_of(&read_frame(stream)), 1);
    }
    read_end(&mut server.tcp());
    server.wait_for(Event::TcpRefused, 1);
    for stream in &mut kept {
        write_frame(stream, &query(2, "example.org."));
        assert_eq!(id_of(&read_frame(stream)), 2);
    }
}

#[test]
fn queries_beyond_the_bound_on_those_that_wait_are_dropped_and_counted_and_the_others_answered() {
    /// What `docs/operations.md` says of a UDP socket.
    const BOUND: u64 = 65_536;
    const SURPLUS: u64 = 100;
    let server = Running::start_with(".:@PORT@ {\n slow\n fixed\n}\n", registry(), 1);
    let socket = server.udp();
    let held = query(1, "held1.example.org.");
    for sent in 1..=BOUND + SURPLUS {
        socket.send(&held).expect("send");
        // Never more than the kernel keeps of them.
        if sent % 200 == 0 {
            server.wait_for(Event::UdpQuery, sent);
        }
    }
    server.wait_for(Event::DroppedInFlight, SURPLUS);
    // What need not wait is answered all the same.
    assert_eq!(id_of(&ask(&server.udp(), &query(2, "example.org."))), 2);
    assert_eq!(server.counters.get(Event::BecameTask), BOUND + SURPLUS);
    assert_eq!(server.counters.get(Event::DroppedInFlight), SURPLUS);
    // A place that gets free is given again.
    assert_eq!(id_of(&ask(&server.udp(), &query(3, "free1.example.org."))), 3);
    let mut answer = [0; 512];
    socket
        .recv(&mut answer)
        .expect("the answer of the one that goes on");
    socket.send(&held).expect("send");
    server.wait_for(Event::UdpQuery, BOUND + SURPLUS + 3);
    assert_eq!(id_of(&ask(&server.udp(), &query(4, "example.org."))), 4);
    assert_eq!(server.counters.get(Event::DroppedInFlight), SURPLUS);
}

#[test]
fn what_the_system_drops_from_a_full_receive_buffer_is_counted() {
    let server = Running::start_with(".:@PORT@ {\n asleep\n fixed\n}\n", registry(), 1);
    let bed: Arc<Bed> = server.shared.of();
    let socket = server.udp();
    socket.send(&query(1, "sleep.example.org.")).expect("send");
    server.wait_for(Event::UdpQuery, 1);
    let mut sent = 1;
    // More than any buffer has room for.
    for id in 0..60_000 {
        sent += u64::from(socket.send(&query(id, "example.org.")).is_ok());
    }
    *bed.awake.lock() = true;
    bed.woken.notify_all();
    // The count comes with a datagram that found room again: the first that is answered.
    let last = server.udp();
    last.set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout");
    let mut answer = [0; 512];
    loop {
        last.send(&query(7, "example.org.")).expect("send");
        sent += 1;
        if last.recv(&mut answer).is_ok() {
            break;
        }
    }
    let counted = || server.counters.get(Event::UdpQuery) + server.counters.get(Event::DroppedBuffer);
    common::until("all that was sent has been counted", || counted() == sent);
    assert!(server.counters.get(Event::DroppedBuffer) > 1000);
}
