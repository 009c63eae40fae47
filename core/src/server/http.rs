//! DNS queries over HTTP (RFC 8484), the same for all its versions: what a request asks, and what is answered.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, Response, StatusCode, Uri};

use super::exchange::{Exchange, Reply};
use crate::message::{HEADER_LEN, HttpHeaders, MAX_MESSAGE_LEN, Rcode, Records, Section};

/// The one path that is served.
const PATH: &str = "/dns-query";

/// The type of bodies (RFC 8484, section 6).
const MEDIA_TYPE: &str = "application/dns-message";

/// Characters that a message takes in base64 at the most. Longer ones are not decoded.
const MAX_BASE64_LEN: usize = ((MAX_MESSAGE_LEN + 1) * 8).div_ceil(6);

/// Bytes of a request's head. A message of the greatest length fits in its path.
pub(super) const MAX_HEAD_LEN: usize = 96 << 10;

/// The time in seconds for which answers without one of their own may be kept, and the longest for all.
const MIN_AGE: u32 = 5;
const MAX_AGE: u32 = 3600;

const NS: u16 = 2;
const SOA: u16 = 6;
const RRSIG: u16 = 46;
const IXFR: u16 = 251;
const AXFR: u16 = 252;

/// Without padding (RFC 8484, section 6). As Go reads it, bits that are left over do not matter.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Where a request has its message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// In the path, decoded.
    Message(Vec<u8>),
    /// In the body, which is to be read.
    InBody,
    /// Nowhere: the path is another.
    NotFound,
    /// In the path, and longer than a message can be.
    TooLong,
    /// Nowhere: the method is another, or the path does not hold a message.
    Invalid,
}

/// Reads a request's first line.
pub(super) fn read_head(method: &Method, uri: &Uri) -> Asked {
    if uri.path() != PATH {
        return Asked::NotFound;
    }
    match *method {
        Method::POST => Asked::InBody,
        Method::GET => message_in(uri.query().unwrap_or_default()),
        _ => Asked::Invalid,
    }
}

/// The message in the variable `dns`, which must be there once.
fn message_in(query: &str) -> Asked {
    let mut values = query
        .split('&')
        .filter(|pair| !pair.contains(';'))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| unescaped(name).as_deref() == Some(b"dns"));
    let (Some((_, value)), None) = (values.next(), values.next()) else {
        return Asked::Invalid;
    };
    if value.len() > MAX_BASE64_LEN {
        return Asked::TooLong;
    }
    let decoded = unescaped(value).and_then(|value| BASE64.decode(value).ok());
    decoded.map_or(Asked::Invalid, Asked::Message)
}

/// Resolves `%` and two digits (RFC 3986, section 2.1), and `+` as forms have it.
fn unescaped(text: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
    if !text.contains(['%', '+']) {
        return Some(text.as_bytes().into());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                (high << 4 | low) as u8
            }
            b'+' => b' ',
            other => other,
        });
    }
    Some(out.into())
}

/// Asks the block, and makes the response. What it is counted as goes along.
pub(super) async fn respond(exchange: &Exchange, headers: &HeaderMap, message: &[u8]) -> Response<Bytes> {
    if message.len() > MAX_MESSAGE_LEN {
        return invalid(exchange);
    }
    match exchange.ask_for_one(message, traced(headers).as_ref()).await {
        Reply::Answer(wire) => answer(exchange, wire),
        Reply::Fault => invalid(exchange),
        Reply::Silence | Reply::Transfer(..) => {
            error(exchange, StatusCode::INTERNAL_SERVER_ERROR, "No response\n")
        }
    }
}

/// The headers by which a client says that it traces its query: those of the form B3, which Zipkin made. Others are not for
/// plugins.
fn traced(headers: &HeaderMap) -> Option<HttpHeaders> {
    let is_b3 = |name: &HeaderName| name.as_str() == "b3" || name.as_str().starts_with("x-b3-");
    let found = headers
        .iter()
        .filter(|(name, _)| is_b3(name))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let found: HttpHeaders = found.collect();
    (found != HttpHeaders::default()).then_some(found)
}

fn answer(exchange: &Exchange, wire: Vec<u8>) -> Response<Bytes> {
    exchange.responded(200);
    let age = max_age(&wire, now);
    let mut response = Response::new(Bytes::from(wire));
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CONTENT_LENGTH, length.into());
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(format!("max-age={age}"))) {
        headers.insert(CACHE_CONTROL, value);
    }
    response
}

/// The response as this method gets it: HEAD gets the head alone (RFC 9110, section 9.3.2).
pub(super) fn for_method(method: &Method, mut response: Response<Bytes>) -> Response<Bytes> {
    if method == Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    response
}

