//! Reads the `errors` directive.

use std::time::Duration;

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Token};
use catena_core::plugin::once;
use regex::Regex;

use crate::level::Level;

const OPTIONS: &[&str] = &["consolidate", "stacktrace"];

const SHOW_FIRST: &str = "show_first";

/// What one `errors` directive says.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Panics are logged with their stack.
    pub(crate) stacktrace: bool,
    /// Which errors are counted instead of logged one by one; the first rule that fits counts.
    pub(crate) rules: Vec<Rule>,
}

/// One line `consolidate`.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// How long errors are counted after the first one.
    pub(crate) period: Duration,
    /// What their messages have in common.
    pub(crate) pattern: Regex,
    /// The pattern as it is written, by which it is reported.
    pub(crate) text: Box<str>,
    /// The level of what is logged of them.
    pub(crate) level: Level,
    /// Whether the first one of each period is logged at once.
    pub(crate) show_first: bool,
}

/// Reads the directive.
pub(crate) fn parse(directives: &[Directive]) -> Result<Config, ConfigErrors> {
    let directive = once(directives)?;
    let mut config = Config::default();
    let mut errors = Collector::default();
    errors.take(check_target(directive));
    for option in directive.options() {
        match option.name() {
            "stacktrace" => {
                errors.take(option.no_args());
                config.stacktrace = true;
            }
            "consolidate" => config.rules.extend(errors.take(rule(option))),
            _ => errors.push(option.unknown_option(OPTIONS)),
        }
    }
    errors.finish(config)
}

/// Errors go to standard output; that may be said.
fn check_target(directive: &Directive) -> Result<(), ConfigError> {
    match directive.optional_arg("[stdout]")? {
        Some(target) if *target != "stdout" => {
            let error = target
                .error(format!("invalid log file: `{target}`"))
                .with_expected("`stdout` or nothing");
            Err(error.with_note("lines go to standard output; direct that into a file if you want one"))
        }
        _ => Ok(()),
    }
}

fn rule(option: &Directive) -> Result<Rule, ConfigError> {
    let [period, pattern, words @ ..] = option.args_between(2..=4, "DURATION REGEXP [LEVEL] [show_first]")?
    else {
        return Err(option.error("too few arguments"));
    };
    let (level, show_first) = flags(words)?;
    Ok(Rule {
        period: period.duration()?,
        pattern: pattern.regex()?,
        text: pattern.as_str().into(),
        level,
        show_first,
    })
}

/// Reads `[LEVEL] [show_first]`.
fn flags(words: &[Token]) -> Result<(Level, bool), ConfigError> {
    let mut level = None;
    let mut show_first = false;
    for word in words {
        match Level::from_name(word.as_str()) {
            Some(_) if show_first => {
                return Err(word.error(format!("the level `{word}` must come before `{SHOW_FIRST}`")));
            }
            Some(_) if level.is_some() => return Err(word.error(format!("a second level `{word}`"))),
            Some(named) => level = Some(named),
            None if *word == SHOW_FIRST => show_first = true,
            None => {
                let known = Level::NAMES.iter().copied().chain([SHOW_FIRST]);
                let expected = format!("one of: {}, {SHOW_FIRST}", Level::NAMES.join(", "));
                return Err(word.expected(expected).with_nearest(word.as_str(), known));
            }
        }
    }
    Ok((level.unwrap_or_default(), show_first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::corefile::MAX_PATTERN_LEN;
    use catena_core::corefile::testing::parse_directives;

    fn parse_text(text: &str) -> Result<Config, ConfigErrors> {
        parse(&parse_directives(text).unwrap())
    }

    #[test]
    fn every_option_is_read() {
        for text in ["errors", "errors stdout", "errors {\n}"] {
            let config = parse_text(text).unwrap();
            assert!(!config.stacktrace && config.rules.is_empty(), "{text}");
        }
        let config = parse_text(
            "errors {\n stacktrace\n consolidate 5m \".* timeout$\" warning\n consolidate 0 ^Failed info show_first\n\
             \x20consolidate 1h30m a-x show_first\n}",
        )
        .unwrap();
        assert!(config.stacktrace);
        let rules: Vec<_> = config
            .rules
            .iter()
            .map(|rule| (rule.period.as_secs(), &*rule.text, rule.level, rule.show_first))
            .collect();
        assert_eq!(
            rules,
            [
                (300, ".* timeout$", Level::Warning, false),
                (0, "^Failed", Level::Info, true),
                (5400, "a-x", Level::Error, true),
            ]
        );
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        let long = format!(
            "errors {{\n consolidate 5m {}\n}}",
            "x".repeat(MAX_PATTERN_LEN + 1)
        );
        for (case, text, want) in [
            (
                "twice",
                "errors\nerrors",
                "Corefile:2:1: this plugin can only be used once per Server Block",
            ),
            (
                "file",
                "errors a.log",
                "Corefile:1:8: invalid log file: `a.log`, expected `stdout` or nothing",
            ),
            (
                "two files",
                "errors stdout stdout",
                "Corefile:1:15: wrong argument count: unexpected `stdout` after `errors`, expected [stdout]",
            ),
            (
                "unknown option",
                "errors {\n gather 5m x\n}",
                "Corefile:2:2: unknown option `gather` (one of: consolidate, stacktrace)",
            ),
            (
                "stacktrace with argument",
                "errors {\n stacktrace on\n}",
                "Corefile:2:13: wrong argument count: unexpected `on` after `stacktrace`, expected no arguments",
            ),
            (
                "no pattern",
                "errors {\n consolidate 5m\n}",
                "Corefile:2:2: wrong argument count after `consolidate`, expected DURATION REGEXP [LEVEL] [show_first]",
            ),
            (
                "too many words",
                "errors {\n consolidate 5m x info show_first more\n}",
                "Corefile:2:35: wrong argument count: unexpected `more` after `consolidate`, expected DURATION REGEXP \
                 [LEVEL] [show_first]",
            ),
            (
                "no unit",
                "errors {\n consolidate 5 x\n}",
                "Corefile:2:14: got `5`, expected a duration such as 5s or 1h30m",
            ),
            (
                "negative",
                "errors {\n consolidate -5m x\n}",
                "Corefile:2:14: got `-5m`, expected a duration that is not negative",
            ),
            (
                "broken pattern",
                "errors {\n consolidate 5m \"(open\"\n}",
                "Corefile:2:17: got `(open`, expected a regular expression",
            ),
            (
                "long pattern",
                &long,
                "Corefile:2:17: regular expression of 10001 bytes, expected at most 10000",
            ),
            (
                "unknown level",
                "errors {\n consolidate 5m x fatal\n}",
                "Corefile:2:19: got `fatal`, expected one of: warning, error, info, debug, show_first",
            ),
            (
                "two levels",
                "errors {\n consolidate 5m x error warning\n}",
                "Corefile:2:25: a second level `warning`",
            ),
            (
                "order",
                "errors {\n consolidate 5m x show_first warning\n}",
                "Corefile:2:30: the level `warning` must come before `show_first`",
            ),
            (
                "block behind an option",
                "errors {\n consolidate 5m x {\n }\n}",
                "Corefile:2:2: `consolidate` takes no block",
            ),
        ] {
            let errors = parse_text(text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "case {case}");
        }
    }

    #[test]
    fn a_misspelt_word_gets_a_suggestion() {
        let errors = parse_text("errors {\n consolidat 5m x\n consolidate 5m x warnin\n}").unwrap_err();
        let suggestions: Vec<_> = errors.iter().map(ConfigError::suggestion).collect();
        assert_eq!(suggestions, [Some("consolidate"), Some("warning")]);
    }
}
