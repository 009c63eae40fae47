//! The link of the chain: lets a query pass, and writes its line.

use std::cell::RefCell;
use std::sync::Arc;

use async_trait::async_trait;
use catena_core::log::LogSink;
use catena_core::message::{Rcode, Request};
use catena_core::plugin::{Next, Outcome, Plugin, PluginError, TransferStream};

use crate::classify::Kind;
use crate::config::{Classes, Rule};
use crate::labels::Labels;
use crate::line::{AnswerFacts, Answered, Asked, Facts};
use crate::transfer::Logged;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Buffers that a thread uses for one line after the other.
#[derive(Debug, Default)]
struct Scratch {
    line: String,
    labels: Vec<String>,
}

/// Longer lines do not keep their buffer.
const KEPT_CAPACITY: usize = 4096;

/// The plugin.
#[derive(Debug)]
pub(crate) struct Log {
    rules: Box<[Rule]>,
    log: LogSink,
    labels: Arc<Labels>,
}

impl Log {
    pub(crate) fn new(rules: Vec<Rule>, log: LogSink, labels: Arc<Labels>) -> Self {
        Self {
            rules: rules.into_boxed_slice(),
            log,
            labels,
        }
    }

    /// Logs what came back from the chain, if the rule wants it.
    fn record(
        &self,
        rule: &Rule,
        request: &Request,
        asked: Asked,
        outcome: Result<Outcome, PluginError>,
    ) -> Result<Outcome, PluginError> {
        let answered = match &outcome {
            Ok(Outcome::Reply(response)) => Answered::reply(response),
            Ok(Outcome::Status(rcode)) => Answered::bare(request, *rcode),
            Err(error) => Answered::bare(request, error.rcode()),
            Ok(_) => Answered::default(),
        };
        // The kind costs a walk over the message, so it is told only where somebody wants to know.
        let kind = if rule.classes == Classes::ALL && !rule.format.shows_kind() {
            Kind::NoError
        } else {
            kind(request, &outcome)
        };
        if !rule.classes.contains(kind.class()) {
            return outcome;
        }
        let mut scratch = SCRATCH.take();
        if rule.format.has_labels() {
            self.labels
                .collect(request, &rule.format.labels, &mut scratch.labels);
        }
        let facts = Facts {
            request,
            asked,
            labels: &scratch.labels,
        };
        let outcome = match outcome {
            Ok(Outcome::Transfer(stream)) => {
                let format = rule.format.bind(&facts);
                let (log, started) = (self.log.clone(), request.received());
                let logged = Logged {
                    stream,
                    format,
                    log,
                    started,
                    answered,
                };
                Ok(Outcome::Transfer(TransferStream::new(logged)))
            }
            outcome => {
                let duration = request.received().elapsed();
                scratch.line.clear();
                rule.format.write(
                    &mut scratch.line,
                    &facts,
                    &AnswerFacts {
                        answered,
                        kind,
                        duration,
                    },
                );
                self.log.line(&scratch.line);
                outcome
            }
        };
        if scratch.line.capacity() <= KEPT_CAPACITY {
            SCRATCH.set(scratch);
        }
        outcome
    }
}

#[async_trait]
impl Plugin for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let Some(rule) = self.rules.iter().find(|rule| rule.covers(request.qname())) else {
            return next.run(request).await;
        };
        let asked = Asked::of(request);
        let outcome = next.run(request).await;
        self.record(rule, request, asked, outcome)
    }
}

