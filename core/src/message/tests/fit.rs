//! Answers as clients get them.

use std::net::Ipv4Addr;

use hickory_proto::rr::RecordType;

use super::super::edns::{CLIENT_SUBNET, COOKIE, EXPIRE, NSID, PADDING, TCP_KEEPALIVE};
use super::super::{
    Owner, QName, QueryBuilder, Rcode, RdataWriter, Request, Response, Transport, error_reply, fit, fit_to,
};
use super::decode;

fn query(name: &str) -> QueryBuilder {
    QueryBuilder::new(name, RecordType::A).unwrap().id(0x1234)
}

fn addresses(request: &mut Request, count: u8) -> Response {
    let mut reply = request.reply();
    for last in 0..count {
        reply.answer(
            Owner::Question,
            RecordType::A,
            1,
            300,
            Ipv4Addr::new(192, 0, 2, last),
        );
    }
    reply.finish()
}

type Shown = (u16, bool, Vec<(u16, Vec<u8>)>);

/// Size, DO and options of an answer's OPT record.
fn edns_of(wire: &[u8]) -> Option<Shown> {
    let response = Response::from_wire(wire.to_vec()).unwrap();
    let edns = response.edns()?;
    assert_eq!(edns.version, 0);
    let options = response
        .edns_options()
        .map(|(code, value)| (code, value.to_vec()))
        .collect();
    Some((edns.udp_size, edns.dnssec_ok, options))
}

#[test]
fn the_opt_record_mirrors_the_client_s() {
    for (size, dnssec_ok) in [
        (0, false),
        (100, true),
        (200, false),
        (1232, false),
        (65535, true),
    ] {
        let mut request = query("a.example.org.")
            .edns(size, dnssec_ok)
            .to_request()
            .unwrap();
        let response = addresses(&mut request, 1);
        assert_eq!(edns_of(&fit(response, &request)), Some((size, dnssec_ok, vec![])));
    }
    let mut request = query("a.example.org.").to_request().unwrap();
    let response = addresses(&mut request, 1);
    let wire = fit(response, &request);
    assert_eq!(edns_of(&wire), None);
    assert_eq!(wire.len(), request.wire().len() + 16);
}

#[test]
fn only_some_options_come_back() {
    let codes = [
        NSID,
        CLIENT_SUBNET,
        EXPIRE,
        COOKIE,
        TCP_KEEPALIVE,
        PADDING,
        15,
        65001,
    ];
    let mut query = query("a.example.org.");
    for code in codes {
        query = query.option(
            code,
            if code == CLIENT_SUBNET {
                b"\0\x01\x18\0\xc0\0\x02"
            } else {
                b"\x01\x02"
            },
        );
        if code == EXPIRE {
            query = query.option(EXPIRE, b"");
        }
    }
    // Two bytes are no EXPIRE.
    assert!(query.to_request().is_err());
    let mut query = QueryBuilder::new("a.example.org.", RecordType::A).unwrap();
    for code in codes.into_iter().filter(|&code| code != EXPIRE) {
        query = query.option(
            code,
            if code == CLIENT_SUBNET {
                b"\0\x01\x18\0\xc0\0\x02"
            } else {
                b"\x01\x02"
            },
        );
    }
    let mut request = query.option(EXPIRE, b"").to_request().unwrap();
    let response = error_reply(&mut request, Rcode::SERVFAIL);
    let wire = fit(response, &request);
    let back: Vec<_> = edns_of(&wire)
        .unwrap()
        .2
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert_eq!(back, [NSID, COOKIE, TCP_KEEPALIVE, PADDING, EXPIRE]);
    assert_eq!(
        decode(&wire).metadata.response_code,
        hickory_proto::op::ResponseCode::ServFail
    );
}

#[test]
fn an_answer_s_own_opt_record_keeps_options_and_do() {
    let own = |request: &mut Request| {
        let mut response = addresses(request, 1);
        response.set_opt(4096, true);
        response.add_extended_error(15, "");
        response
    };
    let mut client = query("a.example.org.")
        .edns(1400, false)
        .option(COOKIE, b"12345678")
        .to_request()
        .unwrap();
    let response = own(&mut client);
    assert_eq!(
        edns_of(&fit(response, &client)),
        Some((1400, true, vec![(15, b"\0\x0f".to_vec())]))
    );
    let mut plain = query("a.example.org.").to_request().unwrap();
    let response = own(&mut plain);
    assert_eq!(
        edns_of(&fit(response, &plain)),
        Some((4096, true, vec![(15, b"\0\x0f".to_vec())]))
    );
}

