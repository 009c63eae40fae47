//! An answer on its way out, in wire form.

mod reorder;

use std::fmt;

use hickory_proto::op::Message;

use super::edns::{self, Edns, EdnsOptions};
use super::name::presentation;
use super::rcode::Rcode;
use super::rdata;
use super::request::Request;
use super::rewrite;
use super::wire::{
    AA, AD, CD, HEADER_LEN, MessageError, OPCODE, QR, RA, RD, Records, Section, TC, check_name, put_u16,
    put_u32, questions_end, u16_at,
};

/// An answer, sound and in wire form, that plugins hand up through the chain.
///
/// It is small, since each plugin moves it. Its header, TTLs and question are patched in place; typed records are
/// made when asked for ([`Response::message`]) and written back ([`Response::edit`]).
#[derive(Clone)]
pub struct Response {
    wire: Vec<u8>,
    rare: Option<Box<Rare>>,
    /// Length with all names in full and without what `fit` adds.
    uncompressed_len: u32,
    /// Offset of the type of the OPT record that counts; nought if there is none.
    opt_at: u32,
    rcode_high: u8,
}

/// What few answers have.
#[derive(Clone, Default)]
struct Rare {
    /// Options in wire form for the OPT record that the answer will get, if it gets one.
    options: Vec<u8>,
}

impl Response {
    /// Takes a message from outside, such as an upstream's, and checks it.
    ///
    /// Counts that promise more records than there are get corrected, and bytes behind the last record are dropped.
    ///
    /// # Errors
    ///
    /// Anything that is no well-formed message. Names must point backwards only.
    pub fn from_wire(mut wire: Vec<u8>) -> Result<Self, MessageError> {
        if wire.len() < HEADER_LEN {
            return Err(MessageError::Short);
        }
        let question_end = check_questions(&mut wire)?;
        let mut uncompressed_len = question_end;
        let mut edns = None;
        let mut records = Records::starting_at(&wire, question_end);
        while let Some(record) = records.advance()? {
            let rdata_len = if record.is_opt() {
                if !edns::options_are_sound(record.rdata()) {
                    return Err(MessageError::Malformed);
                }
                if record.section() == Section::Additional {
                    edns = Some((Edns::of_record(&record), (record.ttl() >> 24) as u8));
                }
                record.rdata().len()
            } else {
                rdata::check(&record).ok_or(MessageError::Malformed)?
            };
            uncompressed_len += record.owner_len() + 10 + rdata_len;
        }
        let (position, progress) = (records.position(), records.progress());
        wire.truncate(position);
        rewrite::correct_counts(&mut wire, progress);
        Ok(Self {
            wire,
            rare: None,
            uncompressed_len: u32::try_from(uncompressed_len).unwrap_or(u32::MAX),
            opt_at: edns.map_or(0, |(edns, _)| edns.at),
            rcode_high: edns.map_or(0, |(_, rcode_high)| rcode_high),
        })
    }

    /// Writes typed records.
    ///
    /// # Errors
    ///
    /// Records that hickory-proto cannot write.
    pub fn from_message(message: &Message) -> Result<Self, MessageError> {
        let wire = message
            .to_vec()
            .map_err(|error| MessageError::Record(error.to_string()))?;
        Self::from_wire(wire)
    }

    #[inline]
    pub(crate) fn of_builder(wire: Vec<u8>, uncompressed_len: usize, rcode_high: u8) -> Self {
        Self {
            wire,
            rare: None,
            uncompressed_len: uncompressed_len as u32,
            opt_at: 0,
            rcode_high,
        }
    }

    /// Decodes into hickory-proto's type.
    ///
    /// # Errors
    ///
    /// Messages that hickory-proto does not read.
    pub fn message(&self) -> Result<Message, MessageError> {
        Message::from_vec(&self.wire).map_err(|error| MessageError::Record(error.to_string()))
    }