/// The response to a request that is none.
pub(super) fn invalid(exchange: &Exchange) -> Response<Bytes> {
    error(exchange, StatusCode::BAD_REQUEST, "invalid request\n")
}

/// The response to a request for another path.
pub(super) fn not_found(exchange: &Exchange) -> Response<Bytes> {
    error(exchange, StatusCode::NOT_FOUND, "\n")
}

fn error(exchange: &Exchange, status: StatusCode, text: &'static str) -> Response<Bytes> {
    exchange.responded(u64::from(status.as_u16()));
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CONTENT_LENGTH, text.len().into());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn now() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as u32)
}

/// For how many seconds HTTP caches may keep an answer (RFC 8484, section 5.1): the lowest TTL of an answer or denial, and
/// a short time for all that is neither.
fn max_age(wire: &[u8], now: impl FnOnce() -> u32) -> u32 {
    let (Some(records), [_, _, flags, low, ..]) = (Records::of_message(wire), wire) else {
        return MIN_AGE;
    };
    let mut facts = Facts::default();
    let mut rcode = u16::from(low & 15);
    let mut signatures: Vec<u8> = Vec::new();
    for record in records {
        if record.is_opt() {
            facts.dnssec_ok = record.ttl() & 0x8000 != 0;
            rcode |= (record.ttl() >> 20) as u16 & 0xff0;
            continue;
        }
        facts.count += 1;
        facts.min_ttl = facts.min_ttl.min(record.ttl());
        match (record.section(), record.type_code()) {
            (_, RRSIG) => signatures.extend_from_slice(record.rdata().get(8..16).unwrap_or_default()),
            (Section::Answer, _) => facts.answers += 1,
            (Section::Authority, SOA) => facts.has_soa = true,
            (Section::Authority, NS) => facts.has_ns = true,
            _ => {}
        }
        if record.section() == Section::Answer && record.type_code() == RRSIG {
            facts.answers += 1;
        }
    }
    let is_query = flags & 0x78 == 0 && !matches!(qtype(wire), Some(IXFR | AXFR));
    let expired = facts.dnssec_ok && !signatures.is_empty() && is_expired(&signatures, now());
    if !is_query || expired || facts.count == 0 || !facts.says_something(Rcode(rcode)) {
        return MIN_AGE;
    }
    facts.min_ttl
}

/// The type of the question.
fn qtype(wire: &[u8]) -> Option<u16> {
    let mut at = HEADER_LEN;
    loop {
        match usize::from(*wire.get(at)?) {
            0 => break,
            length => at += 1 + length,
        }
    }
    Some(u16::from_be_bytes([*wire.get(at + 1)?, *wire.get(at + 2)?]))
}

struct Facts {
    count: usize,
    answers: usize,
    has_soa: bool,
    has_ns: bool,
    dnssec_ok: bool,
    min_ttl: u32,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            count: 0,
            answers: 0,
            has_soa: false,
            has_ns: false,
            dnssec_ok: false,
            min_ttl: MAX_AGE,
        }
    }
}

impl Facts {
    /// Whether it is an answer or a denial, and no failure or referral.
    fn says_something(&self, rcode: Rcode) -> bool {
        match rcode {
            Rcode::NOERROR => self.answers > 0 || self.has_soa || !self.has_ns,
            Rcode::NXDOMAIN => self.has_soa,
            _ => false,
        }
    }
}

/// Whether one of the signatures, of which there are the times of their ends and beginnings, is not valid now (RFC 4034,
/// section 3.1.5: times are serial numbers).
fn is_expired(times: &[u8], now: u32) -> bool {
    times.as_chunks::<4>().0.chunks_exact(2).any(|pair| {
        let (end, begin) = (u32::from_be_bytes(pair[0]), u32::from_be_bytes(pair[1]));
        (end.wrapping_sub(now) as i32) < 0 || (now.wrapping_sub(begin) as i32) < 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_headers_of_tracing_are_for_plugins() {
        let headers = |list: &[(&'static str, &'static str)]| -> HeaderMap {
            let pair = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
            list.iter().map(pair).collect()
        };
        assert_eq!(traced(&headers(&[("accept", "*/*"), ("cookie", "secret")])), None);
        let found = traced(&headers(&[
            ("cookie", "secret"),
            ("b3", "0"),
            ("x-b3-spanid", "1"),
        ]))
        .unwrap();
        assert_eq!(
            (found.get("B3"), found.get("X-B3-SpanId")),
            (Some("0"), Some("1"))
        );
        assert_eq!(found.get("cookie"), None);
    }
}
