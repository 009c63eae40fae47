//! What came back.

use std::fmt;

use catena_core::message::{Edns, MessageError, QName, Rcode, Response, Section, edns};
use hickory_proto::rr::RecordType;

use crate::record::{Record, class_text};

/// A message that a server sent.
///
/// The `assert_…` methods fail with the whole message in view, and give the answer back for the next one.
#[derive(Clone)]
pub struct Answer {
    wire: Vec<u8>,
    response: Response,
}

impl Answer {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// It is malformed.
    pub fn from_wire(wire: Vec<u8>) -> Result<Self, MessageError> {
        let response = Response::from_wire(wire.clone())?;
        Ok(Self { wire, response })
    }

    /// The bytes as they came.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The message with its typed views.
    #[must_use]
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.response.id()
    }

    /// The RCODE, with the bits of the OPT record.
    #[must_use]
    pub fn rcode(&self) -> Rcode {
        self.response.rcode()
    }

    /// The flags that are set, of `qr aa tc rd ra ad cd`, in this order.
    #[must_use]
    pub fn flags(&self) -> String {
        let response = &self.response;
        let flags = [
            ("qr", response.qr()),
            ("aa", response.aa()),
            ("tc", response.tc()),
            ("rd", response.rd()),
            ("ra", response.ra()),
            ("ad", response.ad()),
            ("cd", response.cd()),
        ];
        let set: Vec<&str> = flags
            .iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| *name)
            .collect();
        set.join(" ")
    }

    /// The question with its letters, as in `www.Example.org. IN A`; empty if there is none.
    #[must_use]
    pub fn question(&self) -> String {
        let question = self.response.question();
        let Some((name, fixed)) = question.len().checked_sub(4).map(|at| question.split_at(at)) else {
            return String::new();
        };
        let rtype = RecordType::from(u16::from_be_bytes([fixed[0], fixed[1]]));
        let class = class_text(u16::from_be_bytes([fixed[2], fixed[3]]));
        let name = catena_core::message::name::presentation(name);
        format!("{name} {class} {rtype}")
    }

    /// The records of the answer section, in their order.
    #[must_use]
    pub fn answer(&self) -> Vec<Record> {
        self.section(Section::Answer)
    }

    /// The records of the authority section.
    #[must_use]
    pub fn authority(&self) -> Vec<Record> {
        self.section(Section::Authority)
    }

    /// The records of the additional section, without OPT.
    #[must_use]
    pub fn additional(&self) -> Vec<Record> {
        self.section(Section::Additional)
    }

    fn section(&self, section: Section) -> Vec<Record> {
        let records = self.response.records();
        records
            .filter(|record| record.section() == section && !record.is_opt())
            .map(|record| Record::of_view(&record))
            .collect()
    }

    /// The OPT record, if there is one.
    #[must_use]
    pub fn edns(&self) -> Option<Edns> {
        self.response.edns()
    }

    /// The value of an EDNS option.
    #[must_use]
    pub fn option(&self, code: u16) -> Option<Vec<u8>> {
        let mut options = self.response.edns_options();
        options
            .find(|(known, _)| *known == code)
            .map(|(_, value)| value.to_vec())
    }

    /// Code and text of the extended DNS error (RFC 8914), if there is one.
    #[must_use]
    pub fn extended_error(&self) -> Option<(u16, String)> {
        let value = self.option(edns::EXTENDED_ERROR)?;
        let (code, text) = value.split_first_chunk::<2>()?;
        Some((
            u16::from_be_bytes(*code),
            String::from_utf8_lossy(text).into_owned(),
        ))
    }

    /// The first question's name, lower-case.
    #[must_use]
    pub fn qname(&self) -> QName {
        let question = self.response.question();
        let name = question
            .get(..question.len().saturating_sub(4))
            .unwrap_or_default();
        QName::from_wire(name).unwrap_or_default()
    }

    /// Fails unless the RCODE is this one.
    #[track_caller]
    pub fn assert_rcode(&self, rcode: Rcode) -> &Self {
        assert_eq!(self.rcode(), rcode, "another RCODE is expected in\n{self}");
        self
    }

    /// Fails unless exactly these flags are set; `qr` need not be named.
    #[track_caller]
    pub fn assert_flags(&self, flags: &str) -> &Self {
        let set = |text: &str| {
            let mut flags: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            flags.push("qr".to_owned());
            flags.sort_unstable();
            flags.dedup();
            flags
        };
        assert_eq!(
            set(&self.flags()),
            set(flags),
            "other flags are expected in\n{self}"
        );
        self
    }

    /// Fails unless the answer section holds exactly these records, in any order.
    #[track_caller]
    pub fn assert_answer<I: AsRef<str>>(&self, records: impl IntoIterator<Item = I>) -> &Self {
        self.assert_section("answer", &self.answer(), records)
    }

    /// Fails unless the authority section holds exactly these records, in any order.
    #[track_caller]
    pub fn assert_authority<I: AsRef<str>>(&self, records: impl IntoIterator<Item = I>) -> &Self {
        self.assert_section("authority", &self.authority(), records)
    }

    /// Fails unless the additional section holds exactly these records and perhaps OPT, in any order.
    #[track_caller]
    pub fn assert_additional<I: AsRef<str>>(&self, records: impl IntoIterator<Item = I>) -> &Self {
        self.assert_section("additional", &self.additional(), records)
    }

    #[track_caller]
    fn assert_section<I: AsRef<str>>(
        &self,
        section: &str,
        got: &[Record],
        expected: impl IntoIterator<Item = I>,
    ) -> &Self {
        let expected: Vec<Record> = expected.into_iter().map(|text| parse(text.as_ref())).collect();
        if let Err(difference) = compare(got, &expected) {
            panic!("other records are expected in the {section} section: {difference}\n{self}");
        }
        self
    }
}

