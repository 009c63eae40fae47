//! The words of a record's text.

use std::borrow::Cow;
use std::str::FromStr;

use crate::RecordError;

/// A word; escapes stand in it as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) quoted: bool,
}

impl Field<'_> {
    /// As it is written.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    pub(crate) fn bad(&self, what: &'static str) -> RecordError {
        RecordError::Word {
            what,
            word: self.text().into_owned(),
        }
    }

    /// The bytes that the word means: `\DDD` is a byte by its number, `\X` is X.
    pub(crate) fn unescaped(&self, what: &'static str) -> Result<Vec<u8>, RecordError> {
        let mut out = Vec::with_capacity(self.bytes.len());
        let mut rest = &*self.bytes;
        while let [first, behind @ ..] = rest {
            rest = behind;
            if *first != b'\\' {
                out.push(*first);
                continue;
            }
            match behind {
                [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', behind @ ..] => {
                    let code = [a, b, c]
                        .iter()
                        .fold(0_u16, |code, digit| code * 10 + u16::from(**digit - b'0'));
                    out.push(u8::try_from(code).map_err(|_| self.bad(what))?);
                    rest = behind;
                }
                [letter, behind @ ..] => {
                    out.push(*letter);
                    rest = behind;
                }
                [] => return Err(self.bad(what)),
            }
        }
        Ok(out)
    }
}

/// The words of the first record of a text; it may go over several lines within parentheses.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    words: Vec<Field<'a>>,
    /// How many of them have been taken.
    taken: usize,
}

impl<'a> Fields<'a> {
    /// Cuts the text into words, up to the end of the first line that has some.
    pub(crate) fn split(text: &'a str) -> Result<Self, RecordError> {
        let bytes = text.as_bytes();
        let mut words = Vec::with_capacity(8);
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(&byte) = bytes.get(at) {
            let start = at;
            at += 1;
            match byte {
                b' ' | b'\t' | b'\r' => {}
                b'\n' if depth == 0 && !words.is_empty() => break,
                b'\n' => {}
                b'(' => depth += 1,
                b')' => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or(RecordError::Form("a parenthesis that was not opened"))?
                }
                b';' => at += bytes[at..].iter().take_while(|byte| **byte != b'\n').count(),
                b'"' => {
                    let len = word_len(&bytes[at..], |byte| byte == b'"');
                    at += len + 1;
                    if at > bytes.len() {
                        return Err(RecordError::Form("a quote or a parenthesis is not closed"));
                    }
                    words.push(Field {
                        bytes: Cow::Borrowed(&bytes[start + 1..at - 1]),
                        quoted: true,
                    });
                }
                _ => {
                    at = start + word_len(&bytes[start..], |byte| b" \t\r\n();\"".contains(&byte));
                    words.push(Field {
                        bytes: Cow::Borrowed(&bytes[start..at]),
                        quoted: false,
                    });
                }
            }
        }
        if depth > 0 {
            return Err(RecordError::Form("a quote or a parenthesis is not closed"));
        }
        if words.is_empty() {
            return Err(RecordError::Empty);
        }
        Ok(Self { words, taken: 0 })
    }

    pub(crate) fn next(&mut self) -> Option<Field<'a>> {
        let field = self.words.get(self.taken)?.clone();
        self.taken += 1;
        Some(field)
    }

    pub(crate) fn peek(&self) -> Option<&Field<'a>> {
        self.words.get(self.taken)
    }

    pub(crate) fn take(&mut self, what: &'static str) -> Result<Field<'a>, RecordError> {
        self.next().ok_or(RecordError::Missing(what))
    }

    pub(crate) fn parse<T: FromStr>(&mut self, what: &'static str) -> Result<T, RecordError> {
        let field = self.take(what)?;
        field.text().parse().map_err(|_| field.bad(what))
    }

    pub(crate) fn u8(&mut self, out: &mut Vec<u8>, what: &'static str) -> Result<(), RecordError> {
        out.push(self.parse(what)?);
        Ok(())
    }

    pub(crate) fn u16(&mut self, out: &mut Vec<u8>, what: &'static str) -> Result<(), RecordError> {
        out.extend(self.parse::<u16>(what)?.to_be_bytes());
        Ok(())
    }

    /// Text as one character string, or several where it is longer than 255 bytes.
    pub(crate) fn string(&mut self, out: &mut Vec<u8>, what: &'static str) -> Result<(), RecordError> {
        let text = self.take(what)?.unescaped(what)?;
        if text.is_empty() {
            out.push(0);
        }
        for part in text.chunks(255) {
            out.push(part.len() as u8);
            out.extend_from_slice(part);
        }
        Ok(())
    }

    /// All words that are left, as hexadecimal digits.
    pub(crate) fn hex(&mut self, out: &mut Vec<u8>, what: &'static str) -> Result<(), RecordError> {
        let word = self.rest(what)?;
        let digits: Option<Vec<u8>> = word
            .bytes
            .iter()
            .map(|&byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
            .collect();
        let digits = digits
            .filter(|digits| digits.len().is_multiple_of(2))
            .ok_or_else(|| word.bad(what))?;
        out.extend(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
        Ok(())
    }

    /// All words that are left, in base64.
    pub(crate) fn base64(&mut self, out: &mut Vec<u8>, what: &'static str) -> Result<(), RecordError> {
        let word = self.rest(what)?;
        out.extend(base64(&word.bytes).ok_or_else(|| word.bad(what))?);
        Ok(())
    }

    fn rest(&mut self, what: &'static str) -> Result<Field<'a>, RecordError> {
        let mut all = self.take(what)?;
        while let Some(more) = self.next() {
            all.bytes.to_mut().extend_from_slice(&more.bytes);
        }
        Ok(all)
    }
}

/// The length of a word up to a byte that ends it; a byte behind a backslash does not.
fn word_len(bytes: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let mut len = 0;
    while let Some(&byte) = bytes.get(len) {
        if ends(byte) {
            break;
        }
        len += if byte == b'\\' { 2 } else { 1 };
    }
    len.min(bytes.len())
}

/// Decodes base64 with its padding (RFC 4648, section 4).
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    if !text.len().is_multiple_of(4) || digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.chunks(4) {
        let mut bits = 0_u32;
        for byte in chunk {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(digit);
        }
        bits <<= 6 * (4 - chunk.len());
        out.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(out)
}
