//! What a query is forwarded to: addresses, resolv.conf files, host names.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use catena_core::corefile::{ConfigError, Token};
use catena_upstream::{LookupError, lookup_host};

/// One word after FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// An address, or those of a file.
    Addresses(Vec<SocketAddr>),
    /// A host name, which is looked up at the start.
    Host {
        /// The name as written.
        name: String,
        /// The port.
        port: u16,
    },
}

const DNS_PORT: u16 = 53;

/// What a target may look like.
const EXPECTED: &str =
    "an IP address, a host name (each with or without a port), or a file such as /etc/resolv.conf";

/// A target over TLS or HTTPS, of which its scheme is known and little else.
pub(crate) struct Secure<'t> {
    scheme: &'static str,
    /// The name behind `%`.
    pub(crate) server_name: Option<&'t str>,
    has_path: bool,
}

impl Secure<'_> {
    /// Reads a target that is not to be spoken to in the clear; `None` for any other.
    pub(crate) fn of(token: &Token) -> Option<Secure<'_>> {
        let text = token.as_str();
        let scheme = ["tls", "https"].into_iter().find(|scheme| {
            text.strip_prefix(scheme)
                .is_some_and(|rest| rest.starts_with("://"))
        })?;
        let rest = &text[scheme.len() + 3..];
        let server_name = rest.rsplit_once('%').map(|(_, name)| {
            let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
            name.trim_end_matches(']')
        });
        Some(Secure {
            scheme,
            server_name: server_name.filter(|_| scheme == "tls"),
            has_path: rest.contains('/'),
        })
    }

    /// Why it is refused.
    pub(crate) fn refuse(&self, token: &Token) -> ConfigError {
        if self.scheme == "https" && self.has_path {
            return token.error(format!(
                "paths are not allowed in https upstreams: {token} (the path is always /dns-query)"
            ));
        }
        token.error(format!(
            "upstreams over {}:// are not served yet by this version: {token}",
            self.scheme
        ))
    }
}

/// Reads one target. Files are looked for as they are written, and else in the Corefile's folder.
pub(crate) fn parse(token: &Token, folder: &Path) -> Result<To, ConfigError> {
    let text = token.as_str();
    let text = match text.split_once("://") {
        None | Some(("dns", "")) => text,
        Some(("dns", rest)) => rest,
        Some((scheme, _)) => {
            return Err(token
                .error(format!("`{scheme}` is no protocol to forward over: {token}"))
                .with_expected(EXPECTED));
        }
    };
    if let Some(address) = address(text) {
        return Ok(To::Addresses(vec![address]));
    }
    match read_file(text, folder) {
        Ok(content) => Ok(To::Addresses(name_servers(&content))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            host(text).ok_or_else(|| token.expected(EXPECTED))
        }
        Err(error) => Err(token.error(format!("cannot read {text}: {error}"))),
    }
}

/// An address with or without port. IPv6 addresses may stand in brackets, and may have a zone, which is dropped.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (ip, port) = match text.rsplit_once("]:") {
        Some((ip, port)) => (ip, port.parse().ok()?),
        None => (text, DNS_PORT),
    };
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    let ip = ip.split_once('%').map_or(ip, |(ip, _)| ip);
    ip.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port))
}

fn read_file(text: &str, folder: &Path) -> io::Result<String> {
    let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match read(Path::new(text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => read(&folder.join(text)),
        other => other,
    }
}

/// The name servers of a resolv.conf file.
fn name_servers(content: &str) -> Vec<SocketAddr> {
    let lines = content.lines().filter(|line| !line.starts_with([';', '#']));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver"))
                .then(|| words.next())
                .flatten()
        })
        .filter_map(address)
        .collect()
}

fn host(text: &str) -> Option<To> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok().filter(|&port| port != 0)?),
        None => (text, DNS_PORT),
    };
    let bare = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_name = bare.len() < 254 && bare.split('.').all(is_label);
    is_name.then(|| To::Host {
        name: name.to_owned(),
        port,
    })
}

/// The addresses of all targets in their order, each once.
///
/// # Errors
///
/// A host name without address.
pub(crate) async fn resolve(
    targets: &[To],
    resolvers: &[SocketAddr],
) -> Result<Vec<SocketAddr>, LookupError> {
    let mut found = Vec::new();
    for to in targets {
        match to {
            To::Addresses(addresses) => found.extend(addresses),
            To::Host { name, port } => {
                let addresses = lookup_host(name, resolvers).await?;
                found.extend(addresses.into_iter().map(|ip| SocketAddr::new(ip, *port)));
            }
        }
    }
    Ok(distinct(found))
}

/// The addresses of all targets, if that can be told without asking anybody.
pub(crate) fn known(targets: &[To]) -> Option<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for to in targets {
        let To::Addresses(addresses) = to else { return None };
        found.extend(addresses);
    }
    Some(distinct(found))
}

fn distinct(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut distinct = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_all_forms() {
        for (text, want) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
            ("fe80::1%eth0", "[fe80::1]:53"),
            ("[fe80::1%eth0]:54", "[fe80::1]:54"),
        ] {
            assert_eq!(
                address(text).map(|address| address.to_string()).as_deref(),
                Some(want),
                "{text}"
            );
        }
        for text in ["", "example.org", "192.0.2", "192.0.2.1:x", "[]"] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn host_names_have_letters_and_ports() {
        let host_at = |name: &str, port| {
            Some(To::Host {
                name: name.to_owned(),
                port,
            })
        };
        assert_eq!(host("dns.example.org"), host_at("dns.example.org", 53));
        assert_eq!(
            host("dns_1.example.org.:5353"),
            host_at("dns_1.example.org.", 5353)
        );
        for text in [
            "",
            ".",
            "a..b",
            "/etc/none",
            "a:b",
            "a:0",
            "a b",
            "192.0.2.1:99999",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn name_servers_are_read_among_other_lines() {
        let content = "# comment\n; another\nsearch example.org\nnameserver 192.0.2.1\nnameserver 2001:db8::1 # behind\n\
                       options ndots:5\nnameserver\nnameserver junk\n\tnameserver fe80::1%eth0\n";
        let shown: Vec<String> = name_servers(content).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1]:53"]);
    }
}
