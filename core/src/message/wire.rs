//! Walking messages on the wire, with every bound checked before a byte is used.

use hickory_proto::rr::RecordType;

use super::name::{MAX_NAME_LEN, QName};
use super::rdata;

/// Length of a message's header.
pub const HEADER_LEN: usize = 12;

/// Largest message: what a 16-bit length before it can say.
pub const MAX_MESSAGE_LEN: usize = 65535;

/// Largest answer over UDP to a client without EDNS (RFC 1035, section 4.2.1).
pub const MIN_UDP_SIZE: usize = 512;

/// Class IN.
pub const CLASS_IN: u16 = 1;
/// Class CH, that of `version.bind` and its like.
pub const CLASS_CH: u16 = 3;
/// Class ANY of questions.
pub const CLASS_ANY: u16 = 255;

pub(crate) const TYPE_OPT: u16 = 41;
pub(crate) const TYPE_TSIG: u16 = 250;

pub(crate) const QR: u16 = 0x8000;
pub(crate) const AA: u16 = 0x0400;
pub(crate) const TC: u16 = 0x0200;
pub(crate) const RD: u16 = 0x0100;
pub(crate) const RA: u16 = 0x0080;
pub(crate) const AD: u16 = 0x0020;
pub(crate) const CD: u16 = 0x0010;
pub(crate) const OPCODE: u16 = 0x7800;

/// Most pointers that are followed in one name: as many as it can have labels.
const MAX_POINTERS: usize = 127;

/// Why bytes are no DNS message, or a message cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Names, lengths or counts that do not fit the message.
    #[error("malformed DNS message")]
    Malformed,
    /// Well formed, but hickory-proto cannot read or write a record.
    #[error("unusable record in a DNS message: {0}")]
    Record(String),
    /// Fewer bytes than a header has.
    #[error("DNS message shorter than its header")]
    Short,
}

/// A section of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Records that answer the question.
    Answer,
    /// Records that point to an authority.
    Authority,
    /// Records that help, and the OPT record.
    Additional,
}

impl Section {
    pub(crate) const ALL: [Self; 3] = [Self::Answer, Self::Authority, Self::Additional];

    /// Where the section's count stands in the header.
    pub(crate) const fn count_at(self) -> usize {
        match self {
            Self::Answer => 6,
            Self::Authority => 8,
            Self::Additional => 10,
        }
    }
}

/// One record of a message on the wire.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    wire: &'a [u8],
    section: Section,
    start: u32,
    /// Offset of the type, just behind the owner's name.
    fixed: u32,
    rdata_len: u16,
    /// Length of the owner's name in full.
    owner_len: u16,
}

impl<'a> RecordView<'a> {
    /// The section that holds it.
    #[must_use]
    pub const fn section(&self) -> Section {
        self.section
    }

    /// Type as a number.
    #[inline]
    #[must_use]
    pub fn type_code(&self) -> u16 {
        u16_at(self.wire, self.fixed as usize)
    }

