//! A word of a Corefile, and its reading as a typed value.

use std::fmt;

use super::{ConfigError, Span};

/// A word of the Corefile, with its place: environment variables are replaced, quotes and escapes are gone.
///
/// The readers turn it into a value, or into an error that names its place, shows it and says what was expected:
///
/// ```
/// use std::time::Duration;
/// use catena_core::corefile::testing::parse_directives;
///
/// let reload = &parse_directives("reload 30s 1d").unwrap()[0];
/// assert_eq!(reload.args()[0].duration().unwrap(), Duration::from_secs(30));
/// assert_eq!(
///     reload.args()[1].duration().unwrap_err().headline(),
///     "Corefile:1:12: got `1d`, expected a duration such as 5s or 1h30m",
/// );
/// ```
#[derive(Clone)]
pub struct Token {
    text: String,
    /// The exact bytes, where they are not UTF-8 and `text` is but their likeness.
    bytes: Option<Box<[u8]>>,
    span: Span,
    quoted: bool,
}

impl Token {
    /// Makes a token; the parser does, and tests may.
    #[must_use]
    pub fn new(text: impl Into<String>, span: Span, quoted: bool) -> Self {
        Self {
            text: text.into(),
            bytes: None,
            span,
            quoted,
        }
    }

    /// Replaces the text by bytes, which need not be UTF-8.
    pub(super) fn set_bytes(&mut self, bytes: Vec<u8>) {
        match String::from_utf8(bytes) {
            Ok(text) => (self.text, self.bytes) = (text, None),
            Err(error) => {
                self.text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                self.bytes = Some(error.into_bytes().into_boxed_slice());
            }
        }
    }

    pub(super) const fn span_mut(&mut self) -> &mut Span {
        &mut self.span
    }

    /// The word. Bytes that are not UTF-8 (they can only come from an environment variable) show as U+FFFD here;
    /// [`as_bytes`](Self::as_bytes) has them as they were.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The word's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// Where the word stands.
    #[must_use]
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// Whether the word stood in quotes.
    #[must_use]
    pub const fn is_quoted(&self) -> bool {
        self.quoted
    }

    /// An error at this word; the message is lower-case, without a full stop at its end.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.span.clone(), message)
    }

    /// The error that this word is not what had to stand here: "got `x`, expected WHAT".
    #[must_use]
    pub fn expected(&self, what: impl Into<String>) -> ConfigError {
        self.error(format!("got `{}`", self.text)).with_expected(what)
    }

    /// Whether `next` continues this word's line, as CoreDNS's dispenser sees it: in the same text, and on the line
    /// where this word ends.
    pub(super) fn line_goes_on(&self, next: &Self) -> bool {
        self.span.same_source(&next.span) && self.last_line() == next.span.line
    }

    /// Whether `next` begins a new line, as CoreDNS's parser sees it. Not quite the contrary of
    /// [`line_goes_on`](Self::line_goes_on): a word can also lie before this one, when a snippet brought it.
    pub(super) fn line_ends_before(&self, next: &Self) -> bool {
        !self.span.same_source(&next.span) || self.last_line() < next.span.line
    }

    fn last_line(&self) -> u32 {
        let breaks = self.as_bytes().iter().filter(|byte| **byte == b'\n').count();
        self.span
            .line
            .saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.text, self.span)
    }
}

impl PartialEq<str> for Token {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Token {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl AsRef<str> for Token {
    fn as_ref(&self) -> &str {
        &self.text
    }
}
