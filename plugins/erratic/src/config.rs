//! Reads the Corefile.

use std::time::Duration;

use catena_core::corefile::{ConfigError, Directive, Token};

const OPTIONS: &[&str] = &["drop", "truncate", "delay", "large"];

/// Every second query, unless the Corefile says otherwise.
const DEFAULT_AMOUNT: u64 = 2;

const DEFAULT_DELAY: Duration = Duration::from_millis(100);

/// What goes wrong, and how often. An amount of 0 is never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// One query of so many is dropped.
    pub(crate) drop: u64,
    /// See [`crate::handler`].
    pub(crate) truncate: u64,
    /// One query of so many is delayed.
    pub(crate) delay: u64,
    /// For how long.
    pub(crate) duration: Duration,
    /// Thirty addresses in answers of type A, which fit 512 bytes only where names are compressed.
    pub(crate) large: bool,
}

/// Options of several directives come together; of one that is repeated the last holds.
pub(crate) fn parse(directives: &[Directive]) -> Result<Config, ConfigError> {
    let mut config = Config {
        drop: DEFAULT_AMOUNT,
        truncate: 0,
        delay: 0,
        duration: Duration::ZERO,
        large: false,
    };
    let mut drops = false;
    for directive in directives {
        directive.no_args()?;
        for option in directive.options() {
            match option.name() {
                "drop" => {
                    // CoreDNS takes the word alone for no more than what holds anyway.
                    if let Some(given) = option.optional_arg("[AMOUNT]")? {
                        config.drop = amount(given)?;
                        drops = true;
                    }
                }
                "truncate" => {
                    let given = option.optional_arg("[AMOUNT]")?;
                    config.truncate = given.map_or(Ok(DEFAULT_AMOUNT), amount)?;
                }
                "delay" => {
                    let given = option.args_between(0..=2, "[AMOUNT [DURATION]]")?;
                    config.delay = given.first().map_or(Ok(DEFAULT_AMOUNT), amount)?;
                    config.duration = given.get(1).map_or(Ok(DEFAULT_DELAY), Token::duration)?;
                }
                "large" => {
                    option.no_args()?;
                    config.large = true;
                }
                _ => return Err(option.unknown_option(OPTIONS)),
            }
        }
    }
    if (config.delay > 0 || config.truncate > 0) && !drops {
        config.drop = 0;
    }
    Ok(config)
}

fn amount(value: &Token) -> Result<u64, ConfigError> {
    value.count(0..=i32::MAX as u64)
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    #[test]
    fn amounts_and_their_defaults() {
        for (block, drop, truncate, delay, millis) in [
            ("erratic", 2, 0, 0, 0),
            ("erratic {\n}", 2, 0, 0, 0),
            ("erratic {\n drop\n}", 2, 0, 0, 0),
            ("erratic {\n drop 0\n}", 0, 0, 0, 0),
            ("erratic {\n drop 2147483647\n}", 2_147_483_647, 0, 0, 0),
            ("erratic {\n drop 2\n delay 3 1ms\n}", 2, 0, 3, 1),
            ("erratic {\n truncate 2\n delay 3 1ms\n}", 0, 2, 3, 1),
            ("erratic {\n drop 3\n delay\n}", 3, 0, 2, 100),
            ("erratic {\n drop 3\n truncate\n}", 3, 2, 0, 0),
            ("erratic {\n drop\n truncate\n}", 0, 2, 0, 0),
            ("erratic {\n delay 5\n}", 0, 0, 5, 100),
            ("erratic {\n delay 0\n}", 2, 0, 0, 100),
            ("erratic {\n drop 4\n drop 5\n}", 5, 0, 0, 0),
            ("erratic {\n drop 4\n}\nerratic {\n truncate 3\n}", 4, 3, 0, 0),
        ] {
            let want = Config {
                drop,
                truncate,
                delay,
                duration: Duration::from_millis(millis),
                large: false,
            };
            assert_eq!(parse(&parse_directives(block).unwrap()).unwrap(), want, "{block}");
        }
        assert!(
            parse(&parse_directives("erratic {\n large\n}").unwrap())
                .unwrap()
                .large
        );
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let number = "expected a number from 0 to 2147483647";
        for (text, want) in [
            ("erratic {\n drop -1\n}", format!("Corefile:2:7: got `-1`, {number}")),
            ("erratic {\n drop 2147483648\n}", format!("Corefile:2:7: got `2147483648`, {number}")),
            ("erratic {\n truncate 15.a\n}", format!("Corefile:2:11: got `15.a`, {number}")),
            ("erratic {\n delay -1\n}", format!("Corefile:2:8: got `-1`, {number}")),
            (
                "erratic {\n delay 3 bla\n}",
                "Corefile:2:10: got `bla`, expected a duration such as 5s or 1h30m".to_owned(),
            ),
            (
                "erratic {\n delay 3 -1s\n}",
                "Corefile:2:10: got `-1s`, expected a duration that is not negative".to_owned(),
            ),
            (
                "erratic {\n delay 1 2s 4\n}",
                "Corefile:2:13: wrong argument count: unexpected `4` after `delay`, expected [AMOUNT [DURATION]]"
                    .to_owned(),
            ),
            (
                "erratic {\n drop 1 2\n}",
                "Corefile:2:9: wrong argument count: unexpected `2` after `drop`, expected [AMOUNT]".to_owned(),
            ),
            (
                "erratic {\n large 2\n}",
                "Corefile:2:8: wrong argument count: unexpected `2` after `large`, expected no arguments".to_owned(),
            ),
            (
                "erratic 3",
                "Corefile:1:9: wrong argument count: unexpected `3` after `erratic`, expected no arguments".to_owned(),
            ),
            (
                "erratic {\n droop 2\n}",
                "Corefile:2:2: unknown option `droop` (one of: drop, truncate, delay, large)".to_owned(),
            ),
        ] {
            let error = parse(&parse_directives(text).unwrap()).unwrap_err();
            assert_eq!(error.headline(), want, "{text}");
        }
    }

    #[test]
    fn suggests_the_option_that_was_meant() {
        let error = parse(&parse_directives("erratic {\n droop 2\n}").unwrap()).unwrap_err();
        assert_eq!(error.suggestion(), Some("drop"));
    }
}
