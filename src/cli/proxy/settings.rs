//! What the proxy can be told: the one list of settings, from which flags and variables are read and the help is made.

use std::collections::HashMap;
use std::ffi::OsString;

use crate::cli::flags::{FlagError, flag_of};

/// What a setting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Cache,
    Health,
    Listen,
    Log,
    Metrics,
    Ready,
    Tcp,
    Udp,
    UpstreamCa,
    UpstreamPort,
    UpstreamServer,
    UpstreamServerName,
    UpstreamTimeout,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: Key,
    /// The flag, without its dash.
    pub(super) flag: &'static str,
    /// The environment variable.
    pub(super) variable: &'static str,
    /// What the value is, for the help.
    pub(super) value: &'static str,
    /// The value where nothing is given; empty for none.
    pub(super) default: &'static str,
    /// What it does, for the help.
    pub(super) what: &'static [&'static str],
}

/// Variables that begin like this are the proxy's.
const PREFIX: &str = "DNS_PROXY_";

/// Such variables are set by Kubernetes for a service that is called `dns-proxy`.
const OF_KUBERNETES: [&str; 2] = ["DNS_PROXY_PORT", "DNS_PROXY_SERVICE_"];

/// All settings, in the order of the help.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: Key::UpstreamServer,
        flag: "upstream-server",
        variable: "DNS_PROXY_UPSTREAM_SERVER",
        value: "SERVER[,SERVER...]",
        default: "1.1.1.1",
        what: &[
            "DNS-over-TLS servers: IP addresses, or host names that the system",
            "knows at the start, each with a port of its own where it has one,",
            "as 192.0.2.1:8853 or [2001:db8::1]:8853",
        ],
    },
    Setting {
        key: Key::UpstreamPort,
        flag: "upstream-port",
        variable: "DNS_PROXY_UPSTREAM_PORT",
        value: "PORT",
        default: "853",
        what: &["port of servers that name none"],
    },
    Setting {
        key: Key::UpstreamServerName,
        flag: "upstream-servername",
        variable: "DNS_PROXY_UPSTREAM_SERVERNAME",
        value: "NAME[,NAME...]",
        default: "",
        what: &[
            "name that the servers' certificates must have: one for all, or",
            "one for each in their order; without it, the server's own address",
            "or host name",
        ],
    },
    Setting {
        key: Key::UpstreamCa,
        flag: "upstream-ca",
        variable: "DNS_PROXY_UPSTREAM_CA",
        value: "FILE",
        default: "",
        what: &[
            "certificates, in PEM form, of the authorities that are trusted;",
            "without it, those of the system",
        ],
    },
    Setting {
        key: Key::UpstreamTimeout,
        flag: "upstream-timeout",
        variable: "DNS_PROXY_UPSTREAM_TIMEOUT",
        value: "DURATION",
        default: "2000ms",
        what: &[
            "how long an answer is waited for before the query is tried",
            "again, as 1500ms or 2s; a number alone is milliseconds",
        ],
    },
    Setting {
        key: Key::Listen,
        flag: "listen",
        variable: "DNS_PROXY_LISTEN",
        value: "[ADDRESS]:PORT[,...]",
        default: ":53",
        what: &["where queries come in; addresses of one port, or all with :PORT"],
    },
    Setting {
        key: Key::Udp,
        flag: "enable-udp",
        variable: "DNS_PROXY_ENABLE_UDP",
        value: "true|false",
        default: "true",
        what: &["listen on UDP"],
    },
    Setting {
        key: Key::Tcp,
        flag: "enable-tcp",
        variable: "DNS_PROXY_ENABLE_TCP",
        value: "true|false",
        default: "true",
        what: &["listen on TCP, where clients get what is too long for UDP"],
    },
    Setting {
        key: Key::Cache,
        flag: "cache",
        variable: "DNS_PROXY_CACHE",
        value: "true|false|SECONDS",
        default: "true",
        what: &["keep answers for as long as they hold, or at most so long"],
    },
    Setting {
        key: Key::Metrics,
        flag: "metrics",
        variable: "DNS_PROXY_METRICS",
        value: "true|false|[ADDRESS]:PORT",
        default: "false",
        what: &["show metrics for Prometheus at /metrics; true is :9153"],
    },
    Setting {
        key: Key::Health,
        flag: "health",
        variable: "DNS_PROXY_HEALTH",
        value: "true|false|[ADDRESS]:PORT",
        default: "true",
        what: &["say at /health that the process lives; true is :8080"],
    },
    Setting {
        key: Key::Ready,
        flag: "ready",
        variable: "DNS_PROXY_READY",
        value: "true|false|[ADDRESS]:PORT",
        default: "true",
        what: &["say at /ready that queries are answered; true is :8181"],
    },
    Setting {
        key: Key::Log,
        flag: "log",
        variable: "DNS_PROXY_LOG",
        value: "true|false",
        default: "false",
        what: &["log each query; errors are logged in any case"],
    },
];

