//! Regular expressions as Corefiles have them, in RE2's syntax, brought into that of the crate `regex`.
//!
//! The two agree in most. Where they do not, a pattern would be refused here that works with CoreDNS, or mean something
//! else: octal escapes, `\Q...\E`, `\<`, literal braces, brackets and `&&` within a class, and `\d`, `\s`, `\w` and `\b`,
//! which are about ASCII alone. What only the crate knows, such as `(?x)`, is refused.

use std::fmt::Write as _;

/// Most repetitions that `{n}` may ask for: RE2's.
const MAX_REPEAT: u32 = 1000;

/// Names of classes within brackets, as in `[[:alpha:]]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Why a pattern is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A part that RE2 does not know, or that cannot stand where it stands.
    #[error("{what}: `{part}`")]
    Part {
        /// What is wrong with it.
        what: &'static str,
        /// The part.
        part: String,
    },
    /// The pattern ends too early.
    #[error("{0}")]
    End(&'static str),
}

/// Brings a pattern in RE2's syntax into the syntax of the crate `regex`.
///
/// ```
/// use catena_core::corefile::regex_of_re2;
///
/// let pattern = regex_of_re2(r"^[a[]{,2}\.$").unwrap();
/// assert!(regex::Regex::new(&pattern).unwrap().is_match("[{,2}."));
/// assert_eq!(
///     regex_of_re2("^(?!www)").unwrap_err().to_string(),
///     "invalid or unsupported Perl syntax: `(?!`",
/// );
/// ```
///
/// # Errors
///
/// What RE2 refuses, as far as the crate would not refuse it as well.
pub fn regex_of_re2(pattern: &str) -> Result<String, PatternError> {
    let mut translation = Translation {
        rest: pattern,
        out: String::with_capacity(pattern.len() + pattern.len() / 2),
    };
    let mut repeated = false;
    while let Some(next) = translation.rest.chars().next() {
        let before = translation.rest;
        let repeats = translation.repetition()?;
        if repeats && repeated {
            let part = &before[..before.len() - translation.rest.len()];
            return Err(bad("invalid nested repetition operator", part));
        }
        repeated = repeats;
        if !repeats {
            translation.atom(next)?;
        }
    }
    Ok(translation.out)
}

fn bad(what: &'static str, part: &str) -> PatternError {
    PatternError::Part {
        what,
        part: part.to_owned(),
    }
}

struct Translation<'a> {
    rest: &'a str,
    out: String,
}

impl<'a> Translation<'a> {
    /// Takes one character.
    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    /// Takes `text` if it comes next.
    fn skip(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Writes one character that stands for itself.
    fn literal(&mut self, letter: char) {
        match letter {
            '\0'..='\x1f' | '\x7f'.. => {
                // Writing to a text does not fail.
                let _ = write!(self.out, r"\x{{{:X}}}", u32::from(letter));
            }
            _ if means_something(letter) => self.out.extend(['\\', letter]),
            _ => self.out.push(letter),
        }
    }

    /// Takes `*`, `+`, `?` or `{n,m}` with what makes it lazy, if one is next.
    fn repetition(&mut self) -> Result<bool, PatternError> {
        let len = match self.rest.as_bytes().first() {
            Some(b'*' | b'+' | b'?') => 1,
            Some(b'{') => match counts(self.rest) {
                Some((len, min, max)) => {
                    if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || max < min) {
                        return Err(bad("invalid repeat count", &self.rest[..len]));
                    }
                    len
                }
                None => return Ok(false),
            },
            _ => return Ok(false),
        };
        let (operator, rest) = self.rest.split_at(len);
        self.out.push_str(operator);
        self.rest = rest;
        if self.skip("?") {
            self.out.push('?');
        }
        Ok(true)
    }

