//! Answers from outside, patched and edited.

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::super::{MessageError, QueryBuilder, Rcode, Response, Section};
use super::decode;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// An answer as an upstream sends it.
fn upstream(edns: bool) -> Message {
    let mut message = Message::new(7, MessageType::Response, OpCode::Query);
    message.add_query(hickory_proto::op::Query::query(
        name("Www.Example.org."),
        RecordType::A,
    ));
    message.add_answer(Record::from_rdata(
        name("Www.Example.org."),
        300,
        RData::CNAME(CNAME(name("host.example.org."))),
    ));
    message.add_answer(Record::from_rdata(
        name("host.example.org."),
        60,
        RData::A(A::new(192, 0, 2, 1)),
    ));
    message.add_authority(Record::from_rdata(
        name("example.org."),
        900,
        RData::SOA(SOA::new(
            name("ns.example.org."),
            name("admin.example.org."),
            1,
            2,
            3,
            4,
            5,
        )),
    ));
    message.add_additional(Record::from_rdata(
        name("_x.example.org."),
        30,
        RData::SRV(SRV::new(1, 2, 3, name("Host.example.org."))),
    ));
    if edns {
        message.set_edns({
            let mut edns = hickory_proto::op::Edns::new();
            edns.set_max_payload(1400).set_dnssec_ok(true);
            edns
        });
    }
    message
}

#[test]
fn a_message_from_outside_is_measured_and_walked() {
    let message = upstream(false);
    let response = Response::from_message(&message).unwrap();
    let uncompressed = 12 + 21 + (17 + 10 + 18) + (18 + 14) + (13 + 10 + 16 + 19 + 20) + (16 + 16 + 18);
    assert_eq!(response.uncompressed_len(), uncompressed);
    let sections: Vec<_> = response.records().map(|record| record.section()).collect();
    assert_eq!(
        sections,
        [
            Section::Answer,
            Section::Answer,
            Section::Authority,
            Section::Additional
        ]
    );
    let cname = response.records().next().unwrap();
    assert_eq!(cname.owner().to_string(), "www.example.org.");
    assert_eq!(cname.target().unwrap().to_string(), "host.example.org.");
    assert_eq!(
        (cname.record_type(), cname.class_code(), cname.ttl()),
        (RecordType::CNAME, 1, 300)
    );
    let records: Vec<_> = response
        .records()
        .map(|record| record.to_record().unwrap())
        .collect();
    assert_eq!(
        records.iter().collect::<Vec<_>>(),
        message.all_sections().collect::<Vec<_>>()
    );
    let srv = response.records().last().unwrap();
    assert_eq!(
        srv.canonical_rdata(),
        b"\0\x01\0\x02\0\x03\x04host\x07example\x03org\0"
    );
    let mut expanded = Vec::new();
    srv.expand_rdata(&mut expanded);
    assert_eq!(expanded, b"\0\x01\0\x02\0\x03\x04Host\x07example\x03org\0");
    assert_eq!(response.min_ttl(), Some(30));
}

#[test]
fn flags_and_ttls_are_patched_in_place() {
    let mut response = Response::from_message(&upstream(true)).unwrap();
    response.set_aa(true);
    response.set_ra(true);
    response.set_ad(true);
    response.set_id(9);
    response.set_rcode(Rcode::BADCOOKIE);
    response.cap_ttl(100);
    let message = decode(response.wire());
    assert_eq!(message.metadata.id, 9);
    assert!(message.metadata.authoritative && message.metadata.recursion_available);
    assert_eq!(Rcode::from(message.metadata.response_code), Rcode::BADCOOKIE);
    let ttls: Vec<_> = message.all_sections().map(|record| record.ttl).collect();
    assert_eq!(ttls, [100, 60, 100, 30]);
    assert!(message.edns.unwrap().flags().dnssec_ok);
    assert_eq!(response.rcode(), Rcode::BADCOOKIE);
    response.set_rcode(Rcode::NOERROR);
    assert_eq!(decode(response.wire()).edns.unwrap().rcode_high(), 0);
}

#[test]
fn a_kept_answer_answers_another_client() {
    let kept = Response::from_message(&upstream(false)).unwrap();
    let mut request = QueryBuilder::new("wWW.eXAMPLE.org.", RecordType::A)
        .unwrap()
        .id(99)
        .checking_disabled(true)
        .to_request()
        .unwrap();
    let copy = kept.copy_for(&mut request);
    assert_eq!((copy.id(), copy.rd(), copy.cd()), (99, true, true));
    assert_eq!(copy.question(), request.question());
    assert_eq!(decode(copy.wire()).answers.len(), 2);
    assert_eq!(copy.uncompressed_len(), kept.uncompressed_len());
}

