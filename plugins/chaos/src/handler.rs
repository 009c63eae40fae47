//! What happens to one query.

use catena_core::message::{CLASS_CH, Owner, RdataWriter, ReplyBuilder, Request, Response};
use catena_core::plugin::{AtOnce, Plugin};
use hickory_proto::rr::RecordType;

use crate::config::Config;

/// Nobody should keep what a server says about itself.
const TTL: u32 = 0;

/// Answers questions about the server.
#[derive(Debug)]
pub(crate) struct Chaos {
    pub(crate) config: Config,
    pub(crate) host_name: String,
}

impl Plugin for Chaos {
    fn name(&self) -> &'static str {
        "chaos"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        if request.qclass_code() == CLASS_CH
            && request.qtype() == RecordType::TXT
            && let Some(response) = self.answer(request)
        {
            return AtOnce::Answer(response.into());
        }
        AtOnce::Pass
    }
}

impl Chaos {
    /// The answer to a TXT query of class CH; none if the name is not one of ours.
    fn answer(&self, request: &mut Request) -> Option<Response> {
        let mut reply = request.reply();
        match request.qname().as_wire() {
            b"\x07version\x04bind\0" | b"\x07version\x06server\0" => add(&mut reply, &self.config.version),
            b"\x08hostname\x04bind\0" | b"\x02id\x06server\0" => add(&mut reply, self.host_name.as_bytes()),
            b"\x07authors\x04bind\0" => {
                for author in shuffled(&self.config.authors, request.id()) {
                    add(&mut reply, author);
                }
            }
            _ => {
                request.recycle(reply.finish().into_wire());
                return None;
            }
        }
        Some(reply.finish())
    }
}

fn add(reply: &mut ReplyBuilder, text: &[u8]) {
    let text = |rdata: &mut RdataWriter<'_>| rdata.character_string(text);
    reply.answer(Owner::Question, RecordType::TXT, CLASS_CH, TTL, text);
}

/// The authors in an order that nobody can complain about: the id of the query decides it.
fn shuffled(authors: &[Vec<u8>], id: u16) -> Vec<&[u8]> {
    let mut order: Vec<&[u8]> = authors.iter().map(Vec::as_slice).collect();
    let mut state = u32::from(id) ^ 0x9e37_79b9;
    for last in (1..order.len()).rev() {
        // Xorshift: it need be even, not unpredictable.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        order.swap(last, state as usize % (last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use catena_core::message::{CLASS_ANY, CLASS_IN, QueryBuilder};
    use catena_core::plugin::host_name;
    use catena_core::plugin::testing::{FIXED, TestBlock, set_up};

    use super::*;

    async fn ask(block: &TestBlock, name: &str, record_type: RecordType, class: u16, id: u16) -> Response {
        let query = QueryBuilder::new(name, record_type).unwrap().class(class).id(id);
        block.reply(&mut query.to_request().unwrap()).await
    }

    fn texts(response: &Response) -> Vec<String> {
        response
            .message()
            .unwrap()
            .answers
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[tokio::test]
    async fn each_name_has_its_answer() {
        let block = set_up(&[crate::PLUGIN, FIXED], "chaos v1 me\nfixed").unwrap();
        let host = host_name();
        for (name, want) in [
            ("version.bind.", "version.bind. 0 CH TXT \"v1\"".to_owned()),
            ("Version.Server.", "Version.Server. 0 CH TXT \"v1\"".to_owned()),
            ("authors.bind.", "authors.bind. 0 CH TXT \"me\"".to_owned()),
            ("hostname.bind.", format!("hostname.bind. 0 CH TXT \"{host}\"")),
            ("ID.server.", format!("ID.server. 0 CH TXT \"{host}\"")),
        ] {
            let response = ask(&block, name, RecordType::TXT, CLASS_CH, 1).await;
            assert!(!response.aa(), "{name}");
            assert_eq!(
                texts(&response).concat().replace('"', ""),
                want.replace('"', ""),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn other_questions_pass() {
        let block = set_up(&[crate::PLUGIN, FIXED], "chaos\nfixed").unwrap();
        for (name, record_type, class) in [
            ("version.bind.", RecordType::TXT, CLASS_IN),
            ("version.bind.", RecordType::TXT, CLASS_ANY),
            ("version.bind.", RecordType::A, CLASS_CH),
            ("version.bind.", RecordType::ANY, CLASS_CH),
            ("x.version.bind.", RecordType::TXT, CLASS_CH),
            ("authors.server.", RecordType::TXT, CLASS_CH),
            (".", RecordType::TXT, CLASS_CH),
        ] {
            let response = ask(&block, name, record_type, class, 1).await;
            assert!(
                response.aa(),
                "{name} {record_type} {class} was answered by the plugin behind"
            );
        }
    }

    #[tokio::test]
    async fn authors_come_in_changing_order() {
        let block = set_up(&[crate::PLUGIN], "chaos v1 a b c d").unwrap();
        let mut orders = BTreeSet::new();
        for id in 0..50 {
            let mut authors = texts(&ask(&block, "authors.bind.", RecordType::TXT, CLASS_CH, id).await);
            orders.insert(authors.clone());
            authors.sort();
            authors.dedup();
            assert_eq!(authors.len(), 4, "each author once");
        }
        assert!(orders.len() > 10, "{} orders", orders.len());
    }

    #[test]
    fn other_classes_are_let_in() {
        assert!(crate::PLUGIN.other_classes);
    }
}
