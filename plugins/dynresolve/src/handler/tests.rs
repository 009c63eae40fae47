use super::*;
use std::sync::atomic::{AtomicU8, Ordering};

use catena_core::corefile::ConfigErrors;
use catena_core::message::{QueryBuilder, Response};
use catena_core::plugin::testing::{FIXED, TestBlock, set_up};
use catena_core::plugin::{Definition, Setup};
use catena_metrics::Registry;

use crate::config;
use crate::names::Zones;
use crate::service::Service;
use crate::source::SourceError;

/// What the source of the tests does.
#[derive(Default)]
struct Fault(AtomicU8);

const WORKS: u8 = 0;
const FAILS: u8 = 1;
const PANICS: u8 = 2;

struct Faulty(Arc<Fault>);

impl Source for Faulty {
    fn find(&self, store: &Store, name: &[u8]) -> Result<Option<Arc<Entry>>, SourceError> {
        match self.0.0.load(Ordering::Relaxed) {
            WORKS => Memory.find(store, name),
            FAILS => Err(SourceError),
            _ => panic!("the state is broken"),
        }
    }
}

/// Where a test finds the instance that the setup made.
#[derive(Default)]
struct Made(parking_lot::Mutex<Option<Arc<Instance>>>);

/// The plugin with a faulty source, in the zone of the tests.
const FAULTY: Definition = Definition::new("dynresolve", faulty);

fn faulty(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let config = config::parse(setup.directives(), setup.root())?;
    let registry: Arc<Registry> = setup.shared();
    let zones = Zones::new(&["service.local".parse().unwrap()]);
    let instance = Arc::new(Instance::new(
        "service.local".to_owned(),
        config,
        zones,
        &registry,
    ));
    *setup.shared::<Made>().0.lock() = Some(Arc::clone(&instance));
    setup.add(Dynresolve::with_source(
        instance,
        Box::new(Faulty(setup.shared())),
    ));
    Ok(())
}

struct Tested {
    block: TestBlock,
    instance: Arc<Instance>,
}

impl Tested {
    fn new(options: &str, behind: &str) -> Self {
        let text =
            format!("dynresolve {{\n api listen 127.0.0.1:8080\n api token x\n {options}\n}}\n{behind}");
        let block = set_up(&[FAULTY, FIXED], &text).unwrap();
        let instance = block.shared.of::<Made>().0.lock().take().unwrap();
        Self { block, instance }
    }

    fn put(&self, name: &str, octets: &[u8], ttl: u32) {
        let name = self.instance.zones.read(name).unwrap();
        let records = octets
            .iter()
            .map(|octet| Ipv4Addr::new(192, 0, 2, *octet))
            .collect();
        self.instance.store().put(&name, &Service { records, ttl });
    }

    fn delete(&self, name: &str) {
        assert!(
            self.instance
                .store()
                .delete(&self.instance.zones.read(name).unwrap())
        );
    }

    fn fault(&self, fault: u8) {
        self.block.shared.of::<Fault>().0.store(fault, Ordering::Relaxed);
    }

    async fn ask(&self, name: &str) -> Response {
        self.block
            .reply(&mut QueryBuilder::new(name, A).unwrap().to_request().unwrap())
            .await
    }

    /// The last octets of the answer.
    async fn octets(&self, name: &str) -> Vec<u8> {
        self.ask(name)
            .await
            .records()
            .filter(|record| record.type_code() == A)
            .map(|record| record.rdata()[3])
            .collect()
    }

    fn count(&self, outcome: &str) -> u64 {
        let registry = self.block.shared.of::<Registry>();
        let family = registry.counter("coredns_dynresolve_queries_total", "", &["zone", "outcome"]);
        family.with(&["service.local.", outcome]).get()
    }

    fn panics(&self) -> u64 {
        self.instance.metrics.panics.get()
    }
}

#[tokio::test]
async fn fresh_answers_come_from_the_cache_and_others_from_the_store() {
    for (cache, cached) in [("1h", 2), ("0s", 0)] {
        let tested = Tested::new(&format!("cache {cache}"), "");
        tested.put("a", &[1], 0);
        for _ in 0..3 {
            assert_eq!(tested.octets("a.service.local.").await, [1]);
        }
        assert_eq!(
            (tested.count("cache"), tested.count("source")),
            (cached, 3 - cached),
            "cache {cache}"
        );
    }
}

#[tokio::test]
async fn a_fresh_answer_does_not_need_the_source() {
    let tested = Tested::new("cache 1h", "");
    tested.put("a", &[1], 0);
    tested.octets("a.service.local.").await;
    tested.fault(PANICS);
    assert_eq!(tested.octets("a.service.local.").await, [1]);
    assert_eq!((tested.count("cache"), tested.panics()), (1, 0));
}

