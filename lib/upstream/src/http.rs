//! What stands in an HTTP request for a query, and what of a response is an answer: DNS over HTTPS (RFC 8484), and gRPC
//! calls as CoreDNS defines them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};

use crate::error::Failure;
use crate::target::Method;

/// Octets of a response's head. Answers need a few hundred.
pub(crate) const MAX_HEAD: u32 = 16 << 10;

/// The longest DNS message.
const MAX_MESSAGE: usize = 65_535;

/// What gRPC puts around a message: flag and length, and the same in protobuf.
const GRPC_OVERHEAD: usize = 5 + 4;

/// Unknown fields of a gRPC response that are skipped. There are none today.
const MAX_UNKNOWN: usize = 64;

const DNS_MESSAGE: HeaderValue = HeaderValue::from_static("application/dns-message");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// In which form messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Doh(Method),
    Grpc,
}

/// How one upstream is asked.
#[derive(Clone)]
pub(crate) struct Http {
    content: Content,
    uri: Uri,
}

impl Http {
    /// Requests to this authority, which is written as in a URI.
    pub(crate) fn new(content: Content, scheme: &'static str, authority: &str) -> Self {
        let path = match content {
            Content::Doh(_) => "/dns-query",
            Content::Grpc => "/coredns.dns.DnsService/Query",
        };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query(path)
            .build()
            // An address always is one; a name was read as a domain name.
            .unwrap_or_default();
        Self { content, uri }
    }

    pub(crate) const fn content(&self) -> Content {
        self.content
    }

    /// RFC 8484, section 4.1: the id is 0, so that HTTP caches see equal queries as equal.
    pub(crate) const fn zeroes_ids(&self) -> bool {
        matches!(self.content, Content::Doh(_))
    }

    /// The request for a query, and its body if it has one.
    pub(crate) fn request(&self, message: &[u8]) -> (Request<()>, Option<Bytes>) {
        let mut request = Request::new(());
        let headers = request.headers_mut();
        let body = match self.content {
            Content::Doh(Method::Post) => {
                headers.insert(CONTENT_TYPE, DNS_MESSAGE);
                headers.insert(ACCEPT, DNS_MESSAGE);
                Some(Bytes::copy_from_slice(message))
            }
            Content::Doh(Method::Get) => {
                headers.insert(ACCEPT, DNS_MESSAGE);
                None
            }
            Content::Grpc => {
                headers.insert(CONTENT_TYPE, GRPC);
                headers.insert(TE, TRAILERS);
                Some(to_grpc(message))
            }
        };
        if body.is_some() {
            *request.method_mut() = http::Method::POST;
        }
        *request.uri_mut() = match self.content {
            Content::Doh(Method::Get) => self.with_query(message),
            _ => self.uri.clone(),
        };
        (request, body)
    }

    fn with_query(&self, message: &[u8]) -> Uri {
        let mut path = String::with_capacity(16 + message.len() * 4 / 3 + 2);
        path.push_str("/dns-query?dns=");
        URL_SAFE_NO_PAD.encode_string(message, &mut path);
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = PathAndQuery::try_from(path).ok();
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }

    /// Octets of a body.
    pub(crate) const fn limit(&self) -> usize {
        match self.content {
            Content::Doh(_) => MAX_MESSAGE,
            Content::Grpc => MAX_MESSAGE + GRPC_OVERHEAD,
        }
    }

    /// Whether a body is to be read.
    pub(crate) fn check_head(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
        if !status.is_success() {
            return Err(Failure::Status(status.as_u16()));
        }
        match self.content {
            // A call that failed at once has its status here.
            Content::Grpc if headers.contains_key(GRPC_STATUS) => check_grpc_status(headers),
            _ => Ok(()),
        }
    }

    /// Whether the response has something behind its body that matters.
    pub(crate) const fn has_trailers(&self) -> bool {
        matches!(self.content, Content::Grpc)
    }

    /// The message in a whole body.
    pub(crate) fn finish(&self, body: Vec<u8>, trailers: Option<&HeaderMap>) -> Result<Vec<u8>, Failure> {
        match self.content {
            Content::Doh(_) => Ok(body),
            Content::Grpc => {
                if let Some(trailers) = trailers {
                    check_grpc_status(trailers)?;
                }
                from_grpc(&body).ok_or(Failure::Unreadable)
            }
        }
    }
}

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";

/// Characters of an upstream's own words in an error.
const MAX_WORDS: usize = 200;

/// Code 2, UNKNOWN, stands for what cannot be read.
fn check_grpc_status(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text(GRPC_STATUS).and_then(|code| code.parse().ok()).unwrap_or(2);
    if code == 0 {
        return Ok(());
    }
    let message = text(GRPC_MESSAGE).unwrap_or_default();
    Err(Failure::Rpc {
        code,
        message: message.chars().take(MAX_WORDS).collect(),
    })
}

