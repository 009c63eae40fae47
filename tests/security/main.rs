//! What has hurt DNS servers, tried on the built program: malformed and hostile messages, Corefiles, names in logs.
//!
//! Bounds on memory and connections are in `bounds.rs`, attacks on `forward` beside that plugin.

#[path = "../common/mod.rs"]
mod common;

mod corefiles;
mod messages;
mod names;
mod panics;
mod sizes;

use std::net::UdpSocket;

use catena::message::QueryBuilder;
use common::{Catena, udp_client};

const QUERY: u8 = 0;
const NOTIFY: u8 = 4;
const UPDATE: u8 = 5;

/// One UDP socket, so that an answer shows that everything sent before was taken.
const WHOAMI: &str = ".:@PORT@ {\n    bind 127.0.0.1\n    multisocket 1\n    whoami\n}\n";

fn builder(name: &str, rtype: u16) -> QueryBuilder {
    QueryBuilder::new(name, rtype).expect("a name")
}

fn rcode_of(answer: &[u8]) -> u8 {
    answer[3] & 0xf
}

/// Sends messages one by one and gives the answers to all; none where the answer to a good query comes first.
fn outcomes(server: &Catena, messages: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let socket = udp_client(server.address());
    let probe = builder("probe.example.", 1).id(0xbeef).to_wire();
    let mut answer = vec![0; 65_535];
    let mut receive = |socket: &UdpSocket| {
        let length = socket.recv(&mut answer).expect("an answer to the probe");
        answer[..length].to_vec()
    };
    messages
        .iter()
        .map(|message| {
            socket.send(message).expect("send");
            socket.send(&probe).expect("send");
            let first = receive(&socket);
            if first[..2] == probe[..2] {
                return None;
            }
            assert_eq!(
                receive(&socket)[..2],
                probe[..2],
                "the probe is answered behind it"
            );
            Some(first)
        })
        .collect()
}

/// A query whose question is these bytes.
fn with_question(name: &[u8]) -> Vec<u8> {
    let mut message = builder(".", 1).to_wire();
    message.splice(12..13, name.iter().copied());
    message
}
