//! What counting adds to a query. Good: below 100 ns; with the times of plugins 100 ns more for each.

use std::sync::Arc;

use catena_core::message::{QueryBuilder, Rcode};
use catena_core::plugin::testing::set_up;
use catena_core::plugin::{AtOnce, Definition, Outcome, Plugin};
use catena_plugin_prometheus::PLUGIN;
use criterion::{Criterion, criterion_group, criterion_main};

/// Answers everything at once with the question alone.
struct Answers;

#[async_trait::async_trait]
impl Plugin for Answers {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn serve_at_once(&self, request: &mut catena_core::message::Request) -> AtOnce {
        AtOnce::Answer(Outcome::Reply(request.reply().rcode(Rcode::NOERROR).finish()))
    }
}

const ANSWERS: Definition = Definition::new("answers", |setup| {
    setup.add_shared(Arc::new(Answers));
    Ok(())
});

fn queries(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    for (name, corefile) in [
        ("without", "answers"),
        ("with prometheus", "prometheus\nanswers"),
        (
            "with the times of two plugins",
            "prometheus {\n plugin_times\n}\nanswers",
        ),
    ] {
        let block = set_up(&[PLUGIN, ANSWERS], corefile).expect("a good block");
        let mut request = QueryBuilder::new("a.example.org.", 1_u16)
            .expect("a name")
            .to_request()
            .expect("a query");
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let outcome = runtime.block_on(block.ask(&mut request)).expect("an answer");
                if let Outcome::Reply(response) = outcome {
                    request.recycle(response.into_wire());
                }
            });
        });
    }
}

criterion_group!(benches, queries);
criterion_main!(benches);
