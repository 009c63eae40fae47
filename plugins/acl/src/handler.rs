//! What happens to one query.

use std::net::IpAddr;

use catena_core::message::{Rcode, Request, Response};
use catena_core::plugin::{AtOnce, ExtendedError, Outcome, Plugin};

use crate::config::{Action, Policy, Rule, Types};
use crate::metrics::Metrics;

/// The size in the OPT record of refusals, which goes to clients without EDNS too: CoreDNS's.
const OPT_SIZE: u16 = 4096;

/// Decides about queries by the rules of the block.
#[derive(Debug)]
pub(crate) struct Acl {
    rules: Vec<Rule>,
    metrics: Metrics,
}

impl Acl {
    pub(crate) fn new(rules: Vec<Rule>, metrics: Metrics) -> Self {
        Self { rules, metrics }
    }

    /// The first action of a rule that holds the name, with the places of the rule and its zone.
    fn decide(&self, request: &Request) -> Option<(Action, usize, usize)> {
        let client = request.peer().ip();
        for (place, rule) in self.rules.iter().enumerate() {
            let Some(zone) = rule.longest_zone(request) else {
                continue;
            };
            let fits = |policy: &&Policy| policy.fits(request.qtype_code(), client);
            if let Some(policy) = rule.policies.iter().find(fits) {
                return Some((policy.action, place, zone));
            }
        }
        None
    }
}

impl Plugin for Acl {
    fn name(&self) -> &'static str {
        "acl"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        let Some((action, rule, zone)) = self.decide(request) else {
            self.metrics.allow(request);
            return AtOnce::Pass;
        };
        self.metrics.stop(request, action, &self.rules, rule, zone);
        AtOnce::Answer(match action {
            Action::Allow => return AtOnce::Pass,
            Action::Block => refusal(request, Rcode::REFUSED, ExtendedError::BLOCKED).into(),
            Action::Drop => Outcome::Drop,
            Action::Filter => refusal(request, Rcode::NOERROR, ExtendedError::FILTERED).into(),
        })
    }
}

impl Rule {
    /// The place of the longest zone that holds the name.
    fn longest_zone(&self, request: &Request) -> Option<usize> {
        let holds = |(_, zone): &(usize, &catena_core::message::Zone)| request.qname().is_within(zone);
        let zones = self.zones.iter().enumerate().filter(holds);
        zones
            .max_by_key(|(_, zone)| zone.label_count())
            .map(|(place, _)| place)
    }
}

impl Policy {
    fn fits(&self, qtype: u16, client: IpAddr) -> bool {
        let of_type = match &self.types {
            Types::All => true,
            Types::Some(codes) => codes.contains(&qtype),
        };
        of_type && self.networks.contains(client)
    }
}