#[track_caller]
fn parse(text: &str) -> Record {
    text.parse()
        .unwrap_or_else(|error| panic!("the test expects no record but {error}"))
}

/// Compares a section as a set in which duplicates count. What differs is said in words.
pub(crate) fn compare(got: &[Record], expected: &[Record]) -> Result<(), String> {
    let mut surplus: Vec<&Record> = got.iter().collect();
    let mut missing: Vec<&Record> = Vec::new();
    // Those that name a TTL choose first, so that the others do not take what they need.
    let (with, without): (Vec<_>, Vec<_>) = expected.iter().partition(|record| record.ttl().is_some());
    for record in with.into_iter().chain(without) {
        match surplus.iter().position(|candidate| candidate.matches(record)) {
            Some(at) => drop(surplus.swap_remove(at)),
            None => missing.push(record),
        }
    }
    if surplus.is_empty() && missing.is_empty() {
        return Ok(());
    }
    Err(format!("missing {missing:?}, not expected {surplus:?}"))
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            ";; {}, flags: {}, {} bytes",
            self.rcode(),
            self.flags(),
            self.wire.len()
        )?;
        if let Some(edns) = self.edns() {
            writeln!(
                f,
                ";; EDNS {}, size {}, do {}",
                edns.version, edns.udp_size, edns.dnssec_ok
            )?;
        }
        if let Some((code, text)) = self.extended_error() {
            writeln!(f, ";; extended error {code}: {text}")?;
        }
        writeln!(f, ";; question: {}", self.question())?;
        let sections = [
            ("answer", self.answer()),
            ("authority", self.authority()),
            ("additional", self.additional()),
        ];
        for (name, records) in sections {
            for record in records {
                writeln!(f, "{record} ; {name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(texts: &[&str]) -> Vec<Record> {
        texts.iter().map(|text| parse(text)).collect()
    }

    #[test]
    fn sections_are_compared_as_sets_in_which_duplicates_count() {
        let got = records(&[
            "a. 60 IN A 192.0.2.1",
            "a. 60 IN A 192.0.2.2",
            "a. 60 IN A 192.0.2.1",
        ]);
        for (case, expected, fits) in [
            (
                "other order",
                &["a. 60 A 192.0.2.2", "a. 60 A 192.0.2.1", "a. 60 A 192.0.2.1"][..],
                true,
            ),
            (
                "any TTL",
                &["a. A 192.0.2.1", "a. A 192.0.2.1", "a. 60 A 192.0.2.2"],
                true,
            ),
            ("one too few", &["a. A 192.0.2.1", "a. A 192.0.2.2"], false),
            (
                "one other",
                &["a. A 192.0.2.1", "a. A 192.0.2.2", "a. A 192.0.2.2"],
                false,
            ),
            (
                "other TTL",
                &["a. 61 A 192.0.2.1", "a. A 192.0.2.1", "a. A 192.0.2.2"],
                false,
            ),
            (
                "other letters",
                &["A. A 192.0.2.1", "a. A 192.0.2.1", "a. A 192.0.2.2"],
                false,
            ),
        ] {
            assert_eq!(compare(&got, &records(expected)).is_ok(), fits, "case {case}");
        }
    }
}
