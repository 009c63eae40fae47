//! What happens to one query.

use std::cell::{OnceCell, RefCell};
use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use catena_core::message::name::MAX_NAME_LEN;
use catena_core::message::{Owner, Rcode, RdataWriter, ReplyBuilder, Request, Response, Section};
use catena_core::plugin::{AtOnce, Next, Outcome, Plugin, PluginError};
use catena_core::server::Requery;
use catena_facts::Surroundings;
use catena_records::TextRecord;

use crate::facts::Facts;
use crate::metrics::Metrics;
use crate::rule::{Fit, Rule};
use crate::script::Script;

/// The plugin's name.
pub(crate) const NAME: &str = "template";

/// The size in the OPT record of answers with an extended error, which goes to clients without EDNS too: CoreDNS's.
const OPT_SIZE: u16 = 4096;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;

/// What a name's text, and that of a record, seldom goes beyond.
const USUAL_TEXT: usize = 256;

thread_local! {
    /// Room for the name in lower case, and for a record's text.
    static TEXTS: RefCell<(String, String)> =
        RefCell::new((String::with_capacity(USUAL_TEXT), String::with_capacity(USUAL_TEXT)));
}

/// Answers by the rules of the block.
#[derive(Debug)]
pub(crate) struct Templates {
    rules: Vec<Rule>,
    metrics: Metrics,
    surroundings: Arc<Surroundings>,
    requery: Arc<Requery>,
}

/// What one rule says to one query.
struct Findings {
    /// The place of the rule.
    rule: usize,
    records: Vec<(Section, TextRecord)>,
}

/// What [`Plugin::serve_at_once`] found and leaves for [`Plugin::serve_dns`], since it takes time or is an error.
enum Left {
    Findings(Findings),
    Error(PluginError),
}

/// The end of the search for a rule.
enum Decision {
    /// No rule fits.
    Pass,
    /// The answer is this code alone.
    Status(Rcode),
    /// A rule answers.
    Answer(Findings),
    /// A rule would answer, and cannot.
    Error(PluginError),
}

impl Templates {
    pub(crate) fn new(
        rules: Vec<Rule>,
        metrics: Metrics,
        surroundings: Arc<Surroundings>,
        requery: Arc<Requery>,
    ) -> Self {
        Self {
            rules,
            metrics,
            surroundings,
            requery,
        }
    }

    /// Finds the rule that fits, and what it says.
    fn decide(&self, request: &Request) -> Decision {
        TEXTS.with_borrow_mut(|(name, text)| {
            name.clear();
            let known = OnceCell::new();
            let mut name = Some(name);
            for (place, rule) in self.rules.iter().enumerate() {
                let shown = || {
                    *known.get_or_init(|| {
                        name.take().map_or("", |name| {
                            // Writing to a text does not fail.
                            let _ = write!(name, "{}", request.qname());
                            &*name
                        })
                    })
                };
                match rule.fit(request, shown) {
                    Fit::Elsewhere => {}
                    Fit::NoPattern if rule.fallthrough.covers(request.qname()) => {}
                    Fit::NoPattern => return Decision::Status(Rcode::SERVFAIL),
                    Fit::Fits {
                        zone,
                        pattern,
                        groups,
                    } => {
                        let facts = Facts {
                            zone: rule.zones[zone].as_str(),
                            name: known.get().copied().unwrap_or_default(),
                            class: rule.class_of(request),
                            rtype: rule.type_of(request),
                            pattern,
                            groups,
                            named: &rule.named,
                            request,
                            surroundings: &self.surroundings,
                            object: OnceCell::new(),
                        };
                        return self.answer(place, &facts, text);
                    }
                }
            }
            Decision::Pass
        })
    }

    /// Runs the templates of a rule that fits.
    fn answer(&self, place: usize, facts: &Facts<'_>, text: &mut String) -> Decision {
        self.metrics
            .fits(facts.request, facts.zone, facts.class, facts.rtype);
        let rule = &self.rules[place];
        if rule.rcode == Rcode::SERVFAIL {
            return Decision::Status(rule.rcode);
        }
        let sections = [
            (Section::Answer, "answer", &rule.answer),
            (Section::Additional, "additional", &rule.additional),
            (Section::Authority, "authority", &rule.authority),
        ];
        let count = sections.iter().map(|(_, _, scripts)| scripts.len()).sum();
        let mut records = Vec::with_capacity(count);
        for (section, name, scripts) in sections {
            for script in scripts {
                match self.record(name, script, facts, text) {
                    Ok(record) => records.push((section, record)),
                    Err(error) => return Decision::Error(error),
                }
            }
        }
        Decision::Answer(Findings { rule: place, records })
    }

