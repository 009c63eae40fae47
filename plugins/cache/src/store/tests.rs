use super::*;

use catena_core::corefile::testing::parse_directives;
use catena_core::message::{CLASS_IN, Owner, QueryBuilder};
use catena_core::plugin::BlockInfo;
use std::path::PathBuf;

const A: u16 = 1;

fn config(text: &str) -> Config {
    let block = BlockInfo {
        index: 0,
        keys: Vec::new(),
        zones: vec![Zone::root()],
        folder: PathBuf::new(),
        directives: Vec::new(),
    };
    crate::config::parse(&parse_directives(text).unwrap(), &block).unwrap()
}

fn query(name: &str) -> Request {
    QueryBuilder::new(name, A).unwrap().to_request().unwrap()
}

fn entry(request: &mut Request, kind: Kind, rcode: Rcode, addresses: u8) -> Arc<Entry> {
    let mut reply = request.reply();
    reply.rcode(rcode);
    for last in 0..addresses {
        reply.answer(Owner::Question, A, CLASS_IN, 60, &[192, 0, 2, last]);
    }
    Arc::new(Entry::new(&reply.finish(), 0, 60, kind, addresses > 0))
}

fn put(store: &Store, name: &str, kind: Kind, rcode: Rcode, addresses: u8) {
    let mut request = query(name);
    let key = store.key(&request);
    let entry = entry(&mut request, kind, rcode, addresses);
    let entry = Arc::new(Arc::into_inner(entry).unwrap().asked_with(0, store.purges()));
    store.put(key, request.qname(), &entry, false).unwrap();
}

fn find(store: &Store, config: &Config, name: &str, now: Millis) -> Option<Found> {
    let request = query(name);
    store.find(store.key(&request), &request, config, now)
}

#[test]
fn do_cd_type_and_class_never_mix_and_letters_do() {
    let store = Store::new(&config("cache"));
    let base = || QueryBuilder::new("a.example.org.", A).unwrap();
    let key = |query: QueryBuilder| store.key(&query.to_request().unwrap()).0;
    let same = key(base());
    for (case, query, equal) in [
        ("letters", QueryBuilder::new("A.Example.ORG.", A).unwrap(), true),
        ("id", base().id(9), true),
        ("RD", base().recursion_desired(false), true),
        ("AD", base().authentic_data(true), true),
        ("EDNS", base().edns(4096, false), true),
        ("options", base().option(8, &[0, 1, 0, 0]), true),
        ("DO", base().edns(4096, true), false),
        ("CD", base().checking_disabled(true), false),
        (
            "DO and CD",
            base().edns(4096, true).checking_disabled(true),
            false,
        ),
        ("class", base().class(3), false),
        (
            "type",
            QueryBuilder::new("a.example.org.", 28_u16).unwrap(),
            false,
        ),
        ("name", QueryBuilder::new("b.example.org.", A).unwrap(), false),
    ] {
        assert_eq!(key(query) == same, equal, "case {case}");
    }
    // Digests cannot be foreseen.
    assert_ne!(Store::new(&config("cache")).key(&query("a.example.org.")).0, same);
}

#[test]
fn a_digest_that_two_questions_share_gives_no_wrong_answer() {
    let config = config("cache");
    let store = Store::new(&config);
    let mut request = query("a.example.org.");
    let key = store.key(&request);
    let kept = entry(&mut request, Kind::Success, Rcode::NOERROR, 1);
    store.put(key, request.qname(), &kept, false).unwrap();
    let base = || QueryBuilder::new("a.example.org.", A).unwrap();
    for (case, query, found) in [
        ("the same", base(), true),
        (
            "another name",
            QueryBuilder::new("b.example.org.", A).unwrap(),
            false,
        ),
        ("DO", base().edns(1232, true), false),
        ("CD", base().checking_disabled(true), false),
        ("class", base().class(3), false),
    ] {
        let request = query.to_request().unwrap();
        assert_eq!(
            store.find(key, &request, &config, 0).is_some(),
            found,
            "case {case}"
        );
    }
}

#[test]
fn denials_go_before_answers_but_failures_do_not() {
    let config = config("cache");
    for (case, denial, first, kind) in [
        ("NXDOMAIN", Rcode::NXDOMAIN, Kind::Success, Kind::Denial),
        (
            "NXDOMAIN, stored first",
            Rcode::NXDOMAIN,
            Kind::Denial,
            Kind::Denial,
        ),
        ("NOTIMP", Rcode::NOTIMP, Kind::Success, Kind::Denial),
        ("SERVFAIL", Rcode::SERVFAIL, Kind::Success, Kind::Success),
        (
            "SERVFAIL, stored first",
            Rcode::SERVFAIL,
            Kind::Denial,
            Kind::Success,
        ),
    ] {
        let store = Store::new(&config);
        if first == Kind::Denial {
            put(&store, "a.", Kind::Denial, denial, 0);
        }
        put(&store, "a.", Kind::Success, Rcode::NOERROR, 1);
        if first == Kind::Success {
            put(&store, "a.", Kind::Denial, denial, 0);
        }
        assert_eq!(
            find(&store, &config, "a.", 0).unwrap().entry.kind(),
            kind,
            "case {case}"
        );
    }
}

