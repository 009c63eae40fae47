//! A dnstap message in its wire form: Protocol Buffers after `dnstap.proto`, written by hand, since a handful of fields
//! needs neither a generator nor messages in memory.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use catena_core::plugin::TapKind;

/// A whole data frame, its length included.
pub(crate) type Frame = Arc<[u8]>;

/// What happened: the part that is not the same for all messages of a tap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) kind: TapKind,
    /// Over TCP or what runs on it, not over datagrams.
    pub(crate) stream: bool,
    /// Who asked.
    pub(crate) asker: Option<SocketAddr>,
    /// Who was asked.
    pub(crate) answerer: Option<SocketAddr>,
    pub(crate) asked: SystemTime,
    pub(crate) answered: Option<SystemTime>,
    /// The query or the answer, whichever the message is about, where it goes along.
    pub(crate) wire: Option<&'a [u8]>,
}

/// Fields of `Dnstap`.
mod outer {
    pub(super) const IDENTITY: u32 = 1;
    pub(super) const VERSION: u32 = 2;
    pub(super) const EXTRA: u32 = 3;
    pub(super) const MESSAGE: u32 = 14;
    pub(super) const TYPE: u32 = 15;
}

/// Fields of `Message`.
mod inner {
    pub(super) const TYPE: u32 = 1;
    pub(super) const SOCKET_FAMILY: u32 = 2;
    pub(super) const SOCKET_PROTOCOL: u32 = 3;
    pub(super) const QUERY_ADDRESS: u32 = 4;
    pub(super) const RESPONSE_ADDRESS: u32 = 5;
    pub(super) const QUERY_PORT: u32 = 6;
    pub(super) const RESPONSE_PORT: u32 = 7;
    pub(super) const QUERY_TIME_SEC: u32 = 8;
    pub(super) const QUERY_TIME_NSEC: u32 = 9;
    pub(super) const QUERY_MESSAGE: u32 = 10;
    pub(super) const RESPONSE_TIME_SEC: u32 = 12;
    pub(super) const RESPONSE_TIME_NSEC: u32 = 13;
    pub(super) const RESPONSE_MESSAGE: u32 = 14;
}

/// Wire types of Protocol Buffers.
const VARINT: u32 = 0;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// The type `MESSAGE`, the only one that dnstap has.
const TYPE_MESSAGE: u64 = 1;

thread_local! {
    static SCRATCH: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::default();
}

/// What all messages of a tap begin with.
pub(crate) fn head(identity: &[u8], version: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    bytes(&mut head, outer::IDENTITY, identity);
    bytes(&mut head, outer::VERSION, version);
    head
}

/// The frame of one message.
pub(crate) fn frame(head: &[u8], extra: Option<&str>, event: &Event<'_>) -> Frame {
    SCRATCH.with_borrow_mut(|(frame, message)| {
        message.clear();
        write_message(message, event);
        frame.clear();
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(head);
        if let Some(extra) = extra {
            bytes(frame, outer::EXTRA, extra.as_bytes());
        }
        bytes(frame, outer::MESSAGE, message);
        number(frame, outer::TYPE, TYPE_MESSAGE);
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Frame::from(frame.as_slice())
    })
}

fn write_message(message: &mut Vec<u8>, event: &Event<'_>) {
    number(message, inner::TYPE, type_code(event.kind));
    // Both ends are of one family.
    if let Some(end) = event.answerer.or(event.asker) {
        number(
            message,
            inner::SOCKET_FAMILY,
            1 + u64::from(canonical(end).is_ipv6()),
        );
        number(message, inner::SOCKET_PROTOCOL, 1 + u64::from(event.stream));
    }
    if let Some(asker) = event.asker {
        address(message, inner::QUERY_ADDRESS, asker);
        number(message, inner::QUERY_PORT, asker.port().into());
    }
    if let Some(answerer) = event.answerer {
        address(message, inner::RESPONSE_ADDRESS, answerer);
        number(message, inner::RESPONSE_PORT, answerer.port().into());
    }
    time(
        message,
        (inner::QUERY_TIME_SEC, inner::QUERY_TIME_NSEC),
        event.asked,
    );
    if let Some(answered) = event.answered {
        time(
            message,
            (inner::RESPONSE_TIME_SEC, inner::RESPONSE_TIME_NSEC),
            answered,
        );
    }
    if let Some(wire) = event.wire {
        let field = match is_response(event.kind) {
            true => inner::RESPONSE_MESSAGE,
            false => inner::QUERY_MESSAGE,
        };
        bytes(message, field, wire);
    }
}

/// Whether the message is about an answer.
pub(crate) const fn is_response(kind: TapKind) -> bool {
    matches!(kind, TapKind::ClientResponse | TapKind::ForwarderResponse)
}

const fn type_code(kind: TapKind) -> u64 {
    match kind {
        TapKind::ClientQuery => 5,
        TapKind::ClientResponse => 6,
        TapKind::ForwarderQuery => 7,
        TapKind::ForwarderResponse => 8,
        // The same for messages of kinds that dnstap has no name for: TOOL_QUERY.
        _ => 11,
    }
}

/// IPv4 in its own form: readers take the family for the length of the address.
fn canonical(end: SocketAddr) -> IpAddr {
    end.ip().to_canonical()
}