fn refusal(request: &mut Request, rcode: Rcode, code: u16) -> Response {
    let mut response = request.reply().rcode(rcode).finish();
    response.set_opt(OPT_SIZE, true);
    response.add_extended_error(code, "");
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Instant;

    use catena_core::message::{ListenerContext, QueryBuilder, Transport, fit};
    use catena_core::plugin::testing::{FIXED, TestBlock, set_up};
    use catena_metrics::Registry;
    use hickory_proto::op::Message;
    use hickory_proto::rr::RecordType;

    use super::*;

    fn request(name: &str, record_type: RecordType, client: &str) -> Request {
        let mut request = Request::new();
        let context = ListenerContext {
            transport: Transport::Udp,
            peer: SocketAddr::new(client.parse().unwrap(), 5353),
            local: "127.0.0.1:53".parse().unwrap(),
            server: &Arc::from("dns://:53"),
            received: Instant::now(),
        };
        request
            .reset(&QueryBuilder::new(name, record_type).unwrap().to_wire(), &context)
            .unwrap();
        request
    }

    fn block(text: &str) -> TestBlock {
        set_up(&[crate::PLUGIN, FIXED], &format!("{text}\nfixed")).unwrap()
    }

    /// In one word what becomes of a query.
    async fn fate(block: &TestBlock, name: &str, record_type: RecordType, client: &str) -> &'static str {
        match block.ask(&mut request(name, record_type, client)).await.unwrap() {
            Outcome::Drop => "dropped",
            Outcome::Reply(response) if response.rcode() == Rcode::REFUSED => "blocked",
            Outcome::Reply(response) if response.answer_count() == 0 => "filtered",
            Outcome::Reply(_) => "allowed",
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_first_line_that_fits_decides() {
        let block = block(
            "acl {\n allow net 192.0.2.1\n filter type TXT\n drop type A net 192.0.2.0/24\n block net 192.0.2.0/23 \
             2001:db8::/32\n}",
        );
        for (record_type, client, want) in [
            (RecordType::TXT, "192.0.2.1", "allowed"),
            (RecordType::A, "192.0.2.2", "dropped"),
            (RecordType::TXT, "192.0.2.2", "filtered"),
            (RecordType::AAAA, "192.0.2.2", "blocked"),
            (RecordType::A, "192.0.3.2", "blocked"),
            (RecordType::A, "::ffff:192.0.3.2", "blocked"),
            (RecordType::A, "192.0.4.2", "allowed"),
            (RecordType::TXT, "192.0.4.2", "filtered"),
            (RecordType::A, "2001:db8::1", "blocked"),
            (RecordType::A, "2001:db9::1", "allowed"),
        ] {
            assert_eq!(
                fate(&block, "a.example.org.", record_type, client).await,
                want,
                "{record_type} {client}"
            );
        }
    }

    #[tokio::test]
    async fn rules_hold_for_their_zones_and_allow_ends_the_search() {
        let block = block(
            "acl open.example.org {\n allow\n}\nacl example.org example.net {\n block type A\n}\nacl {\n drop type MX\n}",
        );
        for (name, record_type, want) in [
            ("a.open.example.org.", RecordType::A, "allowed"),
            ("a.open.example.org.", RecordType::MX, "allowed"),
            ("A.EXAMPLE.net.", RecordType::A, "blocked"),
            ("a.example.org.", RecordType::MX, "dropped"),
            ("a.example.org.", RecordType::TXT, "allowed"),
            ("notexample.org.", RecordType::A, "allowed"),
        ] {
            assert_eq!(
                fate(&block, name, record_type, "192.0.2.1").await,
                want,
                "{name} {record_type}"
            );
        }
    }

    #[tokio::test]
    async fn refusals_explain_themselves_even_without_edns() {
        let block = block("acl {\n block type A\n filter type MX\n}");
        for (record_type, rcode, code) in [(RecordType::A, 5, 15), (RecordType::MX, 0, 17)] {
            let mut request = request("a.example.org.", record_type, "192.0.2.1");
            let response = block.reply(&mut request).await;
            let message = Message::from_vec(&fit(response, &request)).unwrap();
            assert!(message.answers.is_empty() && message.authorities.is_empty());
            assert_eq!(u16::from(message.metadata.response_code), rcode);
            assert!(!message.metadata.authoritative && message.metadata.recursion_desired);
            let edns = message.edns.unwrap();
            assert!(edns.flags().dnssec_ok && edns.max_payload() == 4096);
            let options: Vec<_> = edns
                .options()
                .as_ref()
                .iter()
                .map(|(option, _)| u16::from(*option))
                .collect();
            assert_eq!(options, [15], "an extended error, {code}");
        }
    }

    #[tokio::test]
    async fn what_is_decided_is_counted() {
        let block =
            block("acl example.org a.example.org {\n block type A\n filter type MX\n drop type TXT\n}");
        for record_type in [
            RecordType::A,
            RecordType::A,
            RecordType::MX,
            RecordType::TXT,
            RecordType::AAAA,
        ] {
            fate(&block, "b.a.example.org.", record_type, "192.0.2.1").await;
        }
        fate(&block, "example.org.", RecordType::A, "192.0.2.1").await;
        let mut text = String::new();
        block.shared.of::<Registry>().encode_text(&mut text);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                r#"coredns_acl_allowed_requests_total{server="dns://:53",view=""} 1"#,
                r#"coredns_acl_blocked_requests_total{server="dns://:53",view="",zone="a.example.org."} 2"#,
                r#"coredns_acl_blocked_requests_total{server="dns://:53",view="",zone="example.org."} 1"#,
                r#"coredns_acl_dropped_requests_total{server="dns://:53",view="",zone="a.example.org."} 1"#,
                r#"coredns_acl_filtered_requests_total{server="dns://:53",view="",zone="a.example.org."} 1"#,
            ]
        );
    }
}
