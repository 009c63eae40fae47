//! One table of odd messages and their outcomes, for all transports alike.

use std::time::{Duration, Instant};

use catena::message::QueryBuilder;
use catena::plugins::registry;
use catena_testkit::{Client, Over, RECORDS, Reply, TestServer, Upstream};

use crate::common::alone;
use crate::servers::{Served, block, client, in_process};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// An answer with this RCODE, the same bytes over all transports.
    Answer(u8),
    /// A protocol error: this RCODE where each message gets an answer, HTTP's 400, QUIC's 2, gRPC's UNKNOWN.
    Fault(u8),
    /// Nothing; what has to answer says that it is a protocol error.
    Nothing,
}

use Outcome::{Answer, Fault, Nothing};

const NOERROR: u8 = 0;
const FORMERR: u8 = 1;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

const QUERY: u8 = 0;
const NOTIFY: u8 = 4;

/// The longest message that Go's and others' clients send, in bytes.
const LONG: usize = 65_533;

/// The longest message that there is over a transport, in bytes.
const fn longest(over: Over) -> usize {
    match over {
        Over::Udp => 65_507,
        // The library of all HTTP in Rust, the server's as well, takes paths of up to 65,534 bytes.
        Over::HttpsGet | Over::Http1Get | Over::Https3Get => 49_000,
        _ => 65_535,
    }
}

fn builder(name: &str) -> QueryBuilder {
    QueryBuilder::new(name, 1u16).expect("a name").id(0)
}

fn query() -> Vec<u8> {
    builder("www.example.org.").to_wire()
}

struct Message {
    case: String,
    wire: Vec<u8>,
    outcome: Outcome,
}

fn message(case: impl Into<String>, wire: Vec<u8>, outcome: Outcome) -> Message {
    Message {
        case: case.into(),
        wire,
        outcome,
    }
}

fn with_counts(counts: [u16; 4], rest: usize) -> Vec<u8> {
    let mut wire = query();
    for (place, count) in counts.iter().enumerate() {
        wire[4 + 2 * place..6 + 2 * place].copy_from_slice(&count.to_be_bytes());
    }
    wire.resize(wire.len() + rest, 0xc0);
    wire
}

/// A query whose question is these bytes and a type and class.
fn with_name(name: &[u8]) -> Vec<u8> {
    let mut wire = query();
    wire.truncate(12);
    wire.extend_from_slice(name);
    wire.extend_from_slice(&[0, 1, 0, 1]);
    wire
}

/// Ten thousand questions of a few bytes each that point to a long name, in a message of this length.
fn pointer_bomb(length: usize, questions: u16) -> Vec<u8> {
    let mut wire = builder(&"abcdefghijklmnopqrstuvwxyz012345.".repeat(7)).to_wire();
    wire[4..6].copy_from_slice(&questions.to_be_bytes());
    while wire.len() + 6 <= length {
        wire.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
    }
    wire.resize(length, 0);
    wire
}

/// A query with this OPT record so many times.
fn with_opts(opt: &[u8], count: u8) -> Vec<u8> {
    let mut wire = query();
    wire[11] = count;
    for _ in 0..count {
        wire.extend_from_slice(opt);
    }
    wire
}