fn address(message: &mut Vec<u8>, field: u32, end: SocketAddr) {
    match canonical(end) {
        IpAddr::V4(ip) => bytes(message, field, &ip.octets()),
        IpAddr::V6(ip) => bytes(message, field, &ip.octets()),
    }
}

fn time(message: &mut Vec<u8>, (seconds, nanoseconds): (u32, u32), at: SystemTime) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    number(message, seconds, since.as_secs());
    varint(message, u64::from(nanoseconds << 3 | FIXED32));
    message.extend_from_slice(&since.subsec_nanos().to_le_bytes());
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field << 3 | VARINT));
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    varint(out, u64::from(field << 3 | BYTES));
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
pub(crate) mod testing {
    //! The messages as a program of others reads them: with `prost`, after the names in `dnstap.proto`.

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Dnstap {
        #[prost(bytes = "vec", optional, tag = "1")]
        pub(crate) identity: Option<Vec<u8>>,
        #[prost(bytes = "vec", optional, tag = "2")]
        pub(crate) version: Option<Vec<u8>>,
        #[prost(bytes = "vec", optional, tag = "3")]
        pub(crate) extra: Option<Vec<u8>>,
        #[prost(message, optional, tag = "14")]
        pub(crate) message: Option<Message>,
        #[prost(int32, required, tag = "15")]
        pub(crate) kind: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Message {
        #[prost(int32, required, tag = "1")]
        pub(crate) kind: i32,
        #[prost(int32, optional, tag = "2")]
        pub(crate) socket_family: Option<i32>,
        #[prost(int32, optional, tag = "3")]
        pub(crate) socket_protocol: Option<i32>,
        #[prost(bytes = "vec", optional, tag = "4")]
        pub(crate) query_address: Option<Vec<u8>>,
        #[prost(bytes = "vec", optional, tag = "5")]
        pub(crate) response_address: Option<Vec<u8>>,
        #[prost(uint32, optional, tag = "6")]
        pub(crate) query_port: Option<u32>,
        #[prost(uint32, optional, tag = "7")]
        pub(crate) response_port: Option<u32>,
        #[prost(uint64, optional, tag = "8")]
        pub(crate) query_time_sec: Option<u64>,
        #[prost(fixed32, optional, tag = "9")]
        pub(crate) query_time_nsec: Option<u32>,
        #[prost(bytes = "vec", optional, tag = "10")]
        pub(crate) query_message: Option<Vec<u8>>,
        #[prost(uint64, optional, tag = "12")]
        pub(crate) response_time_sec: Option<u64>,
        #[prost(fixed32, optional, tag = "13")]
        pub(crate) response_time_nsec: Option<u32>,
        #[prost(bytes = "vec", optional, tag = "14")]
        pub(crate) response_message: Option<Vec<u8>>,
    }

    /// Reads the content of a frame.
    pub(crate) fn decode(content: &[u8]) -> Dnstap {
        prost::Message::decode(content).expect("a dnstap message")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_message_is_read_by_others_as_it_was_meant() {
        let asked = UNIX_EPOCH + Duration::new(1_800_000_000, 7);
        let event = Event {
            kind: TapKind::ForwarderResponse,
            stream: true,
            asker: Some("[2001:db8::1]:40000".parse().unwrap()),
            answerer: Some("[2001:db8::2]:853".parse().unwrap()),
            asked,
            answered: Some(asked + Duration::from_secs(1)),
            wire: Some(&[9; 300]),
        };
        let frame = frame(&head(b"me", b"1.0"), Some("extra"), &event);
        assert_eq!(
            u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize,
            frame.len() - 4
        );
        let read = testing::decode(&frame[4..]);
        assert_eq!(read.identity.as_deref(), Some(&b"me"[..]));
        assert_eq!(read.version.as_deref(), Some(&b"1.0"[..]));
        assert_eq!(read.extra.as_deref(), Some(&b"extra"[..]));
        assert_eq!(read.kind, 1);
        let ip = |last| Some([&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[last]].concat());
        let want = testing::Message {
            kind: 8,
            socket_family: Some(2),
            socket_protocol: Some(2),
            query_address: ip(1),
            response_address: ip(2),
            query_port: Some(40_000),
            response_port: Some(853),
            query_time_sec: Some(1_800_000_000),
            query_time_nsec: Some(7),
            query_message: None,
            response_time_sec: Some(1_800_000_001),
            response_time_nsec: Some(7),
            response_message: Some(vec![9; 300]),
        };
        assert_eq!(read.message, Some(want));
    }

    #[test]
    fn a_mapped_ipv4_address_is_four_bytes_long() {
        let event = Event {
            kind: TapKind::ClientQuery,
            stream: false,
            asker: Some("[::ffff:192.0.2.1]:1".parse().unwrap()),
            answerer: None,
            asked: UNIX_EPOCH,
            answered: None,
            wire: Some(&[1]),
        };
        let read = testing::decode(&frame(&[], None, &event)[4..]);
        let message = read.message.unwrap();
        assert_eq!(
            (message.socket_family, message.socket_protocol),
            (Some(1), Some(1))
        );
        assert_eq!(message.query_address.as_deref(), Some(&[192, 0, 2, 1][..]));
        assert_eq!(
            (message.query_message.as_deref(), message.response_message),
            (Some(&[1][..]), None)
        );
        assert_eq!((read.extra, message.response_time_sec), (None, None));
    }
}