/// Values as they were given.
#[derive(Debug, Default)]
pub(super) struct Given {
    values: HashMap<Key, Value>,
}

/// One value, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    /// The flag with its dash, or the variable.
    pub(super) from: String,
}

/// What the words behind `proxy` ask for.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) help: bool,
    pub(super) print_corefile: bool,
    pub(super) quiet: bool,
    pub(super) pidfile: String,
    pub(super) given: Given,
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{from}: got `{got}`, expected {expected}")]
pub(super) struct BadValue {
    pub(super) from: String,
    pub(super) got: String,
    pub(super) expected: String,
}

impl Value {
    /// It is not what was expected.
    pub(super) fn expected(&self, expected: impl Into<String>) -> BadValue {
        BadValue {
            from: self.from.clone(),
            got: self.text.clone(),
            expected: expected.into(),
        }
    }

    /// A part of it is not what was expected.
    pub(super) fn part_expected(&self, part: &str, expected: impl Into<String>) -> BadValue {
        BadValue {
            got: part.to_owned(),
            ..self.expected(expected)
        }
    }

    /// The parts between commas.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.text.split(',').map(str::trim)
    }
}

impl Given {
    /// The value of a setting: that of its flag, of its variable, or its default.
    pub(super) fn value(&self, key: Key) -> Value {
        self.values.get(&key).cloned().unwrap_or_else(|| {
            let setting = SETTINGS.iter().find(|setting| setting.key == key);
            Value {
                text: setting.map_or("", |setting| setting.default).to_owned(),
                from: setting.map_or("", |setting| setting.variable).to_owned(),
            }
        })
    }

    /// The value of a setting without default, if it was given.
    pub(super) fn given(&self, key: Key) -> Option<&Value> {
        self.values.get(&key)
    }

    /// Takes what the environment says where no flag does. An empty variable is none, as an unset one in a manifest is.
    pub(super) fn read_environment(
        &mut self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), BadValue> {
        for setting in SETTINGS {
            let Some(text) = environment(setting.variable).filter(|text| !text.is_empty()) else {
                continue;
            };
            let from = setting.variable.to_owned();
            let text = text.into_string().map_err(|text| BadValue {
                from: from.clone(),
                got: text.to_string_lossy().into_owned(),
                expected: "text in UTF-8".to_owned(),
            })?;
            let text = text.trim().to_owned();
            self.values.entry(setting.key).or_insert(Value { text, from });
        }
        Ok(())
    }
}

impl Words {
    /// Reads flags: Go's, with one dash or two.
    pub(super) fn read(words: &[String]) -> Result<Self, FlagError> {
        let mut read = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let Some((name, value)) = flag_of(word)? else {
                let extra: Vec<&str> = std::iter::once(word).chain(rest).map(String::as_str).collect();
                return Err(FlagError::Extra(extra.join(" ")));
            };
            match name {
                "h" | "help" => read.help = true,
                "print-corefile" => read.print_corefile = crate::cli::flags::on(name, value)?,
                "quiet" => read.quiet = crate::cli::flags::on(name, value)?,
                _ => {
                    let setting = SETTINGS.iter().find(|setting| setting.flag == name);
                    if setting.is_none() && name != "pidfile" {
                        return Err(FlagError::Unknown(name.to_owned()));
                    }
                    let text = value.map(str::to_owned).or_else(|| rest.next().cloned());
                    let text = text.ok_or_else(|| FlagError::NoValue(name.to_owned()))?;
                    match setting {
                        None => read.pidfile = text,
                        Some(setting) => {
                            let from = format!("-{name}");
                            read.given.values.insert(setting.key, Value { text, from });
                        }
                    }
                }
            }
        }
        Ok(read)
    }
}

