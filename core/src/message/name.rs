//! Domain names in lower-case wire form: what queries are looked up by.
//!
//! A name on the wire is a sequence of labels, each behind its length, that ends with the empty root label
//! (RFC 1035, section 3.1). All names here are uncompressed. Comparing lower-case wire forms byte by byte is
//! comparing names without regard to letter case (RFC 4343).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Longest name on the wire, root label included (RFC 1035, section 2.3.4).
pub const MAX_NAME_LEN: usize = 255;

/// Longest label (RFC 1035, section 2.3.4).
pub const MAX_LABEL_LEN: usize = 63;

/// Most labels that a name can have, root not counted: each takes two bytes of the 254 before the root.
pub const MAX_LABELS: usize = 127;

/// A domain name in lower-case wire form, kept inline: making one allocates nothing.
#[derive(Clone)]
pub struct QName {
    len: u8,
    /// What stands behind the name is left over from earlier ones.
    wire: [u8; MAX_NAME_LEN],
}

impl QName {
    /// The root, `.`.
    #[must_use]
    pub const fn root() -> Self {
        Self {
            len: 1,
            wire: [0; MAX_NAME_LEN],
        }
    }

    /// Takes an uncompressed wire name, which ends with the last byte of `wire`, and lowers its letters.
    ///
    /// # Errors
    ///
    /// Says what keeps `wire` from being one whole name.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let len = wire_len(wire).ok_or(NameError::Malformed)?;
        if len != wire.len() {
            return Err(NameError::Malformed);
        }
        let mut name = Self::root();
        name.assign_lower(wire);
        Ok(name)
    }

    /// Reads presentation form; a missing dot at the end is added.
    ///
    /// # Errors
    ///
    /// Empty labels, labels and names that are too long, and broken escapes are refused.
    pub fn from_presentation(text: &str) -> Result<Self, NameError> {
        let mut wire = [0; MAX_NAME_LEN];
        let len = parse_presentation(text.as_bytes(), &mut wire)?;
        let mut name = Self::root();
        name.assign_lower(&wire[..len]);
        Ok(name)
    }

    /// Replaces this name with the lower-cased `wire`, of which the caller knows that it is one whole name.
    #[inline]
    pub(crate) fn assign_lower(&mut self, wire: &[u8]) {
        debug_assert!(wire_len(wire) == Some(wire.len()));
        let len = wire.len().min(MAX_NAME_LEN);
        copy_lower(&mut self.wire, &wire[..len]);
        self.len = len as u8;
    }

    /// Makes this the root.
    #[inline]
    pub(crate) fn assign_root(&mut self) {
        self.wire[0] = 0;
        self.len = 1;
    }

    /// The wire form, lower-case, root label included.
    #[inline]
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.wire[..usize::from(self.len)]
    }

    /// The labels from left to right, without the root.
    #[must_use]
    pub fn labels(&self) -> Labels<'_> {
        Labels { rest: self.as_wire() }
    }

    /// Number of labels, the root not counted.
    #[must_use]
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Whether this is `.`.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.len == 1
    }

    /// This name and its ancestors in wire form, longest first, the root last.
    #[must_use]
    pub fn suffixes(&self) -> Suffixes<'_> {
        Suffixes {
            rest: Some(self.as_wire()),
        }
    }

    /// The name without its first label; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let mut name = Self::root();
        name.assign_lower(self.suffixes().nth(1)?);
        Some(name)
    }

    /// Whether the name is `zone`'s apex or below it.
    #[inline]
    #[must_use]
    pub fn is_within(&self, zone: &Zone) -> bool {
        zone.contains(self.as_wire())
    }

    /// The same as [`QName::is_within`].
    #[inline]
    #[must_use]
    pub fn ends_with(&self, zone: &Zone) -> bool {
        self.is_within(zone)
    }

    /// The name as text, on the heap.
    #[must_use]
    pub fn to_presentation(&self) -> String {
        self.to_string()
    }
}

impl Default for QName {
    fn default() -> Self {
        Self::root()
    }
}

impl PartialEq for QName {
    fn eq(&self, other: &Self) -> bool {
        self.as_wire() == other.as_wire()
    }
}

impl Eq for QName {}

impl Hash for QName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_wire().hash(state);
    }
}

impl AsRef<[u8]> for QName {
    fn as_ref(&self) -> &[u8] {
        self.as_wire()
    }
}

impl fmt::Display for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        presentation(self.as_wire()).fmt(f)
    }
}

impl fmt::Debug for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        presentation(self.as_wire()).fmt(f)
    }
}

impl FromStr for QName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_presentation(text)
    }
}

impl From<&Zone> for QName {
    fn from(zone: &Zone) -> Self {
        let mut name = Self::root();
        name.assign_lower(zone.as_wire());
        name
    }
}

