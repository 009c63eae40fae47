//! Directives and their options, and the checks of their arguments.

use std::ops::RangeInclusive;

use super::{ConfigError, Span, Token};

/// A directive of a server block, or a line in the block behind one: a name, arguments, perhaps a block of its own.
///
/// ```
/// use std::time::Duration;
/// use catena_core::corefile::{ConfigError, Directive, testing::parse_directives};
///
/// const OPTIONS: &[&str] = &["fallthrough", "reload"];
///
/// fn reload(hosts: &Directive) -> Result<Duration, ConfigError> {
///     let mut reload = Duration::from_secs(5);
///     for option in hosts.options() {
///         match option.name() {
///             "reload" => reload = option.one_arg("DURATION")?.duration()?,
///             "fallthrough" => option.no_args()?,
///             _ => return Err(option.unknown_option(OPTIONS)),
///         }
///     }
///     Ok(reload)
/// }
///
/// let lines = parse_directives("hosts {\n reload 3s\n fallthrough\n}").unwrap();
/// assert_eq!(reload(&lines[0]).unwrap(), Duration::from_secs(3));
///
/// let lines = parse_directives("hosts {\n relaod 3s\n}").unwrap();
/// assert_eq!(reload(&lines[0]).unwrap_err().to_string(), "\
/// Corefile:2:2: unknown option `relaod` (one of: fallthrough, reload)
///   |
/// 2 |  relaod 3s
///   |  ^^^^^^
///   = did you mean `reload`?");
/// ```
#[derive(Clone, Debug)]
pub struct Directive {
    name: Token,
    args: Vec<Token>,
    block: Option<Vec<Self>>,
    /// 0 for a directive, 1 for a line in its block, and so on.
    depth: usize,
}

impl Directive {
    /// Puts a directive together; the parser does, and tests may.
    #[must_use]
    pub const fn new(name: Token, args: Vec<Token>, block: Option<Vec<Self>>) -> Self {
        Self {
            name,
            args,
            block,
            depth: 0,
        }
    }

    pub(super) const fn at_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// The first word of the line.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The first word of the line with its place, as where a line has no name but values alone.
    #[must_use]
    pub const fn name_token(&self) -> &Token {
        &self.name
    }

    /// Where the name stands.
    #[must_use]
    pub const fn span(&self) -> &Span {
        self.name.span()
    }

    /// The words behind the name, up to the end of the line or an opening brace, unchecked.
    #[must_use]
    pub fn args(&self) -> &[Token] {
        &self.args
    }

    /// The name and the arguments.
    pub fn words(&self) -> impl Iterator<Item = &Token> {
        std::iter::once(&self.name).chain(&self.args)
    }

    /// The lines of the block behind this one; none if there is no block.
    #[must_use]
    pub fn options(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Whether an opening brace follows, be the block empty or not.
    #[must_use]
    pub const fn has_block(&self) -> bool {
        self.block.is_some()
    }

    /// An error at the name; the message is lower-case, without a full stop at its end.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        self.name.error(message)
    }

    /// The error for a line that the block does not know. `known` lists the names in the order in which to show them.
    #[must_use]
    pub fn unknown_option(&self, known: &[&str]) -> ConfigError {
        let message = match known {
            [] => format!("unknown option `{}`: no options here", self.name),
            _ => format!("unknown option `{}` (one of: {})", self.name, known.join(", ")),
        };
        self.error(message)
            .with_nearest(self.name(), known.iter().copied())
    }

    /// Checks that nothing but the name stands on the line. As all readers of arguments, it refuses a block behind an
    /// option (a line within a block), where nobody would read it; not behind a directive, whose block is read apart.
    ///
    /// # Errors
    ///
    /// There is an argument, at which the error stands, or a block behind an option.
    pub fn no_args(&self) -> Result<(), ConfigError> {
        self.args_between(0..=0, "no arguments").map(drop)
    }

    /// Checks that no block follows.
    ///
    /// # Errors
    ///
    /// There is a block.
    pub fn no_block(&self) -> Result<(), ConfigError> {
        if self.has_block() {
            return Err(self.error(format!("`{}` takes no block", self.name)));
        }
        Ok(())
    }

    /// The only argument. `what` says what it is, in the words of the documented syntax, such as `DURATION`.
    ///
    /// # Errors
    ///
    /// There is none, or more than one, or a block behind an option.
    pub fn one_arg(&self, what: &str) -> Result<&Token, ConfigError> {
        Ok(&self.args_between(1..=1, what)?[0])
    }

    /// The only argument, if there is one.
    ///
    /// # Errors
    ///
    /// There is more than one, or a block behind an option.
    pub fn optional_arg(&self, what: &str) -> Result<Option<&Token>, ConfigError> {
        Ok(self.args_between(0..=1, what)?.first())
    }

