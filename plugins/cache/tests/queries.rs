//! What clients get from the cache, and when the plugins behind are asked.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::time::Duration;

use catena_core::message::{QueryBuilder, Rcode, fit};
use catena_core::plugin::{CachePurge, Outcome, PluginError};
use catena_plugin_cache::PLUGIN;
use catena_testkit::{RECORDS, TestServer};

use common::{A, AAAA, Bench, Source, a, address, code, shown};

/// The n-th query gets the address 192.0.2.N, from 1 on.
fn counting(ttl: u32) -> Source {
    Source::new(move |number, request| address(request, ttl, number as u8 + 1))
}

#[test]
fn an_answer_counts_down_and_is_fetched_again_at_its_end() {
    let bench = Bench::new("cache", counting(60));
    assert_eq!(bench.ask(0.0), (1, 60));
    assert_eq!(bench.ask(0.9), (1, 60));
    assert_eq!(bench.ask(1.1), (1, 59));
    assert_eq!(bench.ask(59.9), (1, 1));
    assert_eq!(bench.ask(60.1), (2, 60));
    assert_eq!(bench.source.count(), 2);
}

#[test]
fn the_first_client_too_gets_the_ttl_of_the_cache() {
    for (text, ttl, want) in [
        ("cache", 1, 5),
        ("cache", 100_000, 3600),
        ("cache 7", 60, 7),
        ("cache {\n success 1 20 10\n}", 1, 10),
        ("cache {\n success 1 20 10\n}", 30, 20),
        ("cache {\n success 1 20 0\n}", 0, 0),
    ] {
        let bench = Bench::new(text, counting(ttl));
        assert_eq!(bench.ask(0.0), (1, want), "{text} {ttl}");
    }
}

#[test]
fn a_hit_has_the_clients_id_letters_flags_and_opt_and_always_aa() {
    let bench = Bench::new("cache", counting(60));
    assert!(!bench.reply(&a(), 0.0).aa());
    let query = QueryBuilder::new("A.exAMple.org.", A)
        .unwrap()
        .id(0x1234)
        .recursion_desired(false)
        .edns(1400, false)
        .option(10, b"12345678")
        .option(8, &[0, 1, 24, 0, 192, 0, 2]);
    let response = bench.reply(&query, 1.0);
    assert!(response.aa() && response.ra() && !response.rd() && response.edns().is_none());
    let request = query.to_request().unwrap();
    assert_eq!((response.id(), response.question()), (0x1234, request.question()));
    let mut buffer = [0; 255];
    let record = response.records().next().unwrap();
    assert_eq!(record.owner_as_written(&mut buffer), b"\x01a\x07example\x03org\0");
    let wire = fit(response, &request);
    // The cookie comes back, the subnet does not.
    assert!(wire.ends_with(b"\x00\x0a\x00\x0812345678"));
    assert_eq!(bench.source.count(), 1);
}

#[test]
fn the_source_is_asked_with_ad_and_its_ad_goes_to_who_understands_it() {
    let source = Source::new(|_, request| {
        let mut said = address(request, 60, 1);
        if let Ok(Outcome::Reply(response)) = &mut said {
            response.set_ad(true);
        }
        said
    });
    let bench = Bench::new("cache", source);
    assert!(!bench.reply(&a(), 0.0).ad());
    assert!(bench.source.last().ad());
    assert!(!bench.reply(&a(), 1.0).ad());
    assert!(bench.reply(&a().authentic_data(true), 1.0).ad());
    assert_eq!(bench.source.count(), 1);
    assert!(bench.reply(&a().edns(1232, true), 1.0).ad());
    assert_eq!(bench.source.count(), 2);
}

