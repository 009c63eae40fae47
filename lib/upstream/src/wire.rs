//! As much of the DNS message format as a client needs to tell its answer from others.

use catena_core::message::Response;

/// Length of the header.
pub(crate) const HEADER_LEN: usize = 12;

/// Bits of the third header byte.
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TC: u8 = 0x02;

/// What a received message is to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer, unless its records are broken.
    Answer,
    /// An error without a question. It may be the upstream's, but it is also what a forger can make most easily.
    BareError,
    /// Something else.
    Foreign,
}

/// The id of a message that has a whole header and is a response.
pub(crate) fn response_id(message: &[u8]) -> Option<u16> {
    match message {
        [high, low, flags, ..] if message.len() >= HEADER_LEN && flags & QR != 0 => {
            Some(u16::from_be_bytes([*high, *low]))
        }
        _ => None,
    }
}

/// Where the only question of a query ends; `None` if it has not exactly one that can be read.
pub(crate) fn question_end(query: &[u8]) -> Option<usize> {
    if count(query, 4)? != 1 {
        return None;
    }
    let mut at = HEADER_LEN;
    loop {
        match *query.get(at)? {
            0 => break,
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
    let end = at + 5;
    (end <= query.len()).then_some(end)
}

/// Judges a message whose id is right. The question must be the same byte for byte, letter case included.
pub(crate) fn judge(query: &[u8], question_end: usize, message: &[u8]) -> Verdict {
    let (Some(&asked), Some(&answered)) = (query.get(2), message.get(2)) else {
        return Verdict::Foreign;
    };
    if asked & OPCODE != answered & OPCODE {
        return Verdict::Foreign;
    }
    match count(message, 4) {
        Some(1) => {}
        Some(0) => return judge_without_question(message),
        _ => return Verdict::Foreign,
    }
    let question = HEADER_LEN..question_end;
    if message.get(question.clone()) == query.get(question) {
        Verdict::Answer
    } else {
        Verdict::Foreign
    }
}

/// Reads the answer to a query, if it is well-formed. One that its sender cut off in the middle of a record, and that
/// says so, is taken without its records.
pub(crate) fn read(message: &[u8], question_end: usize) -> Option<Response> {
    if are_records_whole(message, question_end) {
        return Response::from_wire(message.to_vec()).ok();
    }
    if !is_truncated(message) {
        return None;
    }
    let mut kept = message.get(..question_end)?.to_vec();
    kept[6..HEADER_LEN].fill(0);
    Response::from_wire(kept).ok()
}

fn judge_without_question(message: &[u8]) -> Verdict {
    let is_error = matches!(message.get(3).map(|flags| flags & 0xf), Some(1 | 2 | 4 | 5));
    if is_error
        && count(message, 6) == Some(0)
        && count(message, 8) == Some(0)
        && are_records_whole(message, HEADER_LEN)
    {
        Verdict::BareError
    } else {
        Verdict::Foreign
    }
}

/// Whether the message is truncated by its own account.
pub(crate) fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & TC != 0)
}

/// The addresses in the answer section: data of A and AAAA records.
pub(crate) fn addresses(message: &[u8], question_end: usize) -> Vec<std::net::IpAddr> {
    let mut found = Vec::new();
    let mut at = question_end;
    for _ in 0..count(message, 6).unwrap_or(0) {
        let Some((fixed, end)) = record(message, at) else {
            break;
        };
        let data = message.get(fixed + 10..end).unwrap_or_default();
        match (count(message, fixed), data.len()) {
            (Some(1), 4) => found.extend(<[u8; 4]>::try_from(data).map(std::net::IpAddr::from)),
            (Some(28), 16) => found.extend(<[u8; 16]>::try_from(data).map(std::net::IpAddr::from)),
            _ => {}
        }
        at = end;
    }
    found
}