/// Variables that look like the proxy's and are none: a warning for each.
pub(super) fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let is_known = |name: &str| SETTINGS.iter().any(|setting| setting.variable == name);
    let mut warnings: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(PREFIX) && !is_known(name))
        .filter(|name| !OF_KUBERNETES.iter().any(|start| name.starts_with(start)))
        .map(|name| {
            let known = SETTINGS.iter().map(|setting| setting.variable);
            let near = catena_core::corefile::nearest(&name, known)
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            format!("[WARNING] {name} is no variable of this proxy{near}")
        })
        .collect();
    warnings.sort();
    warnings
}

/// What `catena proxy -help` prints.
pub(super) fn help() -> String {
    let mut text = String::from(HEAD);
    for setting in SETTINGS {
        text.push_str(&format!(
            "\n  -{} {}\n  {}\n",
            setting.flag, setting.value, setting.variable
        ));
        for line in setting.what {
            text.push_str(&format!("        {line}\n"));
        }
        if !setting.default.is_empty() {
            text.push_str(&format!("        default: {}\n", setting.default));
        }
    }
    text.push_str(TAIL);
    text
}

const HEAD: &str = "\
Usage: catena proxy [FLAGS]

Answers plain DNS, over UDP and TCP, with what DNS-over-TLS servers say. Each setting is a flag or an environment
variable, the flag first; an empty variable is the same as none. Nothing has to be set.
";

const TAIL: &str = "
  -print-corefile
        print the Corefile that the settings amount to, and end: the server runs the same with `catena -conf FILE`
  -pidfile FILE
        write the process id to FILE
  -quiet
        do not print zones and version at the start
  -h, -help
        print this";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Words, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Words::read(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_help_explains_each_flag_and_variable() {
        let help = help();
        for setting in SETTINGS {
            let entry = format!(
                "\n  -{} {}\n  {}\n        ",
                setting.flag, setting.value, setting.variable
            );
            assert!(help.contains(&entry), "{}", setting.flag);
        }
        for flag in ["-print-corefile", "-pidfile", "-quiet", "-help"] {
            assert!(help.contains(flag), "{flag}");
        }
        assert!(help.lines().all(|line| line.len() <= 120), "{help}");
    }

    #[test]
    fn settings_have_names_of_their_own() {
        for (place, setting) in SETTINGS.iter().enumerate() {
            for other in &SETTINGS[place + 1..] {
                assert!(
                    setting.key != other.key
                        && setting.flag != other.flag
                        && setting.variable != other.variable,
                    "{}",
                    setting.flag
                );
            }
        }
    }

    #[test]
    fn flags_that_are_no_settings_are_read() {
        let words = read("-print-corefile --quiet=true -pidfile x").unwrap();
        assert!(words.print_corefile && words.quiet && !words.help);
        assert_eq!(words.pidfile, "x");
        assert!(read("--help").unwrap().help);
    }

    #[test]
    fn mistakes_on_the_command_line_are_told() {
        for (line, want) in [
            ("-conf x", "flag provided but not defined: -conf"),
            ("-upstream-server", "flag needs an argument: -upstream-server"),
            ("1.1.1.1 -quiet", "extra command line arguments: [1.1.1.1 -quiet]"),
            (
                "-print-corefile=x",
                "invalid value \"x\" for flag -print-corefile: expected true or false",
            ),
        ] {
            assert_eq!(read(line).unwrap_err(), want, "{line}");
        }
    }

    #[test]
    fn variables_with_a_slip_are_warned_of_and_those_of_kubernetes_are_not() {
        let names = [
            "DNS_PROXY_UPSTREAM_SERVERS",
            "DNS_PROXY_UPSTREAM_SERVER",
            "DNS_PROXY_PORT_53_UDP_ADDR",
            "DNS_PROXY_PORT",
            "DNS_PROXY_SERVICE_HOST",
            "DNS_PROXY_COLOUR_OF_THE_SKY",
            "PATH",
        ];
        assert_eq!(
            unknown_variables(names.iter().map(OsString::from)),
            [
                "[WARNING] DNS_PROXY_COLOUR_OF_THE_SKY is no variable of this proxy",
                "[WARNING] DNS_PROXY_UPSTREAM_SERVERS is no variable of this proxy; did you mean DNS_PROXY_UPSTREAM_SERVER?",
            ]
        );
    }

    #[test]
    fn a_variable_that_is_no_text_is_told() {
        use std::os::unix::ffi::OsStringExt;
        let mut given = Given::default();
        let error = given.read_environment(|name| {
            (name == "DNS_PROXY_LISTEN").then(|| OsString::from_vec(b":\xff".to_vec()))
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            "DNS_PROXY_LISTEN: got `:\u{fffd}`, expected text in UTF-8"
        );
    }
}
