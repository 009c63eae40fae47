use super::*;

use catena_core::corefile::testing::parse_directives;
use catena_core::message::{CLASS_IN, MAX_MESSAGE_LEN, Owner, QueryBuilder, RdataWriter};
use catena_core::plugin::BlockInfo;
use catena_testkit::Record;
use proptest::prelude::*;
use std::path::PathBuf;

fn config(text: &str) -> Config {
    let block = BlockInfo {
        index: 0,
        keys: Vec::new(),
        zones: vec!["example.org".parse().unwrap()],
        folder: PathBuf::new(),
        directives: Vec::new(),
    };
    crate::config::parse(&parse_directives(text).unwrap(), &block).unwrap()
}

/// An answer in sections: records with `;` between sections, one a line.
fn response(request: &mut Request, rcode: Rcode, sections: &str) -> Response {
    let mut reply = request.reply();
    reply.rcode(rcode);
    let sections = sections
        .split(';')
        .zip([Section::Answer, Section::Authority, Section::Additional]);
    for (records, section) in sections {
        for record in Record::parse_all(records).unwrap() {
            let data = record.rdata().to_vec();
            let write = |out: &mut RdataWriter<'_>| out.bytes(&data);
            let owner = Owner::Name(record.owner());
            reply.record(
                section,
                owner,
                record.type_code(),
                record.class_code(),
                record.ttl().unwrap_or(60),
                write,
            );
        }
    }
    reply.finish()
}

fn request(name: &str, qtype: u16) -> Request {
    QueryBuilder::new(name, qtype).unwrap().to_request().unwrap()
}

const A: u16 = 1;
const AAAA: u16 = 28;
const ADDRESS: &str = "a.example.org. 60 IN A 192.0.2.1";
const ALIAS: &str = "a.example.org. 60 IN CNAME b.example.org.";
const SOA_40: &str = "example.org. 40 IN SOA ns.example.org. admin.example.org. 1 2 3 4 20";
const NS_60: &str = "example.org. 60 IN NS ns.example.org.";

fn judged(qtype: u16, rcode: Rcode, sections: &str) -> Judged {
    let mut request = request("a.example.org.", qtype);
    let response = response(&mut request, rcode, sections);
    judge(&response, &request, &config("cache"), || 0)
}

#[test]
fn what_an_answer_says_and_for_how_long() {
    let two = format!("{ALIAS}\nb.example.org. 7 IN A 192.0.2.1");
    let denied_alias = format!("{ALIAS};{SOA_40}");
    for (case, qtype, rcode, sections, says, ttl, cacheable) in [
        ("an address", A, Rcode::NOERROR, ADDRESS, Says::Answer, 60, true),
        (
            "the lowest TTL counts",
            A,
            Rcode::NOERROR,
            &*two,
            Says::Answer,
            7,
            true,
        ),
        (
            "a low TTL",
            A,
            Rcode::NOERROR,
            "a.example.org. 0 IN A 192.0.2.1",
            Says::Answer,
            5,
            true,
        ),
        (
            "a high TTL",
            A,
            Rcode::NOERROR,
            "a.example.org. 4000000000 IN A 192.0.2.1",
            Says::Answer,
            3600,
            true,
        ),
        (
            "no such type",
            AAAA,
            Rcode::NOERROR,
            &format!(";{SOA_40}"),
            Says::NoData,
            40,
            true,
        ),
        (
            "no such name",
            A,
            Rcode::NXDOMAIN,
            &format!(";{SOA_40}"),
            Says::NxDomain,
            40,
            true,
        ),
        (
            "no such name without SOA",
            A,
            Rcode::NXDOMAIN,
            "",
            Says::NxDomain,
            5,
            false,
        ),
        (
            "a name that is there and not",
            A,
            Rcode::NXDOMAIN,
            ALIAS,
            Says::Other,
            5,
            false,
        ),
        ("nothing at all", A, Rcode::NOERROR, "", Says::Answer, 5, true),
        (
            "a referral",
            A,
            Rcode::NOERROR,
            &format!(";{NS_60}"),
            Says::Delegation,
            5,
            true,
        ),
        (
            "an alias to nothing",
            A,
            Rcode::NOERROR,
            ALIAS,
            Says::Answer,
            60,
            false,
        ),
        (
            "an alias to nothing, with SOA",
            A,
            Rcode::NOERROR,
            &denied_alias,
            Says::NoData,
            40,
            true,
        ),
        (
            "the alias itself",
            CNAME,
            Rcode::NOERROR,
            ALIAS,
            Says::Answer,
            60,
            true,
        ),
        ("a failure", A, Rcode::SERVFAIL, "", Says::Failure, 5, true),
        ("not implemented", A, Rcode::NOTIMP, "", Says::Failure, 5, true),
        ("refused", A, Rcode::REFUSED, "", Says::Other, 5, false),
        ("a transfer", AXFR, Rcode::NOERROR, SOA_40, Says::Other, 5, false),
    ] {
        let judged = judged(qtype, rcode, sections);
        assert_eq!(
            (judged.says, judged.ttl, judged.is_cacheable),
            (says, ttl, cacheable),
            "case {case}"
        );
        assert!(judged.matches, "case {case}");
    }
}

