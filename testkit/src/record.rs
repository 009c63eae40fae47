//! Records in the presentation form of zone files.

use std::fmt;
use std::str::FromStr;

use catena_core::message::{QName, RecordView, name};
use hickory_proto::rr::{RData, Record as ProtoRecord, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable, BinEncoder, NameEncoding};

/// One record, as a line of a zone file: `a.example.org. 60 IN A 192.0.2.1`.
///
/// Class and TTL may be left out. Without a class it is IN; without a TTL, [`Record::matches`] takes any. Data of any
/// type can be given in the form of RFC 3597, as in `a.example.org. 60 IN TYPE65280 \# 2 c0de`.
///
/// ```
/// use catena_testkit::Record;
///
/// let got: Record = "a.example.org. 58 IN A 192.0.2.1".parse().unwrap();
/// assert!(got.matches(&"a.example.org. A 192.0.2.1".parse().unwrap()));
/// assert!(!got.matches(&"a.example.org. 60 A 192.0.2.1".parse().unwrap()));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    owner: Vec<u8>,
    class: u16,
    rtype: u16,
    rdata: Vec<u8>,
    ttl: Option<u32>,
}

impl Record {
    /// The owner's name in wire form, with its letters.
    #[must_use]
    pub fn owner(&self) -> &[u8] {
        &self.owner
    }

    /// The owner's name in lower case.
    #[must_use]
    pub fn owner_name(&self) -> QName {
        QName::from_wire(&self.owner).unwrap_or_default()
    }

    /// The type's number.
    #[must_use]
    pub fn type_code(&self) -> u16 {
        self.rtype
    }

    /// The class's number.
    #[must_use]
    pub fn class_code(&self) -> u16 {
        self.class
    }

    /// The TTL, if one is given.
    #[must_use]
    pub fn ttl(&self) -> Option<u32> {
        self.ttl
    }

    /// The data in wire form, names in full.
    #[must_use]
    pub fn rdata(&self) -> &[u8] {
        &self.rdata
    }

    /// Whether this is what `expected` says, letter by letter; a TTL that `expected` does not give is not compared.
    #[must_use]
    pub fn matches(&self, expected: &Self) -> bool {
        let ttl_fits = expected.ttl.is_none() || self.ttl == expected.ttl;
        let mine = (&self.owner, self.class, self.rtype, &self.rdata);
        ttl_fits && mine == (&expected.owner, expected.class, expected.rtype, &expected.rdata)
    }

    /// A record of a message.
    #[must_use]
    pub fn of_view(view: &RecordView<'_>) -> Self {
        let mut rdata = Vec::new();
        view.expand_rdata(&mut rdata);
        Self {
            owner: view.owner_as_written(&mut [0; name::MAX_NAME_LEN]).to_vec(),
            class: view.class_code(),
            rtype: view.type_code(),
            rdata,
            ttl: Some(view.ttl()),
        }
    }

    /// Reads all records of a text: a record a line, empty lines and those that begin with `;` left out.
    ///
    /// # Errors
    ///
    /// The first line that cannot be read.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, RecordError> {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with(';'))
            .map(str::parse)
            .collect()
    }

    /// The data in presentation form.
    fn rdata_text(&self) -> String {
        if matches!(RecordType::from(self.rtype), RecordType::HINFO | RecordType::TXT) {
            return quoted_strings(&self.rdata);
        }
        let mut wire = vec![0];
        wire.extend_from_slice(&self.rtype.to_be_bytes());
        wire.extend_from_slice(&1_u16.to_be_bytes());
        wire.extend_from_slice(&0_u32.to_be_bytes());
        wire.extend_from_slice(&u16::try_from(self.rdata.len()).unwrap_or(u16::MAX).to_be_bytes());
        wire.extend_from_slice(&self.rdata);
        let known = !matches!(RecordType::from(self.rtype), RecordType::Unknown(_));
        match ProtoRecord::<RData>::from_bytes(&wire) {
            Ok(record) if known => record.data.to_string(),
            _ => {
                let hex: String = self.rdata.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("\\# {} {hex}", self.rdata.len()).trim_end().to_owned()
            }
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", name::presentation(&self.owner))?;
        if let Some(ttl) = self.ttl {
            write!(f, "{ttl} ")?;
        }
        let rtype = RecordType::from(self.rtype);
        write!(f, "{} ", class_text(self.class))?;
        match rtype {
            RecordType::Unknown(code) => write!(f, "TYPE{code}")?,
            known => write!(f, "{known}")?,
        }
        write!(f, " {}", self.rdata_text())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with a record's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    line: String,
    reason: String,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.reason, self.line)
    }
}