#[test]
fn the_question_can_be_put_back() {
    for (case, asked) in [
        ("same length", "abc.Example.org."),
        ("longer", "a.longer.Example.org."),
    ] {
        let mut response = Response::from_message(&upstream(true)).unwrap();
        let request = QueryBuilder::new(asked, RecordType::A)
            .unwrap()
            .to_request()
            .unwrap();
        response.set_question(request.original_question());
        let message = decode(response.wire());
        assert_eq!(message.queries[0].name().to_string(), asked, "case {case}");
        assert_eq!(message.all_sections().count(), 4, "case {case}");
        assert_eq!(message.authorities, upstream(true).authorities, "case {case}");
        assert_eq!(response.edns().unwrap().udp_size, 1400, "case {case}");
    }
}

#[test]
fn records_are_edited_with_types() {
    let mut response = Response::from_message(&upstream(true)).unwrap();
    response
        .edit(|message| {
            message.answers.clear();
            message.add_answer(Record::from_rdata(
                name("Www.Example.org."),
                1,
                RData::MX(MX::new(5, name("mx.example.org."))),
            ));
        })
        .unwrap();
    assert_eq!(
        (response.answer_count(), response.edns().unwrap().udp_size),
        (1, 1400)
    );
    assert_eq!(
        response.message().unwrap().answers[0].to_string(),
        "Www.Example.org. 1 IN MX 5 mx.example.org."
    );
}

#[test]
fn options_go_into_the_answer_s_own_opt_record() {
    let mut response = Response::from_message(&upstream(true)).unwrap();
    response.add_option(3, b"me");
    response.add_extended_error(15, "blocked");
    response.set_option(3, b"you");
    let options: Vec<_> = response
        .edns_options()
        .map(|(code, value)| (code, value.to_vec()))
        .collect();
    assert_eq!(options, [(3, b"you".to_vec()), (15, b"\0\x0fblocked".to_vec())]);
    assert_eq!(decode(response.wire()).edns.unwrap().options().options.len(), 2);
    let checked = Response::from_wire(response.wire().to_vec()).unwrap();
    assert_eq!(checked.uncompressed_len(), response.uncompressed_len());
    response.clear_options();
    assert_eq!(response.edns_options().count(), 0);
    response.remove_opt();
    assert_eq!(response.edns(), None);
    assert_eq!(decode(response.wire()).all_sections().count(), 4);
}

#[test]
fn an_opt_record_in_the_middle_moves_to_the_end() {
    let mut message = upstream(true);
    let additional = message.additionals.remove(0);
    let mut wire = message.to_vec().unwrap();
    wire.extend_from_slice(b"\x01z\0\0\x01\0\x01\0\0\0\x05\0\x04\x01\x02\x03\x04");
    wire[11] += 1;
    let mut response = Response::from_wire(wire).unwrap();
    response.add_option(3, b"x");
    let message = decode(response.wire());
    assert_eq!(
        (
            message.additionals.len(),
            message.edns.unwrap().options().options.len()
        ),
        (1, 1)
    );
    assert_ne!(message.additionals[0], additional);
}

#[test]
fn broken_messages_are_refused() {
    let sound = upstream(true).to_vec().unwrap();
    let cut = &sound[..sound.len() - 1];
    let mut forward = sound.clone();
    // The owner of the first answer, a pointer to the question, now points to itself.
    let owner = 12 + 21;
    forward[owner..owner + 2].copy_from_slice(&[0xc0, owner as u8]);
    for (case, wire, want) in [
        ("empty", &[][..], MessageError::Short),
        ("cut", cut, MessageError::Malformed),
        ("pointer to itself", &forward, MessageError::Malformed),
    ] {
        assert_eq!(
            Response::from_wire(wire.to_vec()).unwrap_err(),
            want,
            "case {case}"
        );
    }
    let mut promised = sound.clone();
    promised[11] = 200;
    assert_eq!(Response::from_wire(promised).unwrap().additional_count(), 2);
    let mut trailing = sound.clone();
    trailing.extend_from_slice(b"rubbish");
    assert_eq!(Response::from_wire(trailing).unwrap().wire(), sound);
}

#[test]
fn a_response_is_small() {
    assert!(size_of::<Response>() <= 48);
}
