//! One record in presentation form (RFC 1035, section 5.1).

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use catena_core::message::Response;
use catena_core::message::name::{MAX_NAME_LEN, parse_presentation};

use crate::fields::{Field, Fields};
use crate::names::{class_code, type_code};
use crate::svcb;

/// TTL of a record that gives none, in seconds: that of CoreDNS's library.
pub const DEFAULT_TTL: u32 = 3600;

/// A record that was read from text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRecord {
    /// The owner in wire form, with its letters.
    pub owner: Vec<u8>,
    /// Type.
    pub record_type: u16,
    /// Class.
    pub class: u16,
    /// Time to live in seconds.
    pub ttl: u32,
    /// The data in wire form, names in full.
    pub rdata: Vec<u8>,
}

/// Why a text is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There is nothing but comments and spaces.
    #[error("no record")]
    Empty,
    /// A quote or a parenthesis is open at the end, or data is not in a form that is read.
    #[error("{0}")]
    Form(&'static str),
    /// A word is not what stands in its place.
    #[error("bad {what}: `{word}`")]
    Word {
        /// What it should be.
        what: &'static str,
        /// What it is.
        word: String,
    },
    /// Something is missing.
    #[error("missing {0}")]
    Missing(&'static str),
    /// There is more than the type takes.
    #[error("unexpected `{0}` behind the data")]
    Surplus(String),
    /// The data is longer than 65535 bytes.
    #[error("data longer than 65535 bytes")]
    TooLong,
}

impl std::str::FromStr for TextRecord {
    type Err = RecordError;

    /// Reads `OWNER [TTL] [CLASS] TYPE DATA`, TTL and class in either order. Names without a dot at their end are
    /// complete nonetheless. Of several records the first is read.
    ///
    /// ```
    /// use catena_records::TextRecord;
    ///
    /// let record: TextRecord = "www.example.org 1h IN A 192.0.2.1".parse()?;
    /// assert_eq!((record.record_type, record.ttl), (1, 3600));
    /// assert_eq!(record.rdata, [192, 0, 2, 1]);
    /// # Ok::<(), catena_records::RecordError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, RecordError> {
        let mut fields = Fields::split(text)?;
        let owner = fields.name("owner")?;
        let (mut ttl, mut class) = (None, None);
        let record_type = loop {
            let field = fields.take("type")?;
            let word = field.text();
            if let (None, Some(seconds)) = (ttl, seconds(&word)) {
                ttl = Some(seconds);
                continue;
            }
            let capitals = capitals(&word);
            if let Some(code) = type_code(&capitals).or_else(|| numbered(&capitals, "TYPE")) {
                break code;
            }
            match class_code(&capitals).or_else(|| numbered(&capitals, "CLASS")) {
                Some(code) if class.is_none() => class = Some(code),
                _ => return Err(field.bad("TTL, class or type")),
            }
        };
        let rdata = rdata(record_type, &mut fields)?;
        if let Some(field) = fields.next() {
            return Err(RecordError::Surplus(field.text().into_owned()));
        }
        if rdata.len() > usize::from(u16::MAX) {
            return Err(RecordError::TooLong);
        }
        Ok(Self {
            owner,
            record_type,
            class: class.unwrap_or(1),
            ttl: ttl.unwrap_or(DEFAULT_TTL),
            rdata,
        })
    }
}

/// Types and classes may be written in small letters.
fn capitals(word: &str) -> Cow<'_, str> {
    if word.bytes().any(|byte| byte.is_ascii_lowercase()) {
        word.to_ascii_uppercase().into()
    } else {
        word.into()
    }
}

