//! Reads the `proxyproto` directives.

use std::time::Duration;

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Token};
use catena_networks::NetworkSet;
use ipnet::IpNet;

/// Sessions that are kept unless the Corefile says otherwise; CoreDNS's.
const DEFAULT_SESSIONS: usize = 10_240;

/// More would take more than a gigabyte.
const MAX_SESSIONS: u64 = 10_000_000;

const OPTIONS: &[&str] = &["allow", "default", "udp_session_tracking"];

/// What the directives of a block say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Whose headers are used; empty means that `other` is for all.
    pub(crate) allowed: NetworkSet,
    /// What becomes of the headers of others.
    pub(crate) other: Policy,
    /// How long a client is remembered whose datagrams come without headers.
    pub(crate) sessions: Option<SessionLimits>,
}

/// What becomes of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// They are believed.
    Use,
    /// They are read and not believed.
    Ignore,
    /// Whoever sends one is refused.
    Reject,
    /// They are not looked for.
    Skip,
}

/// Bounds of the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionLimits {
    /// A session ends when nothing came for so long.
    pub(crate) idle: Duration,
    /// Sessions at one time.
    pub(crate) count: usize,
}

/// Reads all directives of a block; they add up, and of two equal options the later one holds.
pub(crate) fn parse(directives: &[Directive]) -> Result<Config, ConfigErrors> {
    let mut errors = Collector::default();
    let mut reader = Reader {
        allowed: Vec::new(),
        other: None,
        idle: None,
        count: DEFAULT_SESSIONS,
    };
    for directive in directives {
        errors.take(directive.no_args());
        for option in directive.options() {
            errors.take(reader.option(option));
        }
    }
    let Reader {
        allowed,
        other,
        idle,
        count,
    } = reader;
    // With networks named, others are ignored; without, everybody is believed.
    let fallback = if allowed.is_empty() {
        Policy::Use
    } else {
        Policy::Ignore
    };
    errors.finish(Config {
        other: other.unwrap_or(fallback),
        allowed: allowed.into_iter().collect(),
        sessions: idle.map(|idle| SessionLimits { idle, count }),
    })
}

struct Reader {
    allowed: Vec<IpNet>,
    other: Option<Policy>,
    idle: Option<Duration>,
    count: usize,
}

impl Reader {
    fn option(&mut self, option: &Directive) -> Result<(), ConfigError> {
        option.no_block()?;
        match option.name() {
            "allow" => {
                for token in option.at_least(1, "NETWORKS...")? {
                    self.allowed.push(network(token)?);
                }
            }
            "default" => self.other = Some(policy(option.one_arg("POLICY")?)?),
            "udp_session_tracking" => {
                let args = option.args_between(1..=2, "DURATION [SESSIONS]")?;
                let nanoseconds = args[0].signed_duration()?;
                // As in CoreDNS, nought and less turn it off.
                self.idle = u64::try_from(nanoseconds)
                    .ok()
                    .filter(|&nanoseconds| nanoseconds > 0)
                    .map(Duration::from_nanos);
                if let Some(count) = args.get(1) {
                    self.count = count.count(1..=MAX_SESSIONS)? as usize;
                }
            }
            _ => return Err(option.unknown_option(OPTIONS)),
        }
        Ok(())
    }
}

/// A network in CIDR notation; CoreDNS takes no single address either.
fn network(token: &Token) -> Result<IpNet, ConfigError> {
    token.as_str().parse().map_err(|_| {
        token.expected(
            "a network such as 192.0.2.0/24; a single address is a network of /32, or /128 with IPv6",
        )
    })
}

