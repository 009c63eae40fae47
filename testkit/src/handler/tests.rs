use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use catena_core::plugin::{Lifecycle, Next};

use super::*;
use crate::{Case, RECORDS, Records, check_all, from_fn};

const RECORDS_TEXT: &str = "records {\n a.example.org. 60 IN A 192.0.2.1\n}";

/// Answers with its own error, or passes on; counts the minutes since its start.
static CLOCK: Definition = Definition::new("clock", |setup| {
    setup.lifecycle(setup.shared::<Clock>());
    setup.add(Failing);
    Ok(())
});

struct Failing;

#[async_trait]
impl Plugin for Failing {
    fn name(&self) -> &'static str {
        "clock"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        tracing::info!(target: "plugin/clock", "asked for {}", request.qname());
        match request.qtype_code() {
            15 => Err(PluginError::new("clock", "no mail").with_extended(0, "no mail here")),
            16 => Ok(Outcome::Drop),
            _ => next.run(request).await,
        }
    }
}

#[derive(Clone, Default)]
struct Clock(Arc<AtomicUsize>);

#[async_trait]
impl Lifecycle for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    async fn start(&self, _: &StartContext) -> Result<(), StartError> {
        let minutes = Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                minutes.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(())
    }
}

#[test]
fn outcomes_become_the_answers_of_a_server() {
    let handler = Handler::new([CLOCK, RECORDS], &format!("clock\n{RECORDS_TEXT}"));
    assert_eq!(handler.chain(), ["clock", "records"]);
    check_all(
        &handler,
        &[
            Case::new("a reply", "a.example.org. A").answer(["a.example.org. 60 IN A 192.0.2.1"]),
            Case::new("an error", "a.example.org. MX")
                .rcode("SERVFAIL")
                .flags("rd"),
            Case::new("a foreign class", "a.example.org. A CH").rcode("REFUSED"),
        ],
    );
    let extended = handler.ask("a.example.org. MX +edns").extended_error();
    assert_eq!(extended, Some((0, "no mail here".to_owned())));
    assert!(handler.try_ask(&"a.example.org. TXT".into()).is_none());
    assert!(matches!(handler.outcome("a.example.org. TXT"), Ok(Outcome::Drop)));
    assert_eq!(handler.logs().lines_with("asked for a.example.org.").len(), 5);
}

#[test]
fn queries_outside_the_zones_are_refused() {
    let builder = Handler::builder([RECORDS], RECORDS_TEXT).keys("example.net b.example.org");
    let handler = builder.build().expect("a good text");
    handler.ask("a.example.org. A").assert_rcode(Rcode::REFUSED);
    handler.ask("x.example.net. A").assert_rcode(Rcode::NXDOMAIN);
}

#[test]
fn an_hour_passes_at_once_on_a_stopped_clock() {
    let handler = Handler::builder(&CLOCK, "clock")
        .paused()
        .build()
        .expect("a good text");
    handler.start().expect("a start");
    handler.pass(Duration::from_secs(3601));
    handler.stop();
    assert_eq!(handler.shared().of::<Clock>().0.load(Ordering::Relaxed), 60);
}

#[test]
fn what_stands_behind_the_plugins_is_the_test_s() {
    let end = from_fn("end", |request| {
        assert_eq!(request.zone().as_str(), "example.org.");
        Ok(Outcome::Status(Rcode::NOTIMP))
    });
    let handler = Handler::builder(&CLOCK, "clock")
        .keys("example.org")
        .end(end)
        .build()
        .expect("a good text");
    handler.ask("a.example.org. A").assert_rcode(Rcode::NOTIMP);

    let records = Records::new("");
    let handler = Handler::builder([], "")
        .end(records.clone())
        .build()
        .expect("no text");
    handler.ask("A.example.org. A +do").assert_rcode(Rcode::NXDOMAIN);
    assert!(records.seen()[0].dnssec_ok());
}

#[test]
fn an_unknown_directive_is_an_error() {
    let errors = Handler::builder([RECORDS], "\nrecrods")
        .build()
        .expect_err("an unknown directive");
    assert!(
        errors
            .to_string()
            .starts_with("Corefile:2:1: Error during parsing: Unknown directive 'recrods'")
    );
}

#[test]
#[should_panic(expected = "case wrong: answer section: missing [a.example.org. 61 IN A 192.0.2.1]")]
fn a_case_that_fails_says_which_and_why() {
    let handler = Handler::new([RECORDS], RECORDS_TEXT);
    Case::new("wrong", "a.example.org. A")
        .answer(["a.example.org. 61 A 192.0.2.1"])
        .check(&handler);
}
