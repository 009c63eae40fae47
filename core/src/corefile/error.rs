//! What is wrong with a Corefile, and how it is shown.

use std::fmt::{self, Write as _};

use super::{nearest, source::Span};

/// Something in a Corefile that cannot be used, and its place.
///
/// Made by the readers of [`Token`](super::Token) and [`Directive`](super::Directive), or by hand:
///
/// ```
/// use catena_core::corefile::testing::parse_directives;
///
/// let lines = parse_directives("hosts {\n  ttl forever\n}").unwrap();
/// let error = lines[0].options()[0].args()[0].error("nothing lasts forever");
/// assert_eq!(error.to_string(), "\
/// Corefile:2:7: nothing lasts forever
///   |
/// 2 |   ttl forever
///   |       ^^^^^^^");
/// ```
#[derive(Clone)]
pub struct ConfigError(Box<Parts>);

#[derive(Clone)]
struct Parts {
    span: Option<Span>,
    directive: Option<String>,
    message: String,
    expected: Option<String>,
    suggestion: Option<String>,
    notes: Vec<String>,
}

impl ConfigError {
    /// An error at a place; the message is lower-case, without a full stop at its end.
    #[must_use]
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self::make(Some(span), message.into())
    }

    /// An error that no token can be blamed for, such as a Corefile that cannot be opened.
    #[must_use]
    pub fn without_place(message: impl Into<String>) -> Self {
        Self::make(None, message.into())
    }

    fn make(span: Option<Span>, message: String) -> Self {
        Self(Box::new(Parts {
            span,
            directive: None,
            message,
            expected: None,
            suggestion: None,
            notes: Vec::new(),
        }))
    }

    /// Names the plugin whose directive it is, unless it is named already: `plugin/NAME: ` goes before the message.
    #[must_use]
    pub fn in_directive(mut self, name: &str) -> Self {
        self.0.directive.get_or_insert_with(|| name.to_owned());
        self
    }

    /// Says what would have fitted, as in `a duration such as 5s`.
    #[must_use]
    pub fn with_expected(mut self, what: impl Into<String>) -> Self {
        self.0.expected = Some(what.into());
        self
    }

    /// Says which word was probably meant.
    #[must_use]
    pub fn with_suggestion(mut self, word: impl Into<String>) -> Self {
        self.0.suggestion = Some(word.into());
        self
    }

    /// Suggests the one of `known` that is nearest to `word`, if one is near.
    #[must_use]
    pub fn with_nearest<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(word, known) {
            Some(known) => self.with_suggestion(known),
            None => self,
        }
    }

    /// Adds a line below the source that explains or advises.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// The place, if there is one.
    #[must_use]
    pub fn span(&self) -> Option<&Span> {
        self.0.span.as_ref()
    }

    /// The message alone, without its place and what was expected.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What would have fitted, if that was said.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        self.0.expected.as_deref()
    }

    /// The word that was probably meant, if one is near.
    #[must_use]
    pub fn suggestion(&self) -> Option<&str> {
        self.0.suggestion.as_deref()
    }

    /// The first line of what is shown: place, plugin, message and what was expected.
    ///
    /// ```
    /// use catena_core::corefile::testing::parse_directives;
    ///
    /// let lines = parse_directives("cache soon").unwrap();
    /// let error = lines[0].args()[0].count(1..).unwrap_err().in_directive("cache");
    /// assert_eq!(error.headline(), "Corefile:1:7: plugin/cache: got `soon`, expected a number of at least 1");
    /// ```
    #[must_use]
    pub fn headline(&self) -> String {
        let Parts {
            span,
            directive,
            message,
            expected,
            ..
        } = &*self.0;
        let mut line = String::new();
        if let Some(span) = span {
            let _ = write!(line, "{span}: ");
        }
        if let Some(directive) = directive {
            let _ = write!(line, "plugin/{directive}: ");
        }
        line.push_str(message);
        if let Some(expected) = expected {
            let _ = write!(line, ", expected {expected}");
        }
        printable(&line)
    }
}

