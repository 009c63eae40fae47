//! What a query is forwarded to: addresses, resolv.conf files, host names, each over plain DNS, TLS, HTTPS or QUIC.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use catena_core::corefile::{ConfigError, Token};
use catena_upstream::{LookupError, Scheme, Target, lookup_host, name_servers, parse_address};

use crate::config::Security;

/// One word after FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct To {
    pub(crate) scheme: Scheme,
    /// Whom the certificate must be for, as the word itself says.
    pub(crate) server_name: Option<String>,
    place: Place,
}

/// Where upstreams are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
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

/// The schemes that stand before targets.
const SCHEMES: [Scheme; 5] = [
    Scheme::Dns,
    Scheme::Tls,
    Scheme::Https,
    Scheme::Https3,
    Scheme::Quic,
];

/// What a target may look like.
const EXPECTED: &str =
    "an IP address, a host name (each with or without a port), or a file such as /etc/resolv.conf";

/// Reads a target. A file is read now.
pub(crate) fn parse(token: &Token, folder: &Path) -> Result<To, ConfigError> {
    let (scheme, text) = split_scheme(token)?;
    if !scheme.is_secure() {
        return Ok(To {
            scheme,
            server_name: None,
            place: plain(token, text, folder)?,
        });
    }
    if matches!(scheme, Scheme::Https | Scheme::Https3) && text.contains('/') {
        let scheme = scheme.name();
        return Err(token.error(format!(
            "paths are not allowed in {scheme} upstreams: {token} (the path is always /dns-query)"
        )));
    }
    let (address, server_name) = split_name(text);
    if let Some(name) = server_name {
        check_name(token, name)?;
    }
    let port = scheme.default_port();
    let place = match parse_address(&address, port) {
        Some(address) => Place::Addresses(vec![address]),
        // A file would name servers, but not at what port and under what name they speak so.
        None => host(&address, port).ok_or_else(|| token.expected(EXPECTED_SECURE))?,
    };
    Ok(To {
        scheme,
        server_name: server_name.map(str::to_owned),
        place,
    })
}

const EXPECTED_SECURE: &str =
    "an IP address or a host name, with or without a server name behind `%` and a port";

fn split_scheme(token: &Token) -> Result<(Scheme, &str), ConfigError> {
    let text = token.as_str();
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok((Scheme::Dns, text));
    };
    // `dns://` alone may be a file's name.
    if scheme == "dns" && rest.is_empty() {
        return Ok((Scheme::Dns, text));
    }
    match Scheme::named(scheme).filter(|scheme| SCHEMES.contains(scheme)) {
        Some(scheme) => Ok((scheme, rest)),
        None => Err(token
            .error(format!("`{scheme}` is no protocol to forward over: {token}"))
            .with_expected("an upstream, alone or behind one of dns://, tls://, https://, https3://, quic://")
            .with_nearest(scheme, SCHEMES.map(Scheme::name))),
    }
}

/// Takes the server name out of `192.0.2.1%dns.example.org:853` or `[2001:db8::1%dns.example.org]:853`.
fn split_name(text: &str) -> (String, Option<&str>) {
    let Some((address, behind)) = text.rsplit_once('%') else {
        return (text.to_owned(), None);
    };
    let (name, port) = match behind.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (behind, None),
    };
    let name = name.trim_end_matches(']');
    let bracketed = address.starts_with('[') || (port.is_some() && address.contains(':'));
    let bare = address.trim_start_matches('[');
    let address = match (bracketed, port) {
        (true, Some(port)) => format!("[{bare}]:{port}"),
        (false, Some(port)) => format!("{bare}:{port}"),
        (_, None) => bare.to_owned(),
    };
    (address, Some(name))
}

fn check_name(token: &Token, name: &str) -> Result<(), ConfigError> {
    let is_name = host(name, 1).is_some() || name.parse::<std::net::IpAddr>().is_ok();
    if is_name {
        return Ok(());
    }
    Err(token
        .error(format!("`{name}` is no server name: {token}"))
        .with_expected("a domain name behind `%`"))
}

