//! Splits an expression into tokens.

use crate::ExprError;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Int(i64),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    /// A name, or an operator that is a word.
    Word(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Signs, the longer ones before those that they begin with.
const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "**", "..", "??", "?.", "::", "(", ")", "[", "]", "{", "}", ",", ".",
    ":", "?", "!", "<", ">", "+", "-", "*", "/", "%", "^", "|", "#", ";", "=",
];

/// Splits the text; each token comes with its place, counted in characters from 1.
pub(crate) fn split(text: &str) -> Result<Vec<(Token, usize)>, ExprError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text[..text.len() - rest.len()].chars().count() + 1;
        let Some(first) = rest.chars().next() else {
            tokens.push((Token::End, at));
            return Ok(tokens);
        };
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            let (_, behind) = comment
                .split_once("*/")
                .ok_or_else(|| ExprError::at(at, "unclosed comment"))?;
            rest = behind;
            continue;
        }
        let begins_number = first.is_ascii_digit()
            || (first == '.' && rest[1..].starts_with(|next: char| next.is_ascii_digit()));
        let (token, len) = match first {
            '"' | '\'' => {
                let (bytes, len) = string(rest, first, at, false)?;
                let text = String::from_utf8(bytes);
                let text = text.map_err(|_| ExprError::at(at, "a literal that is no text"))?;
                (Token::Str(text), len)
            }
            'b' | 'B' if rest[1..].starts_with(['"', '\'']) => {
                let quote = if rest[1..].starts_with('"') { '"' } else { '\'' };
                let (bytes, len) = string(&rest[1..], quote, at, true)?;
                (Token::Bytes(bytes), len + 1)
            }
            '`' => raw_string(rest, at)?,
            _ if begins_number => number(rest, at)?,
            _ if first.is_alphabetic() || first == '_' || first == '$' => word(rest),
            _ => sign(rest).ok_or_else(|| ExprError::at(at, format!("unrecognized character `{first}`")))?,
        };
        tokens.push((token, at));
        rest = &rest[len..];
    }
}

fn sign(rest: &str) -> Option<(Token, usize)> {
    let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
    Some((Token::Sign(sign), sign.len()))
}

fn word(rest: &str) -> (Token, usize) {
    let belongs = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let len = rest.find(|letter| !belongs(letter)).unwrap_or(rest.len());
    (Token::Word(rest[..len].to_owned()), len)
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), ExprError> {
    let bad = |text: &str| ExprError::at(at, format!("bad number `{text}`"));
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0b", 2), ("0o", 8)] {
        if let Some(digits) = rest.strip_prefix(prefix) {
            let len = digits.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            let digits = &digits[..len.unwrap_or(digits.len())];
            let value = i64::from_str_radix(&digits.replace('_', ""), radix).map_err(|_| bad(digits))?;
            return Ok((Token::Int(value), prefix.len() + digits.len()));
        }
    }
    let bytes = rest.as_bytes();
    let digits = |mut at: usize| {
        while bytes
            .get(at)
            .is_some_and(|byte| byte.is_ascii_digit() || *byte == b'_')
        {
            at += 1;
        }
        at
    };
    let whole = digits(0);
    let mut len = whole;
    // `1..5` is a range.
    if bytes.get(len) == Some(&b'.') && bytes.get(len + 1) != Some(&b'.') {
        len = digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let end = digits(len + 1 + signed);
        if end > len + 1 + signed {
            len = end;
        }
    }
    let text = rest[..len].replace('_', "");
    let token = if len == whole {
        text.parse().map(Token::Int).map_err(|_| bad(&text))?
    } else {
        text.parse().map(Token::Float).map_err(|_| bad(&text))?
    };
    if rest[len..].starts_with(|next: char| next.is_alphanumeric()) {
        return Err(bad(&rest[..=len]));
    }
    Ok((token, len))
}