impl fmt::Display for ConfigError {
    /// Writes the headline, the source line with a caret under the token, a suggestion, notes, and the imports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        let margin = self.0.span.as_ref().map_or(1, |span| span.line.to_string().len());
        if let Some(span) = &self.0.span {
            let (line, caret) = excerpt(span);
            if !line.trim().is_empty() {
                write!(
                    f,
                    "\n{:margin$} |\n{} | {line}\n{:margin$} | {caret}",
                    "", span.line, ""
                )?;
            }
        }
        if let Some(word) = &self.0.suggestion {
            write!(f, "\n{:margin$} = did you mean `{}`?", "", printable(word))?;
        }
        for note in &self.0.notes {
            write!(f, "\n{:margin$} = {}", "", printable(note))?;
        }
        let chain = self.0.span.iter().flat_map(Span::import_chain);
        for site in chain.take(SHOWN_IMPORTS) {
            write!(
                f,
                "\n{:margin$} = imported at {} (`{}`)",
                "",
                site.span,
                printable(&site.target)
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

/// All that is wrong with a Corefile, as far as it can be known at once; never empty.
///
/// One error turns into this by `?`; [`Collector`] gathers several.
#[derive(Clone)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors, in the order in which they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.0
    }

    /// Iterates over the errors.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }

    /// Adds what else is wrong.
    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Names the plugin in those errors that name none yet.
    #[must_use]
    pub fn in_directive(self, name: &str) -> Self {
        Self(self.0.into_iter().map(|error| error.in_directive(name)).collect())
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    /// Writes the errors one below the other; beyond 20 only how many there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().take(SHOWN_ERRORS).enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            fmt::Display::fmt(error, f)?;
        }
        match self.0.len().saturating_sub(SHOWN_ERRORS) {
            0 => Ok(()),
            more => write!(f, "\nand {more} errors more"),
        }
    }
}

impl fmt::Debug for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigErrors {}

/// Gathers errors so that all of them are reported at once.
///
/// ```
/// use catena_core::corefile::{Collector, ConfigErrors, Directive, testing::parse_directives};
///
/// fn ttls(lines: &[Directive]) -> Result<Vec<u64>, ConfigErrors> {
///     let mut errors = Collector::default();
///     let mut ttls = Vec::new();
///     for line in lines {
///         ttls.extend(errors.take(line.one_arg("SECONDS").and_then(|arg| arg.count(0..=65535))));
///     }
///     errors.finish(ttls)
/// }
///
/// assert_eq!(ttls(&parse_directives("ttl 5\nttl 6").unwrap()).unwrap(), [5, 6]);
/// assert_eq!(ttls(&parse_directives("ttl x\nttl 6\nttl").unwrap()).unwrap_err().iter().count(), 2);
/// ```
#[derive(Debug, Default)]
pub struct Collector(Vec<ConfigError>);

impl Collector {
    /// Notes one error.
    pub fn push(&mut self, error: ConfigError) {
        self.0.push(error);
    }

    /// Keeps what went wrong, and hands on what went well.
    pub fn take<T, E: Into<ConfigErrors>>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|errors| self.0.extend(errors.into().0)).ok()
    }

    /// Whether nothing went wrong so far.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many errors there are so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives `value` if nothing went wrong.
    ///
    /// # Errors
    ///
    /// All errors that were gathered.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigErrors> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ConfigErrors(self.0))
        }
    }
}

/// Something that works, yet probably not as it was meant.
#[derive(Clone)]
pub struct ConfigWarning(ConfigError);

impl ConfigWarning {
    /// A warning at a place.
    #[must_use]
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self(ConfigError::new(span, message))
    }

    /// The place, if there is one.
    #[must_use]
    pub fn span(&self) -> Option<&Span> {
        self.0.span()
    }

    /// The message alone.
    #[must_use]
    pub fn message(&self) -> &str {
        self.0.message()
    }
}

impl fmt::Display for ConfigWarning {
    /// Writes one line: place and message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.headline())
    }
}

impl fmt::Debug for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// More errors than this are counted, not shown.
const SHOWN_ERRORS: usize = 20;

/// More imports than this are left out of an error.
const SHOWN_IMPORTS: usize = 10;

/// How much of a source line is shown, in characters.
const SHOWN_COLUMNS: usize = 120;

/// Longer messages are cut: a token can be as long as a file.
const SHOWN_MESSAGE: usize = 2000;

/// The source line and the carets under the token, cut to what fits on a screen.
fn excerpt(span: &Span) -> (String, String) {
    let line: Vec<char> = span.source.line(span.line).chars().map(shown).collect();
    let column = (span.column.max(1) - 1) as usize;
    let start = if line.len() <= SHOWN_COLUMNS {
        0
    } else {
        column.saturating_sub(SHOWN_COLUMNS / 3).min(line.len())
    };
    let end = line.len().min(start + SHOWN_COLUMNS);
    let dots = if start > 0 { "..." } else { "" };
    let text: String = line[start..end].iter().collect();
    let carets = (span.len.max(1) as usize).min(end.saturating_sub(column).max(1));
    let tail = if end < line.len() { "..." } else { "" };
    let pad = dots.len() + column.min(end).saturating_sub(start);
    (
        format!("{dots}{}{tail}", text.trim_end()),
        format!("{:pad$}{}", "", "^".repeat(carets)),
    )
}

/// Keeps columns: a tab takes one, and what could move a terminal's cursor is replaced.
fn shown(letter: char) -> char {
    match letter {
        '\t' => ' ',
        letter if letter.is_control() => '\u{FFFD}',
        letter => letter,
    }
}

/// Escapes control characters, and cuts what nobody would read.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (count, letter) in text.chars().enumerate() {
        if count == SHOWN_MESSAGE {
            out.push_str("...");
            break;
        }
        if letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}