fn plain(token: &Token, text: &str, folder: &Path) -> Result<Place, ConfigError> {
    let port = Scheme::Dns.default_port();
    if let Some(address) = parse_address(text, port) {
        return Ok(Place::Addresses(vec![address]));
    }
    match read_file(text, folder) {
        Ok(content) => Ok(Place::Addresses(name_servers(&content))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            host(text, port).ok_or_else(|| token.expected(EXPECTED))
        }
        Err(error) => Err(token.error(format!("cannot read {text}: {error}"))),
    }
}

fn read_file(text: &str, folder: &Path) -> io::Result<String> {
    let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match read(Path::new(text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => read(&folder.join(text)),
        other => other,
    }
}

fn host(text: &str, default_port: u16) -> Option<Place> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok().filter(|&port| port != 0)?),
        None => (text, default_port),
    };
    let bare = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_name = bare.len() < 254 && bare.split('.').all(is_label);
    is_name.then(|| Place::Host {
        name: name.to_owned(),
        port,
    })
}

/// The upstreams of all targets in their order, each address once.
///
/// # Errors
///
/// A host name without address, or a name that no certificate can be for.
pub(crate) async fn resolve(
    targets: &[To],
    resolvers: &[SocketAddr],
    security: &Security,
) -> Result<Vec<Target>, ResolveError> {
    let mut found = Vec::new();
    for to in targets {
        match &to.place {
            Place::Addresses(addresses) => to.add(addresses, None, security, &mut found)?,
            Place::Host { name, port } => {
                let looked_up = lookup_host(name, resolvers).await?;
                let addresses: Vec<SocketAddr> = looked_up
                    .into_iter()
                    .map(|ip| SocketAddr::new(ip, *port))
                    .collect();
                to.add(&addresses, Some(name), security, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// Why there are no upstreams.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    Tls(#[from] catena_upstream::TlsError),
}

/// The upstreams of all targets, if that can be told without asking anybody.
///
/// # Errors
///
/// A name that no certificate can be for.
pub(crate) fn known(targets: &[To], security: &Security) -> Result<Option<Vec<Target>>, ResolveError> {
    let mut found = Vec::new();
    for to in targets {
        let Place::Addresses(addresses) = &to.place else {
            return Ok(None);
        };
        to.add(addresses, None, security, &mut found)?;
    }
    Ok(Some(found))
}

/// Whether the targets have no address among them, and no host name that could have one.
pub(crate) fn are_none(targets: &[To]) -> bool {
    targets
        .iter()
        .all(|to| matches!(&to.place, Place::Addresses(addresses) if addresses.is_empty()))
}

impl To {
    /// Adds upstreams at these addresses, where there are none yet.
    fn add(
        &self,
        addresses: &[SocketAddr],
        host: Option<&str>,
        security: &Security,
        found: &mut Vec<Target>,
    ) -> Result<(), ResolveError> {
        // Without any other name, a host's certificate has to be for the host: its address came from somewhere else.
        let name = self
            .server_name
            .as_deref()
            .or(security.server_name.as_deref())
            .or(host);
        for &address in addresses {
            if found.iter().any(|target| target.address == address) {
                continue;
            }
            found.push(match &security.tls {
                Some(tls) => Target::secure(self.scheme, address, tls, name, security.method)?,
                None => Target::new(address),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_are_taken_out() {
        for (text, address, name) in [
            ("192.0.2.1", "192.0.2.1", None),
            ("192.0.2.1%dns.example", "192.0.2.1", Some("dns.example")),
            ("192.0.2.1%dns.example:853", "192.0.2.1:853", Some("dns.example")),
            ("2001:db8::1%dns.example", "2001:db8::1", Some("dns.example")),
            (
                "2001:db8::1%dns.example:853",
                "[2001:db8::1]:853",
                Some("dns.example"),
            ),
            (
                "[2001:db8::1%dns.example]:853",
                "[2001:db8::1]:853",
                Some("dns.example"),
            ),
            ("[2001:db8::1%dns.example]", "2001:db8::1", Some("dns.example")),
            (
                "up.example%dns.example:853",
                "up.example:853",
                Some("dns.example"),
            ),
        ] {
            assert_eq!(split_name(text), (address.to_owned(), name), "{text}");
        }
    }

    #[test]
    fn host_names_have_letters_and_ports() {
        let host = |text| host(text, 53);
        let host_at = |name: &str, port| {
            Some(Place::Host {
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
}
