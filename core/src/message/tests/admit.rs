//! What is let in, refused and dropped, as recorded from CoreDNS.

use super::super::name::presentation;
use super::super::{
    Admitted, DropReason, Policy, QueryBuilder, Rcode, Refusal, Request, Response, Transport,
};
use super::{admit, hex};

const NAME: &str = "0161076578616d706c65036f726700";

/// What a recorded answer says: rcode, flags, question, EDNS size with DO.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    rcode: Rcode,
    flags: &'static str,
    question: String,
    edns: Option<(u16, bool)>,
}

fn show(wire: &[u8]) -> Shown {
    let response = Response::from_wire(wire.to_vec()).unwrap();
    assert!(response.qr());
    assert_eq!(response.id(), 0x1234);
    assert_eq!((response.answer_count(), response.authority_count()), (0, 0));
    assert!(!response.aa() && !response.ra() && !response.ad() && !response.tc());
    let question = match response.question().split_last_chunk::<4>() {
        Some((name, fields)) => {
            let [type_high, type_low, class_high, class_low] = *fields;
            let (qtype, qclass) = (
                u16::from_be_bytes([type_high, type_low]),
                u16::from_be_bytes([class_high, class_low]),
            );
            format!("{} {qtype} {qclass}", presentation(name))
        }
        None => String::new(),
    };
    Shown {
        rcode: response.rcode(),
        flags: if response.rd() { "rd" } else { "" },
        question,
        edns: response.edns().map(|edns| (edns.udp_size, edns.dnssec_ok)),
    }
}

