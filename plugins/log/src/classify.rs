//! What kind of answer a message is.

use std::time::{SystemTime, UNIX_EPOCH};

use catena_core::message::{Rcode, Response, Section};

const NS: u16 = 2;
const SOA: u16 = 6;
const RRSIG: u16 = 46;
const IXFR: u16 = 251;
const AXFR: u16 = 252;

const NOTIFY: u8 = 4;
const UPDATE: u8 = 5;

/// The kind of an answer, finer than its RCODE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// NOERROR with the name servers of a zone below.
    Delegation,
    /// Belongs to a transfer or a NOTIFY.
    Meta,
    /// NXDOMAIN.
    NameError,
    /// The name is there, the type is not (RFC 2308, section 2.2).
    NoData,
    /// An answer.
    NoError,
    /// Everything else.
    OtherError,
    /// SERVFAIL or NOTIMP.
    ServerError,
    /// Belongs to an update.
    Update,
}

/// The classes of answers that a rule can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Success,
    Denial,
    Error,
}

impl Kind {
    /// The kind of a reply.
    pub(crate) fn of_reply(response: &Response) -> Self {
        let question = response.question().split_last_chunk::<4>();
        let qtype = question.map_or(0, |(_, rest)| u16::from_be_bytes([rest[0], rest[1]]));
        if let Some(kind) = Self::of_question(response.opcode(), qtype) {
            return kind;
        }
        if response.edns().is_some_and(|edns| edns.dnssec_ok)
            && has_expired_signature(response, SystemTime::now())
        {
            return Self::OtherError;
        }
        match (response.answer_count() > 0, response.rcode()) {
            (true, Rcode::NOERROR) => Self::NoError,
            (true, Rcode::NXDOMAIN) => Self::OtherError,
            (_, Rcode::NOERROR) => Self::of_authority(response),
            (_, rcode) => Self::of_rcode(rcode),
        }
    }

    /// The kind of an answer that has an RCODE and no records.
    pub(crate) fn of_bare(opcode: u8, qtype: u16, rcode: Rcode) -> Self {
        Self::of_question(opcode, qtype).unwrap_or_else(|| Self::of_rcode(rcode))
    }

    fn of_question(opcode: u8, qtype: u16) -> Option<Self> {
        match (opcode, qtype) {
            (UPDATE, _) => Some(Self::Update),
            (NOTIFY, _) | (_, AXFR | IXFR) => Some(Self::Meta),
            _ => None,
        }
    }

    fn of_rcode(rcode: Rcode) -> Self {
        match rcode {
            Rcode::NOERROR => Self::NoError,
            Rcode::NXDOMAIN => Self::NameError,
            Rcode::SERVFAIL | Rcode::NOTIMP => Self::ServerError,
            _ => Self::OtherError,
        }
    }

    /// NOERROR without an answer: what the authority section says.
    fn of_authority(response: &Response) -> Self {
        let mut kind = Self::NoError;
        for record in response
            .records()
            .filter(|record| record.section() == Section::Authority)
        {
            match record.type_code() {
                SOA => return Self::NoData,
                NS => kind = Self::Delegation,
                _ => {}
            }
        }
        kind
    }

    /// The class that the kind belongs to.
    pub(crate) const fn class(self) -> Class {
        match self {
            Self::Delegation | Self::NoError => Class::Success,
            Self::NameError | Self::NoData => Class::Denial,
            Self::Meta | Self::OtherError | Self::ServerError | Self::Update => Class::Error,
        }
    }

    /// What `{/log/type}` shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delegation => "DELEGATION",
            Self::Meta => "META",
            Self::NameError => "NXDOMAIN",
            Self::NoData => "NODATA",
            Self::NoError => "NOERROR",
            Self::OtherError => "OTHERERROR",
            Self::ServerError => "SERVERERROR",
            Self::Update => "UPDATE",
        }
    }
}

impl Class {
    /// What `{/log/class}` shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denial => "denial",
            Self::Error => "error",
        }
    }
}

