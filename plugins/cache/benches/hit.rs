//! What a query costs that the cache answers, from the bytes of the datagram to the bytes of the answer.
//!
//! Good figures, on a machine where a query's whole way through one plugin that answers takes 140 ns: 150 ns more.

#![allow(missing_docs, reason = "the macros of Criterion make undocumented items")]
#![allow(clippy::expect_used, reason = "a bench may fail where it stands")]

use std::future::Future;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use catena_core::message::{Admitted, ListenerContext, Policy, QueryBuilder, Request, Transport, admit, fit};
use catena_core::plugin::testing::{FIXED, TestBlock, set_up};
use catena_core::plugin::{Outcome, PluginError};
use catena_plugin_cache::PLUGIN;
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group!(benches, hit);
criterion_main!(benches);

fn hit(criterion: &mut Criterion) {
    let server = Arc::from("dns://:53");
    let query = |number: usize| {
        let name = format!("www{number}.example.org.");
        let query = QueryBuilder::new(&name, 1_u16).expect("a name");
        query.edns(1232, false).to_wire()
    };
    for (name, text, count) in [
        ("an answer without cache", "fixed", 1),
        ("an answer without cache, 5000 names", "fixed", 5000),
        ("a hit, one name", "cache\nfixed", 1),
        ("a hit, 5000 names", "cache\nfixed", 5000),
        (
            "a hit with prefetch and serve_stale",
            "cache {\n prefetch 10\n serve_stale\n}\nfixed",
            5000,
        ),
    ] {
        let block = set_up(&[PLUGIN, FIXED], text).expect("a block");
        let queries: Vec<Vec<u8>> = (0..count).map(query).collect();
        let mut request = Request::new();
        let mut number = 0;
        let mut ask = || {
            number += 1;
            answer(&block, &mut request, &queries[number % count], &server);
        };
        (0..2 * count).for_each(|_| ask());
        criterion.bench_function(name, |bench| bench.iter(&mut ask));
    }
}

fn answer(block: &TestBlock, request: &mut Request, query: &[u8], server: &Arc<str>) {
    let context = ListenerContext {
        transport: Transport::Udp,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 4000)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 53)),
        server,
        received: Instant::now(),
    };
    let admitted = admit(request, query, &context, Policy { other_classes: false });
    assert!(matches!(admitted, Admitted::Query));
    let said = now(block.ask(request)).expect("an answer");
    let Outcome::Reply(response) = said else {
        return;
    };
    let wire = fit(response, request);
    request.recycle(black_box(wire));
}

/// Runs what does not wait.
fn now(future: impl Future<Output = Result<Outcome, PluginError>>) -> Result<Outcome, PluginError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(said) => said,
        Poll::Pending => Ok(Outcome::Drop),
    }
}