    fn atom(&mut self, next: char) -> Result<(), PatternError> {
        match next {
            '\\' if self.skip(r"\Q") => {
                let (quoted, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
                self.rest = rest;
                quoted.chars().for_each(|letter| self.literal(letter));
            }
            '\\' => self.escape()?,
            '(' => self.group()?,
            '[' => self.class()?,
            ')' | '|' | '.' | '^' | '$' => {
                self.take();
                self.out.push(next);
            }
            letter => {
                self.take();
                self.literal(letter);
            }
        }
        Ok(())
    }

    /// Takes the beginning of a group.
    fn group(&mut self) -> Result<(), PatternError> {
        let whole = self.rest;
        self.rest = &self.rest[1..];
        if !self.skip("?") {
            self.out.push('(');
            return Ok(());
        }
        if self.skip("P<") || self.skip("<") {
            let (name, rest) = self
                .rest
                .split_once('>')
                .ok_or_else(|| bad("invalid named capture", whole))?;
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_word) {
                return Err(bad("invalid named capture", &whole[..whole.len() - rest.len()]));
            }
            if name.as_bytes()[0].is_ascii_digit() {
                return Err(bad("the name of a group begins with a digit", name));
            }
            self.rest = rest;
            let _ = write!(self.out, "(?P<{name}>");
            return Ok(());
        }
        let flags_len = self
            .rest
            .bytes()
            .take_while(|byte| matches!(byte, b'i' | b'm' | b's' | b'U' | b'-'))
            .count();
        let (flags, rest) = self.rest.split_at(flags_len);
        let known = flags.matches('-').count() <= 1 && !flags.ends_with('-');
        match rest.chars().next() {
            Some(end @ (':' | ')')) if known => {
                self.rest = &rest[1..];
                if flags.is_empty() && end == ')' {
                    self.out.push_str("(?:)");
                } else {
                    let _ = write!(self.out, "(?{flags}{end}");
                }
                Ok(())
            }
            next => {
                let len = 2 + flags_len + next.map_or(0, char::len_utf8);
                Err(bad("invalid or unsupported Perl syntax", &whole[..len]))
            }
        }
    }

    /// Takes an escape outside of brackets.
    fn escape(&mut self) -> Result<(), PatternError> {
        for (escape, meaning) in [
            (r"\A", r"\A"),
            (r"\z", r"\z"),
            (r"\b", r"(?-u:\b)"),
            (r"\B", r"(?-u:\B)"),
        ] {
            if self.skip(escape) {
                self.out.push_str(meaning);
                return Ok(());
            }
        }
        if !self.class_escape()? {
            let letter = self.character()?;
            self.literal(letter);
        }
        Ok(())
    }

    /// Takes an escape for a class of characters, if one is next.
    fn class_escape(&mut self) -> Result<bool, PatternError> {
        for (escape, meaning) in [
            (r"\d", "[0-9]"),
            (r"\D", "[^0-9]"),
            (r"\s", r"[\t\n\x0C\r ]"),
            (r"\S", r"[^\t\n\x0C\r ]"),
            (r"\w", "[0-9A-Za-z_]"),
            (r"\W", "[^0-9A-Za-z_]"),
        ] {
            if self.skip(escape) {
                self.out.push_str(meaning);
                return Ok(true);
            }
        }
        let whole = self.rest;
        let mut negated = if self.skip(r"\p") {
            false
        } else if self.skip(r"\P") {
            true
        } else {
            return Ok(false);
        };
        let name = if self.skip("{") {
            let (name, rest) = self
                .rest
                .split_once('}')
                .ok_or_else(|| bad("invalid character class range", whole))?;
            self.rest = rest;
            name
        } else {
            let len = self.take().map_or(0, char::len_utf8);
            &whole[2..2 + len]
        };
        let name = name.strip_prefix('^').map_or(name, |name| {
            negated = !negated;
            name
        });
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        {
            let part = &whole[..whole.len() - self.rest.len()];
            return Err(bad("invalid character class range", part));
        }
        let _ = write!(self.out, r"\{}{{{name}}}", if negated { 'P' } else { 'p' });
        Ok(true)
    }

    /// Takes one character, escaped or not, and gives what it stands for.
    fn character(&mut self) -> Result<char, PatternError> {
        let whole = self.rest;
        let escaped = match self.take() {
            Some('\\') => self
                .take()
                .ok_or(PatternError::End("trailing backslash at end of expression"))?,
            Some(letter) => return Ok(letter),
            None => return Err(PatternError::End("missing closing ]")),
        };
        let code = match escaped {
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            'x' => self.hexadecimal(),
            '0'..='7' => self.octal(escaped),
            letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => Some(u32::from(letter)),
            _ => None,
        };
        code.and_then(char::from_u32)
            .ok_or_else(|| bad("invalid escape sequence", &whole[..whole.len() - self.rest.len()]))
    }

