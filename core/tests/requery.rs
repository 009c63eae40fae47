//! Plugins that ask the server itself.

mod common;

use catena_core::counters::Event;
use common::{Running, ask, query, rcode_of};

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;
const NXRRSET: u8 = 8;

const COREFILE: &str = "example.org:@PORT@ {\n chase\n fixed\n}\n\
                        example.net:@PORT@ {\n slow\n fragile\n chase\n fixed\n}\n";

#[test]
fn a_question_to_oneself_goes_to_the_block_that_serves_its_name() {
    let server = Running::start(COREFILE);
    let socket = server.udp();
    for (case, name, want) in [
        ("no question", "a.example.org.", NOERROR),
        ("the same block", "to.a.example.org.", NOERROR),
        ("another question behind it", "to.to.to.a.example.org.", NOERROR),
        ("a plugin that panics", "to.panic.to.a.example.net.", SERVFAIL),
        ("a plugin that waits", "to.1.to.a.example.net.", NOERROR),
    ] {
        let rcode = rcode_of(&ask(&socket, &query(1, name)));
        assert_eq!(rcode, want, "case {case}");
    }
    assert_eq!(server.counters.get(Event::RequeryRefused), 0);
}

#[test]
fn a_name_that_nobody_serves_is_refused_to_oneself_too() {
    let server = Running::start("to.example:@PORT@ {\n chase\n fixed\n}\n");
    assert_eq!(rcode_of(&ask(&server.udp(), &query(1, "to.example."))), REFUSED);
}

#[test]
fn a_loop_of_questions_to_oneself_ends() {
    let server = Running::start(COREFILE);
    let socket = server.udp();
    for (round, name) in [(1, "loop.example.org."), (2, "loop.example.net.")] {
        assert_eq!(rcode_of(&ask(&socket, &query(1, name))), NXRRSET, "{name}");
        assert_eq!(server.counters.get(Event::RequeryRefused), round);
    }
}

#[test]
fn questions_to_oneself_follow_a_reload() {
    let server = Running::start("to.example:@PORT@ {\n chase\n}\n");
    let socket = server.udp();
    assert_eq!(rcode_of(&ask(&socket, &query(1, "to.example."))), REFUSED);
    server
        .reload("to.example:@PORT@ {\n chase\n}\nexample:@PORT@ {\n fixed\n}\n")
        .expect("a good Corefile");
    assert_eq!(rcode_of(&ask(&socket, &query(2, "to.example."))), NOERROR);
}
