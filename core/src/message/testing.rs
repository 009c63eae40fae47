//! The laws that a fuzz target holds messages to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::{
    Admitted, ListenerContext, MIN_UDP_SIZE, Policy, QueryBuilder, Request, Response, Section, Transport,
    admit, fit, fit_to,
};

/// Takes any bytes for a query and for an answer, and checks what must hold for all of them; the body of a fuzz target.
///
/// # Panics
///
/// A law is broken: what is let in cannot be answered, an answer is longer than its client takes or cannot be read
/// again, or reading it again gives something else.
pub fn check_laws(bytes: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        check_query(bytes, transport);
    }
    if let Ok(response) = Response::from_wire(bytes.to_vec()) {
        check_response(response);
    }
}

fn check_query(bytes: &[u8], transport: Transport) {
    let context = ListenerContext {
        transport,
        peer: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 53), 5353)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 53)),
        server: &Arc::from("dns://:53"),
        received: Instant::now(),
    };
    let mut request = Request::new();
    let wire = match admit(&mut request, bytes, &context, Policy { other_classes: true }) {
        Admitted::Drop(_) => return,
        Admitted::Answer { wire, .. } => wire,
        Admitted::Query => {
            check_admitted(&mut request);
            let response = request.reply().finish();
            fit(response, &request)
        }
    };
    assert_eq!(wire.get(..2), bytes.get(..2), "the answer has another id");
    assert!(
        wire.len() <= request.size_limit(),
        "the answer is longer than the client takes"
    );
    let answer =
        Response::from_wire(wire).unwrap_or_else(|error| panic!("the answer cannot be read: {error}"));
    assert!(answer.qr(), "the answer is no response");
    assert!(
        answer.question().is_empty() || answer.question() == request.question(),
        "another question"
    );
}

/// What is let in can be read by its parts, changed, and read again.
fn check_admitted(request: &mut Request) {
    let _ = (
        request.qname().to_string(),
        request.name_display().to_string(),
        request.records().count(),
    );
    let _ = request.message();
    let mut changed = Request::from_wire_for_tests(request.wire())
        .unwrap_or_else(|error| panic!("what was let in cannot be read again: {error}"));
    assert_eq!(
        changed.wire(),
        request.wire(),
        "reading again gives something else"
    );
    changed.set_dnssec_ok(true);
    changed.set_edns_udp_size(700);
    let renamed = changed.set_question(b"\x03new\0", 28, 1);
    assert!(renamed.is_ok(), "the question cannot be changed");
    let again = Request::from_wire_for_tests(changed.wire());
    let again = again.unwrap_or_else(|error| panic!("what was changed cannot be read again: {error}"));
    let edns = again.edns().map(|edns| (edns.udp_size, edns.dnssec_ok));
    assert_eq!(
        (again.qtype_code(), edns),
        (28, Some((700, true))),
        "a change is lost"
    );
}

fn check_response(mut response: Response) {
    let again = Response::from_wire(response.wire().to_vec());
    let again = again.unwrap_or_else(|error| panic!("what was accepted cannot be read again: {error}"));
    assert_eq!(
        again.wire(),
        response.wire(),
        "reading again gives something else"
    );
    assert_eq!(
        again.uncompressed_len(),
        response.uncompressed_len(),
        "measuring again gives something else"
    );
    let whole = records(&response);
    let counts =
        [Section::Answer, Section::Authority, Section::Additional].map(|section| response.count(section));
    let walked = response.records().count();
    assert_eq!(
        walked,
        counts.into_iter().map(usize::from).sum::<usize>(),
        "records are lost"
    );

    // Of another length than the answer's question: one of the same length is put in its place, where names of a hostile
    // answer may point to its type and class.
    let name = if response.question().len() == 5 { "x." } else { "." };
    let request = QueryBuilder::new(name, 1_u16).expect("the law's own name is sound");
    let request = request.to_request().expect("the law's own query is sound");
    let cut = fit_to(response.clone(), &request, MIN_UDP_SIZE);
    assert!(cut.len() <= MIN_UDP_SIZE, "the answer is longer than the limit");
    let cut =
        Response::from_wire(cut).unwrap_or_else(|error| panic!("the cut answer cannot be read: {error}"));
    assert!(whole.starts_with(&records(&cut)), "cutting changes records");

    let _ = (response.message(), response.min_ttl());
    response.set_question(request.question());
    assert!(response.question() == request.question(), "the question is lost");
    assert_eq!(records(&response), whole, "writing anew changes records");
    // Names may have pointed anywhere before, also to TTLs; now they point to names.
    response.map_ttls(|record| record.ttl().wrapping_add(1));
    response.set_opt(1232, true);
    response.add_extended_error(1, "x");
    assert_eq!(records(&response), whole, "patching changes records");
}