    /// Takes `{10FFFF}` or two digits.
    fn hexadecimal(&mut self) -> Option<u32> {
        let (digits, rest) = match self.rest.strip_prefix('{') {
            Some(behind) => behind.split_once('}')?,
            None => (self.rest.get(..2)?, self.rest.get(2..)?),
        };
        self.rest = rest;
        let sound = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        sound.then(|| u32::from_str_radix(digits, 16).ok())?
    }

    /// Takes what follows the first of at most three digits; a single one but nought would be a back reference.
    fn octal(&mut self, first: char) -> Option<u32> {
        let more: &'a str = self.rest;
        let count = more
            .bytes()
            .take(2)
            .take_while(|byte| matches!(byte, b'0'..=b'7'))
            .count();
        if first != '0' && count == 0 {
            return None;
        }
        self.rest = &more[count..];
        u32::from_str_radix(&format!("{first}{}", &more[..count]), 8).ok()
    }

    /// Takes a class in brackets.
    fn class(&mut self) -> Result<(), PatternError> {
        let whole = self.rest;
        self.rest = &self.rest[1..];
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.skip("]") {
            if self.rest.is_empty() {
                return Err(bad("missing closing ]", whole));
            }
            first = false;
            if self.posix()? || self.class_escape()? {
                continue;
            }
            let before = self.rest;
            let low = self.character()?;
            self.literal(low);
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
                self.rest = &self.rest[1..];
                let high = self.character()?;
                if high < low {
                    let part = &before[..before.len() - self.rest.len()];
                    return Err(bad("invalid character class range", part));
                }
                self.out.push('-');
                self.literal(high);
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// Takes `[:alpha:]`, if such a class is next.
    fn posix(&mut self) -> Result<bool, PatternError> {
        let Some((name, rest)) = self
            .rest
            .strip_prefix("[:")
            .and_then(|behind| behind.split_once(":]"))
        else {
            return Ok(false);
        };
        let whole = &self.rest[..self.rest.len() - rest.len()];
        if !POSIX.contains(&name.trim_start_matches('^')) || name.starts_with("^^") {
            return Err(bad("invalid character class range", whole));
        }
        self.out.push_str(whole);
        self.rest = rest;
        Ok(true)
    }
}

/// Whether a character means something to the crate `regex`, outside of classes or within.
fn means_something(letter: char) -> bool {
    r"\.+*?()|[]{}^$#&-~".contains(letter)
}

/// Reads `{n}`, `{n,}` or `{n,m}`: its length and the counts. Anything else is text.
fn counts(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let (inner, _) = text.strip_prefix('{')?.split_once('}')?;
    let number = |digits: &str| {
        let sound = !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0'));
        sound.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (min, max) = match inner.split_once(',') {
        None => (number(inner)?, None),
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((inner.len() + 2, min, max))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn regex(pattern: &str) -> regex::Regex {
        let translated = regex_of_re2(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        regex::Regex::new(&translated).unwrap_or_else(|error| panic!("{pattern}: {error}"))
    }

    #[test]
    fn patterns_mean_what_they_mean_to_re2() {
        for (pattern, yes, no) in [
            (r"^a\.b$", &["a.b"][..], &["axb", "a.b."][..]),
            (r"(?i)^www", &["WWW.a"], &["aWWW"]),
            (r"^(?i:a)b", &["Ab", "ab"], &["AB"]),
            (r"^(?P<x>[a-z]+)-(?<y>\d+)$", &["ab-12"], &["ab-", "ab-\u{663}"]),
            (r"^\w+\s\W\S\D$", &["ab -xx"], &["\u{e4} -xx"]),
            (r"\bfoo\b", &["a.foo.b"], &["afoo"]),
            (r"a\Bb", &["ab"], &["a.b"]),
            (r"^\Qa.b[\E+$", &["a.b[["], &["axb["]),
            (r"^\Qa.b", &["a.bc"], &["axb"]),
            (r"^a{,2}$", &["a{,2}"], &["aa"]),
            (r"^a{2}b{1,}c{0,1}?$", &["aabb", "aabc"], &["aab{", "ab"]),
            (r"^a{x}{$", &["a{x}{"], &["ax"]),
            (r"^a{01}$", &["a{01}"], &["a"]),
            (r"^[a[]+$", &["a[["], &["b"]),
            (r"^[]a]+$", &["]a"], &["b"]),
            (r"^[^]a]+$", &["bc"], &["]"]),
            (r"^[a&&b]+$", &["a&b"], &["c"]),
            (r"^[a-c-e]+$", &["b-e"], &["d"]),
            (r"^[a~~b-]+$", &["~-"], &["c"]),
            (r"^[[:alpha:][:^digit:]_]+$", &["ab_-"], &["1"]),
            (r"^[[:word:]\d\pL]+$", &["a_1\u{e4}"], &["-"]),
            (r"^\p{Greek}\P{Greek}\p{^Greek}$", &["\u{3b1}ab"], &["aab"]),
            (r"^\<\>\_$", &["<>_"], &["a"]),
            (r"^\x41\x{42}\103\0$", &["ABC\0"], &["ABC"]),
            (r"^\a\f\n\r\t\v$", &["\x07\x0c\n\r\t\x0b"], &[""]),
            (r"^a#b c$", &["a#b c"], &["a"]),
            (r"^(?)a(?:b)(?s-i:.)$", &["ab\n"], &["a"]),
            (r"\Aab\z", &["ab"], &["ab\n"]),
            (r"^a??b*?c+?$", &["bc", "acc"], &["ab"]),
            (r"^[\]\-\\]+$", &["]-\\"], &["a"]),
            ("^\u{e4}+$", &["\u{e4}\u{e4}"], &["a"]),
        ] {
            let regex = regex(pattern);
            for text in yes {
                assert!(regex.is_match(text), "{pattern} on {text:?}");
            }
            for text in no {
                assert!(!regex.is_match(text), "{pattern} on {text:?}");
            }
        }
    }

    #[test]
    fn groups_keep_their_names() {
        let regex = regex("(a)(?P<b_1>c)(?<D>.)");
        let names: Vec<_> = regex.capture_names().flatten().collect();
        assert_eq!(names, ["b_1", "D"]);
    }

    #[test]
    fn what_re2_does_not_know_is_refused() {
        for (pattern, want) in [
            ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?<=a)", "invalid named capture: `(?<=a)`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
            ("a(?", "invalid or unsupported Perl syntax: `(?`"),
            ("(?P<a b>c)", "invalid named capture: `(?P<a b>`"),
            ("(?P<>c)", "invalid named capture: `(?P<>`"),
            ("(?P<1>c)", "the name of a group begins with a digit: `1`"),
            (r"(a)\1", r"invalid escape sequence: `\1`"),
            (r"\8", r"invalid escape sequence: `\8`"),
            (r"\C", r"invalid escape sequence: `\C`"),
            (r"\Z", r"invalid escape sequence: `\Z`"),
            (r"\x{110000}", r"invalid escape sequence: `\x{110000}`"),
            (r"\xg", r"invalid escape sequence: `\x`"),
            (r"[\b]", r"invalid escape sequence: `\b`"),
            ("a\\", "trailing backslash at end of expression"),
            ("[a", "missing closing ]: `[a`"),
            ("[", "missing closing ]: `[`"),
            ("[]", "missing closing ]: `[]`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("[[:what:]]", "invalid character class range: `[:what:]`"),
            (r"\p{Gr", r"invalid character class range: `\p{Gr`"),
            (r"\p{}", r"invalid character class range: `\p{}`"),
            ("a**", "invalid nested repetition operator: `*`"),
            ("a{2}{3}", "invalid nested repetition operator: `{3}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ] {
            assert_eq!(regex_of_re2(pattern).unwrap_err().to_string(), want, "{pattern}");
        }
    }

    proptest! {
        /// Plain text between quotes is found as it is.
        #[test]
        fn quoted_text_stands_for_itself(text in r"[ -~]{0,30}") {
            prop_assume!(!text.contains(r"\E"));
            let found = regex(&format!(r"^\Q{text}\E$")).is_match(&text);
            prop_assert!(found);
        }

        /// No text makes the translation panic.
        #[test]
        fn any_text_is_a_pattern_or_refused(text in r"[-a-c0-3(){}\[\]\\?*+|^$.:PQExp<>=!,&~ä]{0,30}") {
            if let Ok(pattern) = regex_of_re2(&text) {
                let _ = regex::Regex::new(&pattern);
            }
        }
    }
}