#[test]
fn the_chain_of_aliases_is_followed_to_its_end() {
    let end = "c.example.org. 60 IN A 192.0.2.1";
    let second = "b.example.org. 60 IN CNAME C.example.org.";
    let circle = "b.example.org. 60 IN CNAME a.example.org.";
    let other = "a.example.org. 60 IN CNAME x.example.org.";
    for (case, qtype, records, answering) in [
        ("whole", A, [ALIAS, second, end].join("\n"), true),
        ("in another order", A, [end, second, ALIAS].join("\n"), true),
        ("twice the same", A, [ALIAS, ALIAS, second, end].join("\n"), true),
        ("a gap", A, [ALIAS, end].join("\n"), false),
        ("another type", AAAA, [ALIAS, second, end].join("\n"), false),
        ("a circle", A, [ALIAS, circle, ADDRESS].join("\n"), false),
        ("two targets", A, [ALIAS, other, second, end].join("\n"), false),
        (
            "two targets of the alias itself",
            CNAME,
            [ALIAS, other].join("\n"),
            false,
        ),
        (
            "another class",
            A,
            "a.example.org. 60 CH A 192.0.2.1".to_owned(),
            false,
        ),
        ("anything", ANY, ALIAS.to_owned(), true),
        ("anything of another name", ANY, end.to_owned(), false),
    ] {
        assert_eq!(
            judged(qtype, Rcode::NOERROR, &records).is_answering,
            answering,
            "case {case}"
        );
    }
}

#[test]
fn thousands_of_aliases_cost_one_look_each() {
    // The test's length is the assertion: following each alias by another walk takes minutes.
    let mut request = request("n0.example.org.", A);
    let mut reply = request.reply();
    for number in 0.. {
        let owner: QName = format!("n{number}.example.org.").parse().unwrap();
        let target: QName = format!("n{}.example.org.", number + 1).parse().unwrap();
        let write = |out: &mut RdataWriter<'_>| out.name(target.as_wire());
        reply.answer(&owner, CNAME, CLASS_IN, 60, write);
        if reply.uncompressed_len() > MAX_MESSAGE_LEN - 100 {
            break;
        }
    }
    let response = reply.finish();
    assert!(response.answer_count() > 1000);
    assert!(!judge(&response, &request, &config("cache"), || 0).is_answering);
}