/// A dynamic update (RFC 2136): one zone, one record to add.
fn update(opcode: u8) -> Vec<u8> {
    let mut wire = QueryBuilder::new("example.org.", 6u16)
        .expect("a name")
        .id(0)
        .opcode(opcode)
        .to_wire();
    wire[9] = 1;
    wire.extend_from_slice(&[1, b'x', 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    wire
}

fn headers() -> Vec<Message> {
    let mut messages: Vec<Message> = (0..12)
        .map(|length| message(format!("{length} bytes"), vec![0; length], Nothing))
        .collect();
    for opcode in 0..16 {
        let mut wire = builder("www.example.org.").opcode(opcode).to_wire();
        let outcome = if opcode == QUERY || opcode == NOTIFY {
            Answer(NOERROR)
        } else {
            Fault(NOTIMP)
        };
        messages.push(message(format!("opcode {opcode}"), wire.clone(), outcome));
        wire[2] |= 0x80;
        messages.push(message(
            format!("a response with opcode {opcode}"),
            wire.clone(),
            Nothing,
        ));
        wire[4..12].fill(0);
        wire.truncate(12);
        messages.push(message(
            format!("a response of a header, opcode {opcode}"),
            wire,
            Nothing,
        ));
        if opcode != QUERY && opcode != NOTIFY {
            messages.push(message(
                format!("an update with opcode {opcode}"),
                update(opcode),
                Fault(NOTIMP),
            ));
        }
    }
    for counts in [
        [0, 0, 0, 0],
        [2, 0, 0, 0],
        [65_535, 0, 0, 0],
        [65_535; 4],
        [1, 2, 0, 0],
        [1, 65_535, 0, 0],
        [1, 0, 2, 0],
        [1, 0, 0, 3],
        [1, 0, 0, 65_535],
        [0, 1, 1, 1],
    ] {
        for rest in [0, 400] {
            let case = format!("counts {counts:?} with {rest} bytes more");
            messages.push(message(case, with_counts(counts, rest), Fault(FORMERR)));
        }
    }
    let mut header = query();
    header.truncate(12);
    messages.push(message(
        "a question announced and none there",
        header,
        Answer(SERVFAIL),
    ));
    for class in [0, 2, 3, 4, 254, 255, 65_535] {
        let wire = builder("www.example.org.").class(class).to_wire();
        messages.push(message(format!("class {class}"), wire, Answer(REFUSED)));
    }
    messages
}

fn names() -> Vec<Message> {
    let label = |length: usize| [&[length as u8][..], &vec![b'a'; length]].concat();
    let mut messages: Vec<Message> = [
        ("a pointer to itself", vec![0xc0, 12]),
        ("a pointer to itself behind a label", vec![1, b'a', 0xc0, 12]),
        ("two pointers to each other", vec![0xc0, 14, 0xc0, 12]),
        ("a pointer forward", vec![0xc0, 20, 0, 0, 0, 0, 0, 0, 0]),
        ("a pointer into the header", vec![0xc0, 0]),
        ("a pointer beyond the end", vec![0xff, 0xff]),
        ("reserved kinds of label", vec![0x40, 0, 0x80, 0]),
        ("a label beyond the end", vec![63, b'a']),
        (
            "a name of more than 255 bytes",
            [label(63), label(63), label(63), label(63), vec![0]].concat(),
        ),
        ("a label of 64 bytes", [label(64), vec![0]].concat()),
    ]
    .into_iter()
    .map(|(case, name)| message(case, with_name(&name), Fault(FORMERR)))
    .collect();
    let whole = query();
    for length in 13..whole.len() - 4 {
        messages.push(message(
            format!("a question of {} bytes", length - 12),
            whole[..length].to_vec(),
            Fault(FORMERR),
        ));
    }
    for (case, surplus) in [
        ("one byte more", 1),
        ("400 bytes more", 400),
        ("60,000 bytes more", 60_000),
    ] {
        let mut wire = whole.clone();
        wire.resize(wire.len() + surplus, 0);
        messages.push(message(case, wire, Answer(NOERROR)));
    }
    messages.push(message(
        "a name that is not there",
        builder("other.example.org.").to_wire(),
        Answer(NXDOMAIN),
    ));
    messages.push(message(
        "a zone that is not here",
        builder("example.net.").to_wire(),
        Answer(REFUSED),
    ));
    messages.push(message(
        "questions of pointers",
        pointer_bomb(LONG, 10_000),
        Fault(FORMERR),
    ));
    messages.push(message(
        "one question before pointers",
        pointer_bomb(LONG, 1),
        Answer(REFUSED),
    ));
    messages
}

fn edns() -> Vec<Message> {
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let changed = |place: usize, value: u8| {
        let mut opt = opt;
        opt[place] = value;
        opt
    };
    let mut named = vec![1, b'a'];
    named.extend_from_slice(&opt);
    let with_options = |options: &[u8]| {
        let mut opt = opt.to_vec();
        opt[9..11].copy_from_slice(&(options.len() as u16).to_be_bytes());
        opt.extend_from_slice(options);
        with_opts(&opt, 1)
    };
    let mut zero_size = opt;
    zero_size[3..5].fill(0);
    vec![
        message("EDNS", with_opts(&opt, 1), Answer(NOERROR)),
        message("a size of 0", with_opts(&zero_size, 1), Answer(NOERROR)),
        message("all flags", with_opts(&changed(7, 0xff), 1), Answer(NOERROR)),
        message("two OPT records", with_opts(&opt, 2), Answer(NOERROR)),
        message("three OPT records", with_opts(&opt, 3), Fault(FORMERR)),
        message("version 1", with_opts(&changed(6, 1), 1), Answer(NOERROR)),
        message("version 255", with_opts(&changed(6, 255), 1), Answer(NOERROR)),
        message(
            "more options than there are",
            with_opts(&changed(10, 200), 1),
            Fault(FORMERR),
        ),
        message("half an option", with_options(&[0, 10, 0]), Fault(FORMERR)),
        message(
            "an option that is longer than all",
            with_options(&[0, 10, 0, 99]),
            Fault(FORMERR),
        ),
        message(
            "an unknown option",
            with_options(&[0xfd, 0xe9, 0, 2, 1, 2]),
            Answer(NOERROR),
        ),
        message("an empty cookie", with_options(&[0, 10, 0, 0]), Answer(NOERROR)),
        message("OPT cut in the middle", with_opts(&opt[..6], 1), Fault(FORMERR)),
        message(
            "OPT announced and none there",
            with_counts([1, 0, 0, 1], 0),
            Answer(NOERROR),
        ),
        message(
            "rubbish for a record",
            with_counts([1, 0, 0, 1], 12),
            Fault(FORMERR),
        ),
    ]
}

/// The query behind a message to which nothing is answered.
fn probe() -> Vec<u8> {
    builder("probe.example.org.").to_wire()
}

/// Fails unless the message has its outcome; gives the answer.
fn check(client: &Client, over: Over, sent: &Message) -> Option<Vec<u8>> {
    let place = || format!("{} over {}", sent.case, over.word());
    let reply = match (sent.outcome, over) {
        (Nothing, Over::Udp | Over::Tcp | Over::Tls) => {
            client.send_ahead(&sent.wire);
            let reply = client.send(&probe());
            let first = reply
                .message()
                .unwrap_or_else(|| panic!("{}: {reply:?}", place()));
            assert_eq!(
                first[3] & 0xf,
                NXDOMAIN,
                "{}: the probe is answered first",
                place()
            );
            return None;
        }
        _ => client.send(&sent.wire),
    };
    let wanted = match over {
        Over::Quic => Reply::QuicClosed(2),
        Over::Grpc => Reply::GrpcStatus(2),
        Over::Udp | Over::Tcp | Over::Tls => Reply::Silence,
        _ => Reply::HttpStatus(400),
    };
    let answers_all = matches!(over, Over::Udp | Over::Tcp | Over::Tls);
    match sent.outcome {
        Answer(rcode) | Fault(rcode) if answers_all || sent.outcome == Answer(rcode) => {
            let answer = reply
                .message()
                .unwrap_or_else(|| panic!("{}: {reply:?}", place()));
            assert_eq!(answer[3] & 0xf, rcode, "{}: {answer:02x?}", place());
            Some(answer.to_vec())
        }
        _ => {
            assert_eq!(reply, wanted, "{}", place());
            None
        }
    }
}

#[test]
fn every_odd_message_has_the_same_outcome_over_all_transports() {
    let mut registry = registry();
    registry = registry.with_before(RECORDS, "forward");
    let corefile = block(
        "example.org",
        "    records {\n        www.example.org. 60 IN A 192.0.2.1\n    }",
    );
    let server = TestServer::builder(registry, &corefile).encrypted().start();
    let messages: Vec<Message> = [headers(), names(), edns()].into_iter().flatten().collect();
    let mut seen: Vec<Option<Vec<u8>>> = vec![None; messages.len()];
    for over in Over::ALL {
        let mut kept = client(&server, over);
        for (sent, seen) in messages.iter().zip(&mut seen) {
            if sent.wire.len() > longest(over) {
                continue;
            }
            let answer = check(&kept, over, sent);
            if over == Over::Quic && !matches!(sent.outcome, Answer(_)) {
                // A protocol error ended the connection (RFC 9250, section 4.3.3).
                kept = client(&server, over);
            }
            let Some(answer) = answer else { continue };
            match seen {
                Some(first) => assert_eq!(*first, answer, "{} over {}", sent.case, over.word()),
                None => *seen = Some(answer),
            }
        }
    }
    println!("{} messages over {} ways", messages.len(), Over::ALL.len());
    assert_eq!(server.logs().lines_with("panic"), [""; 0]);
}

#[test]
fn an_id_over_quic_is_a_protocol_error_and_nowhere_else() {
    let server = in_process(&block("example.org", "    whoami")).start();
    for over in Over::ALL {
        let wire = builder("www.example.org.").id(7).to_wire();
        let reply = client(&server, over).send(&wire);
        match over {
            Over::Quic => assert_eq!(reply, Reply::QuicClosed(2)),
            _ => assert_eq!(reply.message().expect("an answer")[..2], [0, 7], "{over:?}"),
        }
    }
}

/// CVE-2026-86003 (GHSA-9gm5-9rfh-m6vx): an upstream that trusts this server's address must not be told to change its zone.
#[test]
fn update_never_reaches_an_upstream_from_any_transport() {
    let upstream = Upstream::start("example.org. 60 IN SOA ns.example.org. host.example.org. 1 2 3 4 5");
    let server = in_process(&block(".", &format!("    forward . {}", upstream.address()))).start();
    for over in Over::ALL {
        for opcode in 0..16 {
            let plain = builder("example.org.").opcode(opcode).to_wire();
            let mut surplus = plain.clone();
            surplus.extend_from_slice(&[0; 7]);
            // QUIC's connection ends with a protocol error.
            for wire in [plain, update(opcode), surplus] {
                let reply = client(&server, over).send(&wire);
                assert_ne!(reply, Reply::Silence, "opcode {opcode} over {over:?}");
                if opcode == QUERY || opcode == NOTIFY {
                    continue;
                }
                match over {
                    Over::Udp | Over::Tcp | Over::Tls => {
                        assert_eq!(reply.message().expect("an answer")[3] & 0xf, NOTIMP, "{over:?}");
                    }
                    Over::Quic => assert_eq!(reply, Reply::QuicClosed(2)),
                    Over::Grpc => assert_eq!(reply, Reply::GrpcStatus(2)),
                    _ => assert_eq!(reply, Reply::HttpStatus(400)),
                }
            }
        }
    }
    let opcodes: Vec<u8> = upstream
        .seen()
        .iter()
        .map(|seen| seen.wire()[2] >> 3 & 0xf)
        .collect();
    assert!(
        opcodes.iter().all(|opcode| [QUERY, NOTIFY].contains(opcode)),
        "{opcodes:?}"
    );
    assert!(opcodes.len() >= Over::ALL.len(), "{opcodes:?}");
}

/// CVE-2026-82399 (GHSA-mrg3-qvqr-jw29): counts are looked at before names are read, so that small messages do not become
/// large.
#[test]
fn a_thousand_questions_of_pointers_in_parallel_take_no_memory_over_any_transport() {
    const CONNECTIONS: usize = 20;
    /// Paths cost the client and an unoptimised server some time each.
    const fn each(over: Over) -> usize {
        if longest(over) < LONG { 10 } else { 50 }
    }
    /// A message on its way for each, twice: what was read, and what the transport holds.
    const MOST_KIB: u64 = (2 * CONNECTIONS * 50 * LONG / 1024) as u64;
    let _alone = alone();
    for over in Over::ALL.into_iter().filter(|over| *over != Over::Udp) {
        let bomb = pointer_bomb(LONG.min(longest(over)), 10_000);
        // A process for each, since the most that it ever took is what counts.
        let served = Served::new(&block(
            ".",
            "    timeouts {\n        read 10m\n        idle 10m\n    }\n    whoami",
        ));
        let fault = match over {
            Over::Quic => Reply::QuicClosed(2),
            Over::Grpc => Reply::GrpcStatus(2),
            _ => Reply::HttpStatus(400),
        };
        let connect = || -> Vec<Client> { (0..CONNECTIONS).map(|_| served.client(over)).collect() };
        let (mut clients, before, began) = (connect(), served.catena.rss_kib(), Instant::now());
        for _ in 0..2 {
            std::thread::scope(|scope| {
                for client in &clients {
                    scope.spawn(|| {
                        for reply in client.send_all(&vec![bomb.clone(); each(over)]) {
                            match (over, &reply) {
                                (Over::Tcp | Over::Tls, Reply::Message(answer)) => {
                                    assert_eq!((answer[3] & 0xf, answer.len()), (FORMERR, 12));
                                }
                                // The first fault ends the connection, under the others.
                                (Over::Quic, Reply::QuicClosed(2) | Reply::Closed) => {}
                                _ => assert_eq!(reply, fault, "{over:?}"),
                            }
                        }
                    });
                }
            });
            if over == Over::Quic {
                clients = connect();
            }
        }
        let grown = served.catena.peak_kib().saturating_sub(before);
        println!("{}: {grown} KiB more, {:?}", over.word(), began.elapsed());
        assert!(grown < MOST_KIB, "{over:?}: {grown} KiB");
        assert!(began.elapsed() < Duration::from_secs(300), "{over:?}");
        // It goes on.
        served.client(over).ask("www.example.org. A");
    }
}
