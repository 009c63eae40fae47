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
