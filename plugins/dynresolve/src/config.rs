//! Reads the `dynresolve` directive.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Environment, Token};
use catena_core::plugin::once;
use ipnet::IpNet;

use crate::service::MAX_TTL;

/// TTL of answers whose service has none, in seconds.
const DEFAULT_TTL: u32 = 5;

/// How long an answer counts as fresh.
const DEFAULT_CACHE: Duration = Duration::from_millis(100);

/// Writes a second.
const DEFAULT_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Options of the directive.
const OPTIONS: &[&str] = &["api", "cache", "fallback", "ttl"];

/// Words behind `api`.
const API_OPTIONS: &[&str] = &["allow", "listen", "persist", "rate-limit", "tls", "token"];

/// What one `dynresolve` directive says.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// TTL in seconds of answers whose service has none, and of the fallback.
    pub(crate) ttl: u32,
    /// How long an answer counts as fresh.
    pub(crate) cache: Duration,
    /// The address for names that nothing else answers.
    pub(crate) fallback: Option<Ipv4Addr>,
    /// Where the API listens.
    pub(crate) listen: SocketAddr,
    /// Where that stands.
    pub(crate) listen_token: Token,
    /// The word behind `token`; see [`Config::token`].
    token: Token,
    /// The networks of clients; all if there are none.
    pub(crate) allow: Vec<IpNet>,
    /// Writes a second, and at once.
    pub(crate) rate: NonZeroU32,
    /// Files of the certificate and its key.
    pub(crate) tls: Option<TlsFiles>,
    /// The file that keeps the state.
    pub(crate) persist: Option<PathBuf>,
    /// Where that stands.
    pub(crate) persist_token: Option<Token>,
}

/// The files of a certificate, with their places in the Corefile.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) cert_token: Token,
    pub(crate) key: PathBuf,
    pub(crate) key_token: Token,
}

impl Config {
    /// The token that clients show. It is looked up at the start, so that a Corefile can be checked elsewhere.
    pub(crate) fn token(&self, environment: Environment<'_>) -> Result<String, ConfigError> {
        let text = self.token.as_str();
        let token = match variable(text) {
            None => text.to_owned(),
            Some(name) => {
                let value = environment(name).unwrap_or_default();
                let expected =
                    format!("a token in the environment variable {name}, which is not set or is empty");
                if value.is_empty() {
                    return Err(self.token.expected(expected));
                }
                value.into_string().unwrap_or_default()
            }
        };
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let error = self.token.error("a token that no client can send");
            return Err(error.with_expected("printable ASCII characters without blanks"));
        }
        Ok(token)
    }
}

/// The variable that `$NAME` or `{env.NAME}` names.
fn variable(text: &str) -> Option<&str> {
    let braced = text.strip_prefix("{env.").and_then(|rest| rest.strip_suffix('}'));
    let name = braced.or_else(|| text.strip_prefix('$'))?;
    let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some(name)
}

/// Reads the directive. Relative paths start at `root`.
pub(crate) fn parse(directives: &[Directive], root: &Path) -> Result<Config, ConfigErrors> {
    let directive = once(directives)?;
    let mut errors = Collector::default();
    errors.take(directive.no_args());
    let mut parser = Parser {
        root,
        ..Parser::default()
    };
    for option in directive.options() {
        errors.take(parser.option(option));
    }
    errors.take(parser.needs_tls());
    for (there, what, syntax) in [
        (parser.listen.is_some(), "listen", "ADDRESS:PORT"),
        (parser.token.is_some(), "token", "TOKEN"),
    ] {
        // An option that was refused is not missing.
        if !there && !parser.seen.contains(&what) {
            let error = directive.error(format!("`api {what}` is missing"));
            errors.push(error.with_expected(format!("`api {what} {syntax}` in the block of `dynresolve`")));
        }
    }
    let (Some((listen, listen_token)), Some(token)) = (parser.listen, parser.token) else {
        errors.finish(())?;
        return Err(directive.error("the API is not configured").into());
    };
    let (persist, persist_token) = parser.persist.unzip();
    errors.finish(Config {
        ttl: parser.ttl.unwrap_or(DEFAULT_TTL),
        cache: parser.cache.unwrap_or(DEFAULT_CACHE),
        fallback: parser.fallback,
        listen,
        listen_token,
        token,
        allow: parser.allow,
        rate: parser.rate.unwrap_or(DEFAULT_RATE),
        tls: parser.tls,
        persist,
        persist_token,
    })
}

struct Parser<'a> {
    root: &'a Path,
    /// Options that may stand there once.
    seen: Vec<&'static str>,
    ttl: Option<u32>,
    cache: Option<Duration>,
    fallback: Option<Ipv4Addr>,
    listen: Option<(SocketAddr, Token)>,
    token: Option<Token>,
    allow: Vec<IpNet>,
    rate: Option<NonZeroU32>,
    tls: Option<TlsFiles>,
    persist: Option<(PathBuf, Token)>,
}