/// Whether as many records as promised follow, each within the message. What follows the last one does not matter.
fn are_records_whole(message: &[u8], mut at: usize) -> bool {
    for counted in [6, 8, 10] {
        for _ in 0..count(message, counted).unwrap_or(0) {
            match record(message, at) {
                Some((_, end)) => at = end,
                None => return false,
            }
        }
    }
    true
}

/// The offset of a record's type and the end of the record.
fn record(message: &[u8], at: usize) -> Option<(usize, usize)> {
    let fixed = skip_name(message, at)?;
    let end = fixed + 10 + usize::from(count(message, fixed + 8)?);
    (end <= message.len()).then_some((fixed, end))
}

/// The offset behind a name. A pointer ends it, and must lead back.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            high @ 0xc0.. => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                return (target < at).then_some(at + 2);
            }
            _ => return None,
        }
    }
}

/// The 16 bits at `at`.
fn count(message: &[u8], at: usize) -> Option<u16> {
    match message.get(at..at + 2) {
        Some(&[high, low]) => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x01a\x07eXample\0\0\x01\0\x01";

    fn answer(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut message = QUERY.to_vec();
        message[2] |= QR;
        message[7] = 1;
        message.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
        change(&mut message);
        message
    }

    #[test]
    fn each_kind_of_message_gets_its_verdict() {
        let end = question_end(QUERY).unwrap();
        assert_eq!(end, QUERY.len());
        for (case, message, want) in [
            ("answer", answer(|_| ()), Verdict::Answer),
            ("other letters", answer(|m| m[16] = b'x'), Verdict::Foreign),
            ("other type", answer(|m| m[24] = 28), Verdict::Foreign),
            ("other class", answer(|m| m[26] = 3), Verdict::Foreign),
            ("other opcode", answer(|m| m[2] |= 0x20), Verdict::Foreign),
            ("two questions", answer(|m| m[5] = 2), Verdict::Foreign),
            (
                "bare FORMERR",
                b"\x12\x34\x80\x01\0\0\0\0\0\0\0\0".to_vec(),
                Verdict::BareError,
            ),
            (
                "bare NOERROR",
                b"\x12\x34\x80\x00\0\0\0\0\0\0\0\0".to_vec(),
                Verdict::Foreign,
            ),
        ] {
            assert_eq!(judge(QUERY, end, &message), want, "case {case}");
        }
    }

    #[test]
    fn broken_records_make_no_answer() {
        let end = QUERY.len();
        for (case, message, want) in [
            ("whole", answer(|_| ()), Some(1)),
            ("record cut off", answer(|m| m.truncate(m.len() - 1)), None),
            ("record missing", answer(|m| m[7] = 2), None),
            ("pointer forward", answer(|m| m[28] = 0xff), None),
            ("bad data", answer(|m| m[30] = 15), None),
            (
                "cut off and says so",
                answer(|m| {
                    m.pop();
                    m[2] |= TC;
                }),
                Some(0),
            ),
            ("trailing bytes", answer(|m| m.push(0)), Some(1)),
        ] {
            let records = read(&message, end).map(|response| response.answer_count());
            assert_eq!(records, want, "case {case}");
        }
    }

    #[test]
    fn no_prefix_of_an_answer_is_an_answer() {
        let end = question_end(QUERY).unwrap();
        let whole = answer(|_| ());
        for len in 0..whole.len() {
            assert!(read(&whole[..len], end).is_none(), "length {len}");
            let _ = judge(QUERY, end, &whole[..len]);
            let _ = (
                response_id(&whole[..len]),
                question_end(&whole[..len]),
                addresses(&whole[..len], end),
            );
        }
    }

    #[test]
    fn only_responses_with_a_header_have_an_id() {
        assert_eq!(response_id(&answer(|_| ())), Some(0x1234));
        assert_eq!(response_id(QUERY), None);
        assert_eq!(response_id(b"\x12\x34\x80\x00\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn addresses_are_read_from_the_answer() {
        let end = question_end(QUERY).unwrap();
        assert_eq!(
            addresses(&answer(|_| ()), end),
            ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]
        );
    }
}