impl std::error::Error for RecordError {}

impl FromStr for Record {
    type Err = RecordError;

    fn from_str(line: &str) -> Result<Self, RecordError> {
        let fail = |reason: &str| RecordError {
            line: line.to_owned(),
            reason: reason.to_owned(),
        };
        let (owner, mut rest) = word(line).ok_or_else(|| fail("an empty record"))?;
        let (mut ttl, mut class) = (None, None);
        let rtype = loop {
            let (next, behind) = word(rest).ok_or_else(|| fail("a record without a type"))?;
            rest = behind;
            match (next.parse(), class_code(next)) {
                (Ok(number), _) if ttl.is_none() => ttl = Some(number),
                (_, Some(code)) if class.is_none() => class = Some(code),
                _ => break type_code(next).ok_or_else(|| fail("an unknown type"))?,
            }
        };
        let mut buffer = [0; name::MAX_NAME_LEN];
        let len = name::parse_presentation(owner.as_bytes(), &mut buffer)
            .map_err(|error| fail(&error.to_string()))?;
        Ok(Self {
            owner: buffer[..len].to_vec(),
            class: class.unwrap_or(1),
            rtype,
            rdata: rdata(rtype, rest).map_err(|reason| fail(&reason))?,
            ttl,
        })
    }
}

/// Character strings, each in quotes.
fn quoted_strings(mut rdata: &[u8]) -> String {
    let mut strings = Vec::new();
    while let Some((&len, rest)) = rdata.split_first() {
        let (string, rest) = rest.split_at(rest.len().min(usize::from(len)));
        let escaped: String = string
            .iter()
            .map(|&byte| match byte {
                b'"' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\{byte:03}"),
            })
            .collect();
        strings.push(format!("\"{escaped}\""));
        rdata = rest;
    }
    strings.join(" ")
}

fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (!word.is_empty()).then(|| (word, rest.trim()))
}

/// The number of a type's name, also of `TYPE65280`.
pub(crate) fn type_code(text: &str) -> Option<u16> {
    let upper = text.to_ascii_uppercase();
    match upper.strip_prefix("TYPE").map(str::parse) {
        Some(Ok(code)) => Some(code),
        _ => RecordType::from_str(&upper).ok().map(u16::from),
    }
}

/// The number of a class's name, also of `CLASS32`.
pub(crate) fn class_code(text: &str) -> Option<u16> {
    match text.to_ascii_uppercase().as_str() {
        "IN" => Some(1),
        "CH" => Some(3),
        "HS" => Some(4),
        "NONE" => Some(254),
        "CLASS255" => Some(255),
        other => other.strip_prefix("CLASS")?.parse().ok(),
    }
}

pub(crate) fn class_text(code: u16) -> String {
    match code {
        1 => "IN".to_owned(),
        3 => "CH".to_owned(),
        4 => "HS".to_owned(),
        254 => "NONE".to_owned(),
        code => format!("CLASS{code}"),
    }
}

fn rdata(rtype: u16, text: &str) -> Result<Vec<u8>, String> {
    if let Some(generic) = text.strip_prefix("\\#") {
        return generic_rdata(generic);
    }
    if let Some(fields) = fields_with_names(rtype) {
        return rdata_with_names(fields, text);
    }
    let data = RData::try_from_str(RecordType::from(rtype), text)
        .map_err(|error| format!("unreadable data ({error}; `\\# LENGTH HEX` is always understood)"))?;
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The fields of data that holds names, whose letters hickory-proto would not keep: `n` a name, `2` and `4` numbers.
fn fields_with_names(rtype: u16) -> Option<&'static str> {
    Some(match RecordType::from(rtype) {
        RecordType::CNAME | RecordType::DNAME | RecordType::NS | RecordType::PTR => "n",
        RecordType::MX => "2n",
        RecordType::SOA => "nn44444",
        RecordType::SRV => "222n",
        _ => return None,
    })
}

