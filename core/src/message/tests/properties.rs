//! Laws, with hickory-proto as the other opinion.

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{
    Admitted, MAX_MESSAGE_LEN, Policy, QName, QueryBuilder, RdataWriter, Response, Section, Transport, fit_to,
};
use super::{admit, decode};

fn names() -> impl Strategy<Value = QName> {
    vec("[a-cA-C]{1,3}", 0..6).prop_map(|labels| QName::from_presentation(&(labels.join(".") + ".")).unwrap())
}

/// Records as section, owner, kind of data, and a name for it.
fn records() -> impl Strategy<Value = Vec<(usize, QName, u8, QName)>> {
    vec((0..3_usize, names(), 0..5_u8, names()), 0..60).prop_map(|mut records| {
        records.sort_by_key(|record| record.0);
        records
    })
}

fn build(question: &QName, records: &[(usize, QName, u8, QName)]) -> Response {
    let mut request = QueryBuilder::of_name(question, RecordType::A)
        .to_request()
        .unwrap();
    let mut reply = request.reply();
    for (index, (section, owner, kind, target)) in records.iter().enumerate() {
        let section = [Section::Answer, Section::Authority, Section::Additional][*section];
        let record_type = [1_u16, 2, 15, 33, 6][usize::from(*kind)];
        reply.record(
            section,
            owner.into(),
            record_type,
            1,
            index as u32,
            |out: &mut RdataWriter<'_>| match kind {
                0 => out.u32(index as u32),
                1 => out.name(target.as_wire()),
                2 => {
                    out.u16(1);
                    out.name(target.as_wire());
                }
                3 => {
                    out.bytes(&[0; 6]);
                    out.name_in_full(target.as_wire());
                }
                _ => {
                    out.name(target.as_wire());
                    out.name(owner.as_wire());
                    out.bytes(&[0; 20]);
                }
            },
        );
    }
    reply.finish()
}

fn all(message: &Message) -> Vec<String> {
    message.all_sections().map(ToString::to_string).collect()
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..600), tcp in any::<bool>()) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let (_, mut request) = admit(&bytes, transport, Policy { other_classes: true });
        let _ = request.message();
        let response = request.reply().finish();
        let _ = super::super::fit(response, &request);
    }

    #[test]
    fn mangled_queries_never_panic(
        name in names(),
        options in vec((any::<u16>(), vec(any::<u8>(), 0..12)), 0..4),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut query = QueryBuilder::of_name(&name, RecordType::A).edns(1232, true);
        for (code, value) in &options {
            query = query.option(*code, value);
        }
        let mut wire = query.to_wire();
        for (index, value) in &flips {
            let at = index.index(wire.len());
            wire[at] = *value;
        }
        let (admitted, mut request) = admit(&wire, Transport::Udp, Policy::default());
        if let Admitted::Query = admitted {
            // What is let in can be answered, sent on and changed.
            let reply = request.reply().finish();
            let wire = super::super::fit(reply, &request);
            prop_assert!(Response::from_wire(wire).is_ok());
            request.set_question(b"\x03new\0", 1, 1).unwrap();
            request.set_dnssec_ok(true);
            request.set_edns_udp_size(700);
            let again = super::super::Request::from_wire_for_tests(request.wire()).unwrap();
            prop_assert_eq!(again.edns().map(|edns| (edns.udp_size, edns.dnssec_ok)), Some((700, true)));
        }
    }

    #[test]
    fn mangled_responses_never_panic(
        question in names(),
        records in records(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut wire = build(&question, &records).into_wire();
        for (index, value) in &flips {
            let at = index.index(wire.len());
            wire[at] = *value;
        }
        let request = QueryBuilder::of_name(&question, RecordType::A).edns(600, false).to_request().unwrap();
        if let Ok(mut response) = Response::from_wire(wire) {
            response.map_ttls(|record| record.ttl().wrapping_add(1));
            response.answer_to(&request);
            for record in response.records() {
                let _ = (record.owner(), record.target(), record.canonical_rdata(), record.to_record());
            }
            response.add_extended_error(1, "x");
            response.set_question(request.question());
            let _ = response.message();
            let fitted = fit_to(response, &request, 512);
            prop_assert!(fitted.len() <= 512 || fitted.is_empty());
        }
    }

    #[test]
    fn answers_mean_the_same_to_another_library(question in names(), records in records()) {
        let response = build(&question, &records);
        let message = decode(response.wire());
        prop_assert_eq!(message.all_sections().count(), records.len());
        for (record, (_, owner, _, _)) in message.all_sections().zip(&records) {
            prop_assert_eq!(record.name.to_ascii(), owner.to_string());
        }
        // Measured while writing and measured by walking.
        let checked = Response::from_wire(response.wire().to_vec()).unwrap();
        prop_assert_eq!(checked.uncompressed_len(), response.uncompressed_len());
        // Through hickory-proto and back.
        let again = Response::from_message(&message).unwrap();
        prop_assert_eq!(all(&decode(again.wire())), all(&message));
        prop_assert_eq!(again.uncompressed_len(), response.uncompressed_len());
    }

    #[test]
    fn cut_answers_are_a_prefix(question in names(), records in records(), limit in 512..2000_usize) {
        let response = build(&question, &records);
        let whole = all(&decode(response.wire()));
        let request = QueryBuilder::of_name(&question, RecordType::A).edns(1232, false).to_request().unwrap();
        let wire = fit_to(response, &request, limit);
        prop_assert!(wire.len() <= limit.min(MAX_MESSAGE_LEN));
        let message = decode(&wire);
        let kept = all(&message);
        prop_assert!(whole.starts_with(&kept));
        prop_assert_eq!(message.metadata.truncation, kept.len() < whole.len());
    }

    #[test]
    fn queries_are_read_as_another_library_reads_them(name in names(), qtype in any::<u16>(), id in any::<u16>()) {
        let wire = QueryBuilder::of_name(&name, qtype).id(id).edns(1400, true).to_wire();
        let request = super::super::Request::from_wire_for_tests(&wire).unwrap();
        let message = decode(&wire);
        prop_assert_eq!(message.metadata.id, request.id());
        prop_assert_eq!(message.queries[0].query_type(), request.qtype());
        prop_assert_eq!(message.queries[0].name().to_ascii(), request.qname().to_string());
        prop_assert_eq!(message.max_payload(), request.edns().unwrap().udp_size);
    }
}
