//! Writing an answer straight to the wire.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::RData;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::compress::Compressor;
use super::name::{QName, Zone, wire_len};
use super::rcode::Rcode;
use super::request::Request;
use super::response::Response;
use super::rewrite::note_question;
use super::wire::{AA, AD, CD, HEADER_LEN, OPCODE, QR, RA, RD, Section, TC, put_u16, u16_at};

/// Suffixes of names that an answer can point back to.
const SLOTS: usize = 64;

/// Capacity of a first buffer: an answer without EDNS fits.
const FIRST_CAPACITY: usize = 512;

/// Whose record it is.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The name that was asked for, with the client's letters.
    Question,
    /// An uncompressed wire name, written with its letters.
    Name(&'a [u8]),
}

impl<'a> From<&'a QName> for Owner<'a> {
    fn from(name: &'a QName) -> Self {
        Self::Name(name.as_wire())
    }
}

impl<'a> From<&'a Zone> for Owner<'a> {
    fn from(zone: &'a Zone) -> Self {
        Self::Name(zone.as_wire())
    }
}

impl<'a> From<&'a [u8]> for Owner<'a> {
    fn from(name: &'a [u8]) -> Self {
        Self::Name(name)
    }
}

/// What can be the data of a record.
pub trait Rdata {
    /// Writes the data, without its length.
    fn write(self, out: &mut RdataWriter<'_>);
}

impl<F: FnOnce(&mut RdataWriter<'_>)> Rdata for F {
    fn write(self, out: &mut RdataWriter<'_>) {
        self(out);
    }
}

impl Rdata for &[u8] {
    #[inline]
    fn write(self, out: &mut RdataWriter<'_>) {
        out.bytes(self);
    }
}

impl<const N: usize> Rdata for &[u8; N] {
    #[inline]
    fn write(self, out: &mut RdataWriter<'_>) {
        out.bytes(self);
    }
}

impl Rdata for Ipv4Addr {
    #[inline]
    fn write(self, out: &mut RdataWriter<'_>) {
        out.bytes(&self.octets());
    }
}

impl Rdata for Ipv6Addr {
    #[inline]
    fn write(self, out: &mut RdataWriter<'_>) {
        out.bytes(&self.octets());
    }
}

impl Rdata for &RData {
    /// Data that hickory-proto cannot write comes out empty.
    fn write(self, out: &mut RdataWriter<'_>) {
        let mut bytes = Vec::with_capacity(64);
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_name_encoding(hickory_proto::serialize::binary::NameEncoding::Uncompressed);
        if self.emit(&mut encoder).is_ok() {
            out.bytes(&bytes);
        }
    }
}

/// Writes the data of one record.
pub struct RdataWriter<'a> {
    wire: &'a mut Vec<u8>,
    names: &'a mut Names,
    /// Bytes that compression saved.
    saved: usize,
}

impl RdataWriter<'_> {
    /// Bytes as they are.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
    }

    /// Eight bits.
    pub fn u8(&mut self, value: u8) {
        self.wire.push(value);
    }

    /// Sixteen bits.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Thirty-two bits.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// A character string: at most 255 bytes are taken.
    pub fn character_string(&mut self, text: &[u8]) {
        let text = &text[..text.len().min(255)];
        self.u8(text.len() as u8);
        self.bytes(text);
    }

    /// Text of any length as character strings of at most 255 bytes; at least one.
    pub fn text(&mut self, text: &[u8]) {
        if text.is_empty() {
            self.u8(0);
        }
        for chunk in text.chunks(255) {
            self.character_string(chunk);
        }
    }

    /// An uncompressed wire name, which may be compressed: for the types of RFC 1035 only (RFC 3597, section 4).
    ///
    /// Bytes that are no name are written as they are.
    pub fn name(&mut self, name: &[u8]) {
        let before = self.wire.len();
        if !self.names.write(self.wire, name) {
            self.bytes(name);
        }
        self.saved += name.len() - (self.wire.len() - before).min(name.len());
    }

    /// An uncompressed wire name, written in full.
    pub fn name_in_full(&mut self, name: &[u8]) {
        self.bytes(name);
    }
}