    /// Type.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        self.type_code().into()
    }

    /// Class as a number; the UDP size in an OPT record.
    #[must_use]
    pub fn class_code(&self) -> u16 {
        u16_at(self.wire, self.fixed as usize + 2)
    }

    /// Time to live in seconds; flags in an OPT record.
    #[inline]
    #[must_use]
    pub fn ttl(&self) -> u32 {
        u32::from(u16_at(self.wire, self.ttl_at())) << 16 | u32::from(u16_at(self.wire, self.ttl_at() + 2))
    }

    /// Offset of the TTL in the message.
    #[inline]
    #[must_use]
    pub const fn ttl_at(&self) -> usize {
        self.fixed as usize + 4
    }

    /// Whether this is the OPT pseudo-record, which has no TTL.
    #[must_use]
    pub fn is_opt(&self) -> bool {
        self.type_code() == TYPE_OPT
    }

    /// Offset of the record's first byte in the message.
    #[must_use]
    pub const fn start(&self) -> usize {
        self.start as usize
    }

    /// Offset behind the record's last byte.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.rdata_at() + self.rdata_len as usize
    }

    /// Offset of the data in the message.
    #[must_use]
    pub const fn rdata_at(&self) -> usize {
        self.fixed as usize + 10
    }

    /// Length of the owner's name when written in full.
    pub(crate) const fn owner_len(&self) -> usize {
        self.owner_len as usize
    }

    pub(crate) const fn fixed_at(&self) -> usize {
        self.fixed as usize
    }

    /// The data as it stands in the message: names in it may be compressed.
    #[must_use]
    pub fn rdata(&self) -> &'a [u8] {
        &self.wire[self.rdata_at()..self.end()]
    }

    /// The message that holds it.
    #[must_use]
    pub const fn message(&self) -> &'a [u8] {
        self.wire
    }

    /// The owner in lower case.
    #[must_use]
    pub fn owner(&self) -> QName {
        let mut buffer = [0; MAX_NAME_LEN];
        let mut name = QName::root();
        name.assign_lower(self.owner_as_written(&mut buffer));
        name
    }

    /// The owner with its letters, uncompressed, in `buffer`.
    pub fn owner_as_written<'b>(&self, buffer: &'b mut [u8; MAX_NAME_LEN]) -> &'b [u8] {
        match expand_name(self.wire, self.start(), buffer) {
            Some(name) => &buffer[..name.len],
            None => &[0],
        }
    }

    /// Appends the data to `out` with all names in full; letters as they are.
    pub fn expand_rdata(&self, out: &mut Vec<u8>) {
        rdata::expand(self, out);
    }

    /// The data in canonical form (RFC 4034, section 6.2): names in full and in lower case.
    #[must_use]
    pub fn canonical_rdata(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.rdata().len() + 32);
        rdata::canonical(self, &mut out);
        out
    }

    /// The first name in the data, lower-case: the target of CNAME, NS, PTR, MX, SRV and their like.
    #[must_use]
    pub fn target(&self) -> Option<QName> {
        let mut buffer = [0; MAX_NAME_LEN];
        let at = rdata::first_name_at(self)?;
        let name = expand_name(self.wire, at, &mut buffer)?;
        let mut target = QName::root();
        target.assign_lower(&buffer[..name.len]);
        Some(target)
    }

    /// The record as hickory-proto's type.
    ///
    /// # Errors
    ///
    /// Data that hickory-proto does not accept for its type.
    pub fn to_record(&self) -> Result<hickory_proto::rr::Record, MessageError> {
        use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
        let at = u16::try_from(self.start).map_err(|_| MessageError::Malformed)?;
        let mut decoder = BinDecoder::new(self.wire).clone(at);
        hickory_proto::rr::Record::read(&mut decoder).map_err(|error| MessageError::Record(error.to_string()))
    }
}

/// The records of a message one after the other; ends early at what cannot be read.
#[derive(Clone)]
pub struct Records<'a> {
    wire: &'a [u8],
    at: usize,
    section: usize,
    /// How many of the section have been seen.
    seen: u16,
}

impl<'a> Records<'a> {
    /// Starts behind the questions.
    pub(crate) fn of_message(wire: &'a [u8]) -> Option<Self> {
        Some(Self {
            wire,
            at: questions_end(wire)?,
            section: 0,
            seen: 0,
        })
    }

    /// Starts at `at`, the first record of the answer section.
    pub(crate) const fn starting_at(wire: &'a [u8], at: usize) -> Self {
        Self {
            wire,
            at,
            section: 0,
            seen: 0,
        }
    }

    /// Goes on where another walk was.
    pub(crate) const fn resuming(wire: &'a [u8], at: usize, section: usize, seen: u16) -> Self {
        Self {
            wire,
            at,
            section,
            seen,
        }
    }

    /// No records.
    pub(crate) const fn none() -> Self {
        Self {
            wire: &[],
            at: 0,
            section: 3,
            seen: 0,
        }
    }

    /// Offset of the record that comes next.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// The next record; `Ok(None)` where the counts or the bytes are used up.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<Option<RecordView<'a>>, MessageError> {
        while let Some(&section) = Section::ALL.get(self.section) {
            if self.seen < u16_at(self.wire, section.count_at()) {
                if self.at >= self.wire.len() {
                    return Ok(None);
                }
                let record = read_record(self.wire, self.at, section).ok_or(MessageError::Malformed)?;
                self.at = record.end();
                self.seen += 1;
                return Ok(Some(record));
            }
            self.section += 1;
            self.seen = 0;
        }
        Ok(None)
    }

    /// The section that is being read and how many records of it have been seen.
    pub(crate) const fn progress(&self) -> (usize, u16) {
        (self.section, self.seen)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordView<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordView<'a>> {
        self.advance().ok().flatten()
    }
}