fn raw_string(rest: &str, at: usize) -> Result<(Token, usize), ExprError> {
    let end = rest[1..]
        .find('`')
        .ok_or_else(|| ExprError::at(at, "literal not terminated"))?;
    Ok((Token::Str(rest[1..=end].to_owned()), end + 2))
}

/// The bytes of a literal and its length. In one of `bytes`, an escape is a byte and not a character.
fn string(rest: &str, quote: char, at: usize, bytes: bool) -> Result<(Vec<u8>, usize), ExprError> {
    let mut out = Vec::new();
    let mut letters = rest.char_indices().skip(1);
    let unclosed = || ExprError::at(at, "literal not terminated");
    while let Some((place, letter)) = letters.next() {
        let letter = match letter {
            letter if letter == quote => return Ok((out, place + 1)),
            '\n' => break,
            '\\' => {
                let (_, escaped) = letters.next().ok_or_else(unclosed)?;
                let mut code = |digits: usize, first: &str, radix: u32| {
                    let mut hex = first.to_owned();
                    hex.extend(letters.by_ref().take(digits).map(|(_, letter)| letter));
                    let code = u32::from_str_radix(&hex, radix).ok();
                    let code = code
                        .filter(|code| !bytes || *code <= 0xff)
                        .and_then(char::from_u32);
                    code.ok_or_else(|| ExprError::at(at, format!("bad escape in a literal: `{hex}`")))
                };
                let coded = match escaped {
                    'x' => Some(code(2, "", 16)?),
                    '0'..='3' => Some(code(2, &escaped.to_string(), 8)?),
                    'u' if !bytes => Some(code(4, "", 16)?),
                    'U' if !bytes => Some(code(8, "", 16)?),
                    _ => None,
                };
                if let (true, Some(Ok(byte))) = (bytes, coded.map(u8::try_from)) {
                    out.push(byte);
                    continue;
                }
                let unknown = || ExprError::at(at, format!("unknown escape `\\{escaped}` in a literal"));
                coded.or_else(|| escape(escaped)).ok_or_else(unknown)?
            }
            letter => letter,
        };
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Err(unclosed())
}

/// What a letter behind a backslash stands for.
const fn escape(letter: char) -> Option<char> {
    Some(match letter {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '\'' | '"' | '`' => letter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_all_kinds() {
        let word = |text: &str| Token::Word(text.to_owned());
        let text = |text: &str| Token::Str(text.to_owned());
        for (source, want) in [
            ("name()", vec![word("name"), Token::Sign("("), Token::Sign(")")]),
            (
                "1 0x1F 1_000 1.5 .5 1e3 2.5e-1",
                vec![
                    Token::Int(1),
                    Token::Int(31),
                    Token::Int(1000),
                    Token::Float(1.5),
                    Token::Float(0.5),
                    Token::Float(1000.0),
                    Token::Float(0.25),
                ],
            ),
            ("1..3", vec![Token::Int(1), Token::Sign(".."), Token::Int(3)]),
            (
                r#"'a\'b' "c\"\n" `d\n`"#,
                vec![text("a'b"), text("c\"\n"), text("d\\n")],
            ),
            (r"'\x41\u00e9\101'", vec![text("AéA")]),
            ("a // b\n<=", vec![word("a"), Token::Sign("<=")]),
            ("a /* b */ ??", vec![word("a"), Token::Sign("??")]),
            ("", vec![]),
        ] {
            let mut tokens: Vec<_> = split(source)
                .unwrap()
                .into_iter()
                .map(|(token, _)| token)
                .collect();
            assert_eq!(tokens.pop(), Some(Token::End));
            assert_eq!(tokens, want, "{source}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_at_its_place() {
        for (source, place) in [
            ("a @", 3),
            ("'a", 1),
            ("a 'b\n'", 3),
            ("`a", 1),
            (r"'\q'", 1),
            ("1a", 1),
            ("0xzz", 1),
            ("/* a", 1),
            ("é @", 3),
        ] {
            assert_eq!(split(source).unwrap_err().place, place, "{source}");
        }
    }
}
