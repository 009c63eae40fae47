//! What the cache holds off.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use catena_core::message::{QueryBuilder, Rcode, Request, Transport};
use catena_core::plugin::{CachePurge, Outcome, PluginError};
use catena_plugin_cache::PLUGIN;
use catena_testkit::{RECORDS, TestServer};
use tokio::task::JoinSet;

use common::{A, AAAA, Bench, Said, Source, a, address, shown};

/// Asks with all requests at once, lets the source go when all wait, and gives what came of each.
fn at_once(bench: &Bench, requests: Vec<Request>) -> Vec<Said> {
    let (chain, source) = (bench.chain(), bench.source.clone());
    source.hold();
    bench.handler.block_on(async move {
        let mut asking = JoinSet::new();
        for mut request in requests {
            let chain = Arc::clone(&chain);
            asking.spawn(async move { chain.start().run(&mut request).await });
        }
        // The clock stands still, so it moves on only when all wait.
        tokio::time::sleep(Duration::from_millis(1)).await;
        source.release();
        asking.join_all().await
    })
}

fn clients(bench: &Bench, count: usize, transport: Transport) -> Vec<Request> {
    let client = |number: usize| {
        let query = a().id(number as u16);
        bench.query(&query, transport, (number % 250) as u8, Duration::ZERO)
    };
    (0..count).map(client).collect()
}

/// CVE-2023-30464: many equal upstream queries make one answer easy to guess.
#[test]
fn birthday_a_thousand_equal_questions_are_one_upstream_query() {
    let bench = Bench::new(
        "cache",
        Source::new(|number, request| address(request, 60, number as u8 + 1)),
    );
    let requests = clients(&bench, 1000, Transport::Udp);
    for said in at_once(&bench, requests) {
        let Ok(Outcome::Reply(response)) = said else {
            panic!("expected a reply, got {said:?}");
        };
        assert_eq!(shown(&response), (1, 60));
    }
    assert_eq!(bench.source.count(), 1);
    assert_eq!(bench.metric("catena_cache_coalesced_total", &[]), 999.0);
}

/// The plugin `loop` has to see its probe come back, so queries of its type may go on a few times, and no more.
#[test]
fn birthday_holds_for_the_type_of_the_loop_probe() {
    let bench = Bench::new(
        "cache",
        Source::new(|_, request| Ok(request.reply().finish().into())),
    );
    let query = QueryBuilder::new("a.example.org.", 13_u16).unwrap();
    let request = |number: u8| bench.query(&query, Transport::Udp, number % 250, Duration::ZERO);
    let said = at_once(&bench, (0..200).map(request).collect());
    assert!(said.iter().all(|said| matches!(said, Ok(Outcome::Reply(_)))));
    assert_eq!(bench.source.count(), 4);
}

#[test]
fn birthday_holds_for_prefetches() {
    let bench = Bench::new(
        "cache {\n prefetch 1 1m 20%\n}",
        Source::new(|number, request| address(request, 60, number as u8 + 1)),
    );
    bench.ask(0.0);
    let query = |_| bench.query(&a(), Transport::Udp, 1, Duration::from_secs(55));
    for said in at_once(&bench, (0..500).map(query).collect()) {
        let Ok(Outcome::Reply(response)) = said else {
            panic!("expected a reply, got {said:?}");
        };
        assert_eq!(shown(&response), (1, 5));
    }
    bench.settle();
    assert_eq!(bench.source.count(), 2);
    assert_eq!(bench.metric("coredns_cache_prefetch_total", &[]), 1.0);
}