#[test]
fn prefer_positive_prefers_an_answer_even_if_it_has_expired() {
    let config = config("cache {\n serve_stale 1h\n serve_stale_policy prefer_positive\n}");
    let store = Store::new(&config);
    put(&store, "a.", Kind::Success, Rcode::NOERROR, 1);
    put(&store, "a.", Kind::Denial, Rcode::NXDOMAIN, 0);
    let found = find(&store, &config, "a.", 61_000).unwrap();
    assert_eq!((found.entry.kind(), found.left), (Kind::Success, -1));
    assert!(find(&store, &config, "a.", 3_661_000).is_none());
}

#[test]
fn time_runs_out_and_serve_stale_prolongs_it() {
    let plain = config("cache");
    let stale = config("cache {\n serve_stale 10s\n}");
    let store = Store::new(&plain);
    put(&store, "a.", Kind::Success, Rcode::NOERROR, 1);
    for (config, now, left) in [
        (&plain, 0, Some(60)),
        (&plain, 59_999, Some(1)),
        (&plain, 60_000, None),
        (&stale, 60_000, Some(0)),
        (&stale, 69_999, Some(-9)),
        (&stale, 70_000, None),
    ] {
        assert_eq!(
            find(&store, config, "a.", now).map(|found| found.left),
            left,
            "at {now}"
        );
    }
}

