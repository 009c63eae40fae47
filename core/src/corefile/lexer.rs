//! Text to words, in the notation of CoreDNS's Corefile.
//!
//! A word ends at white space. One that begins with a quote runs to the next quote, line breaks and all; in it, a
//! backslash before a quote makes that a letter of the word, and a backslash before anything else stands for itself.
//! A `#` between words hides the rest of the line; within a word, it hides what follows up to the next blank.

use std::sync::Arc;

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{take_till, take_till1, take_while1},
    character::complete::{anychar, char},
    combinator::{map, opt, recognize},
    multi::many0_count,
    sequence::preceded,
};

use super::{Source, Span, Token};

/// One piece of a Corefile's text; pieces lie side by side and make up the whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// White space.
    Blank(&'a str),
    /// A `#` between words and all behind it on its line.
    Comment(&'a str),
    /// A word in quotes, the quotes left out; `closed` unless the text ended before the second quote.
    Quoted { inner: &'a str, closed: bool },
    /// A word as it stands, with a comment that begins within it.
    Word(&'a str),
}

impl Piece<'_> {
    /// What the piece means, if it is a word.
    pub(super) fn word(&self) -> Option<String> {
        match *self {
            Self::Blank(_) | Self::Comment(_) => None,
            Self::Word(raw) => {
                let word = raw.split('#').next().unwrap_or_default();
                Some(word.replace('\r', ""))
            }
            Self::Quoted { inner, closed } => {
                let text = unescape(inner);
                (closed || !text.is_empty()).then_some(text)
            }
        }
    }
}

/// Cuts a text into its pieces.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = (&str, Piece<'_>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (behind, piece) = piece(rest).ok()?;
        let raw = &rest[..rest.len() - behind.len()];
        rest = behind;
        Some((raw, piece))
    })
}

/// Reads the words of a text, up to `max` of them.
///
/// # Errors
///
/// There are more; the error is the place of the first one that is too many.
pub(super) fn tokens(source: &Arc<Source>, max: usize) -> Result<Vec<Token>, Span> {
    let mut found = Vec::new();
    let mut place = Place { line: 1, column: 1 };
    for (raw, piece) in pieces(source.text()) {
        if let Some(word) = piece.word() {
            let visible = raw.split('\n').next().unwrap_or_default().chars().count();
            let len = u32::try_from(visible).unwrap_or(u32::MAX);
            let span = Span::new(Arc::clone(source), place.line, place.column, len);
            if found.len() == max {
                return Err(span);
            }
            found.push(Token::new(word, span, matches!(piece, Piece::Quoted { .. })));
        }
        place.pass(raw);
    }
    Ok(found)
}

/// Decodes a file's bytes as Go's reader of runes does: a byte that is no UTF-8 becomes U+FFFD, each by itself, and a
/// byte order mark at the start is left out.
pub(super) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    match text.strip_prefix('\u{FEFF}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

struct Place {
    line: u32,
    column: u32,
}

impl Place {
    fn pass(&mut self, raw: &str) {
        let mut lines = raw.split('\n');
        let first = lines.next().unwrap_or_default();
        self.column = self.column.saturating_add(count(first));
        for line in lines {
            self.line = self.line.saturating_add(1);
            self.column = count(line).saturating_add(1);
        }
    }
}

fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

fn piece(text: &str) -> IResult<&str, Piece<'_>> {
    alt((
        map(take_while1(char::is_whitespace), Piece::Blank),
        map(
            recognize((char('#'), take_till(|letter| letter == '\n'))),
            Piece::Comment,
        ),
        quoted,
        // A carriage return does not end a word, it is left out of it.
        map(
            take_till1(|letter: char| letter.is_whitespace() && letter != '\r'),
            Piece::Word,
        ),
    ))
    .parse(text)
}

fn quoted(text: &str) -> IResult<&str, Piece<'_>> {
    let plain = take_while1(|letter| letter != '"' && letter != '\\');
    let escape = recognize((char('\\'), opt(anychar)));
    let (text, inner) = preceded(char('"'), recognize(many0_count(alt((plain, escape))))).parse(text)?;
    let (text, end) = opt(char('"')).parse(text)?;
    Ok((
        text,
        Piece::Quoted {
            inner,
            closed: end.is_some(),
        },
    ))
}

/// Takes the backslash before quotes away; one at the very end of a text that ends within quotes is lost.
fn unescape(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match (letter, if letter == '\\' { letters.next() } else { None }) {
            ('\\', None) => {}
            ('\\', Some('"')) => text.push('"'),
            ('\\', Some(other)) => text.extend(['\\', other]),
            (plain, _) => text.push(plain),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, u32, u32)> {
        let source = Arc::new(Source::new("Corefile", None, text));
        let tokens = tokens(&source, 1000).unwrap();
        tokens
            .iter()
            .map(|token| (token.to_string(), token.span().line, token.span().column))
            .collect()
    }

    #[test]
    fn finds_words_and_their_places() {
        for (case, text, want) in [
            (
                "blanks",
                " a\tb\u{a0}c\r\n  d",
                vec![("a", 1, 2), ("b", 1, 4), ("c", 1, 6), ("d", 2, 3)],
            ),
            (
                "quotes",
                r#""a b" "" "c"#,
                vec![("a b", 1, 1), ("", 1, 7), ("c", 1, 10)],
            ),
            (
                "escapes",
                r#""\"a\" \n \\" b"#,
                vec![("\"a\" \\n \\\\", 1, 1), ("b", 1, 15)],
            ),
            (
                "quote within a word",
                r#"a"b c""#,
                vec![("a\"b", 1, 1), ("c\"", 1, 5)],
            ),
            (
                "nothing between quotes and word",
                r#""a"b"c""#,
                vec![("a", 1, 1), ("b\"c\"", 1, 4)],
            ),
            (
                "line break in quotes",
                "\"a\n b\" c",
                vec![("a\n b", 1, 1), ("c", 2, 5)],
            ),
            ("comment", "a # b \"\nc", vec![("a", 1, 1), ("c", 2, 1)]),
            (
                "comment within a word",
                "a#b c\nd#\ne",
                vec![("a", 1, 1), ("c", 1, 5), ("d", 2, 1), ("e", 3, 1)],
            ),
            (
                "comment behind quotes",
                "\"a\"#b c\nd",
                vec![("a", 1, 1), ("d", 2, 1)],
            ),
            ("hash in quotes", "\"a#b\"", vec![("a#b", 1, 1)]),
            ("carriage return within a word", "a\rb\r\n", vec![("ab", 1, 1)]),
            ("quotes that do not end", "\"a\\", vec![("a", 1, 1)]),
            (
                "quotes that hold nothing and do not end",
                "a \"",
                vec![("a", 1, 1)],
            ),
            ("nothing", "", vec![]),
        ] {
            let want: Vec<_> = want
                .into_iter()
                .map(|(word, line, column)| (word.to_owned(), line, column))
                .collect();
            assert_eq!(words(text), want, "case {case}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced_one_by_one() {
        assert_eq!(decode(b"\xef\xbb\xbfa"), "a");
        assert_eq!(decode(b"a\xe2\x82b\xff"), "a\u{FFFD}\u{FFFD}b\u{FFFD}");
    }

    #[test]
    fn too_many_words_are_refused_where_they_begin_to_be() {
        let source = Arc::new(Source::new("Corefile", None, "a b c"));
        assert_eq!(tokens(&source, 2).unwrap_err().column, 5);
    }
}
