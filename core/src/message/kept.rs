//! Answers that are kept to be given again.

use std::fmt;

use super::request::Request;
use super::response::Response;
use super::rewrite;
use super::wire::{AD, CD, HEADER_LEN, OPCODE, QR, RD, put_u16, put_u32, u16_at};

/// An answer in wire form that is given again and again: to each client with its own id, flags and letters, and with a TTL
/// of the moment.
///
/// It takes as little room as it can, and giving it copies the message and patches what differs: nothing is parsed.
///
/// ```
/// use std::net::Ipv4Addr;
/// use catena_core::message::{CLASS_IN, Kept, Owner, QueryBuilder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut first = QueryBuilder::new("www.example.org.", 1_u16)?.to_request()?;
/// let address = Ipv4Addr::new(192, 0, 2, 1);
/// let response = first.reply().answer(Owner::Question, 1_u16, CLASS_IN, 300, address).finish();
/// let kept = Kept::of(&response);
///
/// let mut second = QueryBuilder::new("WWW.example.org.", 1_u16)?.to_request()?;
/// assert!(kept.answers(&second));
/// let again = kept.reply_to(&mut second, 299);
/// assert_eq!((again.id(), again.min_ttl()), (second.id(), Some(299)));
/// assert!(again.answers(&second));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Kept {
    /// The message, and behind it the offset of each record's TTL as two bytes.
    data: Box<[u8]>,
    uncompressed_len: u32,
    wire_len: u16,
    question_len: u16,
}

impl Kept {
    /// Keeps an answer, without its OPT record and with the lower four bits of its RCODE.
    #[must_use]
    pub fn of(response: &Response) -> Self {
        if response.records().any(|record| record.is_opt()) {
            let mut bare = response.clone();
            bare.remove_opt();
            return Self::of_bare(&bare);
        }
        Self::of_bare(response)
    }

    fn of_bare(response: &Response) -> Self {
        let wire = response.wire();
        let ttls = || response.records().filter(|record| !record.is_opt());
        let mut data = Vec::with_capacity(wire.len() + 2 * ttls().count());
        data.extend_from_slice(wire);
        for record in ttls() {
            // Messages have at most 65535 bytes, so offsets fit.
            data.extend_from_slice(&(record.ttl_at() as u16).to_be_bytes());
        }
        Self {
            data: data.into_boxed_slice(),
            uncompressed_len: u32::try_from(response.uncompressed_len()).unwrap_or(u32::MAX),
            wire_len: wire.len() as u16,
            question_len: response.question().len() as u16,
        }
    }

    fn wire(&self) -> &[u8] {
        &self.data[..usize::from(self.wire_len)]
    }