#[test]
fn a_purge_forgets_names_zones_or_everything() {
    let config = config("cache");
    let names = [
        "a.example.org.",
        "b.a.example.org.",
        "ba.example.org.",
        "example.net.",
    ];
    let name = |text: &str| text.parse::<QName>().unwrap();
    let zone = |text: &str| text.parse::<Zone>().unwrap();
    type Purge<'a> = &'a dyn Fn(&Store);
    let cases: [(&str, Purge<'_>, &[&str]); 5] = [
        (
            "a name",
            &|store| store.purge_name(&name("A.example.org.")),
            &names[1..],
        ),
        (
            "another name",
            &|store| store.purge_name(&name("example.org.")),
            &names,
        ),
        (
            "a zone",
            &|store| store.purge_zone(&zone("a.example.org.")),
            &names[2..],
        ),
        (
            "a larger zone",
            &|store| store.purge_zone(&zone("example.org.")),
            &names[3..],
        ),
        ("everything", &Store::purge_all, &[]),
    ];
    for (case, purge, left) in cases {
        let store = Store::new(&config);
        for name in names {
            put(&store, name, Kind::Success, Rcode::NOERROR, 1);
            put(&store, name, Kind::Denial, Rcode::NXDOMAIN, 0);
        }
        purge(&store);
        let found: Vec<&str> = names
            .into_iter()
            .filter(|name| find(&store, &config, name, 0).is_some())
            .collect();
        assert_eq!(found, left, "case {case}");
        assert_eq!(store.len(Kind::Denial), left.len(), "case {case}");
    }
}

#[test]
fn what_was_asked_before_a_purge_is_not_kept_after_it() {
    let config = config("cache");
    let store = Store::new(&config);
    let mut request = query("a.");
    let key = store.key(&request);
    let late = entry(&mut request, Kind::Success, Rcode::NOERROR, 1);
    store.purge_name(&"a.".parse().unwrap());
    assert!(store.put(key, request.qname(), &late, false).is_none());
    assert!(find(&store, &config, "a.", 0).is_none());
}

#[test]
fn a_purge_of_a_name_costs_other_names_nothing() {
    let config = config("cache");
    let store = Store::new(&config);
    let mut request = query("b.");
    let key = store.key(&request);
    let on_its_way = entry(&mut request, Kind::Success, Rcode::NOERROR, 1);
    for number in 0..100 {
        store.purge_name(&format!("n{number}.example.").parse().unwrap());
    }
    // A name in whose place another one was purged is asked for again, which is one in some hundred here.
    let others = (0..1000).filter(|number| {
        let name = format!("other{number}.example.").parse().unwrap();
        !store.is_outdated(0, &name)
    });
    assert!(others.count() > 950);
    if !store.is_outdated(0, request.qname()) {
        store.put(key, request.qname(), &on_its_way, false).unwrap();
        assert!(find(&store, &config, "b.", 0).is_some());
    }
}

#[test]
fn a_purged_name_is_forgotten_with_its_rare_types_and_classes() {
    let config = config("cache");
    let store = Store::new(&config);
    let queries = || {
        [(1_u16, 1_u16), (1, 3), (65_280, 1), (257, 1)].map(|(qtype, class)| {
            let query = QueryBuilder::new("a.", qtype).unwrap().class(class);
            query.edns(1232, true).to_request().unwrap()
        })
    };
    let keep = |store: &Store| {
        for mut request in queries() {
            let key = store.key(&request);
            let entry = entry(&mut request, Kind::Denial, Rcode::NXDOMAIN, 0);
            let entry = Arc::into_inner(entry).unwrap();
            let entry = Arc::new(entry.asked_with(bits(&request), store.purges()));
            store.put(key, request.qname(), &entry, false).unwrap();
        }
    };
    let found = |store: &Store| {
        let kept = |request: &Request| store.find(store.key(request), request, &config, 0).is_some();
        queries().iter().filter(|request| kept(request)).count()
    };
    keep(&store);
    assert_eq!(found(&store), 4);
    store.purge_name(&"a.".parse().unwrap());
    assert_eq!(found(&store), 0);
    // What is asked for afterwards is kept again.
    keep(&store);
    assert_eq!(found(&store), 4);
}

#[test]
fn a_later_answer_goes_before_an_earlier_denial() {
    let config = config("cache {\n serve_stale 1h\n}");
    let store = Store::new(&config);
    put(&store, "a.", Kind::Denial, Rcode::NXDOMAIN, 0);
    let mut request = query("a.");
    let mut reply = request.reply();
    reply.answer(Owner::Question, A, CLASS_IN, 60, &[192, 0, 2, 1]);
    let later = Arc::new(Entry::new(&reply.finish(), 70_000, 60, Kind::Success, true));
    store
        .put(store.key(&request), request.qname(), &later, false)
        .unwrap();
    for now in [70_000, 131_000] {
        let found = find(&store, &config, "a.", now).unwrap();
        assert_eq!(found.entry.kind(), Kind::Success, "at {now}");
    }
}

/// Asks for a name as the handler does: what is not found is fetched and stored.
fn ask(store: &Store, config: &Config, name: &str, addresses: u8) -> bool {
    let hit = find(store, config, name, 0).is_some();
    if !hit {
        put(store, name, Kind::Success, Rcode::NOERROR, addresses);
    }
    hit
}

/// CacheFlush (USENIX Security 2024): a cheap flood of large answers that nobody else asks for.
#[test]
fn a_popular_set_keeps_its_hits_under_a_flood_of_unique_names_with_60_records() {
    let config = config("cache");
    let store = Store::new(&config);
    let popular: Vec<String> = (0..2000)
        .map(|number| format!("www{number}.example.org."))
        .collect();
    for _ in 0..2 {
        for name in &popular {
            ask(&store, &config, name, 1);
        }
    }
    // Ten times the capacity, while the popular names are asked for at a tenth of the flood's rate.
    let flood = 10 * config.success.capacity;
    let (mut hits, mut asked) = (0_u32, 0_u32);
    for number in 0..flood {
        ask(&store, &config, &format!("x{number}.flood.example."), 60);
        if number % 10 == 0 {
            asked += 1;
            hits += u32::from(ask(&store, &config, &popular[asked as usize % popular.len()], 1));
        }
    }
    let share = f64::from(hits) / f64::from(asked);
    assert!(share > 0.9, "{hits} of {asked} hits");
    assert!(store.len(Kind::Success) as u64 <= config.success.capacity);
}

#[test]
fn a_popular_set_gets_in_while_a_flood_has_filled_everything_before() {
    let config = config("cache");
    let store = Store::new(&config);
    for number in 0..2 * config.success.capacity {
        ask(&store, &config, &format!("x{number}.flood.example."), 60);
    }
    let popular: Vec<String> = (0..500)
        .map(|number| format!("www{number}.example.org."))
        .collect();
    let mut hits = 0;
    for round in 0..20_u64 {
        for (place, name) in popular.iter().enumerate() {
            let number = 3_000_000 + round * 500 + place as u64;
            ask(&store, &config, &format!("x{number}.flood.example."), 60);
            let hit = ask(&store, &config, name, 1);
            hits += u32::from(hit && round >= 10);
        }
    }
    assert!(hits > 4500, "{hits} of 5000 hits");
}

#[test]
fn the_number_and_the_bytes_of_answers_are_bounded() {
    let config = config("cache {\n success 1024\n}");
    for (case, addresses, most) in [("small", 1, 1024), ("large", 255, 1024 * 2048 / 4096)] {
        let store = Store::new(&config);
        for number in 0..5000 {
            put(
                &store,
                &format!("n{number}.example."),
                Kind::Success,
                Rcode::NOERROR,
                addresses,
            );
        }
        let count = store.len(Kind::Success);
        assert!(count <= most && count > most / 2, "case {case}: {count}");
        let bytes: usize = store.success.iter().map(|(_, entry)| entry.bytes()).sum();
        assert!(bytes as u64 <= 1024 * BYTES_OF_ENTRY, "case {case}: {bytes}");
    }
}

#[test]
fn evictions_are_counted() {
    let config = config("cache {\n denial 1024\n}");
    let store = Store::new(&config);
    let mut evicted = 0;
    for number in 0..3000 {
        let mut request = query(&format!("n{number}.example."));
        let key = store.key(&request);
        let entry = entry(&mut request, Kind::Denial, Rcode::NXDOMAIN, 0);
        evicted += store.put(key, request.qname(), &entry, false).unwrap().evicted;
    }
    assert_eq!(evicted + store.len(Kind::Denial) as u64, 3000);
}