fn rdata_with_names(fields: &str, text: &str) -> Result<Vec<u8>, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() != fields.len() {
        return Err(format!("unreadable data ({} words are expected)", fields.len()));
    }
    let mut out = Vec::new();
    for (field, word) in fields.chars().zip(words) {
        let no_number = |_| format!("unreadable data (`{word}` is no such number)");
        match field {
            '2' => out.extend(word.parse::<u16>().map_err(no_number)?.to_be_bytes()),
            '4' => out.extend(word.parse::<u32>().map_err(no_number)?.to_be_bytes()),
            _ => {
                let mut buffer = [0; name::MAX_NAME_LEN];
                let len = name::parse_presentation(word.as_bytes(), &mut buffer)
                    .map_err(|error| format!("unreadable data ({error})"))?;
                out.extend_from_slice(&buffer[..len]);
            }
        }
    }
    Ok(out)
}

/// RFC 3597, section 5: a length, then hexadecimal digits with blanks anywhere.
fn generic_rdata(text: &str) -> Result<Vec<u8>, String> {
    let (len, digits) = word(text).ok_or("no length behind `\\#`")?;
    let digits: Vec<u8> = digits
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let bytes = unhex(&digits).ok_or("no hexadecimal digits")?;
    if len.parse() == Ok(bytes.len()) {
        Ok(bytes)
    } else {
        Err(format!("{} bytes, not {len}", bytes.len()))
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    digits
        .chunks(2)
        .map(|pair| match pair {
            [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_usual_types_come_back_as_they_were_written() {
        for text in [
            "a.example.org. 60 IN A 192.0.2.1",
            "A.Example.org. 60 IN AAAA 2001:db8::1",
            "example.org. 0 IN NS ns.Example.org.",
            "example.org. 60 IN MX 10 mail.example.org.",
            "_dns._udp.example.org. 60 IN SRV 0 5 53 ns.example.org.",
            "1.2.0.192.in-addr.arpa. 60 IN PTR a.example.org.",
            "b.example.org. 60 IN CNAME a.example.org.",
            "example.org. 300 IN SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 60",
            "version.bind. 0 CH TXT \"Catena\"",
            "x.example.org. 60 IN TYPE65280 \\# 2 c0de",
            ". 60 IN NS a.root-servers.net.",
        ] {
            let record: Record = text.parse().expect(text);
            assert_eq!(record.to_string(), text);
        }
    }

    #[test]
    fn class_and_ttl_may_be_left_out_or_change_places() {
        for text in [
            "a. A 192.0.2.1",
            "a. IN A 192.0.2.1",
            "a. IN 5 A 192.0.2.1",
            "a. 5 A 192.0.2.1",
        ] {
            let record: Record = text.parse().expect(text);
            let want = if text.contains('5') {
                "a. 5 IN A 192.0.2.1"
            } else {
                "a. IN A 192.0.2.1"
            };
            assert_eq!(record.to_string(), want);
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_text() {
        for (text, want) in [
            ("", "an empty record"),
            ("a.example.org.", "a record without a type"),
            ("a.example.org. IN", "a record without a type"),
            ("a.example.org. IN ADDRESS 192.0.2.1", "an unknown type"),
            ("a.example.org. IN A 192.0.2.256", "unreadable data"),
            ("a.example.org. IN MX mail.example.org.", "2 words are expected"),
            (
                "a.example.org. IN MX 65536 mail.example.org.",
                "`65536` is no such number",
            ),
            ("a.example.org. IN TYPE1 \\# 3 c000", "2 bytes, not 3"),
        ] {
            let error = Record::from_str(text).expect_err(text).to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