/// Section, owner, type, class and data of all records but OPT.
fn records(response: &Response) -> Vec<(u8, String, u16, u16, Vec<u8>)> {
    let place = |section| match section {
        Section::Answer => 0,
        Section::Authority => 1,
        Section::Additional => 2,
    };
    response
        .records()
        .filter(|record| !record.is_opt())
        .map(|record| {
            // What other readers make of a record does not matter, as long as they end.
            let _ = (
                record.target(),
                record.to_record().map(|record| record.to_string()),
            );
            let owner = record.owner().to_string();
            (
                place(record.section()),
                owner,
                record.type_code(),
                record.class_code(),
                record.canonical_rdata(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_made_of_header_bytes_is_refused() {
        // An answer whose owner points to the id, which would be a label's length.
        let mut wire = QueryBuilder::new("a.", 1_u16)
            .expect("a name")
            .id(0x0101)
            .to_wire();
        wire[2] |= 0x80;
        wire[7] = 1;
        wire.extend_from_slice(&[0xc0, 0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        assert!(Response::from_wire(wire.clone()).is_err());
        wire[20] = 12;
        assert!(Response::from_wire(wire).is_ok());
    }

    #[test]
    fn a_name_made_of_what_stands_behind_it_is_refused() {
        // The owner at 20 points to the second letter of the question's name, a length that reaches beyond the owner.
        let mut wire = QueryBuilder::new("aa.", 1_u16).expect("a name").to_wire();
        wire[2] |= 0x80;
        wire[7] = 1;
        wire[14] = 10;
        wire.extend_from_slice(&[0xc0, 14, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        assert!(Response::from_wire(wire.clone()).is_err());
        // As a length of nought it is a name that ends before the owner.
        wire[14] = 0;
        assert!(Response::from_wire(wire).is_ok());
    }

    #[test]
    fn a_tsig_record_in_the_answer_section_is_no_signature() {
        let mut wire = QueryBuilder::new("a.", 1_u16).expect("a name").to_wire();
        wire[7] = 1;
        wire.extend_from_slice(&[0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0]);
        let request = Request::from_wire_for_tests(&wire).expect("a query");
        assert!(!request.is_signed());
        check_laws(&wire);
    }

    #[test]
    fn the_laws_hold_for_messages_of_all_kinds() {
        let query = QueryBuilder::new("www.Example.org.", 1_u16)
            .expect("a name")
            .edns(1232, true);
        let wire = query.to_wire();
        let mut request = query.to_request().expect("a query");
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let mut reply = request.reply();
        for ttl in 0..60 {
            reply.answer(super::super::Owner::Question, 1_u16, 1, ttl, address);
        }
        let answer = reply.finish().into_wire();
        for bytes in [&wire, &answer] {
            check_laws(bytes);
            for end in 0..bytes.len() {
                check_laws(&bytes[..end]);
            }
            // Each byte of the header and the first record with some other values.
            for at in 0..bytes.len().min(64) {
                for value in [0, 1, 0x29, 0x7f, 0x80, 0xc0, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] = value;
                    check_laws(&changed);
                }
            }
        }
    }
}