#[test]
fn an_extended_error_joins_the_mirrored_options() {
    let failed = |request: &mut Request| {
        let mut response = error_reply(request, Rcode::SERVFAIL);
        response.add_extended_error(22, "no upstream");
        response
    };
    let mut client = query("a.example.org.")
        .edns(1400, true)
        .option(COOKIE, b"12345678")
        .to_request()
        .unwrap();
    let response = failed(&mut client);
    let options = vec![
        (COOKIE, b"12345678".to_vec()),
        (15, b"\0\x16no upstream".to_vec()),
    ];
    assert_eq!(edns_of(&fit(response, &client)), Some((1400, true, options)));
    let mut plain = query("a.example.org.").to_request().unwrap();
    let response = failed(&mut plain);
    assert_eq!(edns_of(&fit(response, &plain)), None);
}

#[test]
fn ids_and_extended_rcodes_are_the_client_s() {
    let mut other = query("a.example.org.").to_request().unwrap();
    let mut response = addresses(&mut other, 1);
    response.set_id(1);
    response.set_rcode(Rcode::BADCOOKIE);
    let client = query("a.example.org.").edns(1232, false).to_request().unwrap();
    let message = decode(&fit(response.clone(), &client));
    assert_eq!(
        (message.metadata.id, Rcode::from(message.metadata.response_code)),
        (0x1234, Rcode::BADCOOKIE)
    );
    // Without EDNS there is no room for the upper bits.
    assert_eq!(
        Rcode::from(decode(&fit(response, &other)).metadata.response_code),
        Rcode::YXRRSET
    );
}

#[test]
fn whole_records_fill_what_the_client_takes() {
    for (case, edns, transport, want, cut) in [
        ("bufsize 600", Some(600), Transport::Udp, 34, true),
        ("512", Some(512), Transport::Udp, 29, true),
        ("without EDNS", None, Transport::Udp, 29, true),
        ("1232", Some(1232), Transport::Udp, 74, true),
        ("TCP", Some(600), Transport::Tcp, 100, false),
        ("4096", Some(4096), Transport::Udp, 100, false),
    ] {
        let mut query = query("many.example.org.");
        if let Some(size) = edns {
            query = query.edns(size, false);
        }
        let mut request = query.to_request_over(transport).unwrap();
        let response = addresses(&mut request, 100);
        let wire = fit(response, &request);
        assert!(wire.len() <= request.size_limit(), "case {case}");
        let message = decode(&wire);
        assert_eq!(
            (message.answers.len(), message.metadata.truncation),
            (want, cut),
            "case {case}"
        );
        assert_eq!(message.edns.is_some(), edns.is_some(), "case {case}");
    }
}

#[test]
fn sections_are_lost_from_the_end() {
    let build = |request: &mut Request, answers: u8| {
        let ns: QName = "ns.example.org.".parse().unwrap();
        let mut reply = request.reply();
        for last in 0..answers {
            reply.answer(
                Owner::Question,
                RecordType::A,
                1,
                300,
                Ipv4Addr::new(192, 0, 2, last),
            );
        }
        reply.authority(
            Owner::Question,
            RecordType::NS,
            1,
            300,
            |out: &mut RdataWriter<'_>| {
                out.name(ns.as_wire());
            },
        );
        for last in 0..10 {
            reply.additional(&ns, RecordType::A, 1, 300, Ipv4Addr::new(192, 0, 2, last));
        }
        reply.finish()
    };
    for (answers, want) in [
        (10, (10, 1, 10, false)),
        (25, (25, 1, 3, true)),
        (29, (29, 0, 0, true)),
        (40, (29, 0, 0, true)),
    ] {
        let mut request = query("many.example.org.").to_request().unwrap();
        let response = build(&mut request, answers);
        let message = decode(&fit(response, &request));
        let counts = (
            message.answers.len(),
            message.authorities.len(),
            message.additionals.len(),
        );
        assert_eq!(
            (counts.0, counts.1, counts.2, message.metadata.truncation),
            want,
            "{answers} answers"
        );
    }
}

