//! What an answer is to a cache: what it says, for how long, and whether it may be kept at all.

use std::collections::HashMap;

use ahash::RandomState;
use catena_core::message::{CLASS_ANY, QName, Rcode, RecordView, Request, Response, Section};

use crate::config::{Config, MIN_TTL};
use crate::entry::Kind;

const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const RRSIG: u16 = 46;
const IXFR: u16 = 251;
const AXFR: u16 = 252;
const ANY: u16 = 255;

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// Here it is; or nothing, without a SOA record that would deny it.
    Answer,
    /// Others may know: NS records and no answer.
    Delegation,
    /// The name exists, the type does not.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// The server failed: SERVFAIL or NOTIMP.
    Failure,
    /// Something that no cache keeps.
    Other,
}

/// An answer, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// What it says.
    pub(crate) says: Says,
    /// The time for which its records may be used, in seconds.
    pub(crate) ttl: u32,
    /// It is complete and of a kind that is kept, if the time for that is not nought.
    pub(crate) is_cacheable: bool,
    /// It has a record of the type that was asked for, at the end of the chain of aliases.
    pub(crate) is_answering: bool,
    /// It is a response to this question and to no other.
    pub(crate) matches: bool,
    /// It is complete and no sign of a failure: what may take the place of an expired answer.
    pub(crate) refreshes: bool,
}

impl Judged {
    /// The cache that it belongs in.
    pub(crate) const fn kind(&self) -> Kind {
        match self.says {
            Says::Answer | Says::Delegation | Says::Other => Kind::Success,
            Says::NoData | Says::NxDomain | Says::Failure => Kind::Denial,
        }
    }
}

/// Judges the answer to `request`. `now` is the time in seconds since 1970, for signatures.
pub(crate) fn judge(
    response: &Response,
    request: &Request,
    config: &Config,
    now: impl FnOnce() -> u64,
) -> Judged {
    let facts = Facts::of(response);
    let rcode = response.rcode();
    let has_answer = facts.answers > 0 && rcode == Rcode::NOERROR;
    let is_answering = has_answer && answers_question(response);
    let mut says = facts.says(response, request, now);
    let refreshes = says != Says::Other && (rcode == Rcode::NOERROR || rcode == Rcode::NXDOMAIN);
    // RFC 2308, section 2.2: the name at the end of a chain of aliases has no such record.
    let dangles = says == Says::Answer && facts.answers > 0 && !is_answering;
    if dangles && facts.has_soa {
        says = Says::NoData;
    }
    let is_unbounded = match says {
        Says::NxDomain => !facts.has_soa,
        Says::Answer => dangles,
        _ => false,
    };
    let matches = response.qr() && is_to(response, request);
    Judged {
        says,
        ttl: facts.ttl(says, config),
        is_cacheable: !response.tc() && says != Says::Other && !is_unbounded,
        is_answering,
        matches,
        refreshes: refreshes && matches && !response.tc(),
    }
}

/// Whether the response has the request's question: letters may differ, numbers may not.
fn is_to(response: &Response, request: &Request) -> bool {
    let fixed = |question: &[u8]| question.last_chunk::<4>().copied();
    response.answers(request) && fixed(response.question()) == fixed(request.question())
}

/// What one walk over the records tells.
struct Facts {
    answers: usize,
    records: usize,
    has_soa: bool,
    has_ns: bool,
    has_signatures: bool,
    min_ttl: u32,
}

impl Facts {
    fn of(response: &Response) -> Self {
        let mut facts = Self {
            answers: 0,
            records: 0,
            has_soa: false,
            has_ns: false,
            has_signatures: false,
            min_ttl: u32::MAX,
        };
        for record in response.records().filter(|record| !record.is_opt()) {
            facts.records += 1;
            facts.min_ttl = facts.min_ttl.min(record.ttl());
            facts.answers += usize::from(record.section() == Section::Answer);
            let authority = record.section() == Section::Authority;
            match record.type_code() {
                SOA if authority => facts.has_soa = true,
                NS if authority => facts.has_ns = true,
                RRSIG => facts.has_signatures = true,
                _ => {}
            }
        }
        facts
    }

