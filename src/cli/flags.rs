//! CoreDNS's flags, in the form of Go's flag package: one dash or two, the value behind a blank or `=`.

/// What `-h` prints.
pub(super) const HELP: &str = "\
Usage: catena [FLAGS]             serve what the Corefile says
       catena check [-conf FILE]  read the Corefile, say what would be served or what is wrong with it
       catena fmt [-conf FILE] [-w]
                                  print the Corefile in canonical layout; -w writes it back
       catena proxy [FLAGS]       answer plain DNS with what DNS-over-TLS servers say, configured by flags or
                                  environment; see catena proxy -help
       catena probe [URL]         ask the health endpoint, and end with 0 if all is well; see catena probe -help

Flags:
  -conf FILE       Corefile to load (default: `Corefile` in the working folder; `stdin` reads standard input)
  -dns.port PORT   port of zones that name none (default 53); -p is the same
  -p PORT
  -pidfile FILE    write the process id to FILE
  -plugins         list the plugins
  -quiet           do not print zones and version at the start
  -version         print the version
  -h, -help        print this";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Version,
    Plugins,
    Check(Flags),
    Format {
        flags: Flags,
        write: bool,
    },
    /// The words behind it are the proxy's own.
    Proxy(Vec<String>),
    /// As above.
    Probe(Vec<String>),
    Serve(Flags),
}

/// The flags' values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    /// As it was given; empty for none.
    pub(super) conf: String,
    pub(super) port: u16,
    pub(super) pidfile: String,
    pub(super) quiet: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            conf: String::new(),
            port: 53,
            pidfile: String::new(),
            quiet: false,
        }
    }
}

/// Why the command line cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FlagError {
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid value {value:?} for flag -{flag}: expected {expected}")]
    BadValue {
        flag: String,
        value: String,
        expected: &'static str,
    },
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    #[error("extra command line arguments: [{0}]")]
    Extra(String),
}

/// Reads the words behind the program's name.
pub(super) fn parse(words: &[String]) -> Result<Command, FlagError> {
    let (subcommand, words) = match words.split_first() {
        Some((first, rest)) if first == "proxy" => return Ok(Command::Proxy(rest.to_vec())),
        Some((first, rest)) if first == "probe" => return Ok(Command::Probe(rest.to_vec())),
        Some((first, rest)) if matches!(first.as_str(), "check" | "fmt") => (first.as_str(), rest),
        _ => ("", words),
    };
    let mut seen = Seen::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some(flag) = flag_of(word)? else {
            let extra: Vec<&str> = std::iter::once(word).chain(rest).map(String::as_str).collect();
            return Err(FlagError::Extra(extra.join(" ")));
        };
        seen.take(flag, subcommand, || rest.next().cloned())?;
    }
    Ok(match subcommand {
        _ if seen.help => Command::Help,
        "check" => Command::Check(seen.flags),
        "fmt" => Command::Format {
            flags: seen.flags,
            write: seen.write,
        },
        _ if seen.version => Command::Version,
        _ if seen.plugins => Command::Plugins,
        _ => Command::Serve(seen.flags),
    })
}

/// A flag's name and, behind `=`, its value; `None` for a word that is no flag.
pub(super) fn flag_of(word: &str) -> Result<Option<(&str, Option<&str>)>, FlagError> {
    let Some(text) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
        return Ok(None);
    };
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with(['-', '=']) {
        return Err(FlagError::Syntax(word.to_owned()));
    }
    Ok(Some(
        text.split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value))),
    ))
}

#[derive(Default)]
struct Seen {
    flags: Flags,
    help: bool,
    version: bool,
    plugins: bool,
    write: bool,
}

impl Seen {
    fn take(
        &mut self,
        (name, value): (&str, Option<&str>),
        subcommand: &str,
        next: impl FnOnce() -> Option<String>,
    ) -> Result<(), FlagError> {
        let text = |value: Option<&str>| {
            value
                .map(str::to_owned)
                .or_else(next)
                .ok_or_else(|| FlagError::NoValue(name.to_owned()))
        };
        match name {
            "conf" => self.flags.conf = text(value)?,
            "dns.port" | "p" => self.flags.port = port(name, &text(value)?)?,
            "pidfile" => self.flags.pidfile = text(value)?,
            "quiet" => self.flags.quiet = on(name, value)?,
            "version" => self.version = on(name, value)?,
            "plugins" => self.plugins = on(name, value)?,
            "h" | "help" => self.help = true,
            "w" if subcommand == "fmt" => self.write = on(name, value)?,
            _ => return Err(FlagError::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

fn port(flag: &str, value: &str) -> Result<u16, FlagError> {
    value.parse().map_err(|_| FlagError::BadValue {
        flag: flag.to_owned(),
        value: value.to_owned(),
        expected: "a port, 0 to 65535",
    })
}

/// A flag without a value is on; Go takes these words for on and off.
pub(super) fn on(flag: &str, value: Option<&str>) -> Result<bool, FlagError> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(value) => Err(FlagError::BadValue {
            flag: flag.to_owned(),
            value: value.to_owned(),
            expected: "true or false",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, FlagError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    fn flags(change: impl FnOnce(&mut Flags)) -> Flags {
        let mut flags = Flags::default();
        change(&mut flags);
        flags
    }

    #[test]
    fn flags_in_all_their_forms() {
        for (case, line, want) in [
            ("none", "", Command::Serve(Flags::default())),
            (
                "blank",
                "-conf a",
                Command::Serve(flags(|flags| flags.conf = "a".into())),
            ),
            (
                "equals",
                "--conf=a",
                Command::Serve(flags(|flags| flags.conf = "a".into())),
            ),
            (
                "the last counts",
                "-conf a -conf b",
                Command::Serve(flags(|flags| flags.conf = "b".into())),
            ),
            (
                "ports",
                "-dns.port=1 --p 2",
                Command::Serve(flags(|flags| flags.port = 2)),
            ),
            (
                "off again",
                "-quiet --quiet=false",
                Command::Serve(Flags::default()),
            ),
            (
                "pid file",
                "-pidfile x",
                Command::Serve(flags(|flags| flags.pidfile = "x".into())),
            ),
            ("version", "-conf a -version", Command::Version),
            ("plugins", "-plugins", Command::Plugins),
            ("help", "-h", Command::Help),
            (
                "check",
                "check -conf a",
                Command::Check(flags(|flags| flags.conf = "a".into())),
            ),
            (
                "fmt",
                "fmt -w",
                Command::Format {
                    flags: Flags::default(),
                    write: true,
                },
            ),
        ] {
            assert_eq!(read(line), Ok(want), "case {case}");
        }
    }

    #[test]
    fn mistakes() {
        for (case, line, want) in [
            ("unknown", "-config a", "flag provided but not defined: -config"),
            ("no value", "-conf", "flag needs an argument: -conf"),
            (
                "no port",
                "-p dns",
                "invalid value \"dns\" for flag -p: expected a port, 0 to 65535",
            ),
            (
                "no truth",
                "-quiet=maybe",
                "invalid value \"maybe\" for flag -quiet: expected true or false",
            ),
            ("three dashes", "---conf", "bad flag syntax: ---conf"),
            ("extra", "-quiet a b", "extra command line arguments: [a b]"),
            ("write without fmt", "-w", "flag provided but not defined: -w"),
        ] {
            assert_eq!(
                read(line).map_err(|error| error.to_string()),
                Err(want.to_owned()),
                "case {case}"
            );
        }
    }
}