/// Where names stand in the answer; nothing is remembered until a second name is written.
#[derive(Clone)]
struct Names {
    table: Option<Compressor<SLOTS>>,
}

impl Names {
    /// Writes `name` if it is one.
    #[inline]
    fn write(&mut self, wire: &mut Vec<u8>, name: &[u8]) -> bool {
        // Most answers have the question's name and no other.
        let question = HEADER_LEN..HEADER_LEN + name.len();
        if name.len() > 1 && u16_at(wire, 4) != 0 && wire.get(question) == Some(name) {
            wire.extend_from_slice(&[0xc0, HEADER_LEN as u8]);
            return true;
        }
        if wire_len(name) != Some(name.len()) {
            return false;
        }
        // A name with one label in front of the question's, as that of an SRV record, needs no table either.
        let below = usize::from(name[0]) + 1;
        if self.table.is_none()
            && name.len() > below + 1
            && u16_at(wire, 4) != 0
            && wire.get(HEADER_LEN..HEADER_LEN + name.len() - below) == Some(&name[below..])
        {
            wire.extend_from_slice(&name[..below]);
            wire.extend_from_slice(&[0xc0, HEADER_LEN as u8]);
            return true;
        }
        let table = self.table.get_or_insert_with(|| {
            let mut table = Compressor::new();
            note_question(wire, &mut table);
            table
        });
        table.write(wire, name, true);
        true
    }
}

/// An answer that is being written: header and question stand, records follow in the order of their sections.
#[derive(Clone)]
pub struct ReplyBuilder {
    wire: Vec<u8>,
    names: Names,
    section: Section,
    /// Length of the question's name; nought if there is no question.
    qname_len: u8,
    /// Length with all names in full.
    uncompressed_len: usize,
    rcode_high: u8,
}

impl ReplyBuilder {
    #[inline]
    pub(crate) fn begin(mut wire: Vec<u8>, request: &Request) -> Self {
        let question = request.question();
        wire.clear();
        if wire.capacity() == 0 {
            wire.reserve(FIRST_CAPACITY.max(HEADER_LEN + question.len()));
        }
        wire.extend_from_slice(&request.wire()[..HEADER_LEN + question.len()]);
        let flags = request.flags();
        // NOTIFY has no use for RD and CD; CoreDNS copies them for QUERY alone.
        let copied = if flags & OPCODE == 0 { RD | CD } else { OPCODE };
        put_u16(&mut wire, 2, QR | flags & copied);
        wire[4..HEADER_LEN].copy_from_slice(&[0, u8::from(!question.is_empty()), 0, 0, 0, 0, 0, 0]);
        Self {
            uncompressed_len: wire.len(),
            wire,
            names: Names { table: None },
            section: Section::Answer,
            qname_len: question.len().saturating_sub(4) as u8,
            rcode_high: 0,
        }
    }

    fn set_flag(&mut self, flag: u16, on: bool) -> &mut Self {
        let flags = u16_at(&self.wire, 2);
        put_u16(&mut self.wire, 2, if on { flags | flag } else { flags & !flag });
        self
    }

    /// Sets or clears AA.
    pub fn authoritative(&mut self, on: bool) -> &mut Self {
        self.set_flag(AA, on)
    }

    /// Sets or clears RA.
    pub fn recursion_available(&mut self, on: bool) -> &mut Self {
        self.set_flag(RA, on)
    }

    /// Sets or clears AD.
    pub fn authentic_data(&mut self, on: bool) -> &mut Self {
        self.set_flag(AD, on)
    }

    /// Sets or clears TC.
    pub fn truncated(&mut self, on: bool) -> &mut Self {
        self.set_flag(TC, on)
    }

    /// Sets or clears RD, which is copied from the query at first.
    pub fn recursion_desired(&mut self, on: bool) -> &mut Self {
        self.set_flag(RD, on)
    }

    /// Sets the response code.
    pub fn rcode(&mut self, rcode: Rcode) -> &mut Self {
        let flags = u16_at(&self.wire, 2) & !0xf;
        put_u16(&mut self.wire, 2, flags | u16::from(rcode.low()));
        self.rcode_high = rcode.high();
        self
    }