/// A message as field 1 of a protobuf message, in a gRPC frame without compression.
fn to_grpc(message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(message.len() + GRPC_OVERHEAD);
    body.put_bytes(0, 5);
    body.put_u8(FIELD_1_BYTES);
    let mut rest = message.len();
    while rest >= 0x80 {
        body.put_u8(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    body.put_u8(rest as u8);
    body.put_slice(message);
    // A DNS message is far below 4 GiB.
    let length = u32::try_from(body.len() - 5).unwrap_or(u32::MAX);
    body[1..5].copy_from_slice(&length.to_be_bytes());
    body.freeze()
}

/// Field 1 of the protobuf message in a gRPC frame; other fields are skipped.
fn from_grpc(body: &[u8]) -> Option<Vec<u8>> {
    let (&[compressed, a, b, c, d], fields) = body.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    // This side offered no compression.
    if compressed != 0 || fields.len() != length {
        return None;
    }
    let mut rest = fields;
    let mut found = None;
    for _ in 0..MAX_UNKNOWN {
        if rest.is_empty() {
            break;
        }
        let tag = varint(&mut rest)?;
        let skipped = match tag & 7 {
            0 => {
                varint(&mut rest)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, behind) = rest.split_at_checked(skipped)?;
        rest = behind;
        if tag == u64::from(FIELD_1_BYTES) {
            found = Some(value);
        }
    }
    // As protobuf has it: of several the last counts, and a field that is not there is empty.
    rest.is_empty()
        .then(|| found.map(<[u8]>::to_vec).unwrap_or_default())
}

/// Field 1, wire type 2.
const FIELD_1_BYTES: u8 = 0x0a;

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(content: Content) -> Http {
        Http::new(content, "https", "dns.example.org:8443")
    }

    #[test]
    fn queries_travel_as_rfc_8484_says() {
        let (request, body) = http(Content::Doh(Method::Post)).request(b"\0\0query");
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "https://dns.example.org:8443/dns-query");
        assert_eq!(request.headers()[CONTENT_TYPE], "application/dns-message");
        assert_eq!(body.as_deref(), Some(&b"\0\0query"[..]));
        let (request, body) = http(Content::Doh(Method::Get)).request(b"\0\0\xff\xfe");
        assert_eq!(request.method(), "GET");
        assert_eq!(request.uri(), "https://dns.example.org:8443/dns-query?dns=AAD__g");
        assert!(!request.headers().contains_key(CONTENT_TYPE) && body.is_none());
    }

    #[test]
    fn grpc_frames_come_back_as_they_went() {
        for length in [0, 1, 12, 127, 128, 300, 16_383, 16_384, 65_535] {
            let message = vec![7; length];
            let body = to_grpc(&message);
            assert!(body.len() <= http(Content::Grpc).limit(), "{length}");
            assert_eq!(from_grpc(&body), Some(message), "{length}");
        }
    }

    #[test]
    fn odd_grpc_bodies_do_no_harm() {
        let empty: Option<Vec<u8>> = Some(Vec::new());
        for (case, body, want) in [
            ("nothing", &b""[..], None),
            ("no field", b"\0\0\0\0\0", empty),
            ("length too large", b"\0\0\0\0\x09\x0a\x01a", None),
            ("compressed", b"\x01\0\0\0\x03\x0a\x01a", None),
            ("field too long", b"\0\0\0\0\x03\x0a\x7fa", None),
            (
                "a huge length",
                b"\0\0\0\0\x0b\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                None,
            ),
            (
                "another field first",
                b"\0\0\0\0\x05\x10\x05\x0a\x01a",
                Some(b"a".to_vec()),
            ),
            (
                "the last counts",
                b"\0\0\0\0\x06\x0a\x01a\x0a\x01b",
                Some(b"b".to_vec()),
            ),
            ("a group", b"\0\0\0\0\x03\x0b\x01a", None),
            (
                "an endless number",
                b"\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                None,
            ),
        ] {
            assert_eq!(from_grpc(body), want, "case {case}");
        }
    }

    #[test]
    fn a_failed_call_says_why() {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_STATUS, HeaderValue::from_static("5"));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static("no such name"));
        let failed = http(Content::Grpc).check_head(StatusCode::OK, &headers);
        assert_eq!(
            failed,
            Err(Failure::Rpc {
                code: 5,
                message: "no such name".to_owned()
            })
        );
        let failed = http(Content::Doh(Method::Get)).check_head(StatusCode::NOT_FOUND, &headers);
        assert_eq!(failed, Err(Failure::Status(404)));
    }
}
