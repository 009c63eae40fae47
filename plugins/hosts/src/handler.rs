//! What happens to one query.

use std::sync::Arc;

use catena_core::message::name::wire_len;
use catena_core::message::{CLASS_IN, MAX_MESSAGE_LEN, Owner, Rcode, RdataWriter, ReplyBuilder, Request};
use catena_core::plugin::{AtOnce, Outcome, Plugin};

use crate::config::Config;
use crate::store::Store;

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;

/// Fewest bytes of a record without its data: a pointer, type, class, TTL, length.
const MIN_RECORD_LEN: usize = 12;

/// The link of the chain.
#[derive(Debug)]
pub(crate) struct Hosts {
    config: Arc<Config>,
    store: Arc<Store>,
}

impl Hosts {
    pub(crate) fn new(config: Arc<Config>, store: Arc<Store>) -> Self {
        Self { config, store }
    }

    /// Answers from memory; none if the query is for the next plugin.
    #[inline]
    fn answer(&self, request: &mut Request) -> Option<Outcome> {
        let config = &*self.config;
        let qtype = request.qtype_code();
        // Reverse names need not lie in the zones.
        if qtype != PTR && !config.zones.iter().any(|zone| request.qname().is_within(zone)) {
            return None;
        }
        let table = self.store.table();
        let found = table.find(request.qname().as_wire()).unwrap_or_default();
        let data = match qtype {
            A => found.v4,
            AAAA => found.v6,
            // Names that are no reverse of anything are other plugins' business.
            PTR if found.names.is_empty() => return None,
            PTR => found.names,
            _ if config.fallthrough_unsupported && config.fallthrough.covers(request.qname()) => return None,
            _ => &[],
        };
        if data.is_empty() && !found.is_host() {
            // There is no SOA record to deny the name with, so CoreDNS says SERVFAIL.
            let through = config.fallthrough.covers(request.qname());
            return (!through).then_some(Outcome::Status(Rcode::SERVFAIL));
        }
        Some(reply(request, qtype, data, config.ttl))
    }
}

impl Plugin for Hosts {
    fn name(&self) -> &'static str {
        "hosts"
    }

    #[inline]
    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        match self.answer(request) {
            Some(outcome) => AtOnce::Answer(outcome),
            None => AtOnce::Pass,
        }
    }
}

/// Writes the answer. `data` is what the table holds for the type.
#[inline]
fn reply(request: &mut Request, qtype: u16, data: &[u8], ttl: u32) -> Outcome {
    // Owners are in lower case. As long as the question is too, a pointer to it says the same.
    let lowered = (request.qname_as_asked() != request.qname().as_wire()).then(|| request.qname().clone());
    let size_limit = request.size_limit();
    let mut reply = request.reply();
    reply.authoritative(true);
    let mut writer = Writer {
        owner: lowered.as_ref().map_or(Owner::Question, Owner::from),
        ttl,
        reply: &mut reply,
    };
    match qtype {
        A => writer.addresses(A, data, 4),
        AAAA => writer.addresses(AAAA, data, 16),
        PTR => writer.names(data, size_limit),
        _ => {}
    }
    reply.finish().into()
}

struct Writer<'a> {
    owner: Owner<'a>,
    ttl: u32,
    reply: &'a mut ReplyBuilder,
}