#[test]
fn denials_and_failures_have_their_own_times() {
    for (case, text, rcode, ttl, kept) in [
        ("NXDOMAIN", "cache", Rcode::NXDOMAIN, 40, 40),
        ("NODATA", "cache", Rcode::NOERROR, 40, 40),
        ("a long denial", "cache", Rcode::NXDOMAIN, 10_000, 1800),
        (
            "denial with bounds",
            "cache {\n denial 1 30 20\n}",
            Rcode::NXDOMAIN,
            40,
            30,
        ),
        ("SERVFAIL", "cache", Rcode::SERVFAIL, 0, 5),
        ("NOTIMP", "cache", Rcode::NOTIMP, 0, 5),
        (
            "SERVFAIL for longer",
            "cache {\n servfail 20s\n}",
            Rcode::SERVFAIL,
            0,
            20,
        ),
        (
            "SERVFAIL not at all",
            "cache {\n servfail 0\n}",
            Rcode::SERVFAIL,
            0,
            0,
        ),
        ("REFUSED", "cache", Rcode::REFUSED, 0, 0),
        (
            "no denials",
            "cache {\n disable denial\n}",
            Rcode::NXDOMAIN,
            40,
            0,
        ),
        (
            "no denials elsewhere",
            "cache {\n disable denial example.net\n}",
            Rcode::NXDOMAIN,
            40,
            40,
        ),
        (
            "no denials here",
            "cache {\n disable denial example.org\n}",
            Rcode::NXDOMAIN,
            40,
            0,
        ),
    ] {
        let bench = Bench::new(text, Source::new(move |_, request| code(request, rcode, ttl)));
        for at in [0.0, f64::from(kept) - 0.1, f64::from(kept) + 0.1] {
            assert_eq!(bench.reply(&a(), at.max(0.0)).rcode(), rcode, "case {case}");
        }
        assert_eq!(bench.source.count(), if kept == 0 { 3 } else { 2 }, "case {case}");
    }
}

#[test]
fn success_can_be_switched_off() {
    let bench = Bench::new("cache {\n disable success example.org\n}", counting(60));
    assert_eq!((bench.ask(0.0).0, bench.ask(0.0).0), (1, 2));
}

#[test]
fn keepttl_shows_the_ttl_as_it_was() {
    let bench = Bench::new("cache {\n keepttl\n}", counting(60));
    assert_eq!(bench.ask(0.0), (1, 60));
    assert_eq!(bench.ask(59.9), (1, 60));
    assert_eq!(bench.ask(60.1), (2, 60));
}

#[test]
fn other_zones_transfers_and_notifications_pass_by() {
    for (case, text, query) in [
        ("zone", "cache example.net", a()),
        (
            "AXFR",
            "cache",
            QueryBuilder::new("example.org.", 252_u16).unwrap(),
        ),
        (
            "IXFR",
            "cache",
            QueryBuilder::new("example.org.", 251_u16).unwrap(),
        ),
        ("NOTIFY", "cache", a().opcode(4)),
    ] {
        let bench = Bench::new(text, counting(1));
        for number in 1..=2 {
            // The TTL is untouched, too.
            assert_eq!(shown(&bench.reply(&query, 0.0)), (number, 1), "case {case}");
        }
    }
}

#[test]
fn what_is_no_reply_is_not_kept() {
    let bench = Bench::new(
        "cache",
        Source::new(|number, _| match number {
            0 => Ok(Outcome::Status(Rcode::SERVFAIL)),
            1 => Err(PluginError::bare("source", "i/o timeout")),
            _ => Ok(Outcome::Drop),
        }),
    );
    assert!(matches!(
        bench.outcome(&a(), Duration::ZERO),
        Ok(Outcome::Status(Rcode::SERVFAIL))
    ));
    assert_eq!(
        bench.outcome(&a(), Duration::ZERO).unwrap_err().to_string(),
        "i/o timeout"
    );
    assert!(matches!(bench.outcome(&a(), Duration::ZERO), Ok(Outcome::Drop)));
}

#[test]
fn a_popular_answer_is_fetched_before_it_expires() {
    let bench = Bench::new("cache {\n prefetch 3 10s 20%\n}", counting(60));
    for (at, want, fetched) in [
        (0.0, (1, 60), 1),
        (40.0, (1, 20), 1),
        (47.0, (1, 13), 1),
        (47.5, (1, 13), 1),
        // 12 of 60 seconds are 20 %.
        (48.5, (1, 12), 2),
        (49.0, (2, 60), 2),
    ] {
        assert_eq!(bench.ask(at), want, "at {at}");
        bench.settle();
        assert_eq!(bench.source.count(), fetched, "at {at}");
    }
    assert_eq!(bench.metric("coredns_cache_prefetch_total", &[]), 1.0);
    assert!(!bench.source.last().transport.is_size_limited());
    // The new answer is as popular as the old one was.
    assert_eq!(bench.ask(58.0), (2, 51));
    assert_eq!(bench.ask(67.0), (2, 42));
    assert_eq!(bench.ask(76.0), (2, 33));
}

