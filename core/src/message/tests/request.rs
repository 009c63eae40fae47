//! The view on a query, and what plugins change in it.

use hickory_proto::rr::RecordType;

use super::super::edns::{COOKIE, NSID};
use super::super::name::presentation;
use super::super::{Owner, QName, QueryBuilder, Rcode, Request, Transport};
use super::decode;

fn query(name: &str) -> QueryBuilder {
    QueryBuilder::new(name, RecordType::AAAA).unwrap().id(0xbeef)
}

#[test]
fn the_view_shows_what_was_asked() {
    let request = query("WWW.Example.org.")
        .checking_disabled(true)
        .edns(1400, true)
        .option(COOKIE, b"12345678")
        .option(NSID, b"")
        .to_request()
        .unwrap();
    assert_eq!((request.id(), request.opcode()), (0xbeef, 0));
    assert!(request.rd() && request.cd() && !request.ad() && request.dnssec_ok());
    assert_eq!(request.qname().to_string(), "www.example.org.");
    assert_eq!(request.name_display().to_string(), "WWW.Example.org.");
    assert_eq!(request.qname_as_asked(), b"\x03WWW\x07Example\x03org\0");
    assert_eq!(
        (request.qtype(), request.qtype_code(), request.qclass_code()),
        (RecordType::AAAA, 28, 1)
    );
    assert_eq!(request.edns().unwrap().udp_size, 1400);
    assert_eq!(request.edns_option(COOKIE), Some(&b"12345678"[..]));
    assert_eq!(request.edns_option(NSID), Some(&b""[..]));
    assert_eq!(request.edns_option(8), None);
    assert_eq!(request.edns_options().count(), 2);
}

#[test]
fn names_of_every_length_are_lowered_whole() {
    for len in 1..=63 {
        let request = query(&format!("{}.Ex.", "A".repeat(len))).to_request().unwrap();
        assert_eq!(request.qname().to_string(), format!("{}.ex.", "a".repeat(len)));
    }
    let request = query(".").to_request().unwrap();
    assert!(request.qname().is_root());
}

#[test]
fn a_request_is_used_again_without_traces() {
    let mut request = query("a.very.long.name.example.org.")
        .edns(4096, true)
        .to_request()
        .unwrap();
    request.extensions_mut().insert(7_u32);
    request.set_question(b"\x01x\0", 1, 1).unwrap();
    request.message().unwrap();
    let server = std::sync::Arc::clone(request.server());
    let context = super::super::ListenerContext {
        transport: Transport::Tcp,
        peer: request.peer(),
        local: request.local(),
        server: &server,
        received: request.received(),
    };
    request.reset(&query("b.example.").to_wire(), &context).unwrap();
    assert_eq!(request.qname().to_string(), "b.example.");
    assert_eq!((request.edns(), request.extensions().get::<u32>()), (None, None));
    assert_eq!(request.original_question(), request.question());
    assert_eq!(
        request.message().unwrap().queries[0].name().to_string(),
        "b.example."
    );
    assert_eq!(request.size_limit(), 65535);
}

#[test]
fn size_limits_follow_transport_and_edns() {
    for (case, transport, edns, want) in [
        ("UDP without EDNS", Transport::Udp, None, 512),
        ("UDP, size below 512", Transport::Udp, Some(100), 512),
        ("UDP", Transport::Udp, Some(1232), 1232),
        ("HTTP/3", Transport::Https3, Some(1232), 1232),
        ("TCP", Transport::Tcp, Some(1232), 65535),
        ("QUIC", Transport::Quic, None, 65535),
        ("HTTPS", Transport::Https, Some(512), 65535),
    ] {
        let mut query = query("example.org.");
        if let Some(size) = edns {
            query = query.edns(size, false);
        }
        assert_eq!(
            query.to_request_over(transport).unwrap().size_limit(),
            want,
            "case {case}"
        );
    }
}

#[test]
fn mutators_rewrite_the_wire() {
    let mut request = query("Example.org.")
        .edns(4096, false)
        .option(COOKIE, b"12345678")
        .to_request()
        .unwrap();
    request.set_edns_udp_size(1232);
    request.set_dnssec_ok(true);
    let message = decode(request.wire());
    let edns = message.edns.unwrap();
    assert_eq!(
        (
            edns.max_payload(),
            edns.flags().dnssec_ok,
            edns.options().options.len()
        ),
        (1232, true, 1)
    );
    assert_eq!(
        (request.edns().unwrap().udp_size, request.dnssec_ok()),
        (1232, true)
    );

    request.set_question(b"\x05Other\x04test\0", 1, 1).unwrap();
    assert_eq!(request.qname().to_string(), "other.test.");
    assert_eq!(request.edns_option(COOKIE), Some(&b"12345678"[..]));
    assert_eq!(
        presentation(&request.original_question()[..13]).to_string(),
        "Example.org."
    );
    let message = decode(request.wire());
    assert_eq!(message.queries[0].name().to_string(), "Other.test.");
    assert_eq!(message.edns.unwrap().max_payload(), 1232);
    assert!(request.set_question(b"\x05Ot", 1, 1).is_err());
}

#[test]
fn an_opt_record_is_added_where_there_is_none() {
    let mut request = query("example.org.").to_request().unwrap();
    request.set_dnssec_ok(true);
    let edns = decode(request.wire()).edns.unwrap();
    assert_eq!((edns.max_payload(), edns.flags().dnssec_ok), (4096, true));

    // A TSIG record stays behind it.
    let mut wire = query("example.org.").to_wire();
    wire[11] = 1;
    wire.extend_from_slice(b"\x03key\0\x00\xfa\x00\xff\0\0\0\0\0\x03abc");
    let mut request = Request::from_wire_for_tests(&wire).unwrap();
    assert!(request.is_signed());
    request.set_edns_udp_size(700);
    let types: Vec<_> = request.records().map(|record| record.type_code()).collect();
    assert_eq!(types, [41, 250]);
    let again = Request::from_wire_for_tests(request.wire()).unwrap();
    assert!(again.is_signed() && again.edns().unwrap().udp_size == 700);
}

