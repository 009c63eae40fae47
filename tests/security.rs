//! What has hurt DNS servers, tried on the built program: malformed and hostile messages, Corefiles, names in logs.
//!
//! Bounds on memory and connections are in `bounds.rs`, attacks on `forward` beside that plugin.

mod common;

use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use catena::instance::{CorefileSource, Options, Server};
use catena::message::{QueryBuilder, Rcode, Request};
use catena::plugin::{Definition, Next, Outcome, Plugin, PluginError};
use catena_testkit::{Answer, Connection, Query, TestServer, Upstream};
use common::{Catena, Folder, PATIENCE, alone, exchange, udp_client};

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

/// A query whose question is these bytes.
fn with_question(name: &[u8]) -> Vec<u8> {
    let mut message = builder(".", 1).to_wire();
    message.splice(12..13, name.iter().copied());
    message
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

/// A name whose labels are these bytes.
fn name_of(labels: &[&[u8]]) -> Vec<u8> {
    let mut wire: Vec<u8> = labels
        .iter()
        .flat_map(|label| [&[label.len() as u8], *label].concat())
        .collect();
    wire.push(0);
    wire
}

#[test]
fn names_cannot_forge_lines_of_the_log_nor_steer_a_terminal() {
    // Nothing answers behind `errors`, so that it has something to say as well.
    let folder = Folder::with(
        ".:@PORT@ {\n    bind 127.0.0.1\n    log\n    errors\n    hosts {\n        fallthrough\n    }\n}\n",
    );
    let server = folder.serve(&[]);
    let labels: [&[u8]; 9] = [
        b"\n[INFO] forged",
        b"\r\n[ERROR] forged",
        b"\x1b[2J\x1b]0;forged\x07",
        b"\x9b31mforged",
        b"a\" NOERROR forged",
        b"back\\slash",
        b"\0nul",
        b"\xff\xfe\x80",
        b"\xe2\x80\xae\xc2\x85\xe2\x80\xa8",
    ];
    let socket = udp_client(server.address());
    for label in labels {
        let message = with_question(&name_of(&[label, b"example", b"org"]));
        assert_eq!(
            rcode_of(&exchange(&socket, &message, PATIENCE).expect("an answer")),
            2
        );
    }
    let end = with_question(&name_of(&[b"the-end"]));
    exchange(&socket, &end, PATIENCE).expect("an answer");
    server.wait_for_count("the-end.", 2);
    let lines: Vec<String> = server
        .lines()
        .into_iter()
        .filter(|line| line.starts_with('['))
        .collect();
    assert_eq!(lines.len(), 2 * (labels.len() + 1), "{lines:#?}");
    for line in &lines {
        assert!(
            line.starts_with("[INFO] 127.0.0.1:") || line.starts_with("[ERROR] plugin/errors: 2 "),
            "{line:?}"
        );
        assert!(
            line.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "only what can be printed: {line:?}"
        );
    }
    // In the quoted part of a line, a quote in a name does not end it.
    let quoted = lines
        .iter()
        .find(|line| line.contains("noerror\\ forged"))
        .expect("the name with a quote");
    assert!(quoted.contains("a\\\"\\ noerror"), "{quoted}");
}

#[test]
fn imports_in_a_circle_are_an_error_and_no_hang() {
    for (case, files) in [
        ("the Corefile itself", &[("Corefile", "import Corefile\n")][..]),
        (
            "two files",
            &[
                ("Corefile", "import a\n"),
                ("a", "import b\n"),
                ("b", "import a\n"),
            ],
        ),
        (
            "inside a block",
            &[
                ("Corefile", ".:@PORT@ {\n  import a\n}\n"),
                ("a", "whoami\nimport a\n"),
            ],
        ),
        (
            "a pattern that fits the file",
            &[("Corefile", "import *.conf\n"), ("a.conf", "import *.conf\n")],
        ),
        (
            "a snippet",
            &[(
                "Corefile",
                "(s) {\n  import s\n}\n.:@PORT@ {\n  import s\n  whoami\n}\n",
            )],
        ),
        (
            "two snippets",
            &[(
                "Corefile",
                "(s) {\n  import t\n}\n(t) {\n  import s\n}\n.:@PORT@ {\n  import s\n  whoami\n}\n",
            )],
        ),
    ] {
        let folder = Folder::new();
        files.iter().for_each(|(name, text)| folder.write(name, text));
        let began = Instant::now();
        let ended = folder.run(&["check"]);
        assert_eq!(ended.status, 1, "case {case}: {ended:?}");
        assert!(ended.stderr.contains("import"), "case {case}: {}", ended.stderr);
        assert!(began.elapsed() < PATIENCE, "case {case}: {:?}", began.elapsed());
    }
}

#[test]
fn snippets_that_double_each_other_are_stopped_by_the_bound_on_words() {
    let mut corefile = String::from("(s0) {\n  whoami\n}\n");
    for number in 1..40 {
        let before = number - 1;
        corefile.push_str(&format!(
            "(s{number}) {{\n  import s{before}\n  import s{before}\n}}\n"
        ));
    }
    corefile.push_str(".:@PORT@ {\n  import s39\n}\n");
    let began = Instant::now();
    let ended = Folder::with(&corefile).run(&["check"]);
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.contains("import"), "{}", ended.stderr);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn unclosed_braces_quotes_and_other_wreckage_end_with_an_error_and_never_a_panic_or_a_hang() {
    let long = "x".repeat(1 << 20);
    for (case, corefile) in [
        ("a block", ".:@PORT@ {\n  whoami\n".to_owned()),
        ("a block and nothing in it", ".:@PORT@ {".to_owned()),
        (
            "an option's block",
            ".:@PORT@ {\n  hosts {\n    ttl 5\n".to_owned(),
        ),
        ("a snippet", "(s) {\n  whoami\n".to_owned()),
        ("a quote", ".:@PORT@ {\n  whoami \"\n}\n".to_owned()),
        ("braces alone", "{\n}\n".to_owned()),
        ("an opening brace alone", "{".to_owned()),
        ("100,000 opening braces", "{ ".repeat(100_000)),
        ("100,000 opening braces on lines", "a {\n".repeat(100_000)),
        (
            "100,000 closing braces",
            format!(".:@PORT@ {{\n  whoami\n{}", "}\n".repeat(100_000)),
        ),
        (
            "deep blocks",
            format!(".:@PORT@ {{\n{}", "hosts {\n".repeat(50_000)),
        ),
        ("a word of a mebibyte", format!(".:@PORT@ {{\n  {long}\n}}\n")),
        (
            "a zone of a mebibyte",
            format!("{long}:@PORT@ {{\n  whoami\n}}\n"),
        ),
        (
            "an environment variable that is not closed",
            ".:@PORT@ {\n  whoami {$\n}\n".to_owned(),
        ),
        (
            "a byte order mark and nought bytes",
            "\u{feff}\0\0\0 {\n\0\n}\n".to_owned(),
        ),
        (
            "no address to listen on",
            ".:@PORT@ {\n  bind\n  whoami\n}\n".to_owned(),
        ),
        (
            "an interface that is not there",
            ".:@PORT@ {\n  bind nosuch0\n  whoami\n}\n".to_owned(),
        ),
        ("a port beyond the last", ".:65536 {\n  whoami\n}\n".to_owned()),
        (
            "a regular expression's bomb",
            ".:@PORT@ {\n  errors {\n    consolidate 5m \"((a{1000}){1000}){1000}\"\n  }\n}\n".to_owned(),
        ),
    ] {
        let folder = Folder::with(&corefile);
        let began = Instant::now();
        let ended = folder.run(&["check"]);
        let text = format!("{}{}", ended.stdout, ended.stderr);
        // What CoreDNS takes in spite of all is fine too; a panic has status 101, a crash a signal.
        assert!(
            (0..=1).contains(&ended.status),
            "case {case}: status {}",
            ended.status
        );
        assert!(!text.contains("panicked"), "case {case}: {text:.500}");
        assert!(ended.status == 0 || !ended.stderr.is_empty(), "case {case}");
        assert!(
            text.len() < 100_000,
            "case {case}: {} bytes of message",
            text.len()
        );
        assert!(began.elapsed() < PATIENCE, "case {case}: {:?}", began.elapsed());
        let ended = folder.run(&["fmt"]);
        assert!(
            (0..=1).contains(&ended.status),
            "case {case}, fmt: status {}",
            ended.status
        );
    }
}

/// Panics for names that begin with `p`.
struct Fragile;

#[async_trait]
impl Plugin for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        assert!(
            !request.name_display().to_string().starts_with('p'),
            "the name begins with p"
        );
        next.run(request).await
    }
}