#[test]
fn birthday_holds_for_what_cannot_be_kept_and_for_errors() {
    type Say = fn(&mut Request) -> Said;
    let says: [(&str, Say); 3] = [
        ("refused", |request| {
            Ok(request.reply().rcode(Rcode::REFUSED).finish().into())
        }),
        ("an error", |_| {
            Err(PluginError::bare("source", "i/o timeout").with_extended(22, "gone"))
        }),
        ("a code alone", |_| Ok(Outcome::Status(Rcode::SERVFAIL))),
    ];
    for (case, say) in says {
        let bench = Bench::new("cache", Source::new(move |_, request| say(request)));
        let requests = clients(&bench, 100, Transport::Udp);
        let said: Vec<String> = at_once(&bench, requests)
            .into_iter()
            .map(|said| match said {
                Ok(outcome) => outcome.rcode().expect("a code").to_string(),
                Err(error) => format!("{error} {:?}", error.extended()),
            })
            .collect();
        assert!(said.iter().all(|one| *one == said[0]), "case {case}: {said:?}");
        assert_eq!(bench.source.count(), 1, "case {case}");
    }
}

#[test]
fn birthday_holds_for_refreshes_of_expired_answers() {
    for mode in ["immediate", "verify", "verify 5s"] {
        let bench = Bench::new(
            &format!("cache {{\n serve_stale 1h {mode}\n}}"),
            Source::new(|number, request| address(request, 60, number as u8 + 1)),
        );
        bench.ask(0.0);
        let query = |_| bench.query(&a(), Transport::Udp, 1, Duration::from_secs(61));
        let requests = (0..500).map(query).collect();
        let want = if mode == "immediate" { (1, 0) } else { (2, 60) };
        for said in at_once(&bench, requests) {
            let Ok(Outcome::Reply(response)) = said else {
                panic!("expected a reply, got {said:?}");
            };
            assert_eq!(shown(&response), want, "{mode}");
        }
        bench.settle();
        assert_eq!(bench.source.count(), 2, "{mode}");
    }
}

#[test]
fn a_truncated_answer_is_not_for_those_who_ask_over_a_stream() {
    let source = Source::new(|_, request| {
        let truncated = request.transport() == Transport::Udp;
        let mut said = address(request, 60, 1);
        if let Ok(Outcome::Reply(response)) = &mut said {
            response.set_tc(truncated);
        }
        said
    });
    let bench = Bench::new("cache", source);
    let mut requests = clients(&bench, 50, Transport::Udp);
    requests.extend(clients(&bench, 50, Transport::Tcp));
    for (number, said) in at_once(&bench, requests).into_iter().enumerate() {
        let Ok(Outcome::Reply(response)) = said else {
            panic!("expected a reply, got {said:?}");
        };
        assert_eq!(response.answer_count(), 1, "client {number}");
    }
    assert_eq!(bench.source.count(), 2, "one over each transport");
}

/// CVE-2024-33655: answers that wait for one release are a pulse, which must have a bound.
#[test]
fn pulse_the_clients_that_wait_for_one_answer_are_bounded() {
    let bench = Bench::new("cache", Source::new(|_, request| address(request, 60, 1)));
    let query = |_| bench.query(&a(), Transport::Udp, 7, Duration::ZERO);
    let requests = (0..3000).map(query).collect();
    let said = at_once(&bench, requests);
    let dropped = said
        .iter()
        .filter(|said| matches!(said, Ok(Outcome::Drop)))
        .count();
    assert_eq!(dropped, 3000 - 2048 - 1);
    assert_eq!(bench.source.count(), 1);
    assert_eq!(
        bench.metric("catena_cache_waiting_refused_total", &[]),
        dropped as f64
    );
    // Over a stream the address is no lie, and the client learns what happened.
    let query = |_| {
        bench.query(
            &QueryBuilder::new("b.", A).unwrap(),
            Transport::Tcp,
            7,
            Duration::ZERO,
        )
    };
    let said = at_once(&bench, (0..2100).map(query).collect());
    let refused = said.iter().filter(|said| said.is_err()).count();
    assert_eq!(refused, 2100 - 2048 - 1);
}

