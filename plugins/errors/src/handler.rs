//! Sees the errors that come back through the chain.

use std::sync::Arc;

use async_trait::async_trait;
use catena_core::message::{QName, Request};
use catena_core::plugin::{Next, Outcome, Plugin, PluginError};

use crate::report::Reports;

/// The link of the chain.
#[derive(Debug)]
pub(crate) struct Errors {
    reports: Arc<Reports>,
}

impl Errors {
    pub(crate) fn new(reports: Arc<Reports>) -> Self {
        Self { reports }
    }

    #[cold]
    fn report(&self, request: &Request, error: &PluginError) {
        // The place of a panic has been logged where it was caught.
        if error.is_panic() {
            return;
        }
        // What the client asked, whatever a plugin has made of it since.
        let Some((name, rest)) = request.original_question().split_last_chunk::<4>() else {
            return;
        };
        let name = QName::from_wire(name).unwrap_or_default();
        let qtype = u16::from_be_bytes([rest[0], rest[1]]);
        self.reports.add(error.rcode(), name, qtype, &error.to_string());
    }
}

#[async_trait]
impl Plugin for Errors {
    fn name(&self) -> &'static str {
        "errors"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let outcome = next.run(request).await;
        if let Err(error) = &outcome {
            self.report(request, error);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::message::{QueryBuilder, Rcode};
    use catena_core::plugin::testing::{FIXED, TestBlock, set_up};
    use catena_core::plugin::{Definition, PanicPolicy};

    use crate::PLUGIN;

    /// Fails in the way that the name's first label says.
    const FAILING: Definition = Definition::new("failing", |setup| {
        setup.add(Failing);
        Ok(())
    });

    struct Failing;

    #[async_trait]
    impl Plugin for Failing {
        fn name(&self) -> &'static str {
            "failing"
        }

        async fn serve_dns(&self, request: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
            match request.qname().labels().next().unwrap_or_default() {
                b"status" => Ok(Outcome::Status(Rcode::SERVFAIL)),
                b"panic" => panic!("on purpose"),
                b"refused" => Err(PluginError::new("failing", "not today").with_rcode(Rcode::REFUSED)),
                b"changed" => {
                    request.set_question(b"\x05other\0", 16, 1).unwrap();
                    Err(PluginError::bare("failing", "i/o timeout"))
                }
                _ => Err(PluginError::bare("failing", "line\nbreak")),
            }
        }
    }

    async fn ask(block: &TestBlock, name: &str) -> Option<Rcode> {
        let mut request = QueryBuilder::new(name, 1_u16).unwrap().to_request().unwrap();
        match block.ask(&mut request).await {
            Ok(outcome) => outcome.rcode(),
            Err(error) => Some(error.rcode()),
        }
    }

    #[tokio::test]
    async fn errors_are_logged_and_passed_on_and_nothing_else_is() {
        let block = set_up(&[PLUGIN, FAILING], "errors\nfailing").unwrap();
        assert_eq!(ask(&block, "status.example.org.").await, Some(Rcode::SERVFAIL));
        assert_eq!(ask(&block, "panic.example.org.").await, Some(Rcode::SERVFAIL));
        assert!(block.log.lines().is_empty(), "{:?}", block.log.lines());
        assert_eq!(ask(&block, "refused.Example.ORG.").await, Some(Rcode::REFUSED));
        assert_eq!(ask(&block, "changed.example.org.").await, Some(Rcode::SERVFAIL));
        assert_eq!(
            ask(&block, "e\\010vil\\\".example.org.").await,
            Some(Rcode::SERVFAIL)
        );
        assert_eq!(
            block.log.lines(),
            [
                "[ERROR] plugin/errors: 5 refused.example.org. A: plugin/failing: not today",
                "[ERROR] plugin/errors: 2 changed.example.org. A: i/o timeout",
                "[ERROR] plugin/errors: 2 e\\010vil\\\".example.org. A: line\\u{a}break",
            ]
        );
    }

    #[tokio::test]
    async fn the_end_of_the_chain_is_an_error_of_its_own() {
        let block = set_up(&[PLUGIN], "errors").unwrap();
        assert_eq!(ask(&block, "a.example.com.").await, Some(Rcode::SERVFAIL));
        assert_eq!(
            block.log.lines(),
            ["[ERROR] plugin/errors: 2 a.example.com. A: plugin/errors: no next plugin found"]
        );
    }

    #[tokio::test]
    async fn answers_pass_untouched() {
        let block = set_up(&[PLUGIN, FIXED], "errors\nfixed").unwrap();
        assert_eq!(ask(&block, "a.example.com.").await, Some(Rcode::NOERROR));
        assert!(block.log.lines().is_empty());
    }

    #[test]
    fn stacktrace_asks_for_stacks_unless_panics_are_not_caught() {
        for (text, want) in [
            ("errors", PanicPolicy::Catch),
            ("errors {\n stacktrace\n}", PanicPolicy::CatchWithStack),
            ("crash\nerrors {\n stacktrace\n}", PanicPolicy::Crash),
        ] {
            let crash = Definition::new("crash", |setup| {
                setup.settings().panics = PanicPolicy::Crash;
                Ok(())
            });
            assert_eq!(
                set_up(&[crash, PLUGIN], text).unwrap().settings.panics,
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn only_rules_need_a_task() {
        let without = set_up(&[PLUGIN], "errors {\n stacktrace\n}").unwrap();
        let with = set_up(&[PLUGIN], "errors {\n consolidate 1m x\n}").unwrap();
        assert_eq!((without.lifecycles.len(), with.lifecycles.len()), (0, 1));
    }
}
