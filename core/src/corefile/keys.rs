//! Server block keys: scheme, zone and port of what stands before a block's brace.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use super::{Collector, ConfigError, ConfigErrors, Span, Token};
use crate::message::{NameError, Zone};

/// What a server block serves: a zone, on a port, over one kind of transport.
///
/// Displayed as CoreDNS does: `dns://example.org.:53`.
#[derive(Clone, Debug)]
pub struct Key {
    /// The kind of transport; `dns://` is UDP and TCP.
    pub scheme: Scheme,
    /// The zone, lower-case.
    pub zone: Zone,
    /// The port; 0 lets the system choose one.
    pub port: u16,
    /// Where the key stands.
    pub span: Span,
}

impl Key {
    /// Whether the zone is the root, a reverse zone, or follows the preferred syntax of RFC 1035, section 2.3.1: labels
    /// of letters, digits and hyphens that begin with a letter. CoreDNS warns of others when it starts.
    #[must_use]
    pub fn has_preferred_syntax(&self) -> bool {
        let name = self.zone.as_str();
        self.zone.is_root()
            || name.ends_with(".in-addr.arpa.")
            || name.ends_with(".ip6.arpa.")
            || name
                .strip_suffix('.')
                .is_some_and(|name| name.split('.').all(is_preferred_label))
    }
}

fn is_preferred_label(label: &str) -> bool {
    label.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && label.ends_with(|letter: char| letter.is_ascii_alphanumeric())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.zone, self.port)
    }
}

/// How queries reach a server block, as written before `://` in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// DNS over UDP and TCP; what a key without a scheme means.
    Dns,
    /// DNS over gRPC.
    Grpc,
    /// DNS over HTTPS, with HTTP/1.1 and HTTP/2.
    Https,
    /// DNS over HTTP/3.
    Https3,
    /// DNS over QUIC.
    Quic,
    /// DNS over TLS.
    Tls,
}

impl Scheme {
    /// All schemes.
    pub const ALL: [Self; 6] = [
        Self::Dns,
        Self::Tls,
        Self::Quic,
        Self::Https,
        Self::Https3,
        Self::Grpc,
    ];

    /// The word before `://`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Grpc => "grpc",
            Self::Https => "https",
            Self::Https3 => "https3",
            Self::Quic => "quic",
            Self::Tls => "tls",
        }
    }

    /// The port of a key that names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Dns => 53,
            Self::Quic | Self::Tls => 853,
            Self::Grpc | Self::Https | Self::Https3 => 443,
        }
    }

    /// Takes a scheme off the start of a key; no scheme is `dns://`. Upper-case letters make no scheme.
    #[must_use]
    pub fn split(text: &str) -> (Self, &str) {
        Self::ALL
            .into_iter()
            .find_map(|scheme| Some((scheme, text.strip_prefix(scheme.as_str())?.strip_prefix("://")?)))
            .unwrap_or((Self::Dns, text))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads the keys of a server block. A network stands for one key or several; `default_port` is for keys with neither a
/// port nor a scheme other than `dns://`.
///
/// ```
/// use catena_core::corefile::{Corefile, Input, Rules, keys};
///
/// let text = b"Example.org:1053 tls://example.net 192.0.2.0/24 {\n whoami\n}";
/// let corefile = Corefile::parse(&Input::new("Corefile", text), &Rules::new(&["whoami"])).unwrap();
/// let shown: Vec<String> =
///     keys(&corefile.blocks[0].keys, 53).unwrap().iter().map(ToString::to_string).collect();
/// assert_eq!(shown, ["dns://example.org.:1053", "tls://example.net.:853", "dns://2.0.192.in-addr.arpa.:53"]);
/// ```
///
/// # Errors
///
/// Each key that has no data behind its last colon, is no domain name, or whose port is beyond 65535.
pub fn keys(tokens: &[Token], default_port: u16) -> Result<Vec<Key>, ConfigErrors> {
    let mut errors = Collector::default();
    let mut keys = Vec::with_capacity(tokens.len());
    for token in tokens {
        keys.extend(errors.take(read_key(token, default_port)).unwrap_or_default());
    }
    errors.finish(keys)
}

fn read_key(token: &Token, default_port: u16) -> Result<Vec<Key>, ConfigError> {
    let text = token.as_str();
    if text.starts_with("unix://") {
        return Err(token.error(format!("cannot serve `{text}`: a socket file is no zone")));
    }
    let (scheme, rest) = Scheme::split(text);
    let (zones, port) = split_zones(rest).map_err(|error| token.error(error.to_string()))?;
    let port = match port {
        None if scheme == Scheme::Dns => default_port,
        None => scheme.default_port(),
        Some(port) => u16::try_from(port).map_err(|_| {
            token
                .error(format!("address {port}: invalid port"))
                .with_expected("a port up to 65535")
        })?,
    };
    Ok(zones
        .into_iter()
        .map(|zone| Key {
            scheme,
            zone,
            port,
            span: token.span().clone(),
        })
        .collect())
}

/// The zone or zones that a word names, without scheme and port; see [`Token::zones`].
pub(super) fn zones(text: &str) -> Result<Vec<Zone>, KeyError> {
    split_zones(Scheme::split(text).1).map(|(zones, _)| zones)
}

/// Why a word names no zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("expecting data after last colon: {0:?}")]
    EndsWithColon(String),
    #[error("invalid CIDR {0}")]
    InvalidCidr(String),
    #[error("zone is not a valid domain name: {text} ({cause})")]
    InvalidName { text: String, cause: NameError },
    #[error("specified zone is too long: {0} > 255")]
    TooLong(usize),
}

