//! Reads the Corefile.

use std::ops::RangeInclusive;
use std::time::Duration;

use catena_core::corefile::{ConfigError, Directive, Token};
use catena_core::plugin::Timeouts;

const OPTIONS: &[&str] = &["read", "write", "idle", "maxtcpqueries", "edns_keepalive"];

const TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// Options of several directives come together; of one that is repeated the last holds.
pub(crate) fn parse(directives: &[Directive]) -> Result<Timeouts, ConfigError> {
    let mut timeouts = Timeouts::default();
    for directive in directives {
        directive.no_args()?;
        if directive.options().is_empty() {
            let error = directive.error("timeouts block with no timeouts specified");
            return Err(error.with_expected(format!("one or more of {}", OPTIONS.join(", "))));
        }
        for option in directive.options() {
            match option.name() {
                "read" => timeouts.read = Some(time(option)?),
                "write" => timeouts.write = Some(time(option)?),
                "idle" => timeouts.idle = Some(time(option)?),
                "edns_keepalive" => {
                    option.no_args()?;
                    timeouts.keepalive = true;
                }
                "maxtcpqueries" => timeouts.max_queries = max_queries(option)?,
                _ => return Err(option.unknown_option(OPTIONS)),
            }
        }
    }
    Ok(timeouts)
}

/// A duration; a plain number counts seconds.
fn time(option: &Directive) -> Result<Duration, ConfigError> {
    let value = option.one_arg("DURATION")?;
    let time = match value.as_str().parse::<i64>() {
        Ok(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
        Err(_) => Some(value.duration()?),
    };
    let time = time.filter(|time| TIMES.contains(time));
    time.ok_or_else(|| value.expected("a duration from 1s to 24h"))
}

/// The largest number is no limit: it lifts that of an earlier block on the same listener.
fn max_queries(option: &Directive) -> Result<Option<usize>, ConfigError> {
    let value: &Token = option.one_arg("MAXIMUM")?;
    match value.as_str().parse::<isize>() {
        Ok(-1) => Ok(Some(usize::MAX)),
        Ok(number) if number > 0 => Ok(Some(number.unsigned_abs())),
        _ => {
            let error = value.error(format!("maxtcpqueries is `{value}`"));
            Err(error.with_expected("a number above 0, or -1 for no limit"))
        }
    }
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;
    use catena_core::plugin::testing::set_up;

    use super::*;

    #[test]
    fn the_idle_time_is_announced_where_that_is_wanted() {
        for (text, want) in [
            ("timeouts {\n idle 5s\n}", false),
            ("timeouts {\n edns_keepalive\n}", true),
        ] {
            let block = set_up(&[crate::PLUGIN], text).unwrap();
            assert_eq!(block.settings.timeouts.keepalive, want, "{text}");
        }
        let error = parse(&parse_directives("timeouts {\n edns_keepalive 5s\n}").unwrap()).unwrap_err();
        assert!(
            error.headline().contains("wrong argument count"),
            "{}",
            error.headline()
        );
    }

    #[test]
    fn times_and_limits_that_can_be_given() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (text, read, write, idle, max_queries) in [
            ("timeouts {\n read 30s\n}", seconds(30), None, None, None),
            (
                "timeouts {\n read 1m\n write 2m\n}",
                seconds(60),
                seconds(120),
                None,
                None,
            ),
            ("timeouts {\n idle 24h\n}", None, None, seconds(86400), None),
            (
                "timeouts {\n read 1\n write 20\n idle 86400\n}",
                seconds(1),
                seconds(20),
                seconds(86400),
                None,
            ),
            ("timeouts {\n maxtcpqueries 128\n}", None, None, None, Some(128)),
            (
                "timeouts {\n maxtcpqueries -1\n}",
                None,
                None,
                None,
                Some(usize::MAX),
            ),
            ("timeouts {\n read 2s\n read 3s\n}", seconds(3), None, None, None),
            (
                "timeouts {\n read 2s\n}\ntimeouts {\n write 3s\n}",
                seconds(2),
                seconds(3),
                None,
                None,
            ),
            (
                "timeouts {\n maxtcpqueries 1\n maxtcpqueries -1\n}",
                None,
                None,
                None,
                Some(usize::MAX),
            ),
        ] {
            let want = Timeouts {
                read,
                write,
                idle,
                max_queries,
                keepalive: false,
            };
            assert_eq!(
                set_up(&[crate::PLUGIN], text).unwrap().settings.timeouts,
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let empty = "timeouts block with no timeouts specified, expected one or more of read, write, idle, maxtcpqueries, edns_keepalive";
        let range = "expected a duration from 1s to 24h";
        let limit = "expected a number above 0, or -1 for no limit";
        for (text, want) in [
            ("timeouts", format!("Corefile:1:1: {empty}")),
            ("timeouts {\n}", format!("Corefile:1:1: {empty}")),
            ("timeouts {\n idle 0s\n}", format!("Corefile:2:7: got `0s`, {range}")),
            ("timeouts {\n idle 999ms\n}", format!("Corefile:2:7: got `999ms`, {range}")),
            ("timeouts {\n idle 86401\n}", format!("Corefile:2:7: got `86401`, {range}")),
            ("timeouts {\n read 48h\n}", format!("Corefile:2:7: got `48h`, {range}")),
            ("timeouts {\n read -5\n}", format!("Corefile:2:7: got `-5`, {range}")),
            (
                "timeouts {\n write snake\n}",
                "Corefile:2:8: got `snake`, expected a duration such as 5s or 1h30m".to_owned(),
            ),
            (
                "timeouts {\n read 10s 20s\n}",
                "Corefile:2:11: wrong argument count: unexpected `20s` after `read`, expected DURATION".to_owned(),
            ),
            ("timeouts {\n read\n}", "Corefile:2:2: wrong argument count after `read`, expected DURATION".to_owned()),
            ("timeouts {\n maxtcpqueries 0\n}", format!("Corefile:2:16: maxtcpqueries is `0`, {limit}")),
            ("timeouts {\n maxtcpqueries -2\n}", format!("Corefile:2:16: maxtcpqueries is `-2`, {limit}")),
            ("timeouts {\n maxtcpqueries snake\n}", format!("Corefile:2:16: maxtcpqueries is `snake`, {limit}")),
            (
                "timeouts {\n read 10s\n dial 30s\n}",
                "Corefile:3:2: unknown option `dial` (one of: read, write, idle, maxtcpqueries, edns_keepalive)".to_owned(),
            ),
            (
                "timeouts 5s",
                "Corefile:1:10: wrong argument count: unexpected `5s` after `timeouts`, expected no arguments".to_owned(),
            ),
        ] {
            let error = parse(&parse_directives(text).unwrap()).unwrap_err();
            assert_eq!(error.headline(), want, "{text}");
        }
    }

    #[test]
    fn suggests_the_option_that_was_meant() {
        let error = parse(&parse_directives("timeouts {\n maxtcpquery 5\n}").unwrap()).unwrap_err();
        assert_eq!(error.suggestion(), Some("maxtcpqueries"));
    }
}
