//! Reads the `dnstap` directives.

use std::path::PathBuf;

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Span, Token};
use catena_core::plugin::host_name;

use crate::extra::Extra;
use crate::tls::Files;

/// Messages that may wait for each unit of the queue's multiplier.
pub(crate) const QUEUE_UNIT: usize = 10_000;

const MAX_WRITE_BUFFER: u64 = 1024;
const MAX_QUEUE: u64 = 4096;

const OPTIONS: &[&str] = &["extra", "identity", "skipverify", "tls", "version"];

/// What one `dnstap` directive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) endpoint: Endpoint,
    /// Collectors connect to the server, and not the server to the collector.
    pub(crate) listen: bool,
    /// Messages go along as they are on the wire.
    pub(crate) full: bool,
    /// In MiB, for the system's buffer of connections over TCP.
    pub(crate) write_buffer: usize,
    /// In units of [`QUEUE_UNIT`].
    pub(crate) queue: usize,
    pub(crate) identity: Vec<u8>,
    pub(crate) version: Vec<u8>,
    pub(crate) extra: Option<Extra>,
    pub(crate) tls: Option<Files>,
    pub(crate) skip_verify: bool,
}

/// Where a collector is, or where collectors are awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Host and port.
    Tcp(String),
    /// Host and port, with TLS.
    Tls(String),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Endpoint {
    fn parse(text: &str) -> Self {
        // What stands behind the port of a URL says nothing here.
        let host = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
        if let Some(rest) = text.strip_prefix("tls://") {
            Self::Tls(host(rest))
        } else if let Some(rest) = text.strip_prefix("tcp://") {
            Self::Tcp(host(rest))
        } else {
            Self::Unix(text.strip_prefix("unix://").unwrap_or(text).into())
        }
    }
}

/// The label of metrics, and the name in logs.
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host) => write!(f, "tcp://{host}"),
            Self::Tls(host) => write!(f, "tls://{host}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// What the directives say, and what is odd about them without being wrong.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) configs: Vec<Config>,
    pub(crate) warnings: Vec<(Span, String)>,
}

/// Reads all directives of a block.
pub(crate) fn parse(directives: &[Directive]) -> Result<Parsed, ConfigErrors> {
    let mut errors = Collector::default();
    let mut parsed = Parsed::default();
    for directive in directives {
        let Some(mut config) = errors.take(arguments(directive)) else {
            continue;
        };
        for option in directive.options() {
            errors.take(config.option(option));
        }
        odd(&config, directive, &mut parsed.warnings);
        parsed.configs.push(config);
    }
    errors.finish(parsed)
}

/// CoreDNS passes over all of these in silence, so they are no errors.
fn odd(config: &Config, directive: &Directive, warnings: &mut Vec<(Span, String)>) {
    let mut warn = |span: &Span, text: String| warnings.push((span.clone(), text));
    let args = &directive.args()[usize::from(config.listen)..];
    if let Some(word) = args.get(1).filter(|word| word.as_str() != "full") {
        let text = format!(
            "`{word}` stands where `full` may stand, and says nothing: messages go along without wire form"
        );
        warn(word.span(), text);
    }
    if let Some(word) = args.get(4) {
        warn(
            word.span(),
            format!("`{word}` and what stands behind it says nothing"),
        );
    }
    if let Endpoint::Tcp(host) | Endpoint::Tls(host) = &config.endpoint
        && split(host).is_none()
    {
        warn(args[0].span(), format!("`{}` names no port", args[0]));
    }
    if config.listen && config.tls.is_none() && matches!(config.endpoint, Endpoint::Tls(_)) {
        let text =
            "no collector can connect: TLS needs the files of a certificate and a key (`tls CERT KEY`)";
        warn(directive.span(), text.to_owned());
    }
}

