//! The words of a directive to its lines, as CoreDNS's plugins see them.
//!
//! CoreDNS hands a plugin the words of all its occurrences in a block, one behind the other, and tells lines by the
//! words' line numbers. So do these functions, quirks included; where CoreDNS would go on with a guess that no one
//! can have meant, there is an error instead.

use std::collections::HashMap;

use super::{Collector, ConfigError, ConfigWarning, Directive, Token};

/// The words of one directive, from its name to the end of its line or its block.
pub(super) struct Occurrence {
    pub(super) words: Vec<Token>,
}

/// Makes directives of their words, in the order of the file.
pub(super) fn directives(
    occurrences: Vec<Occurrence>,
    max_depth: usize,
    errors: &mut Collector,
    warnings: &mut Vec<ConfigWarning>,
) -> Vec<Directive> {
    let mut merged: Vec<Occurrence> = Vec::with_capacity(occurrences.len());
    let mut latest: HashMap<String, usize> = HashMap::new();
    for occurrence in occurrences {
        let Some(name) = occurrence.words.first() else {
            continue;
        };
        let earlier = latest.get(name.as_str()).and_then(|index| merged.get_mut(*index));
        match earlier {
            Some(earlier) if earlier.takes_in(name) => {
                warnings.push(ConfigWarning::new(
                    name.span().clone(),
                    format!(
                        "a one-line `{name}` that is imported again is read as arguments of the one before"
                    ),
                ));
                earlier.words.extend(occurrence.words);
            }
            _ => {
                latest.insert(name.to_string(), merged.len());
                merged.push(occurrence);
            }
        }
    }
    merged
        .into_iter()
        .filter_map(|occurrence| errors.take(Lines::new(occurrence.words, max_depth).directive()))
        .collect()
}

impl Occurrence {
    /// Whether CoreDNS takes the name of the next occurrence for an argument of this one, because a snippet or a file
    /// was imported twice, so that both stand on the same line of the same text.
    fn takes_in(&self, name: &Token) -> bool {
        !self.words.iter().any(|word| *word == "{")
            && self.words.last().is_some_and(|last| last.line_goes_on(name))
    }
}

struct Lines {
    words: std::iter::Peekable<std::vec::IntoIter<Token>>,
    max_depth: usize,
}

impl Lines {
    fn new(words: Vec<Token>, max_depth: usize) -> Self {
        Self {
            words: words.into_iter().peekable(),
            max_depth,
        }
    }

    fn directive(mut self) -> Result<Directive, ConfigError> {
        let Some(name) = self.words.next() else {
            return Err(ConfigError::without_place("directive without a name"));
        };
        let directive = self.line(name, 0)?;
        match self.words.next() {
            None => Ok(directive),
            Some(brace) if brace == "{" && !directive.has_block() => Err(brace.error(format!(
                "unexpected `{{`, expected on the line of `{}`",
                directive.name()
            ))),
            Some(surplus) => Err(surplus.error(format!(
                "unexpected `{surplus}` behind the end of `{}`",
                directive.name()
            ))),
        }
    }

    /// The rest of the line that begins with `name`, and the block behind it.
    fn line(&mut self, name: Token, depth: usize) -> Result<Directive, ConfigError> {
        let mut args: Vec<Token> = Vec::new();
        loop {
            let last = args.last().unwrap_or(&name);
            let Some(word) = self.words.next_if(|word| last.line_goes_on(word)) else {
                return Ok(Directive::new(name, args, None).at_depth(depth));
            };
            if word == "{" {
                let block = self.block(&word, depth + 1)?;
                return Ok(Directive::new(name, args, Some(block)).at_depth(depth));
            }
            args.push(word);
        }
    }

    /// The lines up to a closing brace that begins a line, or up to the end.
    fn block(&mut self, open: &Token, depth: usize) -> Result<Vec<Directive>, ConfigError> {
        if depth > self.max_depth {
            return Err(open.error(format!("blocks within blocks, deeper than {}", self.max_depth)));
        }
        let mut lines = Vec::new();
        while let Some(word) = self.words.next() {
            if word == "}" {
                break;
            }
            if word == "{" {
                return Err(word.error("unexpected `{` at the start of a line"));
            }
            lines.push(self.line(word, depth)?);
        }
        Ok(lines)
    }
}