/// A zone's apex, lower-case, in wire and in presentation form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone {
    wire: Box<[u8]>,
    text: Box<str>,
}

impl Zone {
    /// The root zone, `.`.
    #[must_use]
    pub fn root() -> Self {
        Self::from(&QName::root())
    }

    /// Takes an uncompressed wire name.
    ///
    /// # Errors
    ///
    /// Says what keeps `wire` from being one whole name.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        Ok(Self::from(&QName::from_wire(wire)?))
    }

    /// The wire form, root label included.
    #[inline]
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.wire
    }

    /// Presentation form with the dot at the end: `example.org.`, `.`.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is `.`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.wire.len() == 1
    }

    /// Number of labels, the root not counted.
    #[must_use]
    pub fn label_count(&self) -> usize {
        Labels { rest: &self.wire }.count()
    }

    /// Whether `name`, lower-case and uncompressed, is the apex or below it.
    #[inline]
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        is_suffix(name, &self.wire)
    }
}

impl From<&QName> for Zone {
    fn from(name: &QName) -> Self {
        Self {
            wire: name.as_wire().into(),
            text: name.to_string().into_boxed_str(),
        }
    }
}

impl From<QName> for Zone {
    fn from(name: QName) -> Self {
        Self::from(&name)
    }
}

impl FromStr for Zone {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Ok(Self::from(&QName::from_presentation(text)?))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Labels of a name from left to right, without the root; made by [`QName::labels`] and [`labels`].
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.rest.split_first()?;
        if len == 0 {
            return None;
        }
        let (label, rest) = rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some(label)
    }
}

/// A name and its ancestors in wire form, longest first; made by [`QName::suffixes`].
#[derive(Clone, Debug)]
pub struct Suffixes<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Suffixes<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let name = self.rest?;
        self.rest = match name.first() {
            None | Some(0) => None,
            Some(&len) => name.get(usize::from(len) + 1..),
        };
        Some(name)
    }
}

/// Why something is no domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A backslash without a character or three digits up to 255 behind it.
    #[error("broken escape in a name")]
    BadEscape,
    /// Two dots in a row, or one at the start.
    #[error("empty label in a name")]
    EmptyLabel,
    /// More than 63 bytes between two dots.
    #[error("label of more than 63 bytes")]
    LabelTooLong,
    /// Wire data that is not exactly one uncompressed name.
    #[error("malformed name")]
    Malformed,
    /// More than 255 bytes on the wire.
    #[error("name of more than 255 bytes")]
    NameTooLong,
}

/// Copies a name and lowers its letters on the way; `to` is at least as long.
///
/// Length bytes are at most 63 and so never in the range of the capital letters. Pieces of fixed size become vector
/// instructions; the last piece overlaps the one before it, which spares a loop for the remainder.
#[inline]
fn copy_lower(to: &mut [u8], from: &[u8]) {
    match from.len() {
        16.. => {
            for at in (0..from.len() - 15).step_by(16) {
                lower_piece::<16>(to, from, at);
            }
            lower_piece::<16>(to, from, from.len() - 16);
        }
        8.. => {
            lower_piece::<8>(to, from, 0);
            lower_piece::<8>(to, from, from.len() - 8);
        }
        _ => {
            for (to, from) in to.iter_mut().zip(from) {
                *to = from.to_ascii_lowercase();
            }
        }
    }
}

#[inline]
fn lower_piece<const N: usize>(to: &mut [u8], from: &[u8], at: usize) {
    if let Some(from) = from[at..].first_chunk::<N>()
        && let Some(to) = to[at..].first_chunk_mut::<N>()
    {
        *to = from.map(|byte| byte.to_ascii_lowercase());
    }
}

/// Shows an uncompressed wire name as text, with the dot at the end.
///
/// Bytes that mean something in a zone file get a backslash, those that cannot be printed become `\DDD`
/// (RFC 1035, section 5.1), so the text holds neither blanks nor control characters.
#[must_use]
pub const fn presentation(wire: &[u8]) -> Presentation<'_> {
    Presentation { wire }
}

/// Text of a wire name; made by [`presentation`].
#[derive(Clone, Copy)]
pub struct Presentation<'a> {
    wire: &'a [u8],
}

