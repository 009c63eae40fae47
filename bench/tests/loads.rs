//! Each load against a server that is not ours to measure: answers count, wrong ones do not.

use std::time::{Duration, Instant};

use catena_bench::load::{Client, Handshakes, Idle, Kind, Stats, StreamLoad, doh, doh3, doq};
use catena_bench::query::{Expect, Queries};
use catena_bench::tls::{NAME, Trust};
use catena_core::message::Transport;
use catena_testkit::{Pki, Upstream};

const ZONE: &str = "a.example.org. 60 IN A 192.0.2.1\nb.example.org. 60 IN A 192.0.2.2\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// Certificates for the name that loads expect, and whom they trust.
fn trust() -> (Pki, Trust) {
    let pki = Pki::new("bench");
    let trust = Trust::from_file(&pki.ca().display().to_string()).expect("a load");
    (pki, trust)
}

fn upstream(pki: &Pki, transport: Transport) -> Upstream {
    Upstream::start_over(transport, ZONE, Some(pki.identity(&[NAME]).server(&[])))
}

/// Steps until so many answers came, good or wrong.
fn drive(client: &mut dyn Client, count: u64) -> Stats {
    let (mut total, began) = (Stats::default(), Instant::now());
    while total.answered + total.wrong < count {
        assert!(began.elapsed() < PATIENCE, "{} answers", total.answered);
        client.step().expect("a load");
        let stats = client.take_stats();
        total.answered += stats.answered;
        total.wrong += stats.wrong;
        total.lost += stats.lost;
        total.stray += stats.stray;
        total.resumed += stats.resumed;
    }
    total
}

/// One load with two connections and three queries in flight on each.
fn load<'q>(case: &str, upstream: &Upstream, trust: &Trust, queries: &'q Queries) -> Box<dyn Client + 'q> {
    let (server, expect, size) = (upstream.address(), Expect::ANSWER, (2, 3));
    match case {
        "dot" => Box::new(StreamLoad::tls(server, trust, queries, expect, 2, 3).expect("a load")),
        "doh" => Box::new(doh(server, trust, queries, expect, size, false).expect("a load")),
        "doh-get" => Box::new(doh(server, trust, queries, expect, size, true).expect("a load")),
        "doq" => Box::new(doq(server, trust, queries, expect, size).expect("a load")),
        "doh3" => Box::new(doh3(server, trust, queries, expect, size).expect("a load")),
        "handshakes" => Box::new(Handshakes::new(server, trust, queries, expect, 2, false).expect("a load")),
        _ => Box::new(Handshakes::new(server, trust, queries, expect, 2, true).expect("a load")),
    }
}

const LOADS: [(&str, Transport); 7] = [
    ("dot", Transport::Tls),
    ("doh", Transport::Https),
    ("doh-get", Transport::Https),
    ("doq", Transport::Quic),
    ("doh3", Transport::Https3),
    ("handshakes", Transport::Tls),
    ("resumption", Transport::Tls),
];

#[test]
fn each_load_has_its_queries_answered_over_its_own_transport() {
    let (pki, trust) = trust();
    let queries = Queries::new(["a.example.org", "b.example.org"], true);
    for (case, transport) in LOADS {
        let upstream = upstream(&pki, transport);
        let stats = drive(load(case, &upstream, &trust, &queries).as_mut(), 60);
        assert_eq!((stats.wrong, stats.stray), (0, 0), "{case}");
        assert_eq!(
            stats.resumed > 40,
            case == "resumption",
            "{case}: {}",
            stats.resumed
        );
        assert!(upstream.count_over(transport) >= 60, "{case}");
    }
}

#[test]
fn each_load_counts_answers_with_another_rcode_as_wrong() {
    let (pki, trust) = trust();
    let queries = Queries::new(["nothing.example.org"], true);
    for (case, transport) in LOADS {
        let upstream = upstream(&pki, transport);
        let stats = drive(load(case, &upstream, &trust, &queries).as_mut(), 20);
        assert_eq!(stats.answered, 0, "{case}");
    }
}

#[test]
fn a_load_does_not_take_a_certificate_for_another_name() {
    let (pki, mut trust) = trust();
    trust.name = "other.example.org".to_owned();
    let queries = Queries::new(["a.example.org"], true);
    let upstream = upstream(&pki, Transport::Tls);
    let made = StreamLoad::tls(upstream.address(), &trust, &queries, Expect::ANSWER, 1, 1);
    let error = made.err().expect("a load").to_string();
    assert!(error.contains("other.example.org"), "{error}");
}

#[test]
fn idle_connections_and_streams_are_counted_while_they_are_held_and_not_afterwards() {
    let (pki, trust) = trust();
    let queries = Queries::new(["a.example.org"], true);
    for (case, kind, transport, want) in [
        ("dot", Kind::Dot, Transport::Tls, (5, 0)),
        ("doh", Kind::Doh(0), Transport::Https, (5, 0)),
        ("streams", Kind::Doh(3), Transport::Https, (5, 15)),
    ] {
        let upstream = upstream(&pki, transport);
        let mut idle = Idle::open(kind, upstream.address(), &trust, &queries, 5).expect("a load");
        assert_eq!(idle.held(), want, "{case}");
        upstream.stop();
        let began = Instant::now();
        while idle.held() != (0, 0) {
            assert!(began.elapsed() < PATIENCE, "{case}: {:?}", idle.held());
        }
    }
}
