//! One way in: which messages become queries, which are refused at once, and which get no answer.

use super::fit::{error_reply, fit};
use super::rcode::Rcode;
use super::request::{ListenerContext, QueryError, Request};
use super::transport::Transport;
use super::wire::{AA, CLASS_IN, HEADER_LEN, OPCODE, QR, RD, put_u16, u16_at};

/// The option `edns-tcp-keepalive` (RFC 7828).
const TCP_KEEPALIVE: u16 = 11;

const OPCODE_QUERY: u8 = 0;
const OPCODE_NOTIFY: u8 = 4;

/// What a listener lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Queries of classes other than IN go to the plugins: some block of the listener has `chaos` or `forward`.
    pub other_classes: bool,
}

/// What to do with a message.
#[derive(Debug)]
pub enum Admitted {
    /// The request is filled: pass it to dispatch.
    Query,
    /// Send `wire`, which is fitted to the client already, or what the transport has in its place.
    Answer {
        /// The answer for transports that answer every message.
        wire: Vec<u8>,
        /// Why; see [`Refusal::is_protocol_error`] for transports with errors of their own.
        reason: Refusal,
    },
    /// Send nothing.
    Drop(DropReason),
}

/// Why a message is answered without being asked of any plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// An EDNS version other than 0: BADVERS.
    BadVersion,
    /// A class other than IN: REFUSED.
    Class,
    /// Counts that no query has: FORMERR.
    Counts,
    /// Bytes that cannot be read as the header promises: FORMERR.
    Malformed,
    /// A header alone: SERVFAIL.
    NoQuestion,
    /// An opcode other than QUERY and NOTIFY: NOTIMP.
    Opcode,
    /// What must not come over QUIC (RFC 9250, section 4.3.3): an id other than 0, or the option `edns-tcp-keepalive`:
    /// FORMERR.
    Quic,
}

impl Refusal {
    /// The response code of the answer.
    #[must_use]
    pub const fn rcode(self) -> Rcode {
        match self {
            Self::BadVersion => Rcode::BADVERS,
            Self::Class => Rcode::REFUSED,
            Self::Counts | Self::Malformed | Self::Quic => Rcode::FORMERR,
            Self::NoQuestion => Rcode::SERVFAIL,
            Self::Opcode => Rcode::NOTIMP,
        }
    }

    /// Whether the message itself is at fault: HTTP then says 400, QUIC closes with a protocol error, gRPC fails the call.
    #[must_use]
    pub const fn is_protocol_error(self) -> bool {
        matches!(self, Self::Counts | Self::Malformed | Self::Opcode | Self::Quic)
    }
}

/// Why a message gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// It is a response: to answer it could make two servers talk without end.
    Response,
    /// It has no whole header.
    Short,
}

/// Looks at a message as it came in, and fills `request` with it.
///
/// All checks of the header come before anything is read by a length from the message.
#[inline]
pub fn admit(request: &mut Request, bytes: &[u8], context: &ListenerContext<'_>, policy: Policy) -> Admitted {
    if bytes.len() < HEADER_LEN {
        return Admitted::Drop(DropReason::Short);
    }
    if let Some(early) = check_header(request, bytes) {
        return early;
    }
    let over_quic = context.transport == Transport::Quic;
    if over_quic && u16_at(bytes, 0) != 0 {
        return header_answer(request, bytes, Refusal::Quic);
    }
    match request.reset(bytes, context) {
        Ok(()) => {}
        Err(QueryError::Short) => return Admitted::Drop(DropReason::Short),
        Err(QueryError::NoQuestion) => return refuse(request, Refusal::NoQuestion),
        Err(QueryError::BadQuestion | QueryError::BadRecord) => return malformed(request),
    }
    if over_quic && request.edns_option(TCP_KEEPALIVE).is_some() {
        return header_answer(request, bytes, Refusal::Quic);
    }
    if request.qclass_code() != CLASS_IN && !policy.other_classes {
        return refuse(request, Refusal::Class);
    }
    if request.edns().is_some_and(|edns| edns.version != 0) {
        return bad_version(request);
    }
    Admitted::Query
}

/// Refuses by the header alone.
#[inline]
fn check_header(request: &mut Request, bytes: &[u8]) -> Option<Admitted> {
    let flags = u16_at(bytes, 2);
    if flags & QR != 0 {
        return Some(Admitted::Drop(DropReason::Response));
    }
    let opcode = ((flags & OPCODE) >> 11) as u8;
    if opcode != OPCODE_QUERY && opcode != OPCODE_NOTIFY {
        return Some(header_answer(request, bytes, Refusal::Opcode));
    }
    // One record may stand before the additional ones: the SOA of a NOTIFY (RFC 1996) or of an IXFR (RFC 1995).
    let counts_fit =
        u16_at(bytes, 4) == 1 && u16_at(bytes, 6) <= 1 && u16_at(bytes, 8) <= 1 && u16_at(bytes, 10) <= 2;
    (!counts_fit).then(|| header_answer(request, bytes, Refusal::Counts))
}

/// Answers with a header and nothing else.
#[cold]
fn header_answer(request: &mut Request, bytes: &[u8], reason: Refusal) -> Admitted {
    let mut wire = request.take_spare();
    wire.extend_from_slice(&bytes[..HEADER_LEN]);
    patch_flags(&mut wire, reason);
    wire[4..HEADER_LEN].fill(0);
    Admitted::Answer { wire, reason }
}

/// Of the query's flags only RD comes back; its opcode only where that is the reason.
fn patch_flags(wire: &mut [u8], reason: Refusal) {
    let kept = if reason == Refusal::Opcode {
        RD | OPCODE
    } else {
        RD
    };
    let flags = u16_at(wire, 2) & kept & !AA | QR | u16::from(reason.rcode().low());
    put_u16(wire, 2, flags);
}

/// FORMERR with the question, if that could be read, and without EDNS.
#[cold]
fn malformed(request: &mut Request) -> Admitted {
    let rd = request.rd();
    let mut wire = request
        .reply()
        .rcode(Rcode::FORMERR)
        .recursion_desired(rd)
        .finish()
        .into_wire();
    patch_flags(&mut wire, Refusal::Malformed);
    Admitted::Answer {
        wire,
        reason: Refusal::Malformed,
    }
}

/// An error as dispatch answers them: with question and EDNS.
#[cold]
fn refuse(request: &mut Request, reason: Refusal) -> Admitted {
    let response = error_reply(request, reason.rcode());
    Admitted::Answer {
        wire: fit(response, request),
        reason,
    }
}

/// BADVERS with an OPT record of version 0 that says nothing else.
#[cold]
fn bad_version(request: &mut Request) -> Admitted {
    let mut response = error_reply(request, Rcode::BADVERS);
    response.set_opt(0, false);
    Admitted::Answer {
        wire: response.into_wire(),
        reason: Refusal::BadVersion,
    }
}
