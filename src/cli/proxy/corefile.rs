//! From the settings to a Corefile.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::settings::{BadValue, Given, Key, Value};

/// Servers that one `forward` takes.
const MAX_SERVERS: usize = 15;

/// Longest time for an answer.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time that answers are kept, in seconds.
const MAX_CACHE: u32 = i32::MAX as u32;

/// Where the endpoints are unless the settings say so.
const METRICS: &str = ":9153";
const HEALTH: &str = ":8080";
const READY: &str = ":8181";

/// A file with certificates begins so, somewhere.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What the proxy does: the settings, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    servers: Vec<Server>,
    /// None, one for all, or one for each server.
    names: Vec<String>,
    ca: Option<String>,
    timeout: Duration,
    /// None for all addresses.
    addresses: Vec<IpAddr>,
    port: u16,
    transports: Transports,
    /// `None` is off; the number is the longest time in seconds.
    cache: Option<Option<u32>>,
    metrics: Option<String>,
    health: Option<String>,
    ready: Option<String>,
    log: bool,
}

/// A server to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    /// An IP address or a host name.
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transports {
    Both,
    Tcp,
    Udp,
}

impl Proxy {
    /// Reads the settings.
    pub(super) fn read(given: &Given) -> Result<Self, BadValue> {
        let servers = servers(given)?;
        let (addresses, port) = listen(&given.value(Key::Listen))?;
        Ok(Self {
            names: names(given, servers.len())?,
            servers,
            ca: given.given(Key::UpstreamCa).map(ca).transpose()?,
            timeout: timeout(&given.value(Key::UpstreamTimeout))?,
            addresses,
            port,
            transports: transports(given)?,
            cache: cache(&given.value(Key::Cache))?,
            metrics: endpoint(&given.value(Key::Metrics), METRICS)?,
            health: endpoint(&given.value(Key::Health), HEALTH)?,
            ready: endpoint(&given.value(Key::Ready), READY)?,
            log: truth(&given.value(Key::Log))?,
        })
    }

    /// The Corefile that says the same.
    pub(super) fn corefile(&self) -> String {
        let mut text = format!(".:{} {{\n", self.port);
        let mut line = |words: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "    {words}");
        };
        if !self.addresses.is_empty() {
            let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
            line(&format!("bind {}", addresses.join(" ")));
        }
        match self.transports {
            Transports::Both => {}
            Transports::Tcp => line("transports tcp"),
            Transports::Udp => line("transports udp"),
        }
        line("errors");
        if self.log {
            line("log");
        }
        for (directive, address) in [
            ("health", &self.health),
            ("ready", &self.ready),
            ("prometheus", &self.metrics),
        ] {
            if let Some(address) = address {
                line(&format!("{directive} {address}"));
            }
        }
        match self.cache {
            None => {}
            Some(None) => line("cache"),
            Some(Some(seconds)) => line(&format!("cache {seconds}")),
        }
        self.forward(&mut line);
        text.push_str("}\n");
        text
    }

    fn forward(&self, line: &mut impl FnMut(&str)) {
        let own_name = |place: usize| match self.names.len() {
            0 | 1 => None,
            _ => self.names.get(place).map(String::as_str),
        };
        let servers = self.servers.iter().enumerate();
        let servers: Vec<String> = servers
            .map(|(place, server)| server.target(own_name(place)))
            .collect();
        line(&format!("forward . {} {{", servers.join(" ")));
        if let Some(file) = &self.ca {
            line(&format!("    tls \"{file}\""));
        }
        if let [name] = &self.names[..] {
            line(&format!("    tls_servername {name}"));
        }
        line(&format!("    read_timeout {}", duration(self.timeout)));
        line("}");
    }
}

impl Server {
    /// Reads an IP address or a host name, with the port that stands behind it or `default`.
    fn read(text: &str, default: u16) -> Option<Self> {
        let server = |ip: IpAddr, port: u16| Self {
            host: ip.to_string(),
            port,
        };
        if let Ok(address) = text.parse::<SocketAddr>() {
            let usable = address.port() != 0 && !address.ip().is_unspecified();
            return usable.then(|| server(address.ip(), address.port()));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return (!ip.is_unspecified()).then(|| server(ip, default));
        }
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, port(number)?),
            None => (text, default),
        };
        // What ends in a number is an address with a slip.
        let is_number = name
            .rsplit('.')
            .next()
            .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
        (is_host_name(name) && !is_number).then(|| Self {
            host: name.to_owned(),
            port: number,
        })
    }

    /// As `forward` takes it, with the name that its certificate must have.
    fn target(&self, name: Option<&str>) -> String {
        let (host, port) = (&self.host, self.port);
        let name = name.map(|name| format!("%{name}")).unwrap_or_default();
        if host.contains(':') {
            format!("tls://[{host}{name}]:{port}")
        } else {
            format!("tls://{host}{name}:{port}")
        }
    }
}

fn duration(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{}s", time.as_secs())
    } else {
        format!("{}ms", time.as_millis())
    }
}

