//! Reads the Corefile.

use std::time::Duration;

use catena_core::corefile::{ConfigError, Directive};

/// Clients wait for five seconds by default; a moment later nobody is there to answer to.
const DEFAULT_LIMIT: Duration = Duration::from_millis(5001);

/// The time limit; of several directives the last one holds.
pub(crate) fn parse(directives: &[Directive]) -> Result<Duration, ConfigError> {
    let mut limit = DEFAULT_LIMIT;
    for directive in directives {
        directive.no_block()?;
        limit = match directive.optional_arg("[TIMEOUT]")? {
            Some(value) if value.signed_duration()? <= 0 => {
                return Err(value.expected("a duration above zero"));
            }
            Some(value) => value.duration()?,
            None => DEFAULT_LIMIT,
        };
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    #[test]
    fn limits_that_can_be_given() {
        for (text, want) in [
            ("cancel", 5001),
            ("cancel 1s", 1000),
            ("cancel 1m0.5s", 60_500),
            ("cancel 1s\ncancel 2s", 2000),
            ("cancel 1s\ncancel", 5001),
        ] {
            let limit = parse(&parse_directives(text).unwrap()).unwrap();
            assert_eq!(limit, Duration::from_millis(want), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, want) in [
            (
                "cancel 0s",
                "Corefile:1:8: got `0s`, expected a duration above zero",
            ),
            (
                "cancel -1s",
                "Corefile:1:8: got `-1s`, expected a duration above zero",
            ),
            (
                "cancel 5",
                "Corefile:1:8: got `5`, expected a duration such as 5s or 1h30m",
            ),
            (
                "cancel soon",
                "Corefile:1:8: got `soon`, expected a duration such as 5s or 1h30m",
            ),
            (
                "cancel 1s 2s",
                "Corefile:1:11: wrong argument count: unexpected `2s` after `cancel`, expected [TIMEOUT]",
            ),
            (
                "cancel {\n timeout 1s\n}",
                "Corefile:1:1: `cancel` takes no block",
            ),
            (
                "cancel 1s\ncancel 0s",
                "Corefile:2:8: got `0s`, expected a duration above zero",
            ),
        ] {
            let error = parse(&parse_directives(text).unwrap()).unwrap_err();
            assert_eq!(error.headline(), want, "{text}");
        }
    }
}
