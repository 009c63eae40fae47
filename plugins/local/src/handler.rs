//! What happens to one query.

use catena_core::message::Request;
use catena_core::plugin::{AtOnce, Plugin};
use catena_metrics::Counter;

use crate::answer::answer;
use crate::config::Config;
use crate::names::{Local as Kind, classify};

/// Answers queries for local names.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) config: Config,
    pub(crate) intercepted: Counter,
}

impl Plugin for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        let Some(kind) = classify(request.qname().as_wire(), self.config.localhost_prefix) else {
            return AtOnce::Pass;
        };
        if kind == Kind::Special {
            self.note(request);
        }
        AtOnce::Answer(answer(request, kind).into())
    }
}

impl Local {
    /// Such queries come from clients that are set up oddly: the operator may want to find them.
    fn note(&self, request: &Request) {
        self.intercepted.inc();
        tracing::debug!(
            target: "plugin/local",
            "Intercepting localhost query for {:?} {}, from {}",
            request.qname().to_string(),
            request.qtype(),
            request.peer().ip().to_canonical(),
        );
    }
}

#[cfg(test)]
mod tests {
    use catena_core::message::{Rcode, Response};
    use catena_core::plugin::testing::FIXED;
    use catena_testkit::Handler;
    use hickory_proto::op::Message;
    use hickory_proto::rr::RecordType;

    /// Behind the plugin stands another that answers every name, with AA.
    fn block(text: &str) -> Handler {
        Handler::new([crate::PLUGIN, FIXED], &format!("{text}\nfixed"))
    }

    fn ask(block: &Handler, name: &str, record_type: RecordType) -> (Response, Message) {
        let answer = block.ask(format!("{name} {record_type}").as_str());
        let message = Message::from_vec(answer.wire()).unwrap();
        (answer.response().clone(), message)
    }

    #[test]
    fn each_name_has_its_answer() {
        const SOA: &str = "604800 IN SOA localhost. root.localhost. 1 0 0 0 604800";
        let block = block("local");
        for (name, record_type, rcode, answer, authority) in [
            (
                "localhost.",
                RecordType::A,
                Rcode::NOERROR,
                "localhost. 604800 IN A 127.0.0.1",
                "",
            ),
            (
                "LocalHost.",
                RecordType::AAAA,
                Rcode::NOERROR,
                "LocalHost. 604800 IN AAAA ::1",
                "",
            ),
            (
                "localhost.",
                RecordType::NS,
                Rcode::NOERROR,
                "localhost. 604800 IN NS localhost.",
                "",
            ),
            (
                "localhost.",
                RecordType::SOA,
                Rcode::NOERROR,
                "localhost. $SOA",
                "",
            ),
            (
                "localhost.",
                RecordType::MX,
                Rcode::NOERROR,
                "",
                "localhost. $SOA",
            ),
            (
                "LocalHost.",
                RecordType::ANY,
                Rcode::NOERROR,
                "",
                "LocalHost. $SOA",
            ),
            (
                "A.localhost.",
                RecordType::A,
                Rcode::NOERROR,
                "A.localhost. 604800 IN A 127.0.0.1",
                "",
            ),
            (
                "a.b.localhost.",
                RecordType::AAAA,
                Rcode::NOERROR,
                "a.b.localhost. 604800 IN AAAA ::1",
                "",
            ),
            (
                "WWW.localhost.",
                RecordType::SOA,
                Rcode::NOERROR,
                "",
                "WWW.localhost. $SOA",
            ),
            (
                "localhost.a.org.",
                RecordType::A,
                Rcode::NOERROR,
                "localhost.a.org. 604800 IN A 127.0.0.1",
                "",
            ),
            (
                "localhost.a.org.",
                RecordType::TXT,
                Rcode::NOERROR,
                "",
                "localhost.a.org. $SOA",
            ),
            (
                "127.in-addr.arpa.",
                RecordType::A,
                Rcode::NOERROR,
                "",
                "127.in-addr.arpa. $SOA",
            ),
            (
                "0.in-addr.arpa.",
                RecordType::AAAA,
                Rcode::NOERROR,
                "",
                "0.in-addr.arpa. $SOA",
            ),
            (
                "255.in-addr.arpa.",
                RecordType::SOA,
                Rcode::NOERROR,
                "255.in-addr.arpa. $SOA",
                "",
            ),
            (
                "255.in-addr.arpa.",
                RecordType::NS,
                Rcode::NOERROR,
                "255.in-addr.arpa. 604800 IN NS localhost.",
                "",
            ),
            (
                "1.0.0.127.in-addr.arpa.",
                RecordType::PTR,
                Rcode::NOERROR,
                "1.0.0.127.in-addr.arpa. 604800 IN PTR localhost.",
                "",
            ),
            (
                "1.0.0.127.In-Addr.ARPA.",
                RecordType::MX,
                Rcode::NOERROR,
                "",
                "127.In-Addr.ARPA. $SOA",
            ),
            (
                "2.0.0.127.in-addr.arpa.",
                RecordType::PTR,
                Rcode::NXDOMAIN,
                "",
                "127.in-addr.arpa. $SOA",
            ),
            (
                "9.255.in-addr.arpa.",
                RecordType::SOA,
                Rcode::NXDOMAIN,
                "",
                "255.in-addr.arpa. $SOA",
            ),
        ] {
            let (response, message) = ask(&block, name, record_type);
            assert_eq!(
                (response.rcode(), response.aa()),
                (rcode, false),
                "{name} {record_type}"
            );
            let answers: Vec<_> = message.answers.iter().map(ToString::to_string).collect();
            assert_eq!(
                answers.join("\n"),
                answer.replace("$SOA", SOA),
                "{name} {record_type}"
            );
            let authorities: Vec<_> = message.authorities.iter().map(ToString::to_string).collect();
            assert_eq!(
                authorities.join("\n"),
                authority.replace("$SOA", SOA),
                "{name} {record_type}"
            );
        }
    }

    #[test]
    fn other_names_pass() {
        let default = block("local");
        let off = block("local {\n localhost_prefix off\n}");
        for (block, name) in [
            (&default, "notlocalhost."),
            (&default, "www.localhost.example.org."),
            (&default, "10.in-addr.arpa."),
            (&default, "1.0.0.0.ip6.arpa."),
            (&off, "localhost.example.org."),
        ] {
            let (response, _) = ask(block, name, RecordType::A);
            assert!(response.aa(), "{name} was answered by the plugin behind");
        }
        let (response, _) = ask(&off, "a.localhost.", RecordType::A);
        assert!(!response.aa(), "names below localhost stay local");
    }

    #[test]
    fn counts_what_is_special() {
        let block = block("local");
        for name in [
            "localhost.",
            "a.localhost.",
            "localhost.example.org.",
            "127.in-addr.arpa.",
            "example.org.",
        ] {
            ask(&block, name, RecordType::A);
        }
        let counted = block
            .metrics()
            .value("coredns_local_localhost_requests_total", &[]);
        assert_eq!(counted, Some(2.0));
    }

    #[test]
    fn debug_messages_name_the_client() {
        let block = block("local");
        block.logs().sink().set_debug(true);
        for name in ["WWW.localhost.", "localhost."] {
            ask(&block, name, RecordType::A);
        }
        assert_eq!(
            block.logs().lines(),
            [r#"[DEBUG] plugin/local: Intercepting localhost query for "www.localhost." A, from 127.0.0.1"#]
        );
    }
}