#[test]
fn one_record_that_does_not_fit_leaves_an_empty_answer() {
    let mut request = query("a.example.org.").edns(1232, true).to_request().unwrap();
    let response = request
        .reply()
        .answer(
            Owner::Question,
            RecordType::TXT,
            1,
            0,
            |out: &mut RdataWriter<'_>| out.text(&[b'x'; 2000]),
        )
        .finish();
    let message = decode(&fit(response, &request));
    assert_eq!((message.answers.len(), message.metadata.truncation), (0, true));
    assert_eq!(message.edns.unwrap().max_payload(), 1232);
}

#[test]
fn uncompressed_answers_that_do_not_fit_are_compressed() {
    let mut request = query("a.rather.long.name.example.org.").to_request().unwrap();
    let name = request.qname_as_asked().to_vec();
    let mut wire = addresses(&mut request, 0).into_wire();
    for last in 0..20 {
        wire.extend_from_slice(&name);
        wire.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
    }
    wire[7] = 20;
    assert!(wire.len() > 512);
    let message = decode(&fit(Response::from_wire(wire).unwrap(), &request));
    assert_eq!((message.answers.len(), message.metadata.truncation), (20, false));
}

#[test]
fn streams_carry_at_most_65535_bytes() {
    let mut request = query("big.example.org.")
        .edns(1232, false)
        .to_request_over(Transport::Tcp)
        .unwrap();
    let mut reply = request.reply();
    for _ in 0..400 {
        reply.answer(
            Owner::Question,
            RecordType::TXT,
            1,
            0,
            |out: &mut RdataWriter<'_>| out.text(&[b'x'; 220]),
        );
    }
    let wire = fit(reply.finish(), &request);
    assert!(wire.len() <= 65535 && wire.len() > 65000);
    let message = decode(&wire);
    assert!(message.metadata.truncation && message.edns.is_some());
}

#[test]
fn options_never_push_the_question_out() {
    let mut request = query("a.example.org.")
        .option(PADDING, &[0; 3000])
        .edns(100, false)
        .to_request()
        .unwrap();
    let response = addresses(&mut request, 3);
    let wire = fit(response, &request);
    assert!(wire.len() <= 512);
    let message = decode(&wire);
    assert_eq!(
        (
            message.queries.len(),
            message.answers.len(),
            message.edns.is_some()
        ),
        (1, 3, true)
    );
}

#[test]
fn questions_that_are_too_many_leave_the_header() {
    let mut wire = vec![0; 12];
    wire[5] = 200;
    for _ in 0..200 {
        wire.extend_from_slice(&[0, 0, 1, 0, 1]);
    }
    let request = query("a.example.org.").to_request().unwrap();
    let wire = fit_to(Response::from_wire(wire).unwrap(), &request, 512);
    assert_eq!((wire.len(), decode(&wire).metadata.truncation), (12, true));
}

#[test]
fn names_in_other_data_serve_as_targets_but_stay_whole() {
    let mut request = query("_s._tcp.example.org.").to_request().unwrap();
    let targets: Vec<QName> = (0..8)
        .map(|host| format!("host{host}.servers.example.org.").parse().unwrap())
        .collect();
    let mut reply = request.reply();
    for target in &targets {
        reply.answer(
            Owner::Question,
            RecordType::SRV,
            1,
            300,
            |out: &mut RdataWriter<'_>| {
                out.u16(1);
                out.u16(2);
                out.u16(443);
                out.name_in_full(target.as_wire());
            },
        );
    }
    for target in &targets {
        reply.additional(target, RecordType::A, 1, 300, Ipv4Addr::LOCALHOST);
    }
    let message = decode(&fit(reply.finish(), &request));
    // The question takes 12 + 25, each SRV record 12 + 6 + 27 for the name in full, each address 16 by a pointer into
    // the SRV record.
    assert_eq!(
        (
            message.answers.len(),
            message.additionals.len(),
            message.metadata.truncation
        ),
        (8, 7, true)
    );
}