/// A code in the generic form of RFC 3597, such as `TYPE65280`.
fn numbered(word: &str, prefix: &str) -> Option<u16> {
    let digits = word.strip_prefix(prefix)?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A time in seconds, or with units as in `1h30m`.
pub(crate) fn seconds(word: &str) -> Option<u32> {
    let (mut total, mut number) = (0_u64, None::<u64>);
    for byte in word.bytes() {
        let unit = match byte.to_ascii_lowercase() {
            b'0'..=b'9' => {
                number = Some(
                    number
                        .unwrap_or(0)
                        .checked_mul(10)?
                        .checked_add(u64::from(byte - b'0'))?,
                );
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    if word.is_empty() {
        return None;
    }
    u32::try_from(total.checked_add(number.unwrap_or(0))?).ok()
}

/// Reads the data of a type.
fn rdata(record_type: u16, fields: &mut Fields<'_>) -> Result<Vec<u8>, RecordError> {
    if fields
        .peek()
        .is_some_and(|field| !field.quoted && *field.bytes == *b"\\#")
    {
        fields.next();
        return generic(record_type, fields);
    }
    let mut out = Vec::new();
    match record_type {
        // A, AAAA
        1 => out.extend(fields.parse::<Ipv4Addr>("IPv4 address")?.octets()),
        28 => out.extend(fields.parse::<Ipv6Addr>("IPv6 address")?.octets()),
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 39 => out = fields.name("name")?,
        6 => soa(fields, &mut out)?,
        // HINFO
        13 => (0..2).try_for_each(|_| fields.string(&mut out, "text"))?,
        // MINFO, RP
        14 | 17 => {
            out = fields.name("name")?;
            out.extend(fields.name("name")?);
        }
        // MX, AFSDB, RT, KX, LP
        15 | 18 | 21 | 36 | 107 => {
            fields.u16(&mut out, "preference")?;
            out.extend(fields.name("name")?);
        }
        // TXT, SPF, AVC
        16 | 99 | 258 => {
            fields.string(&mut out, "text")?;
            while fields.peek().is_some() {
                fields.string(&mut out, "text")?;
            }
        }
        // SRV
        33 => {
            ["priority", "weight", "port"]
                .iter()
                .try_for_each(|what| fields.u16(&mut out, what))?;
            out.extend(fields.name("target")?);
        }
        // NAPTR
        35 => {
            ["order", "preference"]
                .iter()
                .try_for_each(|what| fields.u16(&mut out, what))?;
            ["flags", "service", "regexp"]
                .iter()
                .try_for_each(|what| fields.string(&mut out, what))?;
            out.extend(fields.name("replacement")?);
        }
        // DS, CDS, TA, DLV
        43 | 59 | 32768 | 32769 => {
            fields.u16(&mut out, "key tag")?;
            ["algorithm", "digest type"]
                .iter()
                .try_for_each(|what| fields.u8(&mut out, what))?;
            fields.hex(&mut out, "digest")?;
        }
        // SSHFP
        44 => {
            ["algorithm", "fingerprint type"]
                .iter()
                .try_for_each(|what| fields.u8(&mut out, what))?;
            fields.hex(&mut out, "fingerprint")?;
        }
        // DNSKEY, CDNSKEY, KEY
        25 | 48 | 60 => {
            fields.u16(&mut out, "flags")?;
            ["protocol", "algorithm"]
                .iter()
                .try_for_each(|what| fields.u8(&mut out, what))?;
            fields.base64(&mut out, "key")?;
        }
        // TLSA, SMIMEA
        52 | 53 => {
            ["usage", "selector", "matching type"]
                .iter()
                .try_for_each(|what| fields.u8(&mut out, what))?;
            fields.hex(&mut out, "certificate")?;
        }
        // OPENPGPKEY
        61 => fields.base64(&mut out, "key")?,
        // SVCB, HTTPS
        64 | 65 => svcb::rdata(fields, &mut out)?,
        // URI
        256 => {
            ["priority", "weight"]
                .iter()
                .try_for_each(|what| fields.u16(&mut out, what))?;
            out.extend(fields.take("target")?.unescaped("target")?);
        }
        // CAA
        257 => {
            fields.u8(&mut out, "flags")?;
            fields.string(&mut out, "tag")?;
            out.extend(fields.take("value")?.unescaped("value")?);
        }
        _ => {
            return Err(RecordError::Form(
                "the data of this type is only read in the form of RFC 3597: \\# LENGTH HEX",
            ));
        }
    }
    Ok(out)
}

fn soa(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), RecordError> {
    out.extend(fields.name("primary server")?);
    out.extend(fields.name("mailbox")?);
    out.extend(fields.parse::<u32>("serial")?.to_be_bytes());
    for what in ["refresh", "retry", "expire", "minimum"] {
        let field = fields.take(what)?;
        let time = seconds(&field.text()).ok_or_else(|| field.bad(what))?;
        out.extend(time.to_be_bytes());
    }
    Ok(())
}

/// `\# LENGTH HEX...` (RFC 3597, section 5); the data of a type that has a form must have it.
fn generic(record_type: u16, fields: &mut Fields<'_>) -> Result<Vec<u8>, RecordError> {
    let len = fields.parse::<u16>("length")?;
    let mut out = Vec::new();
    if len > 0 || fields.peek().is_some() {
        fields.hex(&mut out, "data")?;
    }
    if out.len() != usize::from(len) {
        return Err(RecordError::Form("the data is not as long as it says"));
    }
    if !is_sound(record_type, &out) {
        return Err(RecordError::Form("the data is not that of its type"));
    }
    Ok(out)
}

/// Whether the data can stand in a message.
fn is_sound(record_type: u16, rdata: &[u8]) -> bool {
    // A response with one record in its answer section, whose owner is the root and whose class is IN.
    let mut wire = vec![0, 0, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    wire.extend(record_type.to_be_bytes());
    wire.extend([0, 1, 0, 0, 0, 0]);
    wire.extend((rdata.len() as u16).to_be_bytes());
    wire.extend(rdata);
    Response::from_wire(wire).is_ok()
}

impl Fields<'_> {
    /// A name in wire form; `@` and `.` are the root.
    pub(crate) fn name(&mut self, what: &'static str) -> Result<Vec<u8>, RecordError> {
        let field = self.take(what)?;
        name(&field).ok_or_else(|| field.bad(what))
    }
}

pub(crate) fn name(field: &Field<'_>) -> Option<Vec<u8>> {
    if *field.bytes == *b"@" {
        return Some(vec![0]);
    }
    let mut wire = [0; MAX_NAME_LEN];
    let len = parse_presentation(&field.bytes, &mut wire).ok()?;
    Some(wire[..len].to_vec())
}