#[tokio::test]
async fn when_the_source_fails_or_panics_the_last_answer_is_served_stale() {
    for (fault, panics) in [(FAILS, 0), (PANICS, 1)] {
        let tested = Tested::new("cache 0s\n fallback 192.0.2.99", "");
        tested.put("a", &[1, 2], 7);
        assert_eq!(tested.octets("a.service.local.").await.len(), 2);
        tested.fault(fault);
        let response = tested.ask("a.service.local.").await;
        assert_eq!(
            (response.answer_count(), response.min_ttl(), response.aa()),
            (2, Some(7), true)
        );
        assert_eq!(
            (tested.count("source"), tested.count("stale"), tested.panics()),
            (1, 1, panics)
        );
        // What is not there has no stale answer.
        assert_eq!(tested.octets("b.service.local.").await, [99]);
        assert_eq!((tested.count("fallback"), tested.panics()), (1, 2 * panics));
    }
}

#[tokio::test]
async fn a_panic_without_a_stale_answer_or_fallback_goes_to_the_next_plugin() {
    let tested = Tested::new("cache 0s", "fixed");
    tested.fault(PANICS);
    assert_eq!(tested.octets("a.service.local.").await, [1]);
    assert_eq!((tested.count("next"), tested.panics()), (1, 1));
}

#[tokio::test]
async fn a_write_is_seen_by_the_very_next_query_though_the_old_answer_is_fresh() {
    let tested = Tested::new("cache 1h\n fallback 192.0.2.99", "");
    for octet in 1..20 {
        tested.put("a", &[octet], 0);
        assert_eq!(tested.octets("a.service.local.").await, [octet]);
        assert_eq!(tested.octets("a.service.local.").await, [octet]);
    }
    tested.delete("a");
    assert_eq!(tested.octets("a.service.local.").await, [99]);
    tested.put("a", &[5], 0);
    assert_eq!(tested.octets("a.service.local.").await, [5]);
}

#[tokio::test]
async fn a_deleted_service_is_not_served_stale() {
    for fault in [FAILS, PANICS] {
        let tested = Tested::new("cache 1h\n fallback 192.0.2.99", "");
        tested.put("a", &[1], 0);
        tested.octets("a.service.local.").await;
        tested.delete("a");
        tested.fault(fault);
        assert_eq!(tested.octets("a.service.local.").await, [99]);
        assert_eq!(tested.count("stale"), 0);
    }
}

/// A plugin that denies every name, while a service is registered.
struct Late(Arc<Instance>);

#[async_trait]
impl Plugin for Late {
    fn name(&self) -> &'static str {
        "late"
    }

    async fn serve_dns(&self, _: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
        let name = self.0.zones.read("late").unwrap();
        self.0.store().put(
            &name,
            &Service {
                records: vec![Ipv4Addr::new(192, 0, 2, 7)],
                ttl: 0,
            },
        );
        Ok(Outcome::Status(Rcode::NXDOMAIN))
    }
}

const LATE: Definition = Definition::new("late", |setup| {
    let instance = setup.shared::<Made>().0.lock().clone();
    instance
        .into_iter()
        .for_each(|instance| setup.add(Late(instance)));
    Ok(())
});

#[tokio::test]
async fn a_service_that_is_registered_while_the_query_is_upstream_is_answered() {
    let text = "dynresolve {\n api listen 127.0.0.1:8080\n api token x\n}\nlate";
    for (name, qtype, rcode, answers) in [
        ("late.service.local.", A, Rcode::NOERROR, 1),
        ("late.service.local.", 28, Rcode::NOERROR, 0),
        ("other.service.local.", A, Rcode::NXDOMAIN, 0),
    ] {
        let block = set_up(&[FAULTY, LATE], text).unwrap();
        let mut request = QueryBuilder::new(name, qtype).unwrap().to_request().unwrap();
        let outcome = block.ask(&mut request).await.unwrap();
        assert_eq!(outcome.rcode(), Some(rcode), "{name} {qtype}");
        let count = if let Outcome::Reply(response) = outcome {
            response.answer_count()
        } else {
            0
        };
        assert_eq!(count, answers, "{name} {qtype}");
    }
}

#[tokio::test]
async fn records_take_turns_by_service() {
    let tested = Tested::new("cache 1h", "");
    tested.put("a", &[1, 2, 3], 0);
    tested.put("b", &[4, 5], 0);
    let mut first = Vec::new();
    for _ in 0..6 {
        let octets = tested.octets("a.service.local.").await;
        let mut sorted = octets.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [1, 2, 3], "all records are there");
        first.push(octets[0]);
        tested.octets("b.service.local.").await;
    }
    assert_eq!(first[..3], first[3..]);
    first[..3].sort_unstable();
    assert_eq!(first[..3], [1, 2, 3]);
}

#[tokio::test]
async fn answers_from_memory_are_decided_at_once() {
    let tested = Tested::new("cache 1h", "");
    tested.put("a", &[1], 0);
    let mut request = QueryBuilder::new("a.service.local.", A)
        .unwrap()
        .to_request()
        .unwrap();
    let link = Dynresolve::new(Arc::clone(&tested.instance));
    // There is no future then, hence no box.
    assert!(matches!(
        link.serve_at_once(&mut request),
        AtOnce::Answer(Outcome::Reply(_))
    ));
}