/// The client whose query went on may go: its connection closes, or `cancel` ends it.
#[test]
fn who_gives_up_does_not_take_the_others_with_him() {
    let bench = Bench::new("cache", Source::new(|_, request| address(request, 60, 1)));
    let (chain, source) = (bench.chain(), bench.source.clone());
    let requests = clients(&bench, 20, Transport::Udp);
    source.hold();
    let said = bench.handler.block_on(async move {
        let mut asking: Vec<_> = requests
            .into_iter()
            .map(|mut request| {
                let chain = Arc::clone(&chain);
                tokio::spawn(async move { chain.start().run(&mut request).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(source.count(), 1);
        asking.remove(0).abort();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(source.count(), 2, "another one asks");
        source.release();
        let mut said = Vec::new();
        for asking in asking {
            said.push(asking.await.expect("no panic"));
        }
        said
    });
    assert_eq!(
        said.iter()
            .filter(|said| matches!(said, Ok(Outcome::Reply(_))))
            .count(),
        19
    );
    assert_eq!(bench.source.count(), 2);
}

/// CVE-2024-0874: an answer that was not to be validated must not reach those who want validated ones.
#[test]
fn cd_do_class_and_type_never_mix() {
    let bench = Bench::new(
        "cache",
        Source::new(|number, request| address(request, 60, number as u8 + 1)),
    );
    let queries = [
        a(),
        a().checking_disabled(true),
        a().edns(1232, true),
        a().edns(1232, true).checking_disabled(true),
        a().class(3),
        QueryBuilder::new("a.example.org.", AAAA).unwrap(),
        // Types whose numbers are letters that differ in case alone.
        QueryBuilder::new("a.example.org.", 65_u16).unwrap(),
        QueryBuilder::new("a.example.org.", 97_u16).unwrap(),
    ];
    for _ in 0..2 {
        for (number, query) in queries.iter().enumerate() {
            let mut request = bench.query(query, Transport::Udp, 1, Duration::ZERO);
            let chain = bench.chain();
            let said = bench
                .handler
                .block_on(async { chain.start().run(&mut request).await });
            let Ok(Outcome::Reply(response)) = said else {
                panic!("expected a reply, got {said:?}");
            };
            assert_eq!(shown(&response).0, number as u8 + 1);
        }
    }
}

/// An answer to another question is given to nobody but who asked, and counted.
#[test]
fn poisoning_mismatched_answers_are_not_kept() {
    for (case, name, qtype) in [
        ("another name", "victim.example.org.", A),
        ("another type", "a.example.org.", AAAA),
    ] {
        let source = Source::new(move |_, _| {
            let mut other = QueryBuilder::new(name, qtype).unwrap().to_request().unwrap();
            address(&mut other, 60, 66)
        });
        let bench = Bench::new("cache", source);
        bench.reply(&a(), 0.0);
        assert_eq!(bench.metric("coredns_cache_drops_total", &[]), 1.0, "case {case}");
        bench.source.says(|_, request| address(request, 60, 1));
        assert_eq!(bench.ask(0.0).0, 1, "case {case}");
        let victim = QueryBuilder::new(name, qtype).unwrap();
        assert_eq!(shown(&bench.reply(&victim, 0.0)).0, 1, "case {case}");
    }
}

/// What was asked before a change must not be kept after it.
#[test]
fn a_purge_holds_for_answers_that_are_on_their_way() {
    let bench = Bench::new(
        "cache",
        Source::new(|number, request| address(request, 60, number as u8 + 1)),
    );
    let (chain, source) = (bench.chain(), bench.source.clone());
    let services = Arc::clone(bench.handler.services());
    let mut request = bench.query(&a(), Transport::Udp, 1, Duration::ZERO);
    source.hold();
    bench.handler.block_on(async move {
        let asking = tokio::spawn(async move { chain.start().run(&mut request).await.map(|_| ()) });
        tokio::time::sleep(Duration::from_millis(1)).await;
        let cache = services.first::<dyn CachePurge>().expect("the service");
        cache.purge_name(&"a.example.org.".parse().unwrap());
        source.release();
        asking.await.expect("no panic").expect("an answer");
    });
    assert_eq!(bench.ask(0.0).0, 2);
}

/// Who asks after a change must not get what was said before it, even while that is on its way.
#[test]
fn a_purge_holds_for_clients_who_would_wait_for_an_answer_that_was_asked_for_before_it() {
    type Purge = fn(&dyn CachePurge);
    let purges: [(&str, Purge); 3] = [
        ("the name", |cache| {
            cache.purge_name(&"A.example.org.".parse().unwrap());
        }),
        ("the zone", |cache| {
            cache.purge_zone(&"example.org.".parse().unwrap());
        }),
        ("everything", CachePurge::purge_all),
    ];
    for (case, purge) in purges {
        let bench = Bench::new(
            "cache",
            Source::new(|number, request| address(request, 60, number as u8 + 1)),
        );
        let (chain, source) = (bench.chain(), bench.source.clone());
        let services = Arc::clone(bench.handler.services());
        let requests = clients(&bench, 6, Transport::Udp);
        source.hold();
        let said = bench.handler.block_on(async move {
            let mut asking = Vec::new();
            for (number, mut request) in requests.into_iter().enumerate() {
                if number == 3 {
                    purge(&**services.first::<dyn CachePurge>().expect("the service"));
                }
                let chain = Arc::clone(&chain);
                asking.push(tokio::spawn(async move { chain.start().run(&mut request).await }));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(source.count(), 2, "{case}: one before and one after the purge");
            source.release();
            let mut said = Vec::new();
            for asking in asking {
                said.push(asking.await.expect("no panic"));
            }
            said
        });
        let shown: Vec<u8> = said
            .iter()
            .map(|said| match said {
                Ok(Outcome::Reply(response)) => shown(response).0,
                other => panic!("{case}: expected a reply, got {other:?}"),
            })
            .collect();
        assert_eq!(shown[3..], [2, 2, 2], "{case}");
        assert!(
            shown[..3].iter().all(|last| *last == shown[0]),
            "{case}: {shown:?}"
        );
        assert_eq!(bench.ask(0.0).0, 2, "{case}");
    }
}

/// Fetches behind the clients' backs are bounded too: an upstream that hangs must not make them pile up.
#[test]
fn refreshes_of_many_expired_answers_are_bounded() {
    let bench = Bench::new(
        "cache {\n success 20000\n serve_stale\n}",
        Source::new(|_, request| address(request, 60, 1)),
    );
    let query = |number: usize, at: u64| {
        let query = QueryBuilder::new(&format!("n{number}.example.org."), A).unwrap();
        bench.query(&query, Transport::Udp, 1, Duration::from_secs(at))
    };
    let names = 9000;
    let _ = at_once(&bench, (0..names).map(|number| query(number, 0)).collect());
    assert_eq!(bench.source.count(), names);
    let said = at_once(&bench, (0..names).map(|number| query(number, 61)).collect());
    assert!(said.iter().all(|said| matches!(said, Ok(Outcome::Reply(_)))));
    bench.settle();
    let refused = bench.metric("catena_cache_refreshes_refused_total", &[]);
    assert_eq!(bench.source.count(), names + 8192);
    assert_eq!(refused, (names - 8192) as f64);
}

/// CVE-2021-25220 and its like: blocks with other sources must not answer for each other.
#[test]
fn overlapping_zones_have_caches_of_their_own() {
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        ".:@PORT@ {
            cache
            records {
                www.example.org. 60 IN A 192.0.2.1
                www.example.net. 60 IN A 192.0.2.1
            }
        }
        example.org:@PORT@ {
            cache
            records {
                www.example.org. 60 IN A 192.0.2.2
            }
        }
        .:@P1@ {
            cache
            records {
                www.example.net. 60 IN A 192.0.2.3
            }
        }",
    );
    for _ in 0..2 {
        server
            .ask("www.example.org. A")
            .assert_answer(["www.example.org. A 192.0.2.2"]);
        server
            .ask("www.example.net. A")
            .assert_answer(["www.example.net. A 192.0.2.1"]);
        let other = server.ask_on(server.port_of(1), "www.example.net. A");
        other.assert_answer(["www.example.net. A 192.0.2.3"]);
    }
}