    /// Decodes, lets `change` work on the records, and writes the result back.
    ///
    /// # Errors
    ///
    /// Messages that hickory-proto does not read or write; the answer is then as it was.
    pub fn edit<T>(&mut self, change: impl FnOnce(&mut Message) -> T) -> Result<T, MessageError> {
        let mut message = self.message()?;
        let outcome = change(&mut message);
        let rare = self.rare.take();
        *self = Self::from_message(&message)?;
        self.rare = rare;
        Ok(outcome)
    }

    /// The message as it stands, before it is fitted to its client.
    #[inline]
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The message's buffer.
    #[inline]
    #[must_use]
    pub fn into_wire(self) -> Vec<u8> {
        self.wire
    }

    /// Length with all names in full, without the OPT record that is added for the client: what logs and metrics show.
    #[must_use]
    pub fn uncompressed_len(&self) -> usize {
        self.uncompressed_len as usize
    }

    /// The message's id.
    #[must_use]
    pub fn id(&self) -> u16 {
        u16_at(&self.wire, 0)
    }

    /// Changes the message's id.
    pub fn set_id(&mut self, id: u16) {
        put_u16(&mut self.wire, 0, id);
    }

    #[inline]
    fn flag(&self, flag: u16) -> bool {
        u16_at(&self.wire, 2) & flag != 0
    }

    #[inline]
    fn set_flag(&mut self, flag: u16, on: bool) {
        let flags = u16_at(&self.wire, 2);
        put_u16(&mut self.wire, 2, if on { flags | flag } else { flags & !flag });
    }

