//! The Corefile: text to server blocks, and their words to typed values.
//!
//! A Corefile is a list of server blocks. Each begins with keys (zones, with a scheme and a port if need be) and holds
//! directives, one a line. A directive has arguments and may have a block of options behind it:
//!
//! ```text
//! example.org:53 tls://example.org {
//!     cache 30 {
//!         prefetch 10 1m
//!     }
//! }
//! ```
//!
//! It is read in three steps. [`Corefile::parse`] makes [`ServerBlock`]s of text, with environment variables replaced
//! and imports followed; [`keys`] reads the keys of a block; and each plugin reads its own [`Directive`]s with the
//! typed readers of [`Directive`] and [`Token`]. Every word carries its place ([`Span`]), so an error of any of the
//! three names file, line and column, shows the line, and says how it was imported.
//!
//! What is read, and how, is as in CoreDNS 1.14.7, quirks included: a quoted brace is a brace, a `#` within a word
//! hides only the rest of that word, a plugin's block opens on the line of its name, a closing brace stands first on
//! its line, and values of environment variables are never cut into words.

mod directive;
mod duration;
mod environment;
mod error;
mod format;
mod import;
mod keys;
#[cfg(test)]
mod laws;
mod lexer;
mod parser;
mod pattern;
mod print;
mod source;
mod structure;
mod suggest;
pub mod testing;
#[cfg(test)]
mod tests;
mod token;
mod value;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha512};

use self::parser::Parser;
pub use self::{
    directive::{Directive, ServerBlock},
    environment::Environment,
    error::{Collector, ConfigError, ConfigErrors, ConfigWarning},
    format::format,
    keys::{Key, Scheme, Served, keys},
    pattern::{PatternError, regex_of_re2},
    source::{ImportSite, Source, Span},
    suggest::nearest,
    token::Token,
    value::MAX_PATTERN_LEN,
};

/// A Corefile that was read.
#[derive(Clone, Debug)]
pub struct Corefile {
    /// The server blocks, in the order of the file; none if it is empty.
    pub blocks: Vec<ServerBlock>,
    /// The files that were read, the Corefile itself first if it is one: what `reload` watches.
    pub files: Vec<PathBuf>,
    /// What works, yet probably not as it was meant.
    pub warnings: Vec<ConfigWarning>,
}

impl Corefile {
    /// Reads a Corefile and all that it imports.
    ///
    /// ```
    /// use catena_core::corefile::{Corefile, Input, Rules};
    ///
    /// let rules = Rules::new(&["errors", "forward", "log"]);
    /// let corefile = Corefile::parse(&Input::new("Corefile", b".:53 {\n log\n}"), &rules).unwrap();
    /// assert_eq!(corefile.blocks[0].directives[0].name(), "log");
    ///
    /// let errors = Corefile::parse(&Input::new("Corefile", b".:53 {\n forwrad . 192.0.2.1\n}"), &rules).unwrap_err();
    /// assert_eq!(errors.to_string(), "\
    /// Corefile:2:2: Error during parsing: Unknown directive 'forwrad'
    ///   |
    /// 2 |  forwrad . 192.0.2.1
    ///   |  ^^^^^^^
    ///   = did you mean `forward`?");
    /// ```
    ///
    /// # Errors
    ///
    /// All independent errors at once: unknown directives, braces that do not fit, imports that cannot be followed or
    /// lead back to themselves, and text beyond the limits.
    pub fn parse(input: &Input<'_>, rules: &Rules<'_>) -> Result<Self, ConfigErrors> {
        Parser::new(rules).parse_corefile(input)
    }

