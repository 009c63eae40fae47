//! What `view` with three conditions adds to a query. Good: below 500 ns for each set of conditions.

#![allow(missing_docs, reason = "the macros of Criterion make undocumented items")]
#![allow(clippy::expect_used, reason = "a bench may fail where it stands")]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use catena_core::message::{ListenerContext, QueryBuilder, Request, Transport};
use catena_core::plugin::testing::set_up;
use catena_plugin_view::PLUGIN;
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group!(benches, three_conditions);
criterion_main!(benches);

/// The usual ones, cheap and dear; all hold, so that all are asked.
const CONDITIONS: [(&str, [&str; 3]); 3] = [
    (
        "client, type and name",
        [
            "incidr(client_ip(), '192.0.2.0/24')",
            "type() == 'A'",
            "name() endsWith '.example.org.'",
        ],
    ),
    (
        "a choice of networks, a list of types, a pattern",
        [
            "incidr(client_ip(), '2001:db8::/32') || incidr(client_ip(), '192.0.2.0/24')",
            "type() in ['AAAA', 'A']",
            "name() matches '^www[0-9]*\\\\.example\\\\.org\\\\.$'",
        ],
    ),
    (
        "numbers and flags",
        ["proto() == 'udp'", "bufsize() >= 512 && !do()", "id() % 2 == 1"],
    ),
];

fn three_conditions(criterion: &mut Criterion) {
    let request = request();
    for (name, conditions) in CONDITIONS {
        let lines: Vec<String> = conditions
            .iter()
            .map(|text| format!(" expr \"{text}\"\n"))
            .collect();
        let block = set_up(&[PLUGIN], &format!("view v {{\n{}}}", lines.concat())).expect("a block");
        let [filter] = &block.settings.filters[..] else {
            unreachable!("a view is one filter");
        };
        assert!(filter.accepts(&request), "{name} hold");
        criterion.bench_function(name, |bench| {
            bench.iter(|| filter.accepts(black_box(&request)));
        });
    }
}

fn request() -> Request {
    let server = Arc::from("dns://:53");
    let context = ListenerContext {
        transport: Transport::Udp,
        peer: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 4000)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 53)),
        server: &server,
        received: Instant::now(),
    };
    let query = QueryBuilder::new("www1.example.org.", 1_u16).expect("a name");
    let mut request = Request::new();
    request
        .reset(&query.edns(1232, false).id(4711).to_wire(), &context)
        .expect("a query");
    request
}