    /// Adds a record to the answer section.
    #[inline]
    pub fn answer<'o>(
        &mut self,
        owner: impl Into<Owner<'o>>,
        record_type: impl Into<u16>,
        class: u16,
        ttl: u32,
        rdata: impl Rdata,
    ) -> &mut Self {
        self.record(
            Section::Answer,
            owner.into(),
            record_type.into(),
            class,
            ttl,
            rdata,
        )
    }

    /// Adds a record to the authority section.
    pub fn authority<'o>(
        &mut self,
        owner: impl Into<Owner<'o>>,
        record_type: impl Into<u16>,
        class: u16,
        ttl: u32,
        rdata: impl Rdata,
    ) -> &mut Self {
        self.record(
            Section::Authority,
            owner.into(),
            record_type.into(),
            class,
            ttl,
            rdata,
        )
    }

    /// Adds a record to the additional section.
    pub fn additional<'o>(
        &mut self,
        owner: impl Into<Owner<'o>>,
        record_type: impl Into<u16>,
        class: u16,
        ttl: u32,
        rdata: impl Rdata,
    ) -> &mut Self {
        self.record(
            Section::Additional,
            owner.into(),
            record_type.into(),
            class,
            ttl,
            rdata,
        )
    }

    /// Adds a record to a section.
    ///
    /// Sections come in their order: a record for an earlier section than the last one's goes into the last one's. A
    /// record whose data is longer than 65535 bytes, or whose owner is no wire name, is left out.
    #[inline]
    pub fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        record_type: u16,
        class: u16,
        ttl: u32,
        rdata: impl Rdata,
    ) -> &mut Self {
        debug_assert!(
            section >= self.section,
            "records come in the order of their sections"
        );
        let section = section.max(self.section);
        let count = u16_at(&self.wire, section.count_at());
        let start = self.wire.len();
        let Some(owner_len) = self.push_owner(owner).filter(|_| count < u16::MAX) else {
            return self;
        };
        let [type_high, type_low] = record_type.to_be_bytes();
        let [class_high, class_low] = class.to_be_bytes();
        let [a, b, c, d] = ttl.to_be_bytes();
        self.wire
            .extend_from_slice(&[type_high, type_low, class_high, class_low, a, b, c, d, 0, 0]);
        let rdata_at = self.wire.len();
        let mut writer = RdataWriter {
            wire: &mut self.wire,
            names: &mut self.names,
            saved: 0,
        };
        rdata.write(&mut writer);
        let saved = writer.saved;
        let len = self.wire.len() - rdata_at;
        let Ok(rdata_len) = u16::try_from(len) else {
            self.wire.truncate(start);
            return self;
        };
        put_u16(&mut self.wire, rdata_at - 2, rdata_len);
        put_u16(&mut self.wire, section.count_at(), count + 1);
        self.section = section;
        self.uncompressed_len += owner_len + 10 + len + saved;
        self
    }

    /// Writes the owner; gives its length in full.
    #[inline]
    fn push_owner(&mut self, owner: Owner<'_>) -> Option<usize> {
        match owner {
            Owner::Question => {
                match self.qname_len {
                    0 => return None,
                    1 => self.wire.push(0),
                    _ => self.wire.extend_from_slice(&[0xc0, HEADER_LEN as u8]),
                }
                Some(usize::from(self.qname_len))
            }
            Owner::Name(name) => self.names.write(&mut self.wire, name).then_some(name.len()),
        }
    }

    /// Length so far with all names in full.
    #[must_use]
    pub fn uncompressed_len(&self) -> usize {
        self.uncompressed_len
    }

    /// Number of records in a section so far.
    #[must_use]
    pub fn count(&self, section: Section) -> u16 {
        u16_at(&self.wire, section.count_at())
    }

    /// The finished answer.
    #[inline]
    #[must_use]
    pub fn finish(&mut self) -> Response {
        Response::of_builder(
            std::mem::take(&mut self.wire),
            self.uncompressed_len,
            self.rcode_high,
        )
    }
}
