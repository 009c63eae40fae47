//! Reads the `loadbalance` directives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Token};
use ipnet::IpNet;

/// How often the weight file is looked at unless `reload` says otherwise; CoreDNS's.
const DEFAULT_RELOAD: Duration = Duration::from_secs(30);

/// Shortest time between two looks at the file: a shorter `reload` would only burn time.
const MIN_RELOAD: Duration = Duration::from_millis(10);

const POLICIES: &[&str] = &["round_robin", "weighted"];

/// What the directives say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) policy: Policy,
    /// Networks whose addresses come first, the most preferred one first.
    pub(crate) prefer: Vec<IpNet>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Every order is as likely as any other.
    RoundRobin,
    /// The first address is chosen by weight.
    Weighted(WeightFile),
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightFile {
    pub(crate) path: PathBuf,
    /// How messages name it: the path as CoreDNS would have it.
    pub(crate) label: String,
    /// Time between two looks at the file; nought means that it is read once.
    pub(crate) reload: Duration,
}

/// Reads the directives. Of several the last one's policy counts, and networks that are preferred add up until one
/// says `weighted`. `root` is the folder that the plugin `root` names, `folder` the Corefile's own.
pub(crate) fn parse(
    directives: &[Directive],
    root: Option<&Path>,
    folder: &Path,
) -> Result<Config, ConfigErrors> {
    let mut config = Config {
        policy: Policy::RoundRobin,
        prefer: Vec::new(),
    };
    let mut errors = Collector::default();
    for directive in directives {
        errors.take(one(&mut config, directive, root, folder));
    }
    errors.finish(config)
}

fn one(
    config: &mut Config,
    directive: &Directive,
    root: Option<&Path>,
    folder: &Path,
) -> Result<(), ConfigErrors> {
    let (policy, args) = match directive.args() {
        [] => ("round_robin", &[][..]),
        [policy, args @ ..] => (policy.one_of(POLICIES).map_err(|_| unknown(policy))?, args),
    };
    if policy == "weighted" {
        config.prefer.clear();
        config.policy = Policy::Weighted(weighted(directive, args, root, folder)?);
        return Ok(());
    }
    config.policy = Policy::RoundRobin;
    if let [surplus, ..] = args {
        return Err(surplus
            .error(format!(
                "wrong argument count: unexpected `{surplus}` after `round_robin`"
            ))
            .into());
    }
    let mut errors = Collector::default();
    for option in directive.options() {
        match option.name() {
            "prefer" => {
                let networks = errors.take(option.at_least(0, "CIDR [CIDR...]"));
                for word in networks.unwrap_or_default() {
                    config.prefer.extend(errors.take(network(word)));
                }
            }
            _ => errors.push(option.unknown_option(&["prefer"])),
        }
    }
    errors.finish(())
}

fn unknown(policy: &Token) -> ConfigError {
    policy
        .error(format!(
            "unknown policy: {policy} (one of: {})",
            POLICIES.join(", ")
        ))
        .with_nearest(policy.as_str(), POLICIES.iter().copied())
}

/// A network with its length: CoreDNS takes no single address here.
fn network(word: &Token) -> Result<IpNet, ConfigError> {
    word.as_str()
        .parse::<IpNet>()
        .map(|network| network.trunc())
        .map_err(|_| word.expected("a network such as 192.0.2.0/24"))
}

