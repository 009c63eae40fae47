//! Expired answers.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::time::Duration;

use catena_core::message::{Rcode, Transport};
use catena_core::plugin::PluginError;

use common::{Bench, Source, a, address, code};

/// The n-th query gets the address 192.0.2.N, from 1 on.
fn counting() -> Source {
    Source::new(|number, request| address(request, 60, number as u8 + 1))
}

fn dead(source: &Source) {
    source.says(|_, _| Err(PluginError::bare("source", "gone")));
}

#[test]
fn immediate_serves_the_expired_answer_and_refreshes_behind() {
    let bench = Bench::new("cache {\n serve_stale\n}", counting());
    bench.ask(0.0);
    assert_eq!(bench.ask(60.5), (1, 0));
    assert_eq!(bench.ask(60.6), (1, 0));
    bench.settle();
    assert_eq!(bench.source.count(), 2);
    assert!(!bench.source.last().transport.is_size_limited() && bench.source.last().ad());
    assert_eq!(bench.ask(61.0), (2, 60));
    assert_eq!(bench.metric("coredns_cache_served_stale_total", &[]), 2.0);
    assert_eq!(bench.metric("coredns_cache_prefetch_total", &[]), 1.0);
}

#[test]
fn the_window_ends_and_nought_is_off() {
    for (text, at, want) in [
        ("serve_stale 10s", 69.5, (1, 0)),
        ("serve_stale 10s", 70.5, (2, 60)),
        ("serve_stale 0s", 60.5, (2, 60)),
    ] {
        let bench = Bench::new(&format!("cache {{\n {text}\n}}"), counting());
        bench.ask(0.0);
        assert_eq!(bench.ask(at), want, "{text} at {at}");
    }
}

#[test]
fn the_ttl_of_expired_answers() {
    for (options, want) in [
        ("serve_stale 1h immediate 30s", 30),
        ("serve_stale 1h verify 0 7s", 7),
        ("serve_stale\n keepttl", 60),
        ("serve_stale 1h immediate 30s\n keepttl", 30),
    ] {
        let bench = Bench::new(&format!("cache {{\n {options}\n}}"), counting());
        bench.ask(0.0);
        dead(&bench.source);
        assert_eq!(bench.ask(60.5), (1, want), "{options}");
    }
}

#[test]
fn verify_asks_first_and_serves_the_expired_answer_if_nothing_better_comes() {
    for (case, rcode, want) in [
        ("a failure", Some(Rcode::SERVFAIL), Rcode::NOERROR),
        ("refused", Some(Rcode::REFUSED), Rcode::NOERROR),
        ("gone", None, Rcode::NOERROR),
        ("no such name", Some(Rcode::NXDOMAIN), Rcode::NXDOMAIN),
        ("no such type", Some(Rcode::NOERROR), Rcode::NOERROR),
    ] {
        let bench = Bench::new("cache {\n serve_stale 1h verify\n}", counting());
        bench.ask(0.0);
        match rcode {
            Some(rcode) => bench.source.says(move |_, request| code(request, rcode, 60)),
            None => dead(&bench.source),
        }
        let response = bench.reply(&a(), 60.5);
        assert_eq!(response.rcode(), want, "case {case}");
        let is_stale = response.answer_count() == 1;
        assert_eq!(
            is_stale,
            !matches!(rcode, Some(Rcode::NXDOMAIN | Rcode::NOERROR)),
            "case {case}"
        );
        // What is served afterwards is what was served now, and a failure is not kept.
        let again = bench.reply(&a(), 61.0);
        assert_eq!(
            (again.rcode(), again.answer_count()),
            (want, response.answer_count()),
            "case {case}"
        );
    }
}

#[test]
fn verify_takes_the_fresh_answer_as_it_comes() {
    let bench = Bench::new("cache {\n serve_stale 1h verify\n}", counting());
    bench.ask(0.0);
    let response = bench.reply(&a(), 60.5);
    assert_eq!(common::shown(&response), (2, 60));
    assert!(!response.aa());
    assert_eq!(bench.source.last().transport, Transport::Udp);
    assert_eq!(bench.metric("coredns_cache_served_stale_total", &[]), 0.0);
}

