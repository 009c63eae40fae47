//! The OPT pseudo-record (RFC 6891): a view on the client's, and its options.

use super::wire::{RecordView, TYPE_OPT, put_u16, put_u32, u16_at};

/// Name server identifier (RFC 5001).
pub const NSID: u16 = 3;
/// Client subnet (RFC 7871).
pub const CLIENT_SUBNET: u16 = 8;
/// EXPIRE (RFC 7314).
pub const EXPIRE: u16 = 9;
/// Cookie (RFC 7873).
pub const COOKIE: u16 = 10;
/// TCP keepalive (RFC 7828).
pub const TCP_KEEPALIVE: u16 = 11;
/// Padding (RFC 7830).
pub const PADDING: u16 = 12;
/// Extended DNS error (RFC 8914).
pub const EXTENDED_ERROR: u16 = 15;

/// An OPT record without options: root, type, size, flags, length.
pub(crate) const OPT_LEN: usize = 11;

const DO: u16 = 0x8000;

/// What a message's OPT record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Largest UDP answer that the sender takes, as sent: values below 512 mean 512.
    pub udp_size: u16,
    /// EDNS version; only 0 is defined.
    pub version: u8,
    /// The DO bit: DNSSEC records are wanted.
    pub dnssec_ok: bool,
    /// Offset of the record's type in the message.
    pub(crate) at: u32,
    pub(crate) options_len: u16,
}

impl Edns {
    #[inline]
    pub(crate) fn of_record(record: &RecordView<'_>) -> Self {
        let at = record.fixed_at();
        Self {
            udp_size: record.class_code(),
            version: (record.ttl() >> 16) as u8,
            dnssec_ok: record.ttl() as u16 & DO != 0,
            at: at as u32,
            options_len: record.rdata().len() as u16,
        }
    }

    /// The same as [`Edns::dnssec_ok`].
    #[must_use]
    pub const fn do_bit(&self) -> bool {
        self.dnssec_ok
    }

    pub(crate) const fn options_at(&self) -> usize {
        self.at as usize + 10
    }
}

/// Options of an OPT record, one after the other; ends early at what cannot be read.
#[derive(Clone, Copy, Debug)]
pub struct EdnsOptions<'a> {
    rest: &'a [u8],
}

impl<'a> EdnsOptions<'a> {
    /// Reads the data of an OPT record.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(crate) const fn none() -> Self {
        Self { rest: &[] }
    }
}

impl<'a> Iterator for EdnsOptions<'a> {
    type Item = (u16, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let (head, rest) = self.rest.split_at_checked(4)?;
        let (data, rest) = rest.split_at_checked(usize::from(u16_at(head, 2)))?;
        self.rest = rest;
        Some((u16_at(head, 0), data))
    }
}

/// Whether each option is whole, and of a form that its definition allows.
///
/// The forms are those that CoreDNS's library refuses a message for.
#[inline]
pub(crate) fn options_are_sound(data: &[u8]) -> bool {
    let mut options = EdnsOptions::new(data);
    for (code, value) in options.by_ref() {
        let sound = match code {
            1 => value.len() >= 18,
            2 => matches!(value.len(), 4 | 8),
            CLIENT_SUBNET => subnet_is_sound(value),
            EXPIRE => matches!(value.len(), 0 | 4..),
            TCP_KEEPALIVE => matches!(value.len(), 0 | 2),
            EXTENDED_ERROR => value.len() >= 2,
            _ => true,
        };
        if !sound {
            return false;
        }
    }
    options.rest.is_empty()
}

fn subnet_is_sound(value: &[u8]) -> bool {
    let [_, _, source, scope, ..] = *value else {
        return false;
    };
    match u16_at(value, 0) {
        0 => source == 0,
        1 => source <= 32 && scope <= 32,
        2 => source <= 128 && scope <= 128,
        _ => false,
    }
}

/// Whether the server gives a client's option back: NSID, EXPIRE, cookie, keepalive, padding.
pub(crate) const fn comes_back(code: u16) -> bool {
    matches!(code, NSID | EXPIRE | COOKIE | TCP_KEEPALIVE | PADDING)
}

/// Appends an OPT record without options; gives the offset of its type.
#[inline]
pub(crate) fn push_opt(wire: &mut Vec<u8>, udp_size: u16, rcode_high: u8, dnssec_ok: bool) -> usize {
    let [size_high, size_low] = udp_size.to_be_bytes();
    let flags = if dnssec_ok { 0x80 } else { 0 };
    wire.extend_from_slice(&[
        0,
        0,
        TYPE_OPT as u8,
        size_high,
        size_low,
        rcode_high,
        0,
        flags,
        0,
        0,
        0,
    ]);
    let additional = u16_at(wire, 10);
    put_u16(wire, 10, additional.saturating_add(1));
    wire.len() - 10
}

/// Appends an option to the OPT record whose type stands at `at` and which ends the message.
///
/// An option that would make the record or the message longer than 65535 bytes is left out.
pub(crate) fn push_option(wire: &mut Vec<u8>, at: usize, code: u16, value: &[u8]) {
    let added = value.len() + 4;
    let len = usize::from(u16_at(wire, at + 8)) + added;
    if len > usize::from(u16::MAX) {
        return;
    }
    wire.extend_from_slice(&code.to_be_bytes());
    wire.extend_from_slice(&(value.len() as u16).to_be_bytes());
    wire.extend_from_slice(value);
    put_u16(wire, at + 8, len as u16);
}

/// Writes an OPT record's fixed fields, version 0.
#[inline]
pub(crate) fn patch_opt(wire: &mut [u8], at: usize, udp_size: u16, rcode_high: u8, dnssec_ok: bool) {
    put_u16(wire, at + 2, udp_size);
    put_u32(
        wire,
        at + 4,
        u32::from(rcode_high) << 24 | if dnssec_ok { u32::from(DO) } else { 0 },
    );
}