fn servers(given: &Given) -> Result<Vec<Server>, BadValue> {
    let value = given.value(Key::UpstreamPort);
    let port = port(&value.text).ok_or_else(|| value.expected("a port, 1 to 65535"))?;
    let value = given.value(Key::UpstreamServer);
    let servers: Vec<Server> = value
        .parts()
        .map(|part| {
            let expected =
                "an IP address or a host name, with or without a port, such as 1.1.1.1 or [2001:db8::1]:853";
            Server::read(part, port).ok_or_else(|| value.part_expected(part, expected))
        })
        .collect::<Result<_, _>>()?;
    if servers.len() > MAX_SERVERS {
        return Err(value.expected(format!("at most {MAX_SERVERS} servers")));
    }
    Ok(servers)
}

fn names(given: &Given, servers: usize) -> Result<Vec<String>, BadValue> {
    let Some(value) = given.given(Key::UpstreamServerName) else {
        return Ok(Vec::new());
    };
    let names: Vec<String> = value
        .parts()
        .map(|part| {
            let name = part.strip_suffix('.').unwrap_or(part);
            is_host_name(name)
                .then(|| name.to_owned())
                .ok_or_else(|| value.part_expected(part, "a host name such as dns.example.org"))
        })
        .collect::<Result<_, _>>()?;
    if names.len() > 1 && names.len() != servers {
        return Err(value.expected(format!(
            "one name for all servers, or {servers} of them, one for each server"
        )));
    }
    Ok(names)
}

/// The file is read here too, so that the error names the setting.
fn ca(value: &Value) -> Result<String, BadValue> {
    let file = &value.text;
    // What a Corefile has other uses for between quotes.
    let cannot_be_said = |letter: char| letter.is_control() || ['"', '\\', '{', '}'].contains(&letter);
    if file.contains(cannot_be_said) {
        return Err(value.expected("a path without quotes, backslashes, braces and control characters"));
    }
    match std::fs::read(Path::new(file)) {
        Ok(text) if text.windows(PEM.len()).any(|part| part == PEM) => Ok(file.clone()),
        Ok(_) => Err(value.expected("a file with certificates in PEM form")),
        Err(error) => Err(value.expected(format!("a file that can be read ({error})"))),
    }
}

fn timeout(value: &Value) -> Result<Duration, BadValue> {
    let digits = value.text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.text.split_at(digits);
    let milliseconds = match unit {
        "" | "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    number
        .zip(milliseconds)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .map(Duration::from_millis)
        .filter(|time| !time.is_zero() && *time <= MAX_TIMEOUT)
        .ok_or_else(|| value.expected("a duration from 1ms to 60s, such as 1500ms or 2s"))
}

fn listen(value: &Value) -> Result<(Vec<IpAddr>, u16), BadValue> {
    let expected = "an address with a port, such as 127.0.0.1:53, or :53 for all addresses";
    let mut addresses = Vec::new();
    let mut ports = Vec::new();
    for part in value.parts() {
        let bad = || value.part_expected(part, expected);
        if let Some(text) = part.strip_prefix(':') {
            ports.push(port(text).ok_or_else(bad)?);
            addresses.push(None);
        } else {
            let address: SocketAddr = part.parse().map_err(|_| bad())?;
            ports.push(Some(address.port()).filter(|port| *port != 0).ok_or_else(bad)?);
            addresses.push(Some(address.ip()));
        }
    }
    ports.dedup();
    let [port] = ports[..] else {
        return Err(value.expected("addresses of one port"));
    };
    // All addresses cover each of them.
    let each: Option<Vec<IpAddr>> = addresses.into_iter().collect();
    Ok((each.unwrap_or_default(), port))
}

fn transports(given: &Given) -> Result<Transports, BadValue> {
    let (tcp, udp) = (given.value(Key::Tcp), given.value(Key::Udp));
    match (truth(&tcp)?, truth(&udp)?) {
        (true, true) => Ok(Transports::Both),
        (true, false) => Ok(Transports::Tcp),
        (false, true) => Ok(Transports::Udp),
        (false, false) => {
            let other = &udp.from;
            Err(tcp.expected(format!(
                "true, since {other} is false too and nothing would be served"
            )))
        }
    }
}

fn cache(value: &Value) -> Result<Option<Option<u32>>, BadValue> {
    if let Some(on) = bool_of(&value.text) {
        return Ok(on.then_some(None));
    }
    let seconds = value.text.parse().ok();
    seconds
        .filter(|seconds| (2..=MAX_CACHE).contains(seconds))
        .map(|seconds| Some(Some(seconds)))
        .ok_or_else(|| {
            value.expected(format!(
                "true, false, or a number of seconds from 2 to {MAX_CACHE}"
            ))
        })
}

/// Where an endpoint listens; `None` where it does not.
fn endpoint(value: &Value, default: &str) -> Result<Option<String>, BadValue> {
    if let Some(on) = bool_of(&value.text) {
        return Ok(on.then(|| default.to_owned()));
    }
    let bad = || value.expected("true, false, or an address with a port such as 127.0.0.1:9153 or :9153");
    if let Some(text) = value.text.strip_prefix(':') {
        return port(text).map(|port| Some(format!(":{port}"))).ok_or_else(bad);
    }
    let address: SocketAddr = value.text.parse().map_err(|_| bad())?;
    Ok(Some(address.to_string()))
}

fn truth(value: &Value) -> Result<bool, BadValue> {
    bool_of(&value.text).ok_or_else(|| value.expected("true or false"))
}

/// Go's words for true and false.
fn bool_of(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn port(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests;