fn refused(bytes: &[u8]) -> (Shown, Refusal) {
    match admit(bytes, Transport::Udp, Policy::default()).0 {
        Admitted::Answer { wire, reason } => (show(&wire), reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusals_are_those_of_coredns() {
    use Refusal::{BadVersion, Class, Counts, Malformed, NoQuestion, Opcode};
    let header = |flags: &str, counts: &str| format!("1234{flags}{counts}");
    let one = |flags: &str| header(flags, "0001000000000000") + NAME + "00010001";
    let with_opt = |opt: &str| header("0100", "0001000000000001") + NAME + "00010001" + opt;
    let question = "a.example.org. 1 1";
    for (case, message, rcode, flags, asked, edns, reason) in [
        ("IQUERY", one("0900"), Rcode::NOTIMP, "rd", "", None, Opcode),
        ("STATUS", one("1100"), Rcode::NOTIMP, "rd", "", None, Opcode),
        (
            "unassigned opcode",
            one("7900"),
            Rcode::NOTIMP,
            "rd",
            "",
            None,
            Opcode,
        ),
        (
            "UPDATE without RD",
            one("2800"),
            Rcode::NOTIMP,
            "",
            "",
            None,
            Opcode,
        ),
        (
            "no question",
            header("0100", "0000000000000000"),
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Counts,
        ),
        (
            "two questions",
            header("0100", "0002000000000000") + NAME + "00010001" + NAME + "00010001",
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Counts,
        ),
        (
            "two answers",
            header("0100", "0001000200000000"),
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Counts,
        ),
        (
            "two authorities",
            header("0000", "0001000000020000"),
            Rcode::FORMERR,
            "",
            "",
            None,
            Counts,
        ),
        (
            "three additional",
            header("0100", "0001000000000003"),
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Counts,
        ),
        (
            "header alone",
            header("0100", "0001000000000000"),
            Rcode::SERVFAIL,
            "rd",
            "",
            None,
            NoQuestion,
        ),
        (
            "no type and class",
            header("0100", "0001000000000000") + NAME,
            Rcode::REFUSED,
            "rd",
            "a.example.org. 0 0",
            None,
            Class,
        ),
        (
            "no class",
            header("0100", "0001000000000000") + NAME + "0001",
            Rcode::REFUSED,
            "rd",
            "a.example.org. 1 0",
            None,
            Class,
        ),
        (
            "half a class",
            header("0100", "0001000000000000") + NAME + "000100",
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Malformed,
        ),
        (
            "label beyond the end",
            header("0100", "0001000000000000") + "3f616263",
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Malformed,
        ),
        (
            "reserved label type",
            header("0100", "0001000000000000") + "41610000010001",
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Malformed,
        ),
        (
            "pointer to itself",
            header("0100", "0001000000000000") + "c00c00010001",
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Malformed,
        ),
        (
            "pointer beyond the end",
            header("0100", "0001000000000000") + "0161c04000010001",
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Malformed,
        ),
        (
            "name of 257 bytes",
            header("0100", "0001000000000000")
                + &("3f".to_owned() + &"61".repeat(63)).repeat(4)
                + "0000010001",
            Rcode::FORMERR,
            "rd",
            "",
            None,
            Malformed,
        ),
        (
            "OPT cut off",
            with_opt("00002904d0000000"),
            Rcode::FORMERR,
            "rd",
            question,
            None,
            Malformed,
        ),
        (
            "option longer than its record",
            with_opt("00002904d0000000000006000a00080102"),
            Rcode::FORMERR,
            "rd",
            question,
            None,
            Malformed,
        ),
        (
            "client subnet of an unknown family",
            with_opt("00002904d0000000000008000800040009180000"),
            Rcode::FORMERR,
            "rd",
            question,
            None,
            Malformed,
        ),
        (
            "A record of three bytes",
            with_opt("000001000100000000000301020300"),
            Rcode::FORMERR,
            "rd",
            question,
            None,
            Malformed,
        ),
        (
            "EDNS version 1 with DO",
            with_opt("00002904d0000180000000"),
            Rcode::BADVERS,
            "rd",
            question,
            Some((0, false)),
            BadVersion,
        ),
        (
            "EDNS version 255",
            with_opt("00002904d000ff00000000"),
            Rcode::BADVERS,
            "rd",
            question,
            Some((0, false)),
            BadVersion,
        ),
        (
            "class CH before the version",
            header("0100", "0001000000000001") + NAME + "00010003" + "00002904d0000100000000",
            Rcode::REFUSED,
            "rd",
            "a.example.org. 1 3",
            Some((1232, false)),
            Class,
        ),
    ] {
        let want = Shown {
            rcode,
            flags,
            question: asked.to_owned(),
            edns,
        };
        assert_eq!(refused(&hex(&message)), (want, reason), "case {case}");
        assert_eq!(reason.rcode(), rcode, "case {case}");
    }
}

#[test]
fn refusals_keep_opcode_only_for_notimp() {
    let opcode = |message: &str| match admit(&hex(message), Transport::Udp, Policy::default()).0 {
        Admitted::Answer { wire, .. } => Response::from_wire(wire).unwrap().opcode(),
        other => panic!("{other:?}"),
    };
    assert_eq!(opcode(&format!("12342900000100000000000{}", "0")), 5);
    // NOTIFY without a question is a QUERY's FORMERR.
    assert_eq!(opcode("123421000000000000000000"), 0);
}

#[test]
fn silence_for_what_cannot_or_must_not_be_answered() {
    for (case, message, want) in [
        ("empty", String::new(), DropReason::Short),
        ("one byte", "12".to_owned(), DropReason::Short),
        (
            "eleven bytes",
            "1234010000010000000000".to_owned(),
            DropReason::Short,
        ),
        (
            "a response",
            format!("1234818000010000000000 00{NAME}00010001").replace(' ', ""),
            DropReason::Response,
        ),
        (
            "a response with bad counts",
            "1234818000050000000000ff".to_owned(),
            DropReason::Response,
        ),
    ] {
        match admit(&hex(&message), Transport::Udp, Policy::default()).0 {
            Admitted::Drop(reason) => assert_eq!(reason, want, "case {case}"),
            other => panic!("case {case}: {other:?}"),
        }
    }
}

fn admitted(message: &str) -> Request {
    match admit(&hex(message), Transport::Udp, Policy::default()) {
        (Admitted::Query, request) => request,
        (other, _) => panic!("{message}: {other:?}"),
    }
}

#[test]
fn odd_but_sound_messages_are_let_in() {
    let clean = format!("123401000001000000000000{NAME}00010001");
    for (case, message) in [
        ("plain", clean.clone()),
        ("bytes behind the last record", clean.clone() + "ffffff"),
        (
            "promised but absent record",
            clean.replace("000000000000", "000000000001"),
        ),
    ] {
        let request = admitted(&message);
        assert_eq!(request.wire(), hex(&clean), "case {case}");
        assert_eq!(request.edns(), None, "case {case}");
    }
    let notify = admitted(&format!(
        "123424000001000100000000{NAME}00060001{NAME}000600010000012c0016000000000001000000020000000300000004\
         00000005"
    ));
    assert_eq!((notify.opcode(), notify.records().count()), (4, 1));
    let elsewhere = admitted(&format!(
        "123401000001000000000001{NAME}00010001017800002904d0000000000000"
    ));
    assert_eq!(elsewhere.edns().unwrap().udp_size, 1232);
}

#[test]
fn of_two_opt_records_the_last_one_counts() {
    let request = admitted(
        &format!("123401000001000000000002{NAME}0001000100002904d0000000000000 0000291000000080000000")
            .replace(' ', ""),
    );
    let edns = request.edns().unwrap();
    assert_eq!((edns.udp_size, edns.dnssec_ok), (4096, true));
}

#[test]
fn other_classes_need_the_listener_s_leave() {
    let query = QueryBuilder::new("version.bind.", 16_u16)
        .unwrap()
        .class(3)
        .id(0x1234);
    let open = Policy { other_classes: true };
    assert!(matches!(
        admit(&query.to_wire(), Transport::Tcp, open).0,
        Admitted::Query
    ));
    let (shown, reason) = refused(&query.edns(1400, true).to_wire());
    assert_eq!(
        (shown.rcode, shown.edns, reason),
        (Rcode::REFUSED, Some((1400, true)), Refusal::Class)
    );
}

#[test]
fn protocol_errors_are_told_from_refusals() {
    let errors: Vec<_> = [
        Refusal::BadVersion,
        Refusal::Class,
        Refusal::Counts,
        Refusal::Malformed,
        Refusal::NoQuestion,
        Refusal::Opcode,
    ]
    .into_iter()
    .filter(|reason| reason.is_protocol_error())
    .collect();
    assert_eq!(errors, [Refusal::Counts, Refusal::Malformed, Refusal::Opcode]);
}

#[test]
fn an_opt_record_full_of_options_is_read_in_linear_time() {
    let mut query = QueryBuilder::new("example.org.", 1_u16)
        .unwrap()
        .edns(1232, false);
    for _ in 0..16_000 {
        query = query.option(65001, b"");
    }
    let wire = query.to_wire();
    assert!(wire.len() > 60_000);
    let (admitted, request) = admit(&wire, Transport::Tcp, Policy::default());
    assert!(matches!(admitted, Admitted::Query));
    assert_eq!(request.edns_options().count(), 16_000);
}
