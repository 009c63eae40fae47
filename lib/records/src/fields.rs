//! The words of a record's text.

use std::collections::VecDeque;
use std::str::FromStr;

use crate::RecordError;

/// A word; escapes stand in it as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) bytes: Vec<u8>,
    pub(crate) quoted: bool,
}

impl Field {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn bad(&self, what: &'static str) -> RecordError {
        RecordError::Word {
            what,
            word: self.text(),
        }
    }

    /// The bytes that the word means: `\DDD` is a byte by its number, `\X` is X.
    pub(crate) fn unescaped(&self, what: &'static str) -> Result<Vec<u8>, RecordError> {
        let mut out = Vec::with_capacity(self.bytes.len());
        let mut rest = self.bytes.as_slice();
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

/// The words of one record, which may go over several lines within parentheses.
#[derive(Debug)]
pub(crate) struct Fields(VecDeque<Field>);

impl Fields {
    pub(crate) fn split(text: &str) -> Result<Self, RecordError> {
        let mut fields = VecDeque::new();
        let mut word: Option<Field> = None;
        let (mut depth, mut ended) = (0_usize, false);
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            if let Some(field) = word.as_mut().filter(|field| field.quoted) {
                match byte {
                    b'"' => fields.extend(word.take()),
                    b'\\' => {
                        field.bytes.push(byte);
                        field.bytes.extend(bytes.next());
                    }
                    byte => field.bytes.push(byte),
                }
                continue;
            }
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';' | b'"' => fields.extend(word.take()),
                _ if ended => return Err(RecordError::Form("more than one record")),
                _ => {}
            }
            match byte {
                b' ' | b'\t' | b'\r' => {}
                b'\n' => ended |= depth == 0 && !fields.is_empty(),
                b'(' => depth += 1,
                b')' => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or(RecordError::Form("a parenthesis that was not opened"))?
                }
                b';' => {
                    let line_ends = bytes.by_ref().any(|byte| byte == b'\n');
                    ended |= line_ends && depth == 0 && !fields.is_empty();
                }
                b'"' if ended => return Err(RecordError::Form("more than one record")),
                b'"' => {
                    word = Some(Field {
                        bytes: Vec::new(),
                        quoted: true,
                    })
                }
                byte => {
                    let field = word.get_or_insert_with(|| Field {
                        bytes: Vec::new(),
                        quoted: false,
                    });
                    field.bytes.push(byte);
                    if byte == b'\\' {
                        field.bytes.extend(bytes.next());
                    }
                }
            }
        }
        if word.as_ref().is_some_and(|field| field.quoted) || depth > 0 {
            return Err(RecordError::Form("a quote or a parenthesis is not closed"));
        }
        fields.extend(word);
        if fields.is_empty() {
            return Err(RecordError::Empty);
        }
        Ok(Self(fields))
    }

    pub(crate) fn next(&mut self) -> Option<Field> {
        self.0.pop_front()
    }

    pub(crate) fn peek(&self) -> Option<&Field> {
        self.0.front()
    }

    pub(crate) fn take(&mut self, what: &'static str) -> Result<Field, RecordError> {
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

    fn rest(&mut self, what: &'static str) -> Result<Field, RecordError> {
        let mut all = self.take(what)?;
        while let Some(more) = self.next() {
            all.bytes.extend(more.bytes);
        }
        Ok(all)
    }
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