fn policy(token: &Token) -> Result<Policy, ConfigError> {
    Ok(match token.as_str().to_ascii_lowercase().as_str() {
        "use" => Policy::Use,
        "ignore" => Policy::Ignore,
        "reject" => Policy::Reject,
        "skip" => Policy::Skip,
        _ => return Err(token.expected("one of: use, ignore, reject, skip")),
    })
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    fn read(text: &str) -> Result<Config, ConfigErrors> {
        parse(&parse_directives(text).unwrap())
    }

    fn config(allowed: &[&str], other: Policy, sessions: Option<(Duration, usize)>) -> Config {
        Config {
            allowed: allowed
                .iter()
                .map(|network| network.parse::<IpNet>().unwrap())
                .collect(),
            other,
            sessions: sessions.map(|(idle, count)| SessionLimits { idle, count }),
        }
    }

    #[test]
    fn directives_are_read() {
        let seconds = Duration::from_secs;
        for (text, want) in [
            ("proxyproto", config(&[], Policy::Use, None)),
            ("proxyproto {\n}", config(&[], Policy::Use, None)),
            (
                "proxyproto {\n default REJECT\n}",
                config(&[], Policy::Reject, None),
            ),
            (
                "proxyproto {\n allow 192.0.2.0/24 2001:db8::/32\n}",
                config(&["192.0.2.0/24", "2001:db8::/32"], Policy::Ignore, None),
            ),
            (
                "proxyproto {\n allow 192.0.2.1/32\n allow 192.0.2.9/32\n default skip\n}",
                config(&["192.0.2.1/32", "192.0.2.9/32"], Policy::Skip, None),
            ),
            (
                "proxyproto {\n udp_session_tracking 28s\n}",
                config(&[], Policy::Use, Some((seconds(28), 10_240))),
            ),
            (
                "proxyproto {\n udp_session_tracking 1m 20000\n}",
                config(&[], Policy::Use, Some((seconds(60), 20_000))),
            ),
            (
                "proxyproto {\n udp_session_tracking 0s\n}",
                config(&[], Policy::Use, None),
            ),
            (
                "proxyproto {\n udp_session_tracking -1s 5\n}",
                config(&[], Policy::Use, None),
            ),
            (
                "proxyproto {\n allow 192.0.2.1/32\n}\nproxyproto {\n default use\n}",
                config(&["192.0.2.1/32"], Policy::Use, None),
            ),
        ] {
            assert_eq!(read(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (text, want) in [
            ("proxyproto on", "Corefile:1:12: "),
            (
                "proxyproto {\n allow 192.0.2.1\n}",
                "Corefile:2:8: got `192.0.2.1`, expected a network such as 192.0.2.0/24",
            ),
            (
                "proxyproto {\n allow 192.0.2.0/33\n}",
                "Corefile:2:8: got `192.0.2.0/33`, expected a network",
            ),
            (
                "proxyproto {\n allow\n}",
                "Corefile:2:2: wrong argument count after `allow`, expected NETWORKS...",
            ),
            (
                "proxyproto {\n default trust\n}",
                "Corefile:2:10: got `trust`, expected one of: use, ignore, reject, skip",
            ),
            (
                "proxyproto {\n default\n}",
                "Corefile:2:2: wrong argument count after `default`, expected POLICY",
            ),
            (
                "proxyproto {\n default use use\n}",
                "Corefile:2:14: wrong argument count",
            ),
            (
                "proxyproto {\n udp_session_tracking\n}",
                "Corefile:2:2: wrong argument count after `udp_session_tracking`, expected DURATION [SESSIONS]",
            ),
            (
                "proxyproto {\n udp_session_tracking 28\n}",
                "Corefile:2:23: got `28`",
            ),
            (
                "proxyproto {\n udp_session_tracking 28s 0\n}",
                "Corefile:2:27: got `0`, expected a number from 1 to",
            ),
            (
                "proxyproto {\n udp_session_tracking 28s x\n}",
                "Corefile:2:27: got `x`, expected a number from 1 to",
            ),
            (
                "proxyproto {\n udp_session_tracking 28s 1 1\n}",
                "Corefile:2:29: wrong argument count",
            ),
            (
                "proxyproto {\n alow 192.0.2.0/24\n}",
                "Corefile:2:2: unknown option `alow` (one of: allow, default, udp_session_tracking)",
            ),
        ] {
            let headline = read(text).unwrap_err().as_slice()[0].headline();
            assert!(headline.starts_with(want), "{text}: {headline}");
        }
    }

    #[test]
    fn all_errors_come_at_once() {
        let errors = read("proxyproto x {\n allow y\n default z\n}\nproxyproto {\n what\n}").unwrap_err();
        assert_eq!(errors.as_slice().len(), 4);
    }
}