impl fmt::Display for Presentation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wire.first().is_none_or(|&len| len == 0) {
            return f.write_str(".");
        }
        // Each byte takes at most four characters; one piece is written a label.
        let mut text = [0; MAX_LABEL_LEN * 4 + 1];
        for label in labels(self.wire) {
            let mut len = 0;
            for &byte in label.iter().take(MAX_LABEL_LEN) {
                len += escape(byte, &mut text[len..]);
            }
            text[len] = b'.';
            f.write_str(std::str::from_utf8(&text[..=len]).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Presentation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The labels of an uncompressed wire name from left to right, without the root.
#[must_use]
pub const fn labels(wire: &[u8]) -> Labels<'_> {
    Labels { rest: wire }
}

/// Whether `name` is `suffix` or below it; both uncompressed and of the same letter case.
#[inline]
#[must_use]
pub fn is_suffix(name: &[u8], suffix: &[u8]) -> bool {
    let Some(border) = name.len().checked_sub(suffix.len()) else {
        return false;
    };
    if name[border..] != *suffix {
        return false;
    }
    // Equal bytes are a suffix only if they begin with a label: the bytes of one could look like a name.
    let mut at = 0;
    while at < border {
        at += usize::from(name[at]) + 1;
    }
    at == border
}

/// Length of the uncompressed name at the start of `wire`, root label included; none if there is no whole one.
#[inline]
#[must_use]
pub fn wire_len(wire: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*wire.get(at)?);
        if len > MAX_LABEL_LEN {
            return None;
        }
        at += len + 1;
        if at > MAX_NAME_LEN || at > wire.len() {
            return None;
        }
        if len == 0 {
            return Some(at);
        }
    }
}

/// Reads presentation form into `wire`, letters as they are, and says how long the name is.
///
/// # Errors
///
/// See [`QName::from_presentation`].
pub fn parse_presentation(text: &[u8], wire: &mut [u8; MAX_NAME_LEN]) -> Result<usize, NameError> {
    if text == b"." {
        wire[0] = 0;
        return Ok(1);
    }
    let mut label_start = 0;
    let mut at = 1;
    let mut rest = text;
    while let Some(Taken {
        byte,
        escaped,
        rest: tail,
    }) = next_byte(rest)?
    {
        rest = tail;
        if byte == b'.' && !escaped {
            close_label(wire, label_start, at)?;
            label_start = at;
        } else {
            *wire.get_mut(at).ok_or(NameError::NameTooLong)? = byte;
        }
        at += 1;
    }
    if at - label_start > 1 {
        close_label(wire, label_start, at)?;
        label_start = at;
    } else if text.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    *wire.get_mut(label_start).ok_or(NameError::NameTooLong)? = 0;
    Ok(label_start + 1)
}

/// Writes the length of the label that began at `start` and ends before `end`.
fn close_label(wire: &mut [u8; MAX_NAME_LEN], start: usize, end: usize) -> Result<(), NameError> {
    match end - start - 1 {
        0 => Err(NameError::EmptyLabel),
        len @ 1..=MAX_LABEL_LEN => {
            *wire.get_mut(start).ok_or(NameError::NameTooLong)? = len as u8;
            Ok(())
        }
        _ => Err(NameError::LabelTooLong),
    }
}

/// One byte of presentation form, and what follows it.
struct Taken<'a> {
    byte: u8,
    escaped: bool,
    rest: &'a [u8],
}

/// Takes one byte, escaped or plain, off presentation form.
fn next_byte(text: &[u8]) -> Result<Option<Taken<'_>>, NameError> {
    let (byte, escaped, rest) = match text {
        [] => return Ok(None),
        [
            b'\\',
            a @ b'0'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            rest @ ..,
        ] => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            (u8::try_from(value).map_err(|_| NameError::BadEscape)?, true, rest)
        }
        [b'\\', byte, rest @ ..] if !byte.is_ascii_digit() => (*byte, true, rest),
        [b'\\', ..] => return Err(NameError::BadEscape),
        [byte, rest @ ..] => (*byte, false, rest),
    };
    Ok(Some(Taken { byte, escaped, rest }))
}