#[test]
fn signatures_count_only_where_they_were_wanted() {
    let rdata = |begin: u32, end: u32| {
        let mut data = vec![0, 1, 8, 3, 0, 0, 0, 60];
        data.extend_from_slice(&end.to_be_bytes());
        data.extend_from_slice(&begin.to_be_bytes());
        data.extend_from_slice(&[0, 1, 0, 1, 2, 3, 4]);
        data
    };
    // From 2000-01-01 to 2010-01-01.
    let (begin, end) = (946_684_800_u32, 1_262_304_000_u32);
    for (case, dnssec_ok, now, says) in [
        ("valid", true, 1_000_000_000, Says::Answer),
        ("expired", true, 1_300_000_000, Says::Other),
        ("not yet valid", true, 900_000_000, Says::Other),
        ("expired, and nobody cares", false, 1_300_000_000, Says::Answer),
    ] {
        let mut request = request("a.example.org.", A);
        let mut reply = request.reply();
        reply.answer(Owner::Question, A, CLASS_IN, 60, &[192, 0, 2, 1]);
        reply.answer(Owner::Question, RRSIG, CLASS_IN, 60, &*rdata(begin, end));
        let mut response = reply.finish();
        response.set_opt(1232, dnssec_ok);
        let judged = judge(&response, &request, &config("cache"), || now);
        assert_eq!(judged.says, says, "case {case}");
    }
}

#[test]
fn answers_to_other_questions_are_found_out() {
    for (case, name, qtype, matches) in [
        ("the same", "a.example.org.", 65, true),
        ("other letters", "A.EXAMPLE.org.", 65, true),
        ("another name", "b.example.org.", 65, false),
        // 65 and 97 are one letter in two cases.
        ("another type", "a.example.org.", 97, false),
    ] {
        let mut other = request(name, qtype);
        let response = response(&mut other, Rcode::NOERROR, ADDRESS);
        let judged = judge(&response, &request("a.example.org.", 65), &config("cache"), || 0);
        assert_eq!(judged.matches, matches, "case {case}");
        assert_eq!(judged.refreshes, matches, "case {case}");
    }
}

#[test]
fn only_a_whole_answer_or_denial_takes_the_place_of_an_expired_one() {
    for (case, rcode, truncated, refreshes) in [
        ("an answer", Rcode::NOERROR, false, true),
        ("truncated", Rcode::NOERROR, true, false),
        ("a failure", Rcode::SERVFAIL, false, false),
        ("refused", Rcode::REFUSED, false, false),
    ] {
        let mut request = request("a.example.org.", A);
        let mut response = response(&mut request, rcode, "");
        response.set_tc(truncated);
        let judged = judge(&response, &request, &config("cache"), || 0);
        assert_eq!(judged.refreshes, refreshes, "case {case}");
    }
}

proptest! {
    #[test]
    fn no_ttl_exceeds_what_is_configured_and_none_what_came_but_for_the_minimum(
        ttls in prop::collection::vec(any::<u32>(), 0..6), max in 1_u32..1_000_000, min in 0_u32..100, rcode in 0_u16..12
    ) {
        let config = config(&format!("cache {{\n success 1 {max} {min}\n denial 1 {max} {min}\n}}"));
        let mut request = request("a.example.org.", A);
        let mut reply = request.reply();
        reply.rcode(Rcode(rcode));
        for ttl in &ttls {
            reply.answer(Owner::Question, A, CLASS_IN, *ttl, &[192, 0, 2, 1]);
        }
        let response = reply.finish();
        let judged = judge(&response, &request, &config, || 0);
        if judged.says != Says::Failure {
            prop_assert!(judged.ttl <= max);
        }
        let came = ttls.iter().copied().min().unwrap_or(MIN_TTL);
        prop_assert!(judged.ttl <= came.max(min).max(MIN_TTL));
    }

    #[test]
    fn whatever_an_upstream_sends_is_judged(bytes in prop::collection::vec(any::<u8>(), 12..300)) {
        let request = request("a.example.org.", A);
        if let Ok(response) = Response::from_wire(bytes) {
            let judged = judge(&response, &request, &config("cache"), || 0);
            prop_assert!(judged.ttl <= 3600);
        }
    }
}