const FRAGILE: Definition = Definition::new("fragile", |setup| {
    setup.add(Fragile);
    Ok(())
});

#[test]
fn a_panicking_plugin_costs_its_queries_alone_among_all_plugins_of_the_server() {
    let registry = catena::plugins::registry().with_before(FRAGILE, "whoami");
    let server = TestServer::start(registry, ".:@PORT@ {\n  log\n  errors\n  fragile\n  whoami\n}");
    let mut connection = server.connect();
    for round in 0..20 {
        server.ask("panic.example. A").assert_rcode(Rcode::SERVFAIL);
        server.ask("other.example. A").assert_rcode(Rcode::NOERROR);
        connection
            .send("panic.example. A +id=1")
            .send("other.example. A +id=2");
        let mut rcodes =
            [connection.receive(), connection.receive()].map(|answer| (answer.id(), answer.rcode()));
        rcodes.sort_unstable_by_key(|(id, _)| *id);
        assert_eq!(
            rcodes,
            [(1, Rcode::SERVFAIL), (2, Rcode::NOERROR)],
            "round {round}"
        );
    }
    let told = server.logs().lines_with("the name begins with p, at ");
    assert_eq!(told.len(), 40);
    assert!(
        told.iter()
            .all(|line| line.contains("plugin/fragile") && line.contains("tests/security.rs:")),
        "{told:?}"
    );
}

