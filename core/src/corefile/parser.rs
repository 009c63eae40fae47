//! Words to server blocks, as CoreDNS's parser groups them.

mod imports;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Collector, ConfigError, ConfigErrors, ConfigWarning, Corefile, Directive, Input, Rules, ServerBlock,
    Source, Span, Token, environment, import, lexer,
    structure::{self, Occurrence},
};

/// Ends the parse: what comes behind such an error cannot be told. The errors are in the parser by then.
struct Fatal;

/// After so many errors, the rest is most likely no Corefile at all.
const MAX_ERRORS: usize = 100;

/// What stands before a block's brace.
struct Keys {
    tokens: Vec<Token>,
    /// Whether the text ended behind them.
    at_end: bool,
}

pub(super) struct Parser<'a> {
    rules: &'a Rules<'a>,
    /// The text's own path, and the folder from which it looks for files.
    path: Option<PathBuf>,
    folder: PathBuf,
    /// Words to come: those of the innermost import last.
    coming: Vec<std::vec::IntoIter<Token>>,
    /// The last word that was taken, for where lines end.
    last: Option<Token>,
    snippets: HashMap<String, Vec<Token>>,
    imports: usize,
    words: usize,
    bytes: usize,
    files: Vec<PathBuf>,
    errors: Collector,
    warnings: Vec<ConfigWarning>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(rules: &'a Rules<'a>) -> Self {
        Self {
            rules,
            path: None,
            folder: PathBuf::new(),
            coming: Vec::new(),
            last: None,
            snippets: HashMap::new(),
            imports: 0,
            words: 0,
            bytes: 0,
            files: Vec::new(),
            errors: Collector::default(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn parse_corefile(mut self, input: &Input<'_>) -> Result<Corefile, ConfigErrors> {
        self.open(input)?;
        let mut blocks = Vec::new();
        while self.peek().is_some() {
            match self.server_block() {
                Ok(block) => blocks.extend(block),
                Err(Fatal) => break,
            }
        }
        self.errors.finish(Corefile {
            blocks,
            files: self.files,
            warnings: self.warnings,
        })
    }

    /// Reads a text that is the inside of a server block.
    pub(super) fn parse_inside(mut self, input: &Input<'_>) -> Result<Vec<Directive>, ConfigErrors> {
        self.open(input)?;
        let mut occurrences = Vec::new();
        if self.directives(&mut occurrences, &[]).is_ok_and(|closed| closed)
            && let Some(brace) = &self.last
        {
            self.errors.push(brace.error("unexpected `}`"));
        }
        let directives = self.structure(occurrences);
        self.errors.finish(directives)
    }

    fn open(&mut self, input: &Input<'_>) -> Result<(), ConfigErrors> {
        let max = self.rules.limits.file_bytes;
        if input.bytes.len() > max {
            return Err(ConfigError::without_place(format!("{}: more than {max} bytes", input.name)).into());
        }
        self.folder = match input.path.as_deref().and_then(Path::parent) {
            Some(folder) => folder.to_owned(),
            None => import::absolute(Path::new(".")),
        };
        self.path.clone_from(&input.path);
        self.bytes = input.bytes.len();
        self.files.extend(input.path.clone());
        let source = Source::new(&input.name, input.path.clone(), lexer::decode(input.bytes));
        let tokens = self.lex(source)?;
        self.coming.push(tokens.into_iter());
        Ok(())
    }

    fn lex(&mut self, source: Source) -> Result<Vec<Token>, ConfigError> {
        let max = self.rules.limits.words;
        let tokens = lexer::tokens(&Arc::new(source), max - self.words)
            .map_err(|place| parse_error(&place, &format!("more than {max} words")))?;
        self.words += tokens.len();
        Ok(tokens)
    }

    fn peek(&mut self) -> Option<&Token> {
        while self.coming.last()?.as_slice().is_empty() {
            self.coming.pop();
        }
        self.coming.last()?.as_slice().first()
    }

    /// Takes the next word, with its variables replaced if `expand`.
    fn take(&mut self, expand: bool) -> Option<Token> {
        self.peek()?;
        let mut token = self.coming.last_mut()?.next()?;
        if expand {
            self.expand(&mut token);
        }
        self.last = Some(token.clone());
        Some(token)
    }

    fn expand(&mut self, token: &mut Token) {
        let result = environment::expand(token, self.rules.environment);
        self.errors.take(result);
    }

    /// Whether the next word begins a line.
    fn at_line_start(&mut self) -> bool {
        let last = self.last.take();
        let starts = match (&last, self.peek()) {
            (Some(last), Some(next)) => last.line_ends_before(next),
            _ => true,
        };
        self.last = last;
        starts
    }

    /// One server block or snippet; nothing for a snippet and for a block without keys.
    fn server_block(&mut self) -> Result<Option<ServerBlock>, Fatal> {
        let Keys { tokens: keys, at_end } = self.keys()?;
        if at_end {
            self.warn_of_odd_keys(&keys);
            return Ok((!keys.is_empty()).then_some(ServerBlock {
                keys,
                directives: Vec::new(),
            }));
        }
        if let [key] = &*keys
            && let Some(name) = key
                .as_str()
                .strip_prefix('(')
                .and_then(|rest| rest.strip_suffix(')'))
        {
            self.snippet(key, name)?;
            return Ok(None);
        }
        let first = self.peek().cloned();
        let directives = self.block(&keys)?;
        if keys.is_empty() {
            if let Some(first) = first {
                let message = "this server block has no zone and is left out";
                self.warnings
                    .push(ConfigWarning::new(first.span().clone(), message));
            }
            return Ok(None);
        }
        self.warn_of_odd_keys(&keys);
        Ok(Some(ServerBlock { keys, directives }))
    }

    /// The keys of a block: the words up to a brace, or to the end of a line that does not end with a comma.
    fn keys(&mut self) -> Result<Keys, Fatal> {
        let mut keys = Keys {
            tokens: Vec::new(),
            at_end: false,
        };
        let mut expecting = false;
        loop {
            let Some(mut key) = self.peek().cloned() else {
                return self.end_of_keys(keys, expecting);
            };
            self.expand(&mut key);
            if key == "import" && self.at_line_start() {
                self.import()?;
                continue;
            }
            if key == "{" {
                if expecting {
                    let message = "Expected another address but had '{' - check for extra comma";
                    self.errors.push(parse_error(key.span(), message));
                }
                return Ok(keys);
            }
            self.take(false);
            if !key.as_bytes().is_empty() {
                expecting = key.as_bytes().ends_with(b",");
                if expecting {
                    key.set_bytes(key.as_bytes()[..key.as_bytes().len() - 1].to_vec());
                }
                keys.tokens.push(key);
            }
            if self.peek().is_none() {
                return self.end_of_keys(keys, expecting);
            }
            if !expecting && self.at_line_start() {
                return Ok(keys);
            }
        }
    }

    fn end_of_keys(&mut self, mut keys: Keys, expecting: bool) -> Result<Keys, Fatal> {
        if expecting {
            return Err(self.unexpected_end());
        }
        keys.at_end = true;
        Ok(keys)
    }

    /// Keeps the words of a snippet for its imports.
    fn snippet(&mut self, key: &Token, name: &str) -> Result<(), Fatal> {
        if self.snippets.contains_key(name) {
            let message = format!("redeclaration of previously declared snippet {name}");
            self.errors.push(parse_error(key.span(), &message));
        }
        match self.take(false) {
            Some(brace) if brace == "{" => {}
            Some(other) => return Err(self.fatal(syntax_error(&other, "{"))),
            None => return Err(self.unexpected_end()),
        }
        let mut words = Vec::new();
        let mut open = 1;
        while let Some(word) = self.take(false) {
            if word == "}" {
                open -= 1;
                if open == 0 {
                    break;
                }
            } else if word == "{" {
                open += 1;
            }
            words.push(word);
        }
        if open > 0 {
            return Err(self.missing_brace());
        }
        self.refuse_self_import(&words, name);
        self.snippets.insert(name.to_owned(), words);
        Ok(())
    }

    /// The directives of a block, with or without braces round them.
    fn block(&mut self, keys: &[Token]) -> Result<Vec<Directive>, Fatal> {
        let braces = self.peek().is_some_and(|word| *word == "{");
        if braces {
            self.take(false);
        }
        let mut occurrences = Vec::new();
        let closed = self.directives(&mut occurrences, keys);
        let directives = self.structure(occurrences);
        let closed = closed?;
        // As in CoreDNS, the brace that closes a plugin's block also closes the server block if the text ends there.
        if braces && !closed && self.last.as_ref().is_none_or(|last| *last != "}") {
            return Err(self.missing_brace());
        }
        Ok(directives)
    }

    fn structure(&mut self, occurrences: Vec<Occurrence>) -> Vec<Directive> {
        structure::directives(
            occurrences,
            self.rules.limits.nesting,
            &mut self.errors,
            &mut self.warnings,
        )
    }

    /// Directives up to a closing brace, or to the end of the text; says which.
    fn directives(&mut self, found: &mut Vec<Occurrence>, keys: &[Token]) -> Result<bool, Fatal> {
        while let Some(word) = self.peek() {
            if *word == "}" {
                self.take(false);
                return Ok(true);
            }
            if *word == "import" {
                self.import()?;
                continue;
            }
            if self.directive(found, keys)? {
                return Ok(true);
            }
            if self.errors.len() > MAX_ERRORS {
                return Err(Fatal);
            }
        }
        Ok(false)
    }

    /// One directive; says whether it ended with the brace of the server block, which is an error.
    fn directive(&mut self, found: &mut Vec<Occurrence>, keys: &[Token]) -> Result<bool, Fatal> {
        let Some(name) = self.take(true) else {
            return Ok(false);
        };
        let known = self.check_name(&name, keys);
        let mut words = vec![name];
        let mut open = 0_usize;
        let mut closed = false;
        while let Some(word) = self.peek() {
            let (opens, closes, imports) = (*word == "{", *word == "}", *word == "import");
            if opens {
                open += 1;
            } else if open == 0 && self.at_line_start() {
                break;
            } else if closes && open == 0 {
                if let Some(brace) = self.take(false) {
                    let message = "Unexpected '}' because no matching opening brace";
                    let note = "the closing brace of a server block stands on a line of its own";
                    self.errors
                        .push(parse_error(brace.span(), message).with_note(note));
                }
                closed = true;
                break;
            } else if closes {
                open -= 1;
            } else if imports && self.at_line_start() {
                self.import()?;
                continue;
            }
            words.extend(self.take(true));
        }
        if open > 0 {
            return Err(self.unexpected_end());
        }
        if known {
            found.push(Occurrence { words });
        }
        Ok(closed)
    }

    /// Notes an error if there is no such plugin.
    fn check_name(&mut self, name: &Token, keys: &[Token]) -> bool {
        let Some(known) = self.rules.known else {
            return true;
        };
        if known.iter().any(|known| *name == **known) {
            return true;
        }
        let unavailable = self.rules.unavailable;
        if unavailable.iter().any(|known| *name == **known) {
            let message = format!("Directive '{name}' is not available yet in this version");
            self.errors.push(parse_error(name.span(), &message));
            return false;
        }
        let mut error = parse_error(name.span(), &format!("Unknown directive '{name}'"))
            .with_nearest(name.as_str(), known.iter().chain(unavailable).copied());
        if let Some(key) = keys.iter().find(|key| known.iter().any(|known| **key == **known)) {
            error = error.with_note(format!(
                "`{key}` at {} is read as a zone: does a brace close too early?",
                key.span()
            ));
        }
        self.errors.push(error);
        false
    }

    fn warn_of_odd_keys(&mut self, keys: &[Token]) {
        for key in keys {
            let message = if *key == "}" {
                "a closing brace too many is read as a zone"
            } else if self
                .rules
                .known
                .is_some_and(|known| known.iter().any(|known| *key == **known))
            {
                "the name of a plugin is read as a zone: does a brace close too early?"
            } else {
                continue;
            };
            self.warnings
                .push(ConfigWarning::new(key.span().clone(), message));
        }
    }

    fn fatal(&mut self, error: ConfigError) -> Fatal {
        self.errors.push(error);
        Fatal
    }

    fn unexpected_end(&mut self) -> Fatal {
        let error = match &self.last {
            Some(last) => {
                parse_error(last.span(), "Unexpected EOF").with_note("a block is not closed by `}`")
            }
            None => ConfigError::without_place("Error during parsing: Unexpected EOF"),
        };
        self.fatal(error)
    }

    fn missing_brace(&mut self) -> Fatal {
        let error = match &self.last {
            Some(last) => syntax_error(last, "}").with_note("a block is not closed by `}`"),
            None => ConfigError::without_place("Syntax error: expecting '}'"),
        };
        self.fatal(error)
    }
}

fn parse_error(span: &Span, message: &str) -> ConfigError {
    ConfigError::new(span.clone(), format!("Error during parsing: {message}"))
}

fn syntax_error(found: &Token, expected: &str) -> ConfigError {
    found.error(format!(
        "Syntax error: Unexpected token '{found}', expecting '{expected}'"
    ))
}