    /// Runs one template, and reads the record that it gives.
    fn record(
        &self,
        section: &'static str,
        script: &Script,
        facts: &Facts<'_>,
        text: &mut String,
    ) -> Result<TextRecord, PluginError> {
        script.render(facts, text).map_err(|failure| {
            self.metrics.template_failed(facts, section, script);
            PluginError::bare(NAME, failure.to_string())
        })?;
        text.parse().map_err(|error| {
            self.metrics.record_failed(facts, section, script);
            PluginError::bare(NAME, format!("dns: {error} in the {section} {text:?}"))
        })
    }

    /// Makes the answer; the targets of CNAME records are not looked up.
    fn reply(&self, findings: &Findings, request: &mut Request) -> Response {
        let mut reply = self.begin(findings, request);
        for section in [Section::Answer, Section::Authority, Section::Additional] {
            write_section(&mut reply, findings, section);
        }
        self.finish(findings, &mut reply)
    }

    /// Makes the answer, and asks the server for the targets of CNAME records.
    async fn reply_with_targets(&self, findings: &Findings, request: &mut Request) -> Response {
        let qtype = request.qtype_code();
        let mut reply = self.begin(findings, request);
        for (_, record) in findings
            .records
            .iter()
            .filter(|(section, _)| *section == Section::Answer)
        {
            write_record(&mut reply, Section::Answer, record);
            if record.record_type != TYPE_CNAME {
                continue;
            }
            if let Some(found) = self.requery.ask(request, &record.rdata, qtype).await {
                reply.truncated(found.tc());
                copy_answers(&mut reply, &found);
            }
        }
        for section in [Section::Authority, Section::Additional] {
            write_section(&mut reply, findings, section);
        }
        self.finish(findings, &mut reply)
    }

    fn begin(&self, findings: &Findings, request: &mut Request) -> ReplyBuilder {
        let mut reply = request.reply();
        reply.authoritative(true).rcode(self.rules[findings.rule].rcode);
        reply
    }

    fn finish(&self, findings: &Findings, reply: &mut ReplyBuilder) -> Response {
        let mut response = reply.finish();
        if let Some(extended) = &self.rules[findings.rule].extended {
            response.set_opt(OPT_SIZE, true);
            response.add_extended_error(extended.code, &extended.text);
        }
        response
    }
}

#[async_trait]
impl Plugin for Templates {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        let left = match self.decide(request) {
            Decision::Pass => return AtOnce::Pass,
            Decision::Status(rcode) => return AtOnce::Answer(Outcome::Status(rcode)),
            Decision::Answer(findings) if !findings.has_targets(request) => {
                return AtOnce::Answer(self.reply(&findings, request).into());
            }
            Decision::Answer(findings) => Left::Findings(findings),
            Decision::Error(error) => Left::Error(error),
        };
        request.extensions_mut().insert(left);
        AtOnce::Wait
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        match request.extensions_mut().remove::<Left>() {
            Some(Left::Findings(findings)) => Ok(self.reply_with_targets(&findings, request).await.into()),
            Some(Left::Error(error)) => Err(error),
            None => next.run(request).await,
        }
    }
}

impl Findings {
    /// Whether there are targets to look up, which is done for addresses only.
    fn has_targets(&self, request: &Request) -> bool {
        matches!(request.qtype_code(), TYPE_A | TYPE_AAAA)
            && self
                .records
                .iter()
                .any(|(section, record)| *section == Section::Answer && record.record_type == TYPE_CNAME)
    }
}

fn write_section(reply: &mut ReplyBuilder, findings: &Findings, section: Section) {
    for (of, record) in &findings.records {
        if *of == section {
            write_record(reply, section, record);
        }
    }
}

fn write_record(reply: &mut ReplyBuilder, section: Section, record: &TextRecord) {
    let owner = Owner::Name(&record.owner);
    reply.record(
        section,
        owner,
        record.record_type,
        record.class,
        record.ttl,
        record.rdata.as_slice(),
    );
}

/// Takes over the answer section of another answer.
fn copy_answers(reply: &mut ReplyBuilder, found: &Response) {
    let mut owner = [0; MAX_NAME_LEN];
    let mut rdata = Vec::new();
    for record in found
        .records()
        .filter(|record| record.section() == Section::Answer)
    {
        rdata.clear();
        record.expand_rdata(&mut rdata);
        reply.record(
            Section::Answer,
            Owner::Name(record.owner_as_written(&mut owner)),
            record.type_code(),
            record.class_code(),
            record.ttl(),
            |out: &mut RdataWriter<'_>| out.bytes(&rdata),
        );
    }
}