    /// All arguments, whose number lies in `range`. `what` says what they are, in the words of the documented syntax,
    /// such as `[TTL] [ZONE]`.
    ///
    /// ```
    /// # use catena_core::corefile::testing::parse_directives;
    /// let chaos = &parse_directives("cache 30 example.org").unwrap()[0];
    /// assert_eq!(
    ///     chaos.args_between(0..=1, "[TTL]").unwrap_err().headline(),
    ///     "Corefile:1:10: wrong argument count: unexpected `example.org` after `cache`, expected [TTL]",
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// There are more or fewer, or there is a block behind an option.
    pub fn args_between(&self, range: RangeInclusive<usize>, what: &str) -> Result<&[Token], ConfigError> {
        if let Some(surplus) = self.args.get(*range.end()) {
            let message = format!(
                "wrong argument count: unexpected `{surplus}` after `{}`",
                self.name
            );
            return Err(hint_at_brace(surplus, surplus.error(message)).with_expected(what));
        }
        if self.args.len() < *range.start() {
            return Err(self
                .error(format!("wrong argument count after `{}`", self.name))
                .with_expected(what));
        }
        if self.depth > 0 {
            self.no_block()?;
        }
        Ok(&self.args)
    }

    /// All arguments, of which there are `min` or more.
    ///
    /// # Errors
    ///
    /// There are fewer, or there is a block behind an option.
    pub fn at_least(&self, min: usize, what: &str) -> Result<&[Token], ConfigError> {
        self.args_between(min..=usize::MAX, what)
    }
}

/// Advises where a surplus word is a brace that was put on the line of an option.
fn hint_at_brace(surplus: &Token, error: ConfigError) -> ConfigError {
    if *surplus == "}" {
        return error.with_note("a closing brace stands on a line of its own");
    }
    error
}

/// A server block: the keys before the brace, and the directives in it.
#[derive(Clone, Debug)]
pub struct ServerBlock {
    /// Zones with schemes and ports, as they stand in the file; never empty. [`keys`](super::keys) reads them.
    pub keys: Vec<Token>,
    /// The directives in the order of the file; one that occurs several times is there several times.
    pub directives: Vec<Directive>,
}

impl ServerBlock {
    /// All occurrences of a directive, in the order of the file.
    pub fn directives_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Directive> {
        self.directives
            .iter()
            .filter(move |directive| directive.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use crate::corefile::testing::parse_directives;

    use super::*;

    /// What a reader says of the first option in a block of that text.
    fn said(text: &str, read: fn(&Directive) -> Result<String, ConfigError>) -> String {
        let lines = parse_directives(&format!("hosts {{\n{text}\n}}")).unwrap();
        read(&lines[0].options()[0]).unwrap_or_else(|error| error.headline())
    }

    #[test]
    fn arguments_are_counted() {
        let none: fn(&Directive) -> _ = |line| line.no_args().map(|()| "fine".to_owned());
        let one: fn(&Directive) -> _ = |line| line.one_arg("SECONDS").map(Token::to_string);
        let optional: fn(&Directive) -> _ = |line| {
            line.optional_arg("[SECONDS]")
                .map(|arg| arg.map_or_else(|| "nothing".to_owned(), Token::to_string))
        };
        let several: fn(&Directive) -> _ = |line| {
            line.at_least(2, "ZONE ZONE...")
                .map(|args| args.len().to_string())
        };
        for (case, text, read, want) in [
            ("none", "ttl", none, "fine"),
            (
                "none, one too many",
                "ttl 5",
                none,
                "Corefile:2:5: wrong argument count: unexpected `5` after `ttl`, \
              expected no arguments",
            ),
            (
                "none, block",
                "ttl {\n}",
                none,
                "Corefile:2:1: `ttl` takes no block",
            ),
            ("one", "ttl 5", one, "5"),
            (
                "one, missing",
                "ttl",
                one,
                "Corefile:2:1: wrong argument count after `ttl`, expected SECONDS",
            ),
            (
                "one, one too many",
                "ttl 5 6",
                one,
                "Corefile:2:7: wrong argument count: unexpected `6` after `ttl`, \
              expected SECONDS",
            ),
            (
                "one, block",
                "ttl 5 {\n}",
                one,
                "Corefile:2:1: `ttl` takes no block",
            ),
            ("optional", "ttl 5", optional, "5"),
            ("optional, missing", "ttl", optional, "nothing"),
            ("several", "ttl 5 6 7", several, "3"),
            (
                "several, too few",
                "ttl 5",
                several,
                "Corefile:2:1: wrong argument count after `ttl`, \
              expected ZONE ZONE...",
            ),
        ] {
            assert_eq!(said(text, read), want, "case {case}");
        }
    }

    #[test]
    fn a_directive_may_have_a_block_and_its_arguments_be_counted() {
        let lines = parse_directives("hosts file {\n ttl 5\n}").unwrap();
        assert_eq!(*lines[0].one_arg("FILE").unwrap(), "file");
        assert!(lines[0].no_block().is_err());
    }

    #[test]
    fn a_closing_brace_on_the_line_of_an_option_is_explained() {
        let lines = parse_directives("hosts { ttl 5 }").unwrap();
        let error = lines[0].options()[0].one_arg("SECONDS").unwrap_err().to_string();
        assert!(
            error.ends_with("= a closing brace stands on a line of its own"),
            "{error}"
        );
    }

    #[test]
    fn unknown_options_name_the_known_ones() {
        let lines = parse_directives("hosts {\n tll 5\n}").unwrap();
        let error = lines[0].options()[0].unknown_option(&["reload", "ttl"]);
        assert_eq!(error.message(), "unknown option `tll` (one of: reload, ttl)");
        assert_eq!(error.suggestion(), Some("ttl"));
        assert_eq!(
            lines[0].options()[0].unknown_option(&[]).message(),
            "unknown option `tll`: no options here"
        );
    }
}