#[test]
fn verify_with_a_timeout_does_not_wait_longer_and_keeps_what_comes_late() {
    let bench = Bench::new("cache {\n serve_stale 1h verify 150ms 25s\n}", counting());
    bench.ask(0.0);
    bench.source.takes(Duration::from_millis(600));
    assert_eq!(bench.ask(60.5), (1, 25));
    bench.settle();
    assert_eq!(bench.ask(62.0), (2, 60));
    assert_eq!(bench.source.count(), 2);
    // In time it wins.
    bench.source.takes(Duration::from_millis(100));
    let response = bench.reply(&a(), 130.0);
    assert_eq!(common::shown(&response), (3, 60));
    assert!(response.aa());
}

#[test]
fn a_failed_refresh_is_not_repeated_before_its_time() {
    for mode in ["immediate 1s 30s", "verify 0 1s 30s", "verify 100ms 1s 30s"] {
        let bench = Bench::new(&format!("cache {{\n serve_stale 1h {mode}\n}}"), counting());
        bench.ask(0.0);
        dead(&bench.source);
        for (at, asked) in [(61.0, 2), (62.0, 2), (90.0, 2), (92.0, 3), (93.0, 3)] {
            assert_eq!(bench.ask(at), (1, 1), "{mode} at {at}");
            bench.settle();
            assert_eq!(bench.source.count(), asked, "{mode} at {at}");
        }
    }
}

#[test]
fn without_recheck_each_query_tries_again() {
    let bench = Bench::new("cache {\n serve_stale\n}", counting());
    bench.ask(0.0);
    dead(&bench.source);
    for (at, asked) in [(61.0, 2), (61.1, 3), (61.2, 4)] {
        assert_eq!(bench.ask(at), (1, 0));
        bench.settle();
        assert_eq!(bench.source.count(), asked);
    }
}

#[test]
fn prefer_positive_keeps_an_answer_in_front_of_denials() {
    for mode in ["immediate", "verify", "verify 100ms"] {
        let text = format!("cache {{\n serve_stale 1h {mode}\n serve_stale_policy prefer_positive\n}}");
        let bench = Bench::new(&text, counting());
        bench.ask(0.0);
        bench.source.says(|_, request| code(request, Rcode::NXDOMAIN, 60));
        for at in [61.0, 62.0, 150.0] {
            assert_eq!(bench.ask(at), (1, 0), "{mode} at {at}");
            bench.settle();
        }
        bench.source.says(|_, request| address(request, 60, 77));
        let _ = bench.ask(160.0);
        bench.settle();
        assert_eq!(bench.ask(161.0).0, 77, "{mode}");
    }
}

#[test]
fn prefer_positive_outlives_answers_that_answer_nothing() {
    let bench = Bench::new(
        "cache {\n serve_stale\n serve_stale_policy prefer_positive\n}",
        counting(),
    );
    bench.ask(0.0);
    // NOERROR without any record: CoreDNS keeps it as a success.
    bench
        .source
        .says(|_, request| Ok(request.reply().finish().into()));
    for at in [61.0, 62.0, 80.0, 81.0] {
        assert_eq!(bench.ask(at), (1, 0), "at {at}");
        bench.settle();
    }
    assert!(bench.source.count() > 2);
}

#[test]
fn a_verified_answer_takes_the_place_of_an_expired_denial() {
    for mode in ["immediate", "verify", "verify 5s"] {
        let bench = Bench::new(
            &format!("cache {{\n serve_stale 1h {mode}\n}}"),
            Source::new(|_, request| code(request, Rcode::NXDOMAIN, 60)),
        );
        bench.reply(&a(), 0.0);
        bench.source.says(|_, request| address(request, 60, 7));
        bench.reply(&a(), 61.0);
        bench.settle();
        // From here on it is kept, and nobody is asked.
        for at in [62.0, 63.0, 100.0] {
            assert_eq!(bench.ask(at).0, 7, "{mode} at {at}");
        }
        assert_eq!(bench.source.count(), 2, "{mode}");
    }
}

#[test]
fn denials_go_stale_too() {
    let bench = Bench::new(
        "cache {\n serve_stale\n}",
        Source::new(|_, request| code(request, Rcode::NXDOMAIN, 60)),
    );
    bench.reply(&a(), 0.0);
    dead(&bench.source);
    let response = bench.reply(&a(), 61.0);
    assert_eq!((response.rcode(), response.min_ttl()), (Rcode::NXDOMAIN, Some(0)));
}