fn weighted(
    directive: &Directive,
    args: &[Token],
    root: Option<&Path>,
    folder: &Path,
) -> Result<WeightFile, ConfigErrors> {
    let file = match args {
        [file] => file,
        [] => {
            let error = directive.args()[0].error("missing weight file argument");
            return Err(error.with_expected("weighted WEIGHTFILE").into());
        }
        [_, surplus, ..] => {
            let message = format!("wrong argument count: unexpected `{surplus}` after the weight file");
            return Err(surplus.error(message).into());
        }
    };
    let written = file.path(root.unwrap_or_else(|| Path::new("")))?;
    let mut reload = DEFAULT_RELOAD;
    let mut errors = Collector::default();
    for option in directive.options() {
        match option.name() {
            "reload" => {
                let time = option.one_arg("DURATION").and_then(Token::duration);
                reload = errors.take(time).unwrap_or(reload);
            }
            "prefer" => errors.push(
                option
                    .unknown_option(&["reload"])
                    .with_note("`prefer` goes with the policy round_robin"),
            ),
            _ => errors.push(option.unknown_option(&["reload"])),
        }
    }
    errors.finish(WeightFile {
        label: written.display().to_string(),
        path: folder.join(written),
        reload: if reload.is_zero() {
            reload
        } else {
            reload.max(MIN_RELOAD)
        },
    })
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    fn read(text: &str) -> Result<Config, ConfigErrors> {
        parse(&parse_directives(text).unwrap(), None, Path::new("/etc/catena"))
    }

    fn file(name: &str, reload: Duration) -> Policy {
        Policy::Weighted(WeightFile {
            path: Path::new("/etc/catena").join(name),
            label: name.to_owned(),
            reload,
        })
    }

    #[test]
    fn policies_and_options() {
        let second = Duration::from_secs(1);
        for (text, policy, prefer) in [
            ("loadbalance", Policy::RoundRobin, &[][..]),
            ("loadbalance round_robin", Policy::RoundRobin, &[]),
            ("loadbalance {\n}", Policy::RoundRobin, &[]),
            (
                "loadbalance {\n prefer 192.0.2.77/24 2001:db8::/32\n prefer 10.0.0.0/8\n}",
                Policy::RoundRobin,
                &["192.0.2.0/24", "2001:db8::/32", "10.0.0.0/8"],
            ),
            ("loadbalance {\n prefer\n}", Policy::RoundRobin, &[]),
            ("loadbalance weighted w", file("w", 30 * second), &[]),
            ("loadbalance weighted /w", file("/w", 30 * second), &[]),
            (
                "loadbalance weighted w {\n reload 5s\n}",
                file("w", 5 * second),
                &[],
            ),
            (
                "loadbalance weighted w {\n reload 0s\n}",
                file("w", Duration::ZERO),
                &[],
            ),
            (
                "loadbalance weighted w {\n reload 1ns\n}",
                file("w", MIN_RELOAD),
                &[],
            ),
            ("loadbalance weighted w\nloadbalance", Policy::RoundRobin, &[]),
            (
                "loadbalance {\n prefer 10.0.0.0/8\n}\nloadbalance {\n prefer 192.0.2.0/24\n}",
                Policy::RoundRobin,
                &["10.0.0.0/8", "192.0.2.0/24"],
            ),
            (
                "loadbalance {\n prefer 10.0.0.0/8\n}\nloadbalance weighted w",
                file("w", 30 * second),
                &[],
            ),
        ] {
            let prefer = prefer.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(read(text).unwrap(), Config { policy, prefer }, "{text}");
        }
    }

    #[test]
    fn the_folder_of_root_stands_before_the_file() {
        let lines = parse_directives("loadbalance weighted w").unwrap();
        let config = parse(&lines, Some(Path::new("/srv/dns")), Path::new("/etc/catena")).unwrap();
        let Policy::Weighted(file) = config.policy else {
            panic!("{config:?}")
        };
        assert_eq!(
            (file.path, file.label),
            (PathBuf::from("/srv/dns/w"), "/srv/dns/w".to_owned())
        );
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (text, want) in [
            (
                "loadbalance least_conn",
                "Corefile:1:13: unknown policy: least_conn (one of: round_robin, weighted)",
            ),
            (
                "loadbalance round_robin w",
                "Corefile:1:25: wrong argument count: unexpected `w` after `round_robin`",
            ),
            (
                "loadbalance weighted",
                "Corefile:1:13: missing weight file argument, expected weighted WEIGHTFILE",
            ),
            (
                "loadbalance weighted a b",
                "Corefile:1:24: wrong argument count: unexpected `b` after the weight file",
            ),
            (
                "loadbalance weighted w {\n prefer 10.0.0.0/8\n}",
                "Corefile:2:2: unknown option `prefer` (one of: reload)",
            ),
            (
                "loadbalance {\n reload 5s\n}",
                "Corefile:2:2: unknown option `reload` (one of: prefer)",
            ),
            (
                "loadbalance weighted w {\n reload 5\n}",
                "Corefile:2:9: got `5`, expected a duration such as 5s or 1h30m",
            ),
            (
                "loadbalance weighted w {\n reload\n}",
                "Corefile:2:2: wrong argument count after `reload`, expected DURATION",
            ),
            (
                "loadbalance {\n prefer 192.0.2.1\n}",
                "Corefile:2:9: got `192.0.2.1`, expected a network such as 192.0.2.0/24",
            ),
            (
                "loadbalance {\n prefer 192.0.2.0/33\n}",
                "Corefile:2:9: got `192.0.2.0/33`, expected a network such as 192.0.2.0/24",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().as_slice()[0].headline(), want, "{text}");
        }
    }
}
