//! Messages that no client sends, and what they must not reach or cost.

use std::time::Instant;

use catena_testkit::{Connection, Query, Upstream};

use crate::common::{Catena, PATIENCE, alone, exchange, udp_client};
use crate::{NOTIFY, QUERY, UPDATE, WHOAMI, builder, outcomes, rcode_of, with_question};

/// A dynamic update as RFC 2136 has it: one zone, one record to add.
fn update(opcode: u8) -> Vec<u8> {
    let mut message = builder("example.org.", 6).opcode(opcode).to_wire();
    message[9] = 1;
    message.extend_from_slice(&[1, b'x', 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    message
}

#[test]
fn only_query_and_notify_reach_an_upstream_and_all_else_is_notimp_on_udp_and_tcp_alike() {
    let upstream = Upstream::start("example.org. 60 IN SOA ns.example.org. host.example.org. 1 2 3 4 5");
    let corefile = format!(".:@PORT@ {{\n    forward . {}\n}}\n", upstream.address());
    let server = Catena::serve(&corefile);
    let socket = udp_client(server.address());
    for opcode in 0..16 {
        let messages = [
            builder("example.org.", 6).opcode(opcode).to_wire(),
            update(opcode),
            {
                let mut surplus = builder("example.org.", 6).opcode(opcode).to_wire();
                surplus.extend_from_slice(&[0; 7]);
                surplus
            },
        ];
        for (number, message) in messages.iter().enumerate() {
            let udp = exchange(&socket, message, PATIENCE).expect("an answer over UDP");
            let mut connection = Connection::open(server.address());
            connection.send(Query::raw(message.clone()));
            let tcp = connection.receive_frame(PATIENCE).expect("an answer over TCP");
            if opcode == QUERY || opcode == NOTIFY {
                continue;
            }
            assert_eq!(rcode_of(&udp), 4, "message {number} with opcode {opcode}: NOTIMP");
            assert_eq!(udp, tcp, "message {number} with opcode {opcode}");
        }
    }
    // An upstream that trusts this server's address must not be told to change its zone.
    let opcodes: Vec<u8> = upstream
        .seen()
        .iter()
        .map(|seen| seen.wire()[2] >> 3 & 0xf)
        .collect();
    assert!(
        !opcodes.is_empty() && opcodes.iter().all(|opcode| [QUERY, NOTIFY].contains(opcode)),
        "{opcodes:?}"
    );
    assert!(!opcodes.contains(&UPDATE));
}

/// Ten thousand questions of two bytes each that point to a long name: 60 KiB that become megabytes when read.
fn pointer_bomb(questions: usize) -> Vec<u8> {
    let mut message = builder(&"abcdefghijklmnopqrstuvwxyz012345.".repeat(7), 1).to_wire();
    message[4..6].copy_from_slice(&(questions as u16).to_be_bytes());
    for _ in 1..questions {
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
    }
    message
}

#[test]
fn ten_thousand_questions_of_pointers_are_formerr_before_any_name_is_read() {
    let _alone = alone();
    let server = Catena::serve(WHOAMI);
    let bomb = pointer_bomb(10_000);
    assert!(bomb.len() > 60_000);
    let socket = udp_client(server.address());
    assert_eq!(
        rcode_of(&exchange(&socket, &bomb, PATIENCE).expect("an answer")),
        1,
        "FORMERR"
    );
    let before = server.rss_kib();
    // A thousand at the same time, over connections that are all open.
    let mut connections: Vec<Connection> = (0..200).map(|_| Connection::open(server.address())).collect();
    let began = Instant::now();
    for connection in &mut connections {
        connection.send(Query::raw(bomb.clone()));
    }
    for connection in &mut connections {
        let four: Vec<Query> = (0..4).map(|_| Query::raw(bomb.clone())).collect();
        connection.send_all(four);
    }
    for connection in &mut connections {
        for _ in 0..5 {
            let answer = connection.receive_frame(PATIENCE).expect("an answer");
            assert_eq!(
                (rcode_of(&answer), answer.len()),
                (1, 12),
                "FORMERR, a header alone"
            );
        }
    }
    let grown = server.peak_kib().saturating_sub(before);
    println!("{grown} KiB more, {:?}", began.elapsed());
    // Each connection may hold one frame that is not whole yet.
    assert!(grown < 32 * 1024, "{grown} KiB");
}

#[test]
fn counts_that_no_query_has_are_formerr_whatever_follows() {
    let server = Catena::serve(WHOAMI);
    let mut messages = Vec::new();
    for counts in [
        [0, 0, 0, 0],
        [2, 0, 0, 0],
        [65_535, 0, 0, 0],
        [65_535, 65_535, 65_535, 65_535],
        [1, 2, 0, 0],
        [1, 65_535, 0, 0],
        [1, 0, 2, 0],
        [1, 0, 65_535, 0],
        [1, 0, 0, 3],
        [1, 0, 0, 65_535],
        [0, 1, 1, 1],
    ] {
        for rest in [0, 4, 400] {
            let mut message = builder("example.org.", 1).to_wire();
            for (place, count) in counts.iter().enumerate() {
                message[4 + 2 * place..6 + 2 * place].copy_from_slice(&u16::to_be_bytes(*count));
            }
            message.resize(message.len() + rest, 0xc0);
            messages.push(message);
        }
    }
    for (message, answer) in messages.iter().zip(outcomes(&server, &messages)) {
        let answer = answer.unwrap_or_else(|| panic!("no answer to counts {:?}", &message[4..12]));
        assert_eq!(
            (rcode_of(&answer), answer.len()),
            (1, 12),
            "counts {:?}",
            &message[4..12]
        );
        assert_eq!(answer[..2], message[..2]);
    }
}

#[test]
fn compression_pointers_that_loop_or_lead_nowhere_are_refused_at_once() {
    let server = Catena::serve(WHOAMI);
    // Pointers that each lead to the one before: followed to the end they would be a long way.
    let mut chain = vec![0];
    for step in 0..2_000_u16 {
        let to = 0xc000 | (12 + step.saturating_sub(1) * 2 + u16::from(step > 0));
        chain.extend_from_slice(&to.to_be_bytes());
    }
    let label = |length: usize| [&[length as u8][..], &vec![b'a'; length]].concat();
    let names: [(&str, Vec<u8>); 11] = [
        ("to itself", vec![0xc0, 12]),
        ("to itself behind a label", vec![1, b'a', 0xc0, 12]),
        ("two to each other", vec![0xc0, 14, 0xc0, 12]),
        ("forward", vec![0xc0, 20, 0, 0, 0, 0, 0, 0, 0]),
        ("into the header", vec![0xc0, 0]),
        ("beyond the end", vec![0xff, 0xff]),
        ("cut in half", vec![0xc0]),
        ("the reserved kinds of label", vec![0x40, 0, 0x80, 0]),
        ("a label beyond the end", vec![63, b'a']),
        (
            "more than 255 bytes",
            [label(63), label(63), label(63), label(63), vec![0]].concat(),
        ),
        ("a label of 64 bytes", [label(64), vec![0]].concat()),
    ];
    let mut messages: Vec<Vec<u8>> = names.iter().map(|(_, name)| with_question(name)).collect();
    messages[6].truncate(13);
    // The same behind a good question, as the owner of an OPT record and inside of records.
    for (_, name) in &names {
        let mut message = builder("example.org.", 1).to_wire();
        message[11] = 1;
        message.extend_from_slice(name);
        message.extend_from_slice(&[0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        messages.push(message);
    }
    messages.push(with_question(&chain));
    let began = Instant::now();
    let answers = outcomes(&server, &messages);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    for ((case, _), answer) in names.iter().zip(&answers) {
        let answer = answer
            .as_ref()
            .unwrap_or_else(|| panic!("case {case}: no answer"));
        assert_eq!(rcode_of(answer), 1, "case {case}: FORMERR");
    }
    for answer in answers.into_iter().flatten() {
        assert!(answer.len() <= 512, "{} bytes", answer.len());
    }
    assert_eq!(server.count_of("panic"), 0);
}

#[test]
fn a_response_gets_no_answer_whatever_its_opcode_and_rcode_so_that_two_servers_cannot_talk_without_end() {
    let server = Catena::serve(WHOAMI);
    let mut messages = vec![Vec::new(), vec![0; 11]];
    for opcode in 0..16_u8 {
        for rcode in 0..16 {
            let mut message = builder("example.org.", 1).opcode(opcode).to_wire();
            message[2] |= 0x80;
            message[3] |= rcode;
            messages.push(message.clone());
            // The shapes in which servers send errors: a header alone, counts of nought.
            message[4..12].fill(0);
            message.truncate(12);
            messages.push(message);
        }
    }
    assert!(outcomes(&server, &messages).iter().all(Option::is_none));
    let mut connection = Connection::open(server.address());
    for message in &messages {
        connection.send(Query::raw(message.clone()));
    }
    // The first answer on the connection is the one to the first query.
    connection.send("example.org. A +id=77");
    assert_eq!(connection.receive().id(), 77);
}

#[test]
fn frames_of_no_or_few_bytes_hold_nothing_up_and_cost_nothing() {
    let server = Catena::serve(WHOAMI);
    let before = server.rss_kib();
    let mut connection = Connection::open(server.address());
    connection.send_bytes(vec![0; 2 * 100_000]);
    for length in 1..12_u8 {
        connection.send_bytes([&[0, length][..], &vec![0xff; usize::from(length)]].concat());
    }
    connection.send("example.org. A +id=9");
    assert_eq!(connection.receive().id(), 9);
    let grown = server.peak_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB");
}