/// Writes one byte of a label as presentation form and says how many characters it took.
fn escape(byte: u8, out: &mut [u8]) -> usize {
    match byte {
        b'.' | b' ' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\' => {
            out[0] = b'\\';
            out[1] = byte;
            2
        }
        b'!'..=b'~' => {
            out[0] = byte;
            1
        }
        _ => {
            out[..4].copy_from_slice(&[b'\\', b'0' + byte / 100, b'0' + byte / 10 % 10, b'0' + byte % 10]);
            4
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn presentation_round_trips() {
        for (case, text, wire, shown) in [
            ("root", ".", &b"\0"[..], "."),
            (
                "plain",
                "www.example.org.",
                b"\x03www\x07example\x03org\0",
                "www.example.org.",
            ),
            (
                "no dot at the end",
                "example.org",
                b"\x07example\x03org\0",
                "example.org.",
            ),
            (
                "capitals",
                "WWW.Example.ORG.",
                b"\x03www\x07example\x03org\0",
                "www.example.org.",
            ),
            (
                "decimal escape",
                r"a\000\255b.",
                b"\x04a\0\xffb\0",
                r"a\000\255b.",
            ),
            ("escaped dot", r"a\.b.c.", b"\x03a.b\x01c\0", r"a\.b.c."),
            (
                "specials",
                r#"\ \'\@\;\(\)\"\\."#,
                b"\x08 '@;()\"\\\0",
                r#"\ \'\@\;\(\)\"\\."#,
            ),
            ("escape that needs none", r"\a.", b"\x01a\0", "a."),
            ("decimal of a dot", r"\046.", b"\x01.\0", r"\.."),
            ("raw non-ASCII", "ä.", b"\x02\xc3\xa4\0", r"\195\164."),
        ] {
            let name = QName::from_presentation(text).unwrap();
            assert_eq!(name.as_wire(), wire, "case {case}");
            assert_eq!(name.to_string(), shown, "case {case}");
            assert_eq!(QName::from_wire(wire).unwrap(), name, "case {case}");
        }
    }

    #[test]
    fn broken_presentation_is_refused() {
        let long_label = "a".repeat(64);
        let long_name = "abcdefg.".repeat(32);
        for (case, text, want) in [
            ("empty", "", NameError::EmptyLabel),
            ("two dots", "a..b.", NameError::EmptyLabel),
            ("dot first", ".a.", NameError::EmptyLabel),
            ("only dots", "..", NameError::EmptyLabel),
            ("backslash last", r"a\", NameError::BadEscape),
            ("two digits", r"a\12.", NameError::BadEscape),
            ("over 255", r"a\256.", NameError::BadEscape),
            ("label", &long_label, NameError::LabelTooLong),
            ("name", &long_name, NameError::NameTooLong),
        ] {
            assert_eq!(QName::from_presentation(text).unwrap_err(), want, "case {case}");
        }
    }

    #[test]
    fn longest_names_fit() {
        let text = "a.".repeat(127);
        let name = QName::from_presentation(&text).unwrap();
        assert_eq!((name.as_wire().len(), name.label_count()), (255, MAX_LABELS));
        assert_eq!(
            QName::from_presentation(&"a.".repeat(128)).unwrap_err(),
            NameError::NameTooLong
        );
        let text = format!("{}.", "b".repeat(63));
        assert_eq!(QName::from_presentation(&text).unwrap().as_wire().len(), 65);
    }

    #[test]
    fn zones_contain_their_names() {
        for (case, zone, name, want) in [
            ("apex", "example.org", "example.org", true),
            ("below", "example.org", "a.b.example.org", true),
            ("root zone", ".", "example.org", true),
            ("root in root", ".", ".", true),
            ("parent", "example.org", "org", false),
            ("half a label", "example.org", "notexample.org", false),
            ("label that looks like a border", "b", r"a\001b.", false),
            ("capitals", "EXAMPLE.org", "A.example.ORG", true),
        ] {
            let zone: Zone = zone.parse().unwrap();
            let name: QName = name.parse().unwrap();
            assert_eq!(name.is_within(&zone), want, "case {case}");
        }
    }

    #[test]
    fn suffixes_go_to_the_root() {
        let name: QName = "a.bc.d.".parse().unwrap();
        let shown: Vec<_> = name
            .suffixes()
            .map(|suffix| presentation(suffix).to_string())
            .collect();
        assert_eq!(shown, ["a.bc.d.", "bc.d.", "d.", "."]);
        assert_eq!(name.parent().unwrap().to_string(), "bc.d.");
        assert_eq!(QName::root().parent(), None);
        assert_eq!(name.labels().collect::<Vec<_>>(), [&b"a"[..], b"bc", b"d"]);
    }

    #[test]
    fn broken_wire_names_are_refused() {
        for (case, wire) in [
            ("empty", &b""[..]),
            ("no root", b"\x01a"),
            ("label cut", b"\x05abc"),
            ("pointer", b"\xc0\x0c"),
            ("reserved", b"\x40a\0"),
            ("behind the root", b"\x01a\0\0"),
        ] {
            assert_eq!(
                QName::from_wire(wire).unwrap_err(),
                NameError::Malformed,
                "case {case}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_labels_survive_presentation(
            labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..12)
        ) {
            let mut wire = Vec::new();
            for label in &labels {
                wire.push(label.len() as u8);
                wire.extend_from_slice(label);
            }
            wire.push(0);
            prop_assume!(wire.len() <= MAX_NAME_LEN);
            let name = QName::from_wire(&wire).unwrap();
            let text = name.to_string();
            prop_assert!(text.bytes().all(|b| (b'!'..=b'~').contains(&b) || b == b' '));
            prop_assert_eq!(QName::from_presentation(&text).unwrap(), name);
        }

        #[test]
        fn random_input_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,300}") {
            let _ = QName::from_wire(&bytes);
            let _ = QName::from_presentation(&text);
            let _ = presentation(&bytes).to_string();
            let _ = is_suffix(&[1, 97, 0], &bytes);
        }
    }
}