/// Tells the host from the port; IPv6 addresses lose their brackets.
pub(crate) fn split(endpoint: &str) -> Option<(&str, u16)> {
    let (host, port) = endpoint.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(host) => Some((host, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}

fn arguments(directive: &Directive) -> Result<Config, ConfigError> {
    const WHAT: &str = "[listen] SOCKET [full] [WRITEBUFFER] [QUEUE]";
    let args = directive.at_least(1, WHAT)?;
    let (listen, args) = match args {
        [word, args @ ..] if word.as_str() == "listen" => (true, args),
        args => (false, args),
    };
    let [endpoint, args @ ..] = args else {
        return Err(directive
            .error("`dnstap listen` has no endpoint")
            .with_expected("a socket such as tcp://127.0.0.1:6000 or /run/dnstap.sock"));
    };
    let number = |token: Option<&Token>, max, what: &str| match token {
        None => Ok(1),
        Some(token) => token
            .count(1..=max)
            .map(|count| count as usize)
            .map_err(|error| error.with_note(format!("this is the {what}, 1 to {max}"))),
    };
    Ok(Config {
        endpoint: Endpoint::parse(endpoint.as_str()),
        listen,
        full: args.first().is_some_and(|word| word.as_str() == "full"),
        write_buffer: number(args.get(1), MAX_WRITE_BUFFER, "write buffer in MiB")?,
        queue: number(
            args.get(2),
            MAX_QUEUE,
            "size of the queue in units of 10000 messages",
        )?,
        identity: host_name().into_bytes(),
        version: concat!("Catena-", env!("CARGO_PKG_VERSION")).into(),
        extra: None,
        tls: None,
        skip_verify: false,
    })
}

impl Config {
    fn option(&mut self, option: &Directive) -> Result<(), ConfigError> {
        option.no_block()?;
        match option.name() {
            "identity" => self.identity = option.one_arg("IDENTITY")?.as_bytes().to_vec(),
            "version" => self.version = option.one_arg("VERSION")?.as_bytes().to_vec(),
            "extra" => {
                let text = option.one_arg("EXTRA")?.as_str();
                self.extra = (!text.is_empty()).then(|| Extra::parse(text));
            }
            "skipverify" => {
                option.no_args()?;
                self.skip_verify = true;
            }
            "tls" if !self.listen => {
                return Err(option.error("`tls` is for `dnstap listen` only").with_expected(
                    "`skipverify`, or a collector with a certificate that the system trusts",
                ));
            }
            "tls" => {
                let files = option.at_least(2, "CERT KEY [CA]")?;
                self.tls = Some(Files {
                    certificate: files[0].as_str().into(),
                    key: files[1].as_str().into(),
                    ca: files.get(2).map(|ca| ca.as_str().into()),
                });
            }
            _ => return Err(option.unknown_option(OPTIONS)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    fn read(text: &str) -> Result<Parsed, ConfigErrors> {
        parse(&parse_directives(text).unwrap())
    }

    fn default(endpoint: Endpoint) -> Config {
        Config {
            endpoint,
            listen: false,
            full: false,
            write_buffer: 1,
            queue: 1,
            identity: host_name().into_bytes(),
            version: concat!("Catena-", env!("CARGO_PKG_VERSION")).into(),
            extra: None,
            tls: None,
            skip_verify: false,
        }
    }

    #[test]
    fn directives_are_read() {
        let unix = || default(Endpoint::Unix("tap.sock".into()));
        let tcp = |host: &str| default(Endpoint::Tcp(host.to_owned()));
        let tls = |host: &str| default(Endpoint::Tls(host.to_owned()));
        let files = |ca: Option<&str>| {
            Some(Files {
                certificate: "c.pem".into(),
                key: "k.pem".into(),
                ca: ca.map(Into::into),
            })
        };
        for (text, want) in [
            ("dnstap tap.sock", unix()),
            ("dnstap unix://tap.sock full", Config { full: true, ..unix() }),
            ("dnstap tcp://127.0.0.1:6000", tcp("127.0.0.1:6000")),
            ("dnstap tcp://[::1]:6000/", tcp("[::1]:6000")),
            ("dnstap tcp://example.com:6000/a?b", tcp("example.com:6000")),
            (
                "dnstap tls://127.0.0.1:6000 {\n skipverify\n}",
                Config {
                    skip_verify: true,
                    ..tls("127.0.0.1:6000")
                },
            ),
            (
                "dnstap tap.sock full 1024 4096",
                Config {
                    full: true,
                    write_buffer: 1024,
                    queue: 4096,
                    ..unix()
                },
            ),
            (
                "dnstap tap.sock {\n identity NAME\n version VER\n extra \"to {/forward/upstream}\"\n}",
                Config {
                    identity: b"NAME".to_vec(),
                    version: b"VER".to_vec(),
                    extra: Some(Extra::parse("to {/forward/upstream}")),
                    ..unix()
                },
            ),
            ("dnstap tap.sock {\n extra \"\"\n}", unix()),
            (
                "dnstap listen tcp://:6000 full",
                Config {
                    listen: true,
                    full: true,
                    ..tcp(":6000")
                },
            ),
            (
                "dnstap listen unix:///tap.sock",
                Config {
                    listen: true,
                    ..default(Endpoint::Unix("/tap.sock".into()))
                },
            ),
            (
                "dnstap listen tls://h:1 {\n tls c.pem k.pem\n skipverify\n}",
                Config {
                    listen: true,
                    tls: files(None),
                    skip_verify: true,
                    ..tls("h:1")
                },
            ),
            (
                "dnstap listen tls://h:1 {\n tls c.pem k.pem ca.pem\n}",
                Config {
                    listen: true,
                    tls: files(Some("ca.pem")),
                    ..tls("h:1")
                },
            ),
        ] {
            let parsed = read(text).unwrap();
            assert_eq!(parsed.configs, [want], "{text}");
            assert!(parsed.warnings.is_empty(), "{text}: {:?}", parsed.warnings);
        }
    }

    #[test]
    fn several_directives_are_several_taps() {
        let parsed = read("dnstap a.sock full\ndnstap listen tcp://127.0.0.1:1").unwrap();
        let shown: Vec<String> = parsed
            .configs
            .iter()
            .map(|config| config.endpoint.to_string())
            .collect();
        assert_eq!(shown, ["unix://a.sock", "tcp://127.0.0.1:1"]);
        assert_eq!([parsed.configs[0].full, parsed.configs[1].full], [true, false]);
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (text, want) in [
            (
                "dnstap",
                "Corefile:1:1: wrong argument count after `dnstap`, expected [listen] SOCKET [full] [WRITEBUFFER] [QUEUE]",
            ),
            (
                "dnstap listen",
                "Corefile:1:1: `dnstap listen` has no endpoint, expected a socket such as tcp://127.0.0.1:6000 or \
                 /run/dnstap.sock",
            ),
            (
                "dnstap t full 0",
                "Corefile:1:15: got `0`, expected a number from 1 to 1024",
            ),
            (
                "dnstap t full 1025",
                "Corefile:1:15: got `1025`, expected a number from 1 to 1024",
            ),
            (
                "dnstap t full x",
                "Corefile:1:15: got `x`, expected a number from 1 to 1024",
            ),
            (
                "dnstap t full 1 4097",
                "Corefile:1:17: got `4097`, expected a number from 1 to 4096",
            ),
            (
                "dnstap t full 1 -1",
                "Corefile:1:17: got `-1`, expected a number from 1 to 4096",
            ),
            (
                "dnstap t {\n identity\n}",
                "Corefile:2:2: wrong argument count after `identity`, expected IDENTITY",
            ),
            (
                "dnstap t {\n version a b\n}",
                "Corefile:2:12: wrong argument count: unexpected `b` after `version`, expected VERSION",
            ),
            (
                "dnstap t {\n extra\n}",
                "Corefile:2:2: wrong argument count after `extra`, expected EXTRA",
            ),
            (
                "dnstap t {\n identitiy x\n}",
                "Corefile:2:2: unknown option `identitiy` (one of: extra, identity, skipverify, tls, version)",
            ),
            (
                "dnstap tls://h:1 {\n tls c k\n}",
                "Corefile:2:2: `tls` is for `dnstap listen` only, expected `skipverify`, or a collector with a \
                 certificate that the system trusts",
            ),
            (
                "dnstap listen tls://h:1 {\n tls c\n}",
                "Corefile:2:2: wrong argument count after `tls`, expected CERT KEY [CA]",
            ),
        ] {
            let errors = read(text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "{text}");
        }
    }

    #[test]
    fn errors_of_several_directives_come_at_once() {
        let errors = read("dnstap\ndnstap t {\n x\n y\n}").unwrap_err();
        assert_eq!(errors.as_slice().len(), 3);
    }

    #[test]
    fn what_says_nothing_is_a_warning() {
        for (text, want) in [
            ("dnstap t FULL", "`FULL` stands where `full` may stand"),
            ("dnstap t full 1 1 more", "`more` and what stands behind it"),
            ("dnstap tcp://host", "`tcp://host` names no port"),
            ("dnstap tcp://2001:db8::1:53", "names no port"),
            ("dnstap listen tls://h:1", "no collector can connect"),
        ] {
            let parsed = read(text).unwrap();
            assert_eq!(parsed.configs.len(), 1, "{text}");
            assert!(
                parsed.warnings[0].1.contains(want),
                "{text}: {:?}",
                parsed.warnings
            );
        }
    }
}