impl Writer<'_> {
    fn addresses(&mut self, record_type: u16, data: &[u8], len: usize) {
        let room = MAX_MESSAGE_LEN - self.reply.uncompressed_len();
        let most = room / (MIN_RECORD_LEN + len) * len;
        for address in data[..data.len().min(most)].chunks_exact(len) {
            self.reply
                .answer(self.owner, record_type, CLASS_IN, self.ttl, address);
        }
        if data.len() > most {
            self.reply.truncated(true);
        }
    }

    /// Writes names up to what could fit. Lists of names to block give one address a hundred thousand names, which
    /// anybody may ask for: that must not cost more than the client can take.
    fn names(&mut self, mut data: &[u8], size_limit: usize) {
        let most = size_limit / (MIN_RECORD_LEN + 2);
        for _ in 0..most {
            let Some(len) = wire_len(data) else {
                return;
            };
            let (name, rest) = data.split_at(len);
            let target = |out: &mut RdataWriter<'_>| out.name(name);
            self.reply.answer(self.owner, PTR, CLASS_IN, self.ttl, target);
            data = rest;
        }
        if !data.is_empty() {
            self.reply.truncated(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use catena_core::message::name::{MAX_NAME_LEN, presentation};
    use catena_core::message::{QueryBuilder, RecordView, Response, Transport};
    use catena_core::plugin::PluginError;
    use catena_core::plugin::testing::{FIXED, TestBlock, set_up};

    use crate::PLUGIN;

    const TXT: u16 = 16;

    fn block(text: &str) -> TestBlock {
        set_up(&[PLUGIN], text).unwrap()
    }

    async fn ask(block: &TestBlock, name: &str, qtype: u16) -> Result<Outcome, PluginError> {
        block
            .ask(&mut QueryBuilder::new(name, qtype).unwrap().to_request().unwrap())
            .await
    }

    async fn reply(block: &TestBlock, name: &str, qtype: u16) -> Response {
        block
            .reply(&mut QueryBuilder::new(name, qtype).unwrap().to_request().unwrap())
            .await
    }

    /// Owner, TTL and data of each record.
    fn shown(response: &Response) -> Vec<String> {
        let record = |record: RecordView<'_>| {
            let data = match record.type_code() {
                A => Ipv4Addr::from(<[u8; 4]>::try_from(record.rdata()).unwrap()).to_string(),
                AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(record.rdata()).unwrap()).to_string(),
                _ => record.target().unwrap().to_string(),
            };
            let mut buffer = [0; MAX_NAME_LEN];
            let owner = presentation(record.owner_as_written(&mut buffer));
            format!("{owner} {} {data}", record.ttl())
        };
        response.records().map(record).collect()
    }

    #[tokio::test]
    async fn addresses_and_reverses_are_answered_with_authority() {
        let block = block(
            "hosts /nonexistent {\n 192.0.2.1 a.example.org b.example.org\n 2001:db8::1 a.example.org\n}",
        );
        let ptr6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
        for (name, qtype, want) in [
            ("a.example.org.", A, &["a.example.org. 3600 192.0.2.1"][..]),
            ("a.example.org.", AAAA, &["a.example.org. 3600 2001:db8::1"]),
            ("b.example.org.", AAAA, &[]),
            ("b.example.org.", TXT, &[]),
            ("b.example.org.", 255, &[]),
            (
                "1.2.0.192.in-addr.arpa.",
                PTR,
                &[
                    "1.2.0.192.in-addr.arpa. 3600 a.example.org.",
                    "1.2.0.192.in-addr.arpa. 3600 b.example.org.",
                ],
            ),
            (ptr6, PTR, &[&*format!("{ptr6} 3600 a.example.org.")]),
        ] {
            let response = reply(&block, name, qtype).await;
            assert_eq!(shown(&response), want, "{name} {qtype}");
            assert!(
                response.aa() && !response.tc() && response.rcode() == Rcode::NOERROR,
                "{name} {qtype}"
            );
        }
    }

    #[tokio::test]
    async fn owners_are_in_lower_case_and_the_question_keeps_its_letters() {
        let block =
            block("hosts /nonexistent {\n 192.0.2.1 a.example.org\n 192.0.2.2 a.example.org\n ttl 7\n}");
        let response = reply(&block, "A.Example.ORG.", A).await;
        assert_eq!(
            shown(&response),
            ["a.example.org. 7 192.0.2.1", "a.example.org. 7 192.0.2.2"]
        );
        assert_eq!(
            presentation(&response.question()[..15]).to_string(),
            "A.Example.ORG."
        );
        // The second owner is a pointer.
        assert_eq!(response.wire().len(), 12 + 19 + 15 + 14 + 2 + 14);
    }

    #[tokio::test]
    async fn unknown_names_are_servfail_and_unknown_reverses_go_on() {
        let block = block("hosts /nonexistent {\n 192.0.2.1 a.example.org\n}");
        for name in [
            "b.example.org.",
            "sub.a.example.org.",
            "example.org.",
            "1.2.0.192.in-addr.arpa.",
        ] {
            let outcome = ask(&block, name, A).await.unwrap();
            assert!(
                matches!(outcome, Outcome::Status(Rcode::SERVFAIL)),
                "{name}: {outcome:?}"
            );
        }
        for name in [
            "2.2.0.192.in-addr.arpa.",
            "2.0.192.in-addr.arpa.",
            "a.example.org.",
            "1.1.2.0.192.in-addr.arpa.",
        ] {
            let error = ask(&block, name, PTR).await.unwrap_err();
            assert_eq!(error.to_string(), "plugin/hosts: no next plugin found", "{name}");
        }
    }

    #[tokio::test]
    async fn fallthrough_passes_on_what_is_unknown() {
        let below =
            "hosts /nonexistent {\n 192.0.2.1 a.example.org\n fallthrough below.example.org\n}\nfixed";
        let all = "hosts /nonexistent {\n 192.0.2.1 a.example.org\n fallthrough\n}\nfixed";
        let types = "hosts /nonexistent {\n 192.0.2.1 a.example.org\n fallthrough\n fallthrough_unsupported\n}\nfixed";
        for (case, text, name, qtype, passed) in [
            ("unknown", all, "b.example.org.", A, true),
            ("unknown of another type", all, "b.example.org.", TXT, true),
            ("known", all, "a.example.org.", A, false),
            ("known without the type", all, "a.example.org.", AAAA, false),
            ("known of another type", all, "a.example.org.", TXT, false),
            ("in the zone", below, "x.below.example.org.", A, true),
            ("out of the zone", below, "x.example.org.", A, false),
            ("with other types", types, "a.example.org.", TXT, true),
            (
                "with other types, but an address",
                types,
                "a.example.org.",
                AAAA,
                false,
            ),
        ] {
            let block = set_up(&[PLUGIN, FIXED], text).unwrap();
            let outcome = ask(&block, name, qtype).await.unwrap();
            let fixed = matches!(&outcome, Outcome::Reply(response) if shown(response) == [format!("{name} 60 192.0.2.1")]);
            assert_eq!(fixed, passed, "case {case}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn zones_bound_what_is_answered_but_for_reverses() {
        let text = "hosts /nonexistent example.org {\n 192.0.2.1 a.example.org a.example.net\n}\nfixed";
        let block = set_up(&[PLUGIN, FIXED], text).unwrap();
        assert_eq!(
            shown(&reply(&block, "a.example.net.", A).await),
            ["a.example.net. 60 192.0.2.1"]
        );
        assert_eq!(
            shown(&reply(&block, "1.2.0.192.in-addr.arpa.", PTR).await),
            ["1.2.0.192.in-addr.arpa. 3600 a.example.org."]
        );
    }

    #[tokio::test]
    async fn an_address_with_very_many_names_costs_what_the_client_can_take() {
        let names: Vec<String> = (0..20_000)
            .map(|number| format!("n{number}.example.org"))
            .collect();
        let block = block(&format!(
            "hosts /nonexistent {{\n 0.0.0.0 {}\n}}",
            names.join(" ")
        ));
        let query = QueryBuilder::new("0.0.0.0.in-addr.arpa.", PTR).unwrap();
        for (transport, most) in [(Transport::Udp, 512), (Transport::Tcp, MAX_MESSAGE_LEN)] {
            let response = block.reply(&mut query.to_request_over(transport).unwrap()).await;
            assert!(response.tc(), "{transport}");
            assert_eq!(usize::from(response.answer_count()), most / 14, "{transport}");
        }
    }

    #[tokio::test]
    async fn a_name_with_more_addresses_than_a_message_holds_is_truncated() {
        let lines: Vec<String> = (0..5000_u32)
            .map(|number| format!("{} many.example.org", Ipv4Addr::from(number)))
            .collect();
        let block = block(&format!("hosts /nonexistent {{\n{}\n}}", lines.join("\n")));
        let response = reply(&block, "many.example.org.", A).await;
        assert!(response.tc());
        assert!(response.wire().len() <= MAX_MESSAGE_LEN && response.answer_count() > 4000);
    }
}
