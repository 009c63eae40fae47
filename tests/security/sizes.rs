//! Options and answers: what they cost, and how large they get.

use std::time::{Duration, Instant};

use catena::message::Rcode;
use catena_testkit::{Answer, Connection, Query};

use crate::common::{Catena, PATIENCE, alone, exchange, udp_client};
use crate::{WHOAMI, builder, outcomes};

/// A query with `count` times the same EDNS option.
fn with_options(code: u16, value: &[u8], count: usize) -> Vec<u8> {
    let mut message = builder("example.org.", 1).edns(65_535, false).to_wire();
    let option = [&code.to_be_bytes(), &(value.len() as u16).to_be_bytes(), value].concat();
    let length = message.len();
    message[length - 2..].copy_from_slice(&((option.len() * count) as u16).to_be_bytes());
    message.extend(option.repeat(count));
    message
}

#[test]
fn sixty_five_thousand_bytes_of_edns_options_are_answered_in_linear_time_with_the_exact_size() {
    const BYTES: usize = 64_000;
    let _alone = alone();
    let server = Catena::serve(".:@PORT@ {\n    nsid catena\n    whoami\n}\n");
    let mut connection = Connection::open(server.address());
    let mut ask = |message: Vec<u8>| {
        connection.send(Query::raw(message));
        connection.receive_frame(PATIENCE).expect("an answer")
    };
    let plain = ask(with_options(0, b"", 0)).len();
    for (case, code, value, more) in [
        // Asked for again and again, it is given once: four bytes and the name.
        ("NSID", 3, &b""[..], 4 + 6),
        ("client subnet", 8, &[0, 1, 0, 0], 0),
        // These come back as they were, and not a byte more.
        ("cookies", 10, &[7; 8], BYTES),
        ("empty cookies", 10, b"", BYTES),
        ("padding", 12, b"", BYTES),
        ("error reporting", 18, b"", 0),
        ("unknown", 65_001, b"", 0),
    ] {
        let most = BYTES / (4 + value.len());
        let answer = Answer::from_wire(ask(with_options(code, value, most))).expect("a well-formed answer");
        assert_eq!(answer.rcode(), Rcode::NOERROR, "case {case}");
        let want = if more == BYTES {
            most * (4 + value.len())
        } else {
            more
        };
        assert_eq!(answer.wire().len() - plain, want, "case {case}");
        // The fastest of some, and of more where others have the machine's time: only waiting makes one slower.
        let mut time = |count: usize| {
            let message = with_options(code, value, count);
            let began = Instant::now();
            ask(message);
            began.elapsed()
        };
        let small = (0..15).map(|_| time(most / 8)).min().unwrap_or_default();
        // Eight times as many; were it quadratic, it would take sixty-four times as long.
        let bound = small * 24 + Duration::from_millis(2);
        let mut large = time(most);
        for _ in 0..300 {
            if large < bound {
                break;
            }
            large = large.min(time(most));
        }
        println!("{case}: {small:?} for {} options, {large:?} for {most}", most / 8);
        assert!(large < bound, "case {case}: {small:?} and {large:?}");
    }
}

#[test]
fn options_that_exceed_a_datagram_do_not_make_the_answer_exceed_what_the_client_takes() {
    let server = Catena::serve(WHOAMI);
    let messages: Vec<Vec<u8>> = [512, 1232, 4096]
        .into_iter()
        .flat_map(|size: u16| {
            [10, 12].map(|code| {
                let mut message = with_options(code, b"", 10_000);
                let opt = builder("example.org.", 1).to_wire().len();
                message[opt + 3..opt + 5].copy_from_slice(&size.to_be_bytes());
                message
            })
        })
        .collect();
    for (answer, size) in outcomes(&server, &messages)
        .into_iter()
        .zip([512, 512, 1232, 1232, 4096, 4096])
    {
        let answer = answer.expect("an answer");
        assert!(
            answer.len() <= size,
            "{} bytes for a client that takes {size}",
            answer.len()
        );
        assert!(Answer::from_wire(answer).is_ok());
    }
}

#[test]
fn answers_without_dnssec_amplify_less_than_three_times_for_every_type() {
    let corefile = WHOAMI.replace(
        "whoami",
        "local\n    any\n    chaos\n    hosts {\n        192.0.2.1 host.example.org\n        2001:db8::1 host.example.org\n        fallthrough\n    }\n    whoami",
    );
    let server = Catena::serve(&corefile);
    let mut worst = (0.0, String::new());
    let names = [
        "host.example.org.",
        "other.example.org.",
        "localhost.",
        "1.2.0.192.in-addr.arpa.",
    ];
    for name in names {
        for rtype in (0..=65).chain(250..=257).chain([32_768, 65_535]) {
            for edns in [false, true] {
                let query = builder(name, rtype);
                let query = if edns {
                    query.edns(65_535, true).to_wire()
                } else {
                    query.to_wire()
                };
                let Some(answer) = outcomes(&server, std::slice::from_ref(&query)).remove(0) else {
                    continue;
                };
                let factor = answer.len() as f64 / query.len() as f64;
                if factor > worst.0 {
                    worst = (
                        factor,
                        format!("{name} TYPE{rtype}, {} bytes for {}", answer.len(), query.len()),
                    );
                }
            }
        }
    }
    println!("at most {:.2} times: {}", worst.0, worst.1);
    assert!(
        worst.0 > 1.0 && worst.0 < 3.0,
        "{:.2} times: {}",
        worst.0,
        worst.1
    );
}

#[test]
fn any_gets_one_small_record_instead_of_everything() {
    let entries: String = (1..=200)
        .map(|last| format!("        192.0.2.{last} www.example.org\n"))
        .collect();
    let corefile = WHOAMI.replace("whoami", &format!("any\n    hosts {{\n{entries}    }}"));
    let server = Catena::serve(&corefile);
    let query = builder("www.example.org.", 255).edns(65_535, true).to_wire();
    let answer = exchange(&udp_client(server.address()), &query, PATIENCE).expect("an answer");
    assert!(
        answer.len() < 2 * query.len(),
        "{} bytes for {}",
        answer.len(),
        query.len()
    );
}

#[test]
fn the_largest_udp_answer_is_what_bufsize_allows_whatever_the_client_says() {
    let entries: String = (1..=200)
        .map(|last| format!("        192.0.2.{last} www.example.org\n"))
        .collect();
    let corefile = WHOAMI.replace("whoami", &format!("bufsize 1232\n    hosts {{\n{entries}    }}"));
    let server = Catena::serve(&corefile);
    for (edns, limit) in [
        (None, 512),
        (Some(0), 512),
        (Some(512), 512),
        (Some(4_096), 1_232),
        (Some(65_535), 1_232),
    ] {
        let plain = builder("www.example.org.", 1);
        let query = match edns {
            Some(size) => plain.edns(size, false).to_wire(),
            None => plain.to_wire(),
        };
        let answer = exchange(&udp_client(server.address()), &query, PATIENCE).expect("an answer");
        assert!(answer.len() <= limit, "EDNS {edns:?}: {} bytes", answer.len());
        assert!(answer[2] & 0x02 != 0, "EDNS {edns:?}: TC");
    }
}