    /// What tells this Corefile from another: SHA-512, in hexadecimal digits, of keys, words and their lines. Comments
    /// at a line's end, blanks and quotes make no difference.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha512::new();
        for block in &self.blocks {
            hash.update(b"\0block");
            for key in &block.keys {
                hash.update(b"\0key\0");
                hash.update(key.as_bytes());
            }
            hash_lines(&mut hash, &block.directives);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What tells a server block from another: SHA-512, in hexadecimal digits, of its keys and words, wherever they stand.
pub(crate) fn fingerprint(keys: &[Token], lines: &[Directive]) -> String {
    let mut hash = Sha512::new();
    for key in keys {
        hash.update(b"\0key\0");
        hash.update(key.as_bytes());
    }
    hash_words(&mut hash, lines);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_words(hash: &mut Sha512, lines: &[Directive]) {
    hash.update(b"\0{");
    for line in lines {
        hash.update(b"\0line");
        for word in line.words() {
            hash.update(b"\0word\0");
            hash.update(word.as_bytes());
        }
        hash_words(hash, line.options());
    }
    hash.update(b"\0}");
}

fn hash_lines(hash: &mut Sha512, lines: &[Directive]) {
    hash.update(b"\0{");
    for line in lines {
        for word in line.words() {
            hash.update(b"\0word\0");
            hash.update(word.span().source.name().as_bytes());
            hash.update(b"\0");
            hash.update(word.span().line.to_be_bytes());
            hash.update(word.as_bytes());
        }
        hash_lines(hash, line.options());
    }
    hash.update(b"\0}");
}

/// The text of a Corefile.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    name: String,
    path: Option<PathBuf>,
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    /// A text, and the name that messages give it. What it imports is looked for from the current folder.
    #[must_use]
    pub fn new(name: impl Into<String>, bytes: &'a [u8]) -> Self {
        Self {
            name: name.into(),
            path: None,
            bytes,
        }
    }

    /// Says which file the text was read from: what it imports is looked for from that file's folder.
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.path = Some(import::absolute(path.as_ref()));
        self
    }
}

/// What the parser needs to know beside the text.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    known: Option<&'a [&'a str]>,
    unavailable: &'a [&'a str],
    limits: Limits,
    environment: Environment<'a>,
    files: bool,
}

impl<'a> Rules<'a> {
    /// Rules for a server that has the plugins `known`; variables come from the process's environment.
    #[must_use]
    pub fn new(known: &'a [&'a str]) -> Self {
        Self {
            known: Some(known),
            ..Self::any_directive()
        }
    }

    /// Rules under which every directive is known.
    #[must_use]
    pub fn any_directive() -> Self {
        Self {
            known: None,
            unavailable: &[],
            limits: Limits::default(),
            environment: &|name| std::env::var_os(name),
            files: true,
        }
    }

    /// Names plugins that this version does not have yet: an error then says so.
    #[must_use]
    pub const fn with_unavailable(mut self, names: &'a [&'a str]) -> Self {
        self.unavailable = names;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Follows imports of snippets only; a file or a pattern is never found.
    #[must_use]
    pub const fn without_files(mut self) -> Self {
        self.files = false;
        self
    }

    /// Sets where environment variables come from.
    #[must_use]
    pub const fn with_environment(mut self, environment: Environment<'a>) -> Self {
        self.environment = environment;
        self
    }
}

impl std::fmt::Debug for Rules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules")
            .field("known", &self.known)
            .field("unavailable", &self.unavailable)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bounds of what a Corefile may take. A file that exceeds one is refused with an error that says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Size of one file, in bytes. By default 16 MiB: a list of 300,000 hosts within a Corefile.
    pub file_bytes: usize,
    /// Size of all files, each counted as often as it is imported. By default 64 MiB.
    pub total_bytes: usize,
    /// Imports that are followed, each file that a pattern matches counted. By default 10,000, as in CoreDNS.
    pub imports: usize,
    /// Imports within imports. By default 100.
    pub import_depth: usize,
    /// Blocks within a directive's block. By default 32.
    pub nesting: usize,
    /// Words in all, imported ones included as often as they are imported. By default 2 million.
    pub words: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            total_bytes: 64 << 20,
            imports: 10_000,
            import_depth: 100,
            nesting: 32,
            words: 2_000_000,
        }
    }
}