/// Whether a signature in the answer is out of its time.
fn has_expired_signature(response: &Response, now: SystemTime) -> bool {
    // RFC 4034, section 3.1.5: 32 bits, compared as serial numbers, so the upper bits do not matter.
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) as u32;
    response.records().any(|record| {
        record.type_code() == RRSIG
            && record.rdata().get(8..16).is_some_and(|times| {
                let at = |start: usize| {
                    u32::from_be_bytes([times[start], times[start + 1], times[start + 2], times[start + 3]])
                };
                let (expiration, inception) = (at(0), at(4));
                (expiration.wrapping_sub(now) as i32) < 0 || (now.wrapping_sub(inception) as i32) < 0
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::message::{CLASS_IN, Owner, QueryBuilder, ReplyBuilder};

    fn reply(qtype: u16, build: impl FnOnce(&mut ReplyBuilder)) -> Response {
        let mut request = QueryBuilder::new("a.example.org.", qtype)
            .unwrap()
            .to_request()
            .unwrap();
        let mut reply = request.reply();
        build(&mut reply);
        reply.finish()
    }

    fn soa(reply: &mut ReplyBuilder) {
        let numbers = [0; 22];
        reply.authority(Owner::Question, SOA, CLASS_IN, 60, &numbers);
    }

    fn ns(reply: &mut ReplyBuilder) {
        reply.authority(Owner::Question, NS, CLASS_IN, 60, b"\x02ns\x00");
    }

    fn address(reply: &mut ReplyBuilder) {
        reply.answer(Owner::Question, 1_u16, CLASS_IN, 60, &[192, 0, 2, 1]);
    }

    type Row = (&'static str, u16, fn(&mut ReplyBuilder), Kind, Class);

    #[test]
    fn kinds_and_classes_follow_rcode_and_sections() {
        let rows: [Row; 12] = [
            ("answer", 1, address, Kind::NoError, Class::Success),
            ("empty", 1, |_| {}, Kind::NoError, Class::Success),
            ("referral", 1, ns, Kind::Delegation, Class::Success),
            ("no data", 1, soa, Kind::NoData, Class::Denial),
            (
                "no data with NS",
                1,
                |reply| {
                    ns(reply);
                    soa(reply);
                },
                Kind::NoData,
                Class::Denial,
            ),
            (
                "name error",
                1,
                |reply| {
                    reply.rcode(Rcode::NXDOMAIN);
                },
                Kind::NameError,
                Class::Denial,
            ),
            (
                "name error with an answer",
                1,
                |reply| {
                    reply.rcode(Rcode::NXDOMAIN);
                    address(reply);
                },
                Kind::OtherError,
                Class::Error,
            ),
            (
                "server failure",
                1,
                |reply| {
                    reply.rcode(Rcode::SERVFAIL);
                },
                Kind::ServerError,
                Class::Error,
            ),
            (
                "not implemented",
                1,
                |reply| {
                    reply.rcode(Rcode::NOTIMP);
                },
                Kind::ServerError,
                Class::Error,
            ),
            (
                "refused",
                1,
                |reply| {
                    reply.rcode(Rcode::REFUSED);
                },
                Kind::OtherError,
                Class::Error,
            ),
            ("transfer", AXFR, address, Kind::Meta, Class::Error),
            (
                "refused transfer",
                IXFR,
                |reply| {
                    reply.rcode(Rcode::REFUSED);
                },
                Kind::Meta,
                Class::Error,
            ),
        ];
        for (case, qtype, build, kind, class) in rows {
            let found = Kind::of_reply(&reply(qtype, build));
            assert_eq!((found, found.class()), (kind, class), "case {case}");
        }
    }

    #[test]
    fn bare_answers_are_told_by_their_rcode() {
        for (opcode, qtype, rcode, want) in [
            (0, 1, Rcode::SERVFAIL, Kind::ServerError),
            (0, 1, Rcode::REFUSED, Kind::OtherError),
            (0, 1, Rcode::NXDOMAIN, Kind::NameError),
            (0, AXFR, Rcode::REFUSED, Kind::Meta),
            (NOTIFY, SOA, Rcode::NOERROR, Kind::Meta),
            (UPDATE, SOA, Rcode::REFUSED, Kind::Update),
        ] {
            assert_eq!(Kind::of_bare(opcode, qtype, rcode), want);
        }
    }

    #[test]
    fn signatures_count_only_where_the_answer_has_do() {
        let signed = |reply: &mut ReplyBuilder, expiration: u32, inception: u32| {
            let mut data = vec![0; 8];
            data.extend_from_slice(&expiration.to_be_bytes());
            data.extend_from_slice(&inception.to_be_bytes());
            data.extend_from_slice(&[0, 0, 0, 1]);
            address(reply);
            reply.answer(Owner::Question, RRSIG, CLASS_IN, 60, &*data);
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32;
        for (case, dnssec_ok, expiration, inception, want) in [
            ("in time", true, now + 1000, now - 1000, Kind::NoError),
            ("expired", true, now - 1000, now - 2000, Kind::OtherError),
            ("not yet", true, now + 2000, now + 1000, Kind::OtherError),
            ("expired without DO", false, now - 1000, now - 2000, Kind::NoError),
        ] {
            let mut response = reply(1, |reply| signed(reply, expiration, inception));
            response.set_opt(1232, dnssec_ok);
            assert_eq!(Kind::of_reply(&response), want, "case {case}");
        }
    }
}