    /// The kind of request that is answered.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        ((u16_at(&self.wire, 2) & OPCODE) >> 11) as u8
    }

    /// Whether QR is set: whether this is a response at all.
    #[must_use]
    pub fn qr(&self) -> bool {
        self.flag(QR)
    }

    /// Authoritative answer.
    #[must_use]
    pub fn aa(&self) -> bool {
        self.flag(AA)
    }

    /// Sets or clears AA.
    pub fn set_aa(&mut self, on: bool) {
        self.set_flag(AA, on);
    }

    /// Truncated.
    #[must_use]
    pub fn tc(&self) -> bool {
        self.flag(TC)
    }

    /// Sets or clears TC.
    pub fn set_tc(&mut self, on: bool) {
        self.set_flag(TC, on);
    }

    /// Recursion desired.
    #[must_use]
    pub fn rd(&self) -> bool {
        self.flag(RD)
    }

    /// Sets or clears RD.
    pub fn set_rd(&mut self, on: bool) {
        self.set_flag(RD, on);
    }

    /// Recursion available.
    #[must_use]
    pub fn ra(&self) -> bool {
        self.flag(RA)
    }

    /// Sets or clears RA.
    pub fn set_ra(&mut self, on: bool) {
        self.set_flag(RA, on);
    }

    /// Authentic data.
    #[must_use]
    pub fn ad(&self) -> bool {
        self.flag(AD)
    }

    /// Sets or clears AD.
    pub fn set_ad(&mut self, on: bool) {
        self.set_flag(AD, on);
    }

    /// Checking disabled.
    #[must_use]
    pub fn cd(&self) -> bool {
        self.flag(CD)
    }

    /// Sets or clears CD.
    pub fn set_cd(&mut self, on: bool) {
        self.set_flag(CD, on);
    }

    /// The response code with its extended bits.
    #[must_use]
    pub fn rcode(&self) -> Rcode {
        Rcode(u16::from(self.rcode_high) << 4 | u16_at(&self.wire, 2) & 0xf)
    }

    /// Changes the response code.
    ///
    /// Codes above 15 need an OPT record: clients without EDNS see the lower four bits.
    pub fn set_rcode(&mut self, rcode: Rcode) {
        let flags = u16_at(&self.wire, 2) & !0xf;
        put_u16(&mut self.wire, 2, flags | u16::from(rcode.low()));
        self.rcode_high = rcode.high();
        if self.opt_at != 0
            && let Some(place) = self.wire.get_mut(self.opt_at as usize + 4)
        {
            *place = rcode.high();
        }
    }

    pub(crate) const fn rcode_high(&self) -> u8 {
        self.rcode_high
    }

    /// Number of records in the answer section.
    #[must_use]
    pub fn answer_count(&self) -> u16 {
        self.count(Section::Answer)
    }

    /// Number of records in the authority section.
    #[must_use]
    pub fn authority_count(&self) -> u16 {
        self.count(Section::Authority)
    }

    /// Number of records in the additional section, the OPT record included.
    #[must_use]
    pub fn additional_count(&self) -> u16 {
        self.count(Section::Additional)
    }

    /// Number of records in a section.
    #[must_use]
    pub fn count(&self, section: Section) -> u16 {
        u16_at(&self.wire, section.count_at())
    }

    /// The records of all sections, the OPT record included.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records::of_message(&self.wire).unwrap_or_else(Records::none)
    }

    /// The first question: name, type, class; empty if there is none.
    #[must_use]
    pub fn question(&self) -> &[u8] {
        if u16_at(&self.wire, 4) == 0 {
            return &[];
        }
        let end = check_name(&self.wire, HEADER_LEN).map_or(HEADER_LEN, |name| name.end + 4);
        self.wire.get(HEADER_LEN..end).unwrap_or_default()
    }

    /// Whether the question is the request's, letter case left aside.
    #[must_use]
    pub fn answers(&self, request: &Request) -> bool {
        u16_at(&self.wire, 4) == 1 && is_same_question(self.question(), request.question())
    }

    /// Makes a kept answer one to this request: id, opcode, RD, CD, and the letters of the question.
    pub fn answer_to(&mut self, request: &Request) {
        let copied = if request.opcode() == 0 { RD | CD } else { 0 } | OPCODE;
        let flags = u16_at(&self.wire, 2) & !(RD | CD | OPCODE) | QR | request.flags() & copied;
        self.set_id(request.id());
        put_u16(&mut self.wire, 2, flags);
        let question = request.question();
        if !question.is_empty() && is_same_question(self.question(), question) {
            self.wire[HEADER_LEN..HEADER_LEN + question.len()].copy_from_slice(question);
        }
    }

    /// A copy that answers `request`, written into the request's own buffer: for answers that are kept ready.
    #[inline]
    #[must_use]
    pub fn copy_for(&self, request: &mut Request) -> Self {
        let mut wire = request.take_spare();
        wire.extend_from_slice(&self.wire);
        let mut copy = Self {
            wire,
            rare: self.rare.clone(),
            uncompressed_len: self.uncompressed_len,
            opt_at: self.opt_at,
            rcode_high: self.rcode_high,
        };
        copy.answer_to(request);
        copy
    }

    /// Puts another question, such as [`Request::original_question`], in place of the first one.
    pub fn set_question(&mut self, question: &[u8]) {
        let old = self.question().len();
        if old == question.len() {
            self.wire[HEADER_LEN..HEADER_LEN + old].copy_from_slice(question);
            return;
        }
        let written = rewrite::with_question(&self.wire, question);
        if let Ok(written) = Self::from_wire(written) {
            let rare = self.rare.take();
            *self = Self { rare, ..written };
        }
    }

    /// Changes the TTL of every record but OPT: `change` gets the record and says the new TTL in seconds.
    pub fn map_ttls(&mut self, mut change: impl FnMut(&super::wire::RecordView<'_>) -> u32) {
        let Some(at) = questions_end(&self.wire) else {
            return;
        };
        // The walk borrows the message, so each record is found anew by where the last one ended.
        let mut state = RecordsAt {
            at,
            section: 0,
            seen: 0,
        };
        while let Some((ttl_at, ttl)) = state.next_ttl(&self.wire, &mut change) {
            put_u32(&mut self.wire, ttl_at, ttl);
        }
    }

    /// Lowers TTLs to at most `max` seconds.
    pub fn cap_ttl(&mut self, max: u32) {
        self.map_ttls(|record| record.ttl().min(max));
    }

    /// The lowest TTL of all records but OPT, in seconds.
    #[must_use]
    pub fn min_ttl(&self) -> Option<u32> {
        self.records()
            .filter(|record| !record.is_opt())
            .map(|record| record.ttl())
            .min()
    }

    /// What the answer's own OPT record says, if it has one.
    #[must_use]
    pub fn edns(&self) -> Option<Edns> {
        let at = self.opt_at as usize;
        (at != 0).then(|| Edns {
            udp_size: u16_at(&self.wire, at + 2),
            version: u16_at(&self.wire, at + 4) as u8,
            dnssec_ok: u16_at(&self.wire, at + 6) & 0x8000 != 0,
            at: self.opt_at,
            options_len: u16_at(&self.wire, at + 8),
        })
    }

    /// The options of the answer's own OPT record.
    #[must_use]
    pub fn edns_options(&self) -> EdnsOptions<'_> {
        let Some(edns) = self.edns() else {
            return EdnsOptions::none();
        };
        let at = edns.options_at();
        EdnsOptions::new(
            self.wire
                .get(at..at + usize::from(edns.options_len))
                .unwrap_or_default(),
        )
    }

    /// Gives the answer an OPT record of its own, which goes out even to clients without EDNS; one that is there stays.
    ///
    /// Clients with EDNS get their own size, and none of their options back. DO, if set, stays set.
    pub fn set_opt(&mut self, udp_size: u16, dnssec_ok: bool) {
        if self.opt_at == 0 {
            self.opt_at = edns::push_opt(&mut self.wire, udp_size, self.rcode_high, dnssec_ok) as u32;
            self.uncompressed_len += edns::OPT_LEN as u32;
        }
    }

    /// Sets or clears DO in the answer's own OPT record.
    pub fn set_dnssec_ok(&mut self, on: bool) {
        if self.opt_at != 0 {
            let at = self.opt_at as usize + 6;
            let flags = u16_at(&self.wire, at) & 0x7fff | u16::from(on) << 15;
            put_u16(&mut self.wire, at, flags);
        }
    }

    /// Adds an option: to the answer's own OPT record if it has one, else to the one that clients with EDNS get.
    pub fn add_option(&mut self, code: u16, value: &[u8]) {
        let Ok(len) = u16::try_from(value.len()) else {
            return;
        };
        if let Some(edns) = self.edns() {
            if edns.options_at() + usize::from(edns.options_len) == self.wire.len() {
                let before = self.wire.len();
                edns::push_option(&mut self.wire, edns.at as usize, code, value);
                self.uncompressed_len += (self.wire.len() - before) as u32;
                return;
            }
            self.move_opt_to_end();
            if let Some(edns) = self.edns()
                && edns.options_at() + usize::from(edns.options_len) == self.wire.len()
            {
                return self.add_option(code, value);
            }
            return;
        }
        let options = &mut self.rare.get_or_insert_default().options;
        options.extend_from_slice(&code.to_be_bytes());
        options.extend_from_slice(&len.to_be_bytes());
        options.extend_from_slice(value);
    }

    /// Replaces every option with this code, or adds it.
    pub fn set_option(&mut self, code: u16, value: &[u8]) {
        if self.edns_options().any(|(found, _)| found == code) {
            let kept: Vec<(u16, Vec<u8>)> = self
                .edns_options()
                .map(|(found, old)| (found, if found == code { value } else { old }.to_vec()))
                .collect();
            self.clear_options();
            for (code, value) in kept {
                self.add_option(code, &value);
            }
        } else {
            self.add_option(code, value);
        }
    }

    /// Adds an extended error (RFC 8914): a code and a text for people.
    pub fn add_extended_error(&mut self, code: u16, text: &str) {
        let mut value = Vec::with_capacity(2 + text.len());
        value.extend_from_slice(&code.to_be_bytes());
        value.extend_from_slice(text.as_bytes());
        self.add_option(edns::EXTENDED_ERROR, &value);
    }

    /// Takes all options out of the answer's own OPT record.
    pub fn clear_options(&mut self) {
        self.rare = None;
        self.move_opt_to_end();
        if let Some(edns) = self.edns() {
            self.wire.truncate(edns.options_at());
            put_u16(&mut self.wire, edns.at as usize + 8, 0);
            self.uncompressed_len -= u32::from(edns.options_len).min(self.uncompressed_len);
        }
    }

    /// Takes the answer's own OPT records out: clients with EDNS then get one that mirrors theirs.
    pub fn remove_opt(&mut self) {
        if self.opt_at == 0 {
            return;
        }
        if let Some(written) = rewrite::compressed(&self.wire, &[], usize::MAX)
            && let Ok(written) = Self::from_wire(written)
        {
            let (rcode_high, rare) = (self.rcode_high, self.rare.take());
            *self = Self {
                rcode_high,
                rare,
                ..written
            };
        }
    }

    /// Writes the message anew with the OPT record that counts behind everything else.
    fn move_opt_to_end(&mut self) {
        let Some(edns) = self.edns() else {
            return;
        };
        let end = edns.options_at() + usize::from(edns.options_len);
        if end == self.wire.len() {
            return;
        }
        let mut opt = vec![0];
        opt.extend_from_slice(self.wire.get(edns.at as usize..end).unwrap_or_default());
        if let Some(written) = rewrite::compressed(&self.wire, &opt, usize::MAX)
            && let Ok(written) = Self::from_wire(written)
        {
            let rare = self.rare.take();
            *self = Self { rare, ..written };
        }
    }

    /// Options for the OPT record that mirrors the client's.
    pub(crate) fn extra_options(&self) -> &[u8] {
        self.rare.as_ref().map_or(&[], |rare| &rare.options)
    }

    pub(crate) fn wire_mut(&mut self) -> &mut Vec<u8> {
        &mut self.wire
    }

    pub(crate) const fn opt_at(&self) -> usize {
        self.opt_at as usize
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .question()
            .split_last_chunk::<4>()
            .map_or(&[0][..], |(name, _)| name);
        f.debug_struct("Response")
            .field("question", &presentation(name))
            .field("rcode", &self.rcode())
            .field("answer", &self.answer_count())
            .field("authority", &self.authority_count())
            .field("additional", &self.additional_count())
            .finish_non_exhaustive()
    }
}