/// Says to [`serve_in_a_process_of_its_own`] that it is one.
const SERVE: &str = "CATENA_TEST_SERVES";

#[test]
fn a_panic_in_a_block_with_debug_ends_the_process_with_status_2_and_shows_where() {
    let folder = Folder::with(".:@PORT@ {\n    debug\n    fragile\n    whoami\n}\n");
    let program = std::env::current_exe().expect("this program");
    let script = format!(
        "{SERVE}='{}' exec '{}' --exact serve_in_a_process_of_its_own --nocapture --ignored",
        folder.path("Corefile").display(),
        program.display()
    );
    let folder = folder.binary("/bin/sh");
    let mut process = folder.spawn(&["-c", &script], None);
    process.wait_for("this serves");
    let server = folder.address_of(0);
    assert_eq!(common::ask(server, "other.example. A").rcode(), Rcode::NOERROR);
    let message = builder("panic.example.", 1).to_wire();
    assert_eq!(
        exchange(&udp_client(server), &message, Duration::from_secs(5)),
        None
    );
    assert_eq!(process.wait_exit(), 2);
    assert!(
        process.stderr().contains("the name begins with p"),
        "{}",
        process.stderr()
    );
    assert!(
        process.stderr().contains("tests/security.rs:"),
        "{}",
        process.stderr()
    );
}

#[test]
#[ignore = "the server for another test"]
fn serve_in_a_process_of_its_own() {
    let Some(corefile) = std::env::var_os(SERVE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let registry = catena::plugins::registry().with_before(FRAGILE, "whoami");
    let status = runtime.block_on(async {
        let mut options = Options::new(CorefileSource::File(corefile.into()), registry);
        options.banner = vec!["this serves".to_owned()];
        Server::start(options).await.expect("a server").run().await
    });
    assert_eq!(ExitCode::from(status as u8), ExitCode::SUCCESS);
}

#[test]
fn a_query_that_a_plugin_holds_for_ever_is_given_up_after_the_time_of_cancel() {
    let corefile =
        ".:@PORT@ {\n    cancel 300ms\n    erratic {\n        drop 0\n        delay 1 1h\n    }\n}\n";
    let server = Catena::serve(corefile);
    let began = Instant::now();
    let answer = server.ask("example.org. A");
    assert_eq!(answer.rcode(), Rcode::SERVFAIL);
    assert!(
        (Duration::from_millis(250)..PATIENCE).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
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