/// Takes a port off the end, and makes the reverse zones of a network.
///
/// The port is what stands behind the last colon if that is a number; else it belongs to the name, odd as that is.
fn split_zones(text: &str) -> Result<(Vec<Zone>, Option<i64>), KeyError> {
    let (mut name, mut port) = (text, None);
    if text.is_empty() || text.ends_with(':') {
        return Err(KeyError::EndsWithColon(text.to_owned()));
    }
    if let Some((before, behind)) = text.rsplit_once(':')
        && let Ok(number) = behind.parse::<i64>()
    {
        (name, port) = (before, Some(number));
    }
    if name.len() > 255 {
        return Err(KeyError::TooLong(name.len()));
    }
    let zone: Zone = name.parse().map_err(|cause| KeyError::InvalidName {
        text: name.to_owned(),
        cause,
    })?;
    let Some(network) = parse_cidr(name) else {
        return Ok((vec![zone], port));
    };
    if name.starts_with(':') || (name.starts_with('0') && name.contains(':')) {
        return Err(KeyError::InvalidCidr(name.to_owned()));
    }
    let zones: Result<Vec<Zone>, NameError> =
        reverse_names(network).iter().map(|name| name.parse()).collect();
    let zones = zones.map_err(|cause| KeyError::InvalidName {
        text: name.to_owned(),
        cause,
    })?;
    Ok((zones, port))
}

/// A network in CIDR notation; the length of its prefix is one to three digits, as Go has it.
fn parse_cidr(text: &str) -> Option<IpNet> {
    let (_, length) = text.split_once('/')?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse::<IpNet>().ok().map(|network| network.trunc())
}

/// The names of the reverse zones that make up a network: one if its prefix ends between two labels, else those of the
/// next border below it.
fn reverse_names(network: IpNet) -> Vec<String> {
    let bits_per_label = match network {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 4,
    };
    let border = network.prefix_len().div_ceil(bits_per_label) * bits_per_label;
    let Ok(subnets) = network.subnets(border) else {
        return Vec::new();
    };
    let labels = usize::from(border / bits_per_label);
    subnets
        .map(|subnet| reverse_name(subnet.addr(), labels))
        .collect()
}

/// The reverse name of the first `labels` labels of an address (RFC 1035, section 3.5; RFC 3596, section 2.5).
fn reverse_name(address: IpAddr, labels: usize) -> String {
    let (digits, suffix): (Vec<String>, _) = match address {
        IpAddr::V4(address) => (v4_digits(address), "in-addr.arpa."),
        IpAddr::V6(address) => (v6_digits(address), "ip6.arpa."),
    };
    let mut name: String = digits
        .iter()
        .take(labels)
        .rev()
        .flat_map(|digit| [digit.as_str(), "."])
        .collect();
    name.push_str(suffix);
    name
}

fn v4_digits(address: Ipv4Addr) -> Vec<String> {
    address.octets().iter().map(u8::to_string).collect()
}

fn v6_digits(address: Ipv6Addr) -> Vec<String> {
    address
        .octets()
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 0xf])
        .map(|digit| format!("{digit:x}"))
        .collect()
}

/// Finds keys that cannot be served side by side.
///
/// Two blocks may share a zone and a port if they listen on different addresses, or if one of them has filters (as the
/// plugin `view` sets them).
#[derive(Debug, Default)]
pub struct Served {
    /// By scheme, zone, port and address.
    taken: HashMap<(Scheme, Zone, u16, String), Span>,
    /// The address that came first, by scheme, zone and port.
    first: HashMap<(Scheme, Zone, u16), String>,
}

impl Served {
    /// Notes that `key` is served at `address` (empty for all addresses). Call it in the order of the file.
    ///
    /// # Errors
    ///
    /// The same is served already, or by a block that listens on all addresses, or this one listens on all and another
    /// does on one.
    pub fn add(&mut self, key: &Key, address: &str, filtered: bool) -> Result<(), ConfigError> {
        let place = (key.scheme, key.zone.clone(), key.port);
        let exact = (key.scheme, key.zone.clone(), key.port, address.to_owned());
        let shown = on(key, address);
        if let Some(before) = self.taken.get(&exact) {
            if filtered {
                return Ok(());
            }
            let error = ConfigError::new(
                key.span.clone(),
                format!("cannot serve {shown} - it is already defined"),
            );
            return Err(error.with_note(format!("first defined at {before}")));
        }
        if let Some(first) = self.first.get(&place) {
            let everywhere = (key.scheme, key.zone.clone(), key.port, String::new());
            let other = match address {
                "" => Some(first.as_str()),
                _ => self.taken.contains_key(&everywhere).then_some(""),
            };
            if let Some(other) = other {
                let message = format!(
                    "cannot serve {shown} - zone overlap listener capacity with {}",
                    on(key, other)
                );
                return Err(ConfigError::new(key.span.clone(), message));
            }
        }
        if !filtered {
            self.taken.insert(exact, key.span.clone());
            self.first.insert(place, address.to_owned());
        }
        Ok(())
    }
}

fn on(key: &Key, address: &str) -> String {
    if address.is_empty() {
        key.to_string()
    } else {
        format!("{key} on {address}")
    }
}

#[cfg(test)]
mod tests;