    fn says(&self, response: &Response, request: &Request, now: impl FnOnce() -> u64) -> Says {
        let rcode = response.rcode();
        if response.opcode() != 0 || matches!(request.qtype_code(), AXFR | IXFR) {
            return Says::Other;
        }
        let wants_signatures = response.edns().is_some_and(|edns| edns.dnssec_ok);
        if self.has_signatures && wants_signatures && has_expired_signature(response, now()) {
            return Says::Other;
        }
        match rcode {
            Rcode::NOERROR if self.answers > 0 => Says::Answer,
            // A name with an alias exists.
            Rcode::NXDOMAIN if self.answers > 0 => Says::Other,
            Rcode::NXDOMAIN => Says::NxDomain,
            Rcode::NOERROR if self.has_soa => Says::NoData,
            Rcode::NOERROR if self.has_ns => Says::Delegation,
            Rcode::NOERROR => Says::Answer,
            Rcode::SERVFAIL | Rcode::NOTIMP => Says::Failure,
            _ => Says::Other,
        }
    }

    fn ttl(&self, says: Says, config: &Config) -> u32 {
        let ttl = if self.records == 0 { MIN_TTL } else { self.min_ttl };
        match says {
            Says::NoData | Says::NxDomain => config.denial.clamp(ttl),
            Says::Failure => config.failure_ttl,
            Says::Answer => config.success.clamp(ttl),
            // Who may know changes without notice, and what is not understood even more.
            Says::Delegation | Says::Other => config.success.clamp(MIN_TTL),
        }
    }
}

/// Whether a signature is not valid now (RFC 4034, section 3.1.5: times are serial numbers).
fn has_expired_signature(response: &Response, now: u64) -> bool {
    let now = now as u32;
    let expired = |record: &RecordView<'_>| {
        let time = |at: usize| {
            let bytes = record.rdata().get(at..at + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        match (time(8), time(12)) {
            (Some(end), Some(begin)) => {
                (end.wrapping_sub(now) as i32) < 0 || (now.wrapping_sub(begin) as i32) < 0
            }
            _ => true,
        }
    };
    response
        .records()
        .any(|record| record.type_code() == RRSIG && expired(&record))
}

/// Whether the answer section has a record of the type that its question is about, at the name that the question's aliases lead
/// to (RFC 1034, section 3.6.2). Two different aliases of one name, or a circle, lead nowhere.
fn answers_question(response: &Response) -> bool {
    let Some((qname, &[a, b, c, d])) = response.question().split_last_chunk::<4>() else {
        return false;
    };
    let Ok(qname) = QName::from_wire(qname) else {
        return false;
    };
    let (qtype, qclass) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let of_class = |record: &RecordView<'_>| {
        record.section() == Section::Answer && (qclass == CLASS_ANY || record.class_code() == qclass)
    };
    let records = || response.records().filter(of_class);
    let Some(name) = chain_end(records(), &qname, qtype) else {
        return false;
    };
    records().any(|record| (qtype == ANY || record.type_code() == qtype) && record.owner() == name)
}

/// The name that a question's aliases lead to.
fn chain_end<'a>(records: impl Iterator<Item = RecordView<'a>>, qname: &QName, qtype: u16) -> Option<QName> {
    if qtype == ANY {
        return Some(qname.clone());
    }
    // One look at each record, whatever the number of aliases: an upstream must not be able to make this slow.
    let mut aliases: HashMap<QName, Option<QName>, RandomState> = HashMap::default();
    for record in records.filter(|record| record.type_code() == CNAME) {
        let target = record.target()?;
        aliases
            .entry(record.owner())
            // RFC 2181, section 10.1: an alias has one target.
            .and_modify(|known| *known = known.take().filter(|known| *known == target))
            .or_insert(Some(target));
    }
    if qtype == CNAME {
        return aliases.get(qname)?.is_some().then(|| qname.clone());
    }
    let mut name = qname;
    // More steps than there are aliases make a circle.
    for _ in 0..=aliases.len() {
        match aliases.get(name) {
            None => return Some(name.clone()),
            Some(target) => name = target.as_ref()?,
        }
    }
    None
}

#[cfg(test)]
mod tests;
