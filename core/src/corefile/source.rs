//! Where a token stands: a file, a place in it, and the imports that led there.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One text that was read: the Corefile itself or a file that it imports.
#[derive(PartialEq, Eq)]
pub struct Source {
    name: String,
    path: Option<PathBuf>,
    text: String,
}

impl Source {
    /// Makes a source of a name to show in messages, the file's absolute path if it has one, and its text.
    #[must_use]
    pub fn new(name: impl Into<String>, path: Option<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path,
            text: text.into(),
        }
    }

    /// The name shown in messages, such as `Corefile`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The absolute path; none for text that came from elsewhere, such as standard input.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The whole text, with each byte that is not UTF-8 replaced by U+FFFD.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a line, counted from 1, without its end; empty if there is no such line.
    #[must_use]
    pub fn line(&self, number: u32) -> &str {
        let line = self
            .text
            .split('\n')
            .nth(number.saturating_sub(1) as usize)
            .unwrap_or_default();
        line.strip_suffix('\r').unwrap_or(line)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The place of a token.
#[derive(Clone)]
pub struct Span {
    /// The text in which it stands.
    pub source: Arc<Source>,
    /// The line, from 1 on.
    pub line: u32,
    /// The column in characters, from 1 on.
    pub column: u32,
    /// How many characters it takes on its first line, quotes included.
    pub len: u32,
    /// The `import` that brought it here, if it came by one.
    pub imports: Option<Arc<ImportSite>>,
}

impl Span {
    /// A place in a text that nobody imported.
    #[must_use]
    pub const fn new(source: Arc<Source>, line: u32, column: u32, len: u32) -> Self {
        Self {
            source,
            line,
            column,
            len,
            imports: None,
        }
    }

    /// The imports that led here, the innermost first.
    pub fn import_chain(&self) -> impl Iterator<Item = &ImportSite> {
        std::iter::successors(self.imports.as_deref(), |site| site.span.imports.as_deref())
    }

    /// Whether both places are in the same text.
    #[must_use]
    pub fn same_source(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source) || self.source.name == other.source.name
    }
}

impl fmt::Display for Span {
    /// Writes `FILE:LINE:COLUMN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line, self.column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An `import` that was followed.
#[derive(Clone, Debug)]
pub struct ImportSite {
    /// The place of what is imported: the token behind `import`.
    pub span: Span,
    /// The snippet's name or the file's path.
    pub target: String,
    /// How many imports lie above this one, itself included.
    pub depth: usize,
    /// Whether the target is a snippet, not a file.
    pub is_snippet: bool,
}