/// A place in the walk over a message that is being changed.
struct RecordsAt {
    at: usize,
    section: usize,
    seen: u16,
}

impl RecordsAt {
    /// Finds the next record with a TTL; gives where that stands and what it shall be.
    fn next_ttl(
        &mut self,
        wire: &[u8],
        change: &mut impl FnMut(&super::wire::RecordView<'_>) -> u32,
    ) -> Option<(usize, u32)> {
        let mut records = Records::resuming(wire, self.at, self.section, self.seen);
        loop {
            let record = records.next()?;
            (self.section, self.seen) = records.progress();
            self.at = records.position();
            if !record.is_opt() {
                return Some((record.ttl_at(), change(&record)));
            }
        }
    }
}

/// Checks the question section; gives the offset behind it.
fn check_questions(wire: &mut [u8]) -> Result<usize, MessageError> {
    let promised = u16_at(wire, 4);
    let mut at = HEADER_LEN;
    for seen in 0..promised {
        if at >= wire.len() {
            put_u16(wire, 4, seen);
            break;
        }
        at = check_name(wire, at).ok_or(MessageError::Malformed)?.end + 4;
        if at > wire.len() {
            return Err(MessageError::Malformed);
        }
    }
    Ok(at)
}

/// Whether two questions ask the same: names alike but for their letters' case, type and class alike. Type 65 is not
/// type 97, though these numbers are the same letter in two cases.
fn is_same_question(one: &[u8], other: &[u8]) -> bool {
    let name = one.len().saturating_sub(4);
    one.len() == other.len()
        && one[name..] == other[name..]
        && one[..name].eq_ignore_ascii_case(&other[..name])
}