    /// The question as it was kept; empty if there is none.
    #[must_use]
    pub fn question(&self) -> &[u8] {
        &self.data[HEADER_LEN..HEADER_LEN + usize::from(self.question_len)]
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_len(&self) -> usize {
        self.data.len()
    }

    /// Whether this is an answer to that question: the same type and class, and the same name but for its letters' case.
    #[inline]
    #[must_use]
    pub fn answers(&self, request: &Request) -> bool {
        let asked = request.question().split_last_chunk::<4>();
        let kept = self.question().split_last_chunk::<4>();
        match (asked, kept) {
            (Some((asked, fixed)), Some((kept, kept_fixed))) => {
                fixed == kept_fixed && asked.eq_ignore_ascii_case(kept)
            }
            _ => false,
        }
    }

    /// The answer for this client, all of whose records have this TTL in seconds.
    ///
    /// Id, opcode, RD, CD and the letters of the question are the client's; all else is as it was kept, the letters of
    /// owners too. The answer is written into the request's own buffer, and anew only if the question's letters differ.
    #[inline]
    #[must_use]
    pub fn reply_to(&self, request: &mut Request, ttl: u32) -> Response {
        let mut wire = request.take_spare();
        wire.extend_from_slice(self.wire());
        let copied = if request.opcode() == 0 { RD | CD } else { 0 } | OPCODE;
        let flags = u16_at(&wire, 2) & !(RD | CD | OPCODE) | QR | request.flags() & copied;
        put_u16(&mut wire, 0, request.id());
        put_u16(&mut wire, 2, flags);
        for at in self.data[usize::from(self.wire_len)..].chunks_exact(2) {
            put_u32(&mut wire, usize::from(u16_at(at, 0)), ttl);
        }
        if request.question() != self.question() {
            wire = with_question(&wire, request.question());
        }
        Response::of_builder(wire, self.uncompressed_len as usize, 0)
    }

    /// Whether AD is set.
    #[inline]
    #[must_use]
    pub fn ad(&self) -> bool {
        u16_at(&self.data, 2) & AD != 0
    }

    /// The response code's lower four bits.
    #[inline]
    #[must_use]
    pub fn rcode_low(&self) -> u8 {
        u16_at(&self.data, 2) as u8 & 0xf
    }
}

/// Owners that point to the question must not change their letters with it, so they are written anew.
#[cold]
fn with_question(wire: &[u8], question: &[u8]) -> Vec<u8> {
    if question.is_empty() {
        return wire.to_vec();
    }
    rewrite::with_question(wire, question)
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} bytes)", self.wire_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{CLASS_IN, Owner, QueryBuilder, Rcode};
    use std::net::Ipv4Addr;

    fn query(name: &str, qtype: u16) -> QueryBuilder {
        QueryBuilder::new(name, qtype).unwrap()
    }

    fn response(with_opt: bool) -> Response {
        let mut request = query("a.example.org.", 65).to_request().unwrap();
        let mut reply = request.reply();
        reply.rcode(Rcode::NXDOMAIN).recursion_available(true);
        for last in 1..=3 {
            let address = Ipv4Addr::new(192, 0, 2, last);
            reply.answer(Owner::Question, 1_u16, CLASS_IN, 10 * u32::from(last), address);
        }
        let mut response = reply.finish();
        if with_opt {
            response.set_opt(1232, true);
        }
        response
    }

    #[test]
    fn each_client_gets_its_own_id_flags_letters_and_the_ttl() {
        for with_opt in [false, true] {
            let kept = Kept::of(&response(with_opt));
            let mut request = query("A.eXample.org.", 65)
                .recursion_desired(false)
                .checking_disabled(true)
                .to_request()
                .unwrap();
            let again = kept.reply_to(&mut request, 7);
            assert_eq!(again.id(), request.id());
            assert_eq!(again.rcode(), Rcode::NXDOMAIN);
            assert!(again.qr() && !again.aa() && again.ra() && again.cd() && !again.rd());
            assert_eq!(again.question(), request.question());
            let mut buffer = [0; 255];
            for record in again.records() {
                assert_eq!(record.owner_as_written(&mut buffer), b"\x01a\x07example\x03org\0");
            }
            assert_eq!(again.uncompressed_len(), response(false).uncompressed_len());
            let ttls: Vec<_> = again.records().map(|record| record.ttl()).collect();
            assert_eq!(ttls, [7, 7, 7]);
            let checked = Response::from_wire(again.into_wire()).unwrap();
            assert_eq!(checked.answer_count(), 3);
        }
    }

    #[test]
    fn another_question_is_not_answered() {
        let kept = Kept::of(&response(false));
        for (case, query, want) in [
            ("the same", query("a.example.org.", 65), true),
            ("other letters", query("A.EXAMPLE.org.", 65), true),
            ("another name", query("b.example.org.", 65), false),
            ("a longer name", query("a.a.example.org.", 65), false),
            // Letters of one number and of the other differ in case alone.
            ("another type", query("a.example.org.", 97), false),
            ("another class", query("a.example.org.", 65).class(3), false),
        ] {
            assert_eq!(kept.answers(&query.to_request().unwrap()), want, "case {case}");
        }
    }
}