impl Default for Parser<'_> {
    fn default() -> Self {
        Self {
            root: Path::new(""),
            seen: Vec::new(),
            ttl: None,
            cache: None,
            fallback: None,
            listen: None,
            token: None,
            allow: Vec::new(),
            rate: None,
            tls: None,
            persist: None,
        }
    }
}

impl Parser<'_> {
    fn option(&mut self, option: &Directive) -> Result<(), ConfigError> {
        match option.name() {
            "api" => return self.api(option),
            "cache" => {
                self.first("cache", option)?;
                self.cache = Some(option.one_arg("DURATION")?.duration()?);
            }
            "fallback" => {
                self.first("fallback", option)?;
                let arg = option.one_arg("IPV4")?;
                let address = arg.as_str().parse();
                self.fallback = Some(address.map_err(|_| arg.expected("an IPv4 address such as 10.0.0.1"))?);
            }
            "ttl" => {
                self.first("ttl", option)?;
                self.ttl = Some(option.one_arg("SECONDS")?.count(0..=u64::from(MAX_TTL))? as u32);
            }
            _ => return Err(option.unknown_option(OPTIONS)),
        }
        Ok(())
    }

    fn api(&mut self, option: &Directive) -> Result<(), ConfigError> {
        let words = option.at_least(1, "OPTION VALUE...")?;
        let [what, values @ ..] = words else {
            return Ok(());
        };
        let Some(known) = API_OPTIONS.iter().find(|known| *what == **known) else {
            let message = format!("unknown option `api {what}` (one of: {})", API_OPTIONS.join(", "));
            return Err(what
                .error(message)
                .with_nearest(what.as_str(), API_OPTIONS.iter().copied()));
        };
        if *known != "allow" {
            self.first(known, option)?;
        }
        match *known {
            "listen" => {
                let [address] = exactly(what, values, "ADDRESS:PORT")?;
                self.listen = Some((listen_address(address)?, address.clone()));
            }
            "token" => {
                let [token] = exactly(what, values, "TOKEN")?;
                if token.as_str().is_empty() {
                    return Err(token
                        .error("an empty token")
                        .with_expected("the token that clients of the API show"));
                }
                self.token = Some(token.clone());
            }
            "allow" if values.is_empty() => return Err(wrong_count(what, "NETWORK...")),
            "allow" => {
                for value in values {
                    self.allow.push(value.network()?);
                }
            }
            "rate-limit" => {
                let [rate] = exactly(what, values, "WRITES")?;
                let count = rate.count(1..=u64::from(u32::MAX))?;
                self.rate = NonZeroU32::new(count as u32);
            }
            "tls" => {
                let [cert, key] = exactly(what, values, "CERT KEY")?;
                self.tls = Some(TlsFiles {
                    cert: cert.path(self.root)?,
                    cert_token: cert.clone(),
                    key: key.path(self.root)?,
                    key_token: key.clone(),
                });
            }
            _ => {
                let [file] = exactly(what, values, "FILE")?;
                self.persist = Some((file.path(self.root)?, file.clone()));
            }
        }
        Ok(())
    }

    /// Notes an option that may be there once.
    fn first(&mut self, what: &'static str, option: &Directive) -> Result<(), ConfigError> {
        if self.seen.contains(&what) {
            let api = if API_OPTIONS.contains(&what) { "api " } else { "" };
            return Err(option
                .error(format!("`{api}{what}` is given twice"))
                .with_expected("it once"));
        }
        self.seen.push(what);
        Ok(())
    }

    /// A token must not travel in the clear.
    fn needs_tls(&self) -> Result<(), ConfigError> {
        match &self.listen {
            Some((address, token))
                if !address.ip().to_canonical().is_loopback() && !self.seen.contains(&"tls") =>
            {
                let message = format!("the API listens on {address} without TLS");
                Err(token
                    .error(message)
                    .with_expected("`api tls CERT KEY`, or a loopback address such as 127.0.0.1:8080"))
            }
            _ => Ok(()),
        }
    }
}

/// The values behind a word of `api`, of which there is a number.
fn exactly<'a, const N: usize>(
    what: &Token,
    values: &'a [Token],
    syntax: &str,
) -> Result<&'a [Token; N], ConfigError> {
    if let Some(surplus) = values.get(N) {
        let message = format!("wrong argument count: unexpected `{surplus}` after `api {what}`");
        return Err(surplus.error(message).with_expected(syntax));
    }
    values.try_into().map_err(|_| wrong_count(what, syntax))
}

fn wrong_count(what: &Token, syntax: &str) -> ConfigError {
    what.error(format!("wrong argument count after `api {what}`"))
        .with_expected(syntax)
}

/// An address with a port; as in Go, without an address all of the machine's are meant, and `localhost` is one.
fn listen_address(token: &Token) -> Result<SocketAddr, ConfigError> {
    let expected = || token.expected("an IP address with a port, such as 127.0.0.1:8080");
    if let Ok(address) = token.address(None) {
        return Ok(address);
    }
    let (host, port) = token.as_str().rsplit_once(':').ok_or_else(expected)?;
    let ip = match host {
        "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => return Err(expected()),
    };
    match port.parse() {
        Ok(port) if port != 0 => Ok(SocketAddr::new(ip, port)),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests;
