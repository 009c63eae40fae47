//! What happens to one query.

use catena_core::message::{CLASS_IN, Owner, RdataWriter, Request, Response};
use catena_core::plugin::{AtOnce, Plugin};
use hickory_proto::rr::RecordType;

/// The query type ANY.
const ANY: u16 = 255;

/// What CoreDNS gives, in seconds: the number of the RFC.
const TTL: u32 = 8482;

/// Answers queries for ANY.
#[derive(Debug)]
pub(crate) struct Any;

impl Plugin for Any {
    fn name(&self) -> &'static str {
        "any"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        if request.qtype_code() == ANY {
            return AtOnce::Answer(answer(request).into());
        }
        AtOnce::Pass
    }
}

/// RFC 8482, section 4.2: a HINFO record that is made up for the purpose.
fn answer(request: &mut Request) -> Response {
    let text = |rdata: &mut RdataWriter<'_>| {
        rdata.character_string(b"ANY obsoleted");
        rdata.character_string(b"See RFC 8482");
    };
    request
        .reply()
        .answer(Owner::Question, RecordType::HINFO, CLASS_IN, TTL, text)
        .finish()
}

#[cfg(test)]
mod tests {
    use catena_core::message::QueryBuilder;
    use catena_core::plugin::testing::{FIXED, set_up};

    use super::*;

    #[tokio::test]
    async fn any_gets_the_record_and_no_authority() {
        let block = set_up(&[crate::PLUGIN, FIXED], "any\nfixed").unwrap();
        let mut request = QueryBuilder::new("A.Example.org.", RecordType::ANY)
            .unwrap()
            .to_request()
            .unwrap();
        let response = block.reply(&mut request).await;
        assert!(!response.aa() && response.rd() && !response.ra());
        let record = response.records().next().unwrap();
        assert_eq!(
            (record.type_code(), record.class_code(), record.ttl()),
            (13, CLASS_IN, 8482)
        );
        assert_eq!(record.rdata(), b"\x0dANY obsoleted\x0cSee RFC 8482");
        assert_eq!(response.answer_count(), 1);
        assert_eq!(response.question()[..15], *b"\x01A\x07Example\x03org\0");
    }

    #[tokio::test]
    async fn other_types_pass() {
        let block = set_up(&[crate::PLUGIN, FIXED], "any\nfixed").unwrap();
        for record_type in [
            RecordType::A,
            RecordType::HINFO,
            RecordType::AXFR,
            RecordType::Unknown(256),
        ] {
            let mut request = QueryBuilder::new("a.example.org.", record_type)
                .unwrap()
                .to_request()
                .unwrap();
            let response = block.reply(&mut request).await;
            assert!(response.aa(), "{record_type} was answered by the plugin behind");
        }
    }
}
