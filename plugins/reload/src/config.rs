//! What the Corefile says.

use std::time::Duration;

use catena_core::corefile::{ConfigError, ConfigErrors, Directive};

/// The plugin's name.
pub(crate) const NAME: &str = "reload";

const MIN_INTERVAL: Duration = Duration::from_secs(2);
const MIN_JITTER: Duration = Duration::from_secs(1);

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Time between two looks.
    pub(crate) interval: Duration,
    /// The interval is longer or shorter by up to half of it, so that many servers do not reload at one moment.
    pub(crate) jitter: Duration,
}

impl Default for Config {
    /// CoreDNS's: 30 and 15 seconds.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            jitter: Duration::from_secs(15),
        }
    }
}

/// Reads the block's `reload` lines; of several the last one counts.
pub(crate) fn parse(directives: &[Directive]) -> Result<Config, ConfigErrors> {
    let mut config = Config::default();
    for directive in directives {
        config = parse_one(directive)?;
    }
    Ok(config)
}

fn parse_one(directive: &Directive) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    directive.no_block()?;
    let args = directive.args_between(0..=2, "[INTERVAL] [JITTER]")?;
    if let Some(interval) = args.first() {
        config.interval = interval.duration()?;
        if config.interval < MIN_INTERVAL {
            return Err(interval
                .error("interval value must be greater or equal to 2s")
                .with_expected("an interval of 2s or more, such as 30s"));
        }
    }
    if let Some(jitter) = args.get(1) {
        config.jitter = jitter.duration()?;
        if !config.jitter.is_zero() && config.jitter < MIN_JITTER {
            return Err(jitter
                .error("jitter value must be 0 or greater or equal to 1s")
                .with_expected("0s, or a jitter of 1s or more"));
        }
    }
    config.jitter = config.jitter.min(config.interval / 2);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::corefile::testing::parse_directives;

    fn read(text: &str) -> Result<Config, ConfigErrors> {
        parse(&parse_directives(text).expect("syntax"))
    }

    #[test]
    fn intervals_and_jitters() {
        let seconds = Duration::from_secs;
        for (case, text, interval, jitter) in [
            ("defaults", "reload", seconds(30), seconds(15)),
            (
                "interval alone keeps the jitter within half",
                "reload 10s",
                seconds(10),
                seconds(5),
            ),
            ("both", "reload 2m 30s", seconds(120), seconds(30)),
            ("no jitter", "reload 2s 0s", seconds(2), seconds(0)),
            (
                "jitter above half the interval",
                "reload 4s 4s",
                seconds(4),
                seconds(2),
            ),
            (
                "the last line counts",
                "reload 4s\nreload 6s 1s",
                seconds(6),
                seconds(1),
            ),
        ] {
            assert_eq!(
                read(text).expect(case),
                Config { interval, jitter },
                "case {case}"
            );
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (case, text, place, words) in [
            ("interval below the least", "reload 1s", "Corefile:1:8", "2s"),
            ("no unit", "reload 30", "Corefile:1:8", "duration"),
            ("jitter below the least", "reload 10s 10ms", "Corefile:1:12", "1s"),
            (
                "jitter that is a word",
                "reload 10s soon",
                "Corefile:1:12",
                "duration",
            ),
            ("three arguments", "reload 10s 5s 1s", "Corefile:1:15", "JITTER"),
            ("a block", "reload 10s {\n x\n}", "Corefile:1:", "block"),
        ] {
            let errors = read(text).expect_err(case).to_string();
            assert!(
                errors.contains(place) && errors.contains(words),
                "case {case}: {errors}"
            );
        }
    }
}