#[test]
fn an_unpopular_answer_is_not_fetched_before_it_expires() {
    let bench = Bench::new("cache {\n prefetch 2 10s 90%\n}", counting(60));
    for at in [0.0, 10.0, 21.0, 32.0, 43.0, 54.0] {
        bench.ask(at);
        bench.settle();
    }
    assert_eq!(bench.source.count(), 1);
}

#[test]
fn another_plugin_can_purge_names_zones_and_everything() {
    type Purge = fn(&dyn CachePurge);
    let cases: [(&str, Purge, bool); 4] = [
        (
            "the name",
            |cache| cache.purge_name(&"a.example.org.".parse().unwrap()),
            true,
        ),
        (
            "another name",
            |cache| cache.purge_name(&"b.example.org.".parse().unwrap()),
            false,
        ),
        (
            "the zone",
            |cache| cache.purge_zone(&"example.org.".parse().unwrap()),
            true,
        ),
        ("everything", |cache| cache.purge_all(), true),
    ];
    for (case, purge, gone) in cases {
        let bench = Bench::new("cache", counting(60));
        bench.ask(0.0);
        let services = bench.handler.services();
        purge(&**services.first::<dyn CachePurge>().expect("the service"));
        assert_eq!(bench.ask(0.0).0, if gone { 2 } else { 1 }, "case {case}");
    }
}

#[test]
fn the_counters_are_those_of_coredns() {
    let source = Source::new(|_, request| match request.qtype_code() {
        A => address(request, 300, 1),
        _ => code(request, Rcode::NOERROR, 300),
    });
    let bench = Bench::new("cache", source);
    for _ in 0..4 {
        bench.ask(0.0);
    }
    for _ in 0..3 {
        bench.reply(&QueryBuilder::new("a.example.org.", AAAA).unwrap(), 0.0);
    }
    let (success, denial) = ([("type", "success")], [("type", "denial")]);
    for (name, labels, want) in [
        ("coredns_cache_entries", &success[..], 1.0),
        ("coredns_cache_entries", &denial[..], 1.0),
        ("coredns_cache_hits_total", &success[..], 3.0),
        ("coredns_cache_hits_total", &denial[..], 2.0),
        ("coredns_cache_misses_total", &[], 2.0),
        ("coredns_cache_requests_total", &[], 7.0),
    ] {
        assert_eq!(bench.metric(name, labels), want, "{name} {labels:?}");
    }
    let text = bench.handler.metrics().text().to_owned();
    // Nothing is shown that did not happen.
    for name in ["drops", "prefetch", "served_stale", "evictions"] {
        assert!(!text.contains(&format!("coredns_cache_{name}_total{{")), "{text}");
    }
}

/// A server whose block holds `more`; gives how many queries missed the cache, after a reload to `then`.
fn misses_after_reload(first: &str, then: &str) -> f64 {
    let corefile = |text: &str| text.replace("RECORDS", "records {\n a.example.org. 60 IN A 192.0.2.1\n }");
    let server = TestServer::start([PLUGIN, RECORDS], &corefile(first));
    server.ask("a.example.org. A");
    server.reload(&corefile(then)).expect("a reload");
    server.ask("a.example.org. A");
    let text = server.metrics().text().to_owned();
    // The cache before the reload and the one after it have one row.
    let rows = text
        .lines()
        .filter(|line| line.starts_with("coredns_cache_entries{"));
    assert_eq!(rows.count(), 2, "{text}");
    let line = text
        .lines()
        .find(|line| line.starts_with("coredns_cache_misses_total{"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .expect("the counter")
}

#[test]
fn answers_stay_over_a_reload_while_the_block_is_the_same() {
    let text = ".:@PORT@ {\n cache\n RECORDS\n}";
    let elsewhere =
        "# moved\n\n.:@PORT@ {\n cache\n RECORDS # the same\n}\nexample.net:@PORT@ {\n RECORDS\n}";
    let snippet = "(all) {\n cache\n}\n.:@PORT@ {\n import all\n RECORDS\n}";
    let other_snippet = "(all) {\n cache 30\n}\n.:@PORT@ {\n import all\n RECORDS\n}";
    for (case, first, then, misses) in [
        ("moved", text, elsewhere, 1.0),
        ("an import of the same", text, snippet, 1.0),
        ("a changed import", snippet, other_snippet, 2.0),
        ("another option", text, ".:@PORT@ {\n cache 60\n RECORDS\n}", 2.0),
    ] {
        assert_eq!(misses_after_reload(first, then), misses, "case {case}");
    }
}