/// Reads the bounds of the record at `at`; names in its data are not looked at.
#[inline]
fn read_record(wire: &[u8], at: usize, section: Section) -> Option<RecordView<'_>> {
    // The commonest owner by far in what clients send is the root of an OPT record.
    let owner = if wire.get(at) == Some(&0) {
        NameSpan { end: at + 1, len: 1 }
    } else {
        check_name(wire, at)?
    };
    let fixed = owner.end;
    let rdata_at = fixed.checked_add(10)?;
    if rdata_at > wire.len() {
        return None;
    }
    let rdata_len = u16_at(wire, fixed + 8);
    if rdata_at + usize::from(rdata_len) > wire.len() {
        return None;
    }
    Some(RecordView {
        wire,
        section,
        start: u32::try_from(at).ok()?,
        fixed: u32::try_from(fixed).ok()?,
        rdata_len,
        owner_len: owner.len as u16,
    })
}

/// Where a name ends in the message, and its length when written in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameSpan {
    pub(crate) end: usize,
    pub(crate) len: usize,
}

/// Follows the name at `at` and hands each label, with its length byte, to `visit`.
///
/// Each pointer must lead to before the part of the name in which it stands, and what it leads to must end there too, so
/// no name is circular or made of what stands behind it. None may lead into the header, whose bytes change on the way
/// from an upstream to a client.
#[inline]
pub(crate) fn walk_name(wire: &[u8], mut at: usize, mut visit: impl FnMut(&[u8])) -> Option<NameSpan> {
    let mut floor = at;
    // What may be read: all, and after a pointer what stands before the part that it ended.
    let mut part = wire;
    let mut end = None;
    let mut len = 1;
    let mut pointers = 0;
    loop {
        let byte = *part.get(at)?;
        match byte {
            0 => {
                return Some(NameSpan {
                    end: end.unwrap_or(at + 1),
                    len,
                });
            }
            1..=0x3f => {
                let label = part.get(at..at + 1 + usize::from(byte))?;
                len += label.len();
                if len > MAX_NAME_LEN {
                    return None;
                }
                visit(label);
                at += label.len();
            }
            0xc0.. => {
                let target = usize::from(byte & 0x3f) << 8 | usize::from(*part.get(at + 1)?);
                pointers += 1;
                if !(HEADER_LEN..floor).contains(&target) || pointers > MAX_POINTERS {
                    return None;
                }
                end.get_or_insert(at + 2);
                part = wire.get(..floor)?;
                floor = target;
                at = target;
            }
            _ => return None,
        }
    }
}

/// Checks the name at `at` in every respect.
#[inline]
pub(crate) fn check_name(wire: &[u8], at: usize) -> Option<NameSpan> {
    walk_name(wire, at, |_| ())
}

/// Copies the name at `at` in full into `out`.
pub(crate) fn expand_name(wire: &[u8], at: usize, out: &mut [u8; MAX_NAME_LEN]) -> Option<NameSpan> {
    let mut len = 0;
    let span = walk_name(wire, at, |label| {
        // The walk stops before a name outgrows the buffer.
        out[len..len + label.len()].copy_from_slice(label);
        len += label.len();
    })?;
    out[len] = 0;
    Some(span)
}

/// Offset behind the question section.
pub(crate) fn questions_end(wire: &[u8]) -> Option<usize> {
    if wire.len() < HEADER_LEN {
        return None;
    }
    let mut at = HEADER_LEN;
    for _ in 0..u16_at(wire, 4) {
        if at >= wire.len() {
            break;
        }
        at = check_name(wire, at)?.end + 4;
    }
    (at <= wire.len()).then_some(at)
}

/// The 16 bits at `at`; nought beyond the end.
#[inline]
pub(crate) fn u16_at(wire: &[u8], at: usize) -> u16 {
    match wire.get(at..at + 2) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

/// Writes 16 bits at `at`, if they are there.
#[inline]
pub(crate) fn put_u16(wire: &mut [u8], at: usize, value: u16) {
    if let Some(place) = wire.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Writes 32 bits at `at`, if they are there.
#[inline]
pub(crate) fn put_u32(wire: &mut [u8], at: usize, value: u32) {
    if let Some(place) = wire.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}