#[test]
fn letter_case_counts_for_nothing_in_names_and_is_no_matter_of_types() {
    let ask = |name: &str, qtype: u16| QueryBuilder::new(name, qtype).unwrap().to_request().unwrap();
    // 65 and 97 are `A` and `a`.
    let response = ask("example.org.", 65).reply().finish();
    assert!(response.answers(&ask("EXAMPLE.org.", 65)));
    assert!(!response.answers(&ask("example.org.", 97)));
    assert!(!response.answers(&ask("example.net.", 65)));
}

#[test]
fn replies_copy_what_they_should() {
    let mut request = query("Example.org.")
        .checking_disabled(true)
        .authentic_data(true)
        .to_request()
        .unwrap();
    let response = request.reply().rcode(Rcode::NXDOMAIN).finish();
    assert!(response.qr() && response.rd() && response.cd() && !response.ad() && !response.ra());
    assert_eq!((response.id(), response.rcode()), (0xbeef, Rcode::NXDOMAIN));
    assert!(response.answers(&request));
    assert_eq!(response.question(), request.question());

    let mut notify = query("example.org.")
        .opcode(4)
        .checking_disabled(true)
        .to_request()
        .unwrap();
    let response = notify.reply().finish();
    assert_eq!(
        (response.opcode(), response.rd(), response.cd()),
        (4, false, false)
    );
}

#[test]
fn answers_are_written_as_other_libraries_read_them() {
    let mut request = query("Www.example.org.").to_request().unwrap();
    let target: QName = "host.example.org.".parse().unwrap();
    let other: QName = "mail.host.example.org.".parse().unwrap();
    let mut reply = request.reply();
    reply
        .authoritative(true)
        .recursion_available(true)
        .answer(
            Owner::Question,
            RecordType::CNAME,
            1,
            300,
            |out: &mut super::super::RdataWriter<'_>| {
                out.name(target.as_wire());
            },
        )
        .answer(
            &target,
            RecordType::A,
            1,
            60,
            std::net::Ipv4Addr::new(192, 0, 2, 1),
        )
        .answer(&target, RecordType::AAAA, 1, 60, std::net::Ipv6Addr::LOCALHOST)
        .authority(
            &target,
            RecordType::MX,
            1,
            5,
            |out: &mut super::super::RdataWriter<'_>| {
                out.u16(10);
                out.name(other.as_wire());
            },
        )
        .additional(
            &other,
            RecordType::TXT,
            1,
            5,
            |out: &mut super::super::RdataWriter<'_>| {
                out.text(&[b'x'; 300]);
            },
        );
    let uncompressed = reply.uncompressed_len();
    let response = reply.finish();
    assert_eq!(response.uncompressed_len(), uncompressed);
    assert!(response.wire().len() < uncompressed);
    assert_eq!(
        uncompressed,
        12 + 21 + (17 + 10 + 18) + (18 + 14) + (18 + 26) + (18 + 12 + 23) + (23 + 10 + 302)
    );
    let shown: Vec<_> = decode(response.wire())
        .all_sections()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown[0], "Www.example.org. 300 IN CNAME host.example.org.");
    assert_eq!(shown[1], "host.example.org. 60 IN A 192.0.2.1");
    assert_eq!(shown[2], "host.example.org. 60 IN AAAA ::1");
    assert_eq!(shown[3], "host.example.org. 5 IN MX 10 mail.host.example.org.");
    assert!(shown[4].starts_with("mail.host.example.org. 5 IN TXT"));
    // What was written is what a check from outside finds.
    let checked = super::super::Response::from_wire(response.wire().to_vec()).unwrap();
    assert_eq!(checked.uncompressed_len(), uncompressed);
}

#[test]
fn records_that_cannot_be_written_are_left_out() {
    let mut request = query("example.org.").to_request().unwrap();
    let long = vec![0; 65536];
    let response = request
        .reply()
        .answer(Owner::Name(b"\x05ab"), 1_u16, 1, 0, &[1, 2, 3, 4])
        .answer(Owner::Question, 16_u16, 1, 0, &long[..])
        .answer(Owner::Question, 1_u16, 1, 0, &[1, 2, 3, 4])
        .finish();
    assert_eq!(
        (response.answer_count(), decode(response.wire()).answers.len()),
        (1, 1)
    );
}

#[test]
fn a_warm_request_answers_in_the_buffers_it_has() {
    let mut request = query("a.example.org.").edns(1232, true).to_request().unwrap();
    let server = std::sync::Arc::clone(request.server());
    let mut buffers = Vec::new();
    for round in 0..3 {
        let wire = query("b.example.org.").id(round).edns(1232, true).to_wire();
        let context = super::super::ListenerContext {
            transport: Transport::Udp,
            peer: request.peer(),
            local: request.local(),
            server: &server,
            received: request.received(),
        };
        request.reset(&wire, &context).unwrap();
        let response = request
            .reply()
            .answer(Owner::Question, 1_u16, 1, 300, std::net::Ipv4Addr::LOCALHOST)
            .finish();
        let answer = super::super::fit(response, &request);
        buffers.push((request.wire().as_ptr(), answer.as_ptr()));
        request.recycle(answer);
    }
    assert!(buffers.iter().all(|&buffer| buffer == buffers[0]));
}