/// The kind of what came back.
fn kind(request: &Request, outcome: &Result<Outcome, PluginError>) -> Kind {
    let bare = |rcode: Rcode| {
        let question = request.original_question().split_last_chunk::<4>();
        let qtype = question.map_or(0, |(_, rest)| u16::from_be_bytes([rest[0], rest[1]]));
        Kind::of_bare(request.opcode(), qtype, rcode)
    };
    match outcome {
        Ok(Outcome::Reply(response)) => Kind::of_reply(response),
        Ok(Outcome::Transfer(_)) => Kind::Meta,
        Ok(Outcome::Status(rcode)) => bare(*rcode),
        Ok(_) => Kind::OtherError,
        Err(error) => bare(error.rcode()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::message::{CLASS_IN, Owner, QueryBuilder, Response};
    use catena_core::plugin::Definition;
    use catena_core::plugin::testing::{FIXED, TestBlock, set_up};

    use crate::PLUGIN;

    /// Does what the name's first label says.
    const VARIOUS: Definition = Definition::new("various", |setup| {
        setup.add(Various);
        Ok(())
    });

    struct Various;

    fn large(request: &mut Request) -> Response {
        let mut reply = request.reply();
        for _ in 0..10 {
            reply.answer(Owner::Question, 1_u16, CLASS_IN, 60, &[192, 0, 2, 1]);
        }
        reply.finish()
    }

    #[async_trait]
    impl Plugin for Various {
        fn name(&self) -> &'static str {
            "various"
        }

        async fn serve_dns(&self, request: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
            match request.qname().labels().next().unwrap_or_default() {
                b"drop" => Ok(Outcome::Drop),
                b"refused" => Ok(Outcome::Status(Rcode::REFUSED)),
                b"failed" => Err(PluginError::new("various", "no")),
                b"denied" => Ok(request.reply().rcode(Rcode::NXDOMAIN).finish().into()),
                b"transfer" => {
                    let messages = vec![large(request), large(request)];
                    Ok(Outcome::Transfer(TransferStream::from_messages(messages)))
                }
                _ => Ok(large(request).into()),
            }
        }
    }

    fn block(log: &str) -> TestBlock {
        set_up(&[PLUGIN, VARIOUS, FIXED], &format!("{log}\nvarious")).unwrap()
    }

    async fn ask(block: &TestBlock, name: &str, qtype: u16) -> Result<Outcome, PluginError> {
        block
            .ask(&mut QueryBuilder::new(name, qtype).unwrap().to_request().unwrap())
            .await
    }

    /// The lines so far, without their level.
    fn lines(block: &TestBlock) -> Vec<String> {
        block
            .log
            .lines()
            .iter()
            .map(|line| line.strip_prefix("[INFO] ").unwrap().to_owned())
            .collect()
    }

    #[tokio::test]
    async fn every_end_of_a_query_is_a_line() {
        let block = block("log . \"{name} {rcode} {>rflags} {rsize}\"");
        for name in [
            "a.example.org.",
            "drop.example.org.",
            "refused.example.org.",
            "failed.example.org.",
        ] {
            let outcome = ask(&block, name, 1).await;
            assert_eq!(outcome.is_err(), name.starts_with("failed"), "{name}");
        }
        assert_eq!(
            lines(&block),
            [
                // Ten records with their owners in full.
                "a.example.org. NOERROR qr,rd 321",
                "drop.example.org. - - 0",
                "refused.example.org. REFUSED qr,rd 37",
                "failed.example.org. SERVFAIL qr,rd 36",
            ]
        );
    }

    #[tokio::test]
    async fn the_first_rule_decides_even_if_its_class_is_silent() {
        let block = block(
            "log a.example.org b.example.org \"one {name}\" {\n class error\n}\n\
             log example.org \"two {name}\" {\n class denial\n}\nlog . \"three {name}\"",
        );
        for name in [
            "denied.a.example.org.",
            "refused.B.example.org.",
            "denied.example.org.",
            "refused.a.b.example.org.",
            "plain.example.org.",
            "denied.xa.example.net.",
        ] {
            assert!(ask(&block, name, 1).await.is_ok());
        }
        assert_eq!(
            lines(&block),
            [
                "one refused.b.example.org.",
                "two denied.example.org.",
                "one refused.a.b.example.org.",
                "three denied.xa.example.net.",
            ]
        );
    }

    #[tokio::test]
    async fn names_outside_of_all_rules_pass_without_a_line() {
        let block = block("log example.org");
        assert!(ask(&block, "a.example.net.", 1).await.is_ok());
        assert!(ask(&block, "a.myexample.org.", 1).await.is_ok());
        assert!(lines(&block).is_empty());
    }

    #[tokio::test]
    async fn a_transfer_is_one_line_at_its_end() {
        let block =
            block("log . \"{name} {type} {rcode} {>rflags} {rsize} {/log/type} {/log/class}\"\nmetadata");
        let Ok(Outcome::Transfer(mut stream)) = ask(&block, "transfer.example.org.", 252).await else {
            panic!("expected a transfer");
        };
        while let Some(message) = stream.next().await {
            assert!(message.is_ok());
        }
        assert!(lines(&block).is_empty());
        drop(stream);
        assert_eq!(
            lines(&block),
            ["transfer.example.org. AXFR NOERROR qr,rd 796 META error"]
        );
    }

    #[tokio::test]
    async fn control_characters_of_a_client_cannot_break_or_forge_a_line() {
        let block = block("log . \"{name} {type}\"");
        for name in [
            "x\\010[INFO] forged.example.org.",
            "\\027[2J.example.org.",
            "\\200\\\".example.org.",
        ] {
            assert!(ask(&block, name, 1).await.is_ok());
        }
        assert_eq!(
            lines(&block),
            [
                "x\\010[info]\\ forged.example.org. A",
                "\\027[2j.example.org. A",
                "\\200\\\".example.org. A"
            ]
        );
    }

    #[tokio::test]
    async fn the_default_is_the_common_log_format() {
        let block = block("log");
        let query = QueryBuilder::new("refused.example.org.", 28_u16)
            .unwrap()
            .id(7)
            .edns(4096, true);
        assert!(block.ask(&mut query.to_request().unwrap()).await.is_ok());
        let line = lines(&block).remove(0);
        let want =
            "192.0.2.53:5353 - 7 \"AAAA IN refused.example.org. udp 48 true 4096\" REFUSED qr,rd 37 0.";
        assert!(line.starts_with(want) && line.ends_with('s'), "{line}");
    }
}
