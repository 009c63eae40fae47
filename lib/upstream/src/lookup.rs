//! Host names of upstreams, looked up once at the start.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::error::Protocol;
use crate::target::Target;
use crate::{probe, wire};

/// How long one resolver may take for one query.
const TIMEOUT: Duration = Duration::from_secs(2);

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// Why a host name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The resolvers know none, or did not answer.
    #[error("no addresses found for {name:?}{}", .cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
    NoAddress {
        /// The host name.
        name: String,
        /// What went wrong last.
        cause: Option<String>,
    },
    /// The text is no domain name.
    #[error("{0:?} is no domain name")]
    BadName(String),
}

/// The addresses of a host, IPv4 before IPv6. The resolvers are asked in their order until one knows an address;
/// with none given, the system's own way of looking up names is used.
///
/// # Errors
///
/// No resolver knows an address.
pub async fn lookup_host(name: &str, resolvers: &[SocketAddr]) -> Result<Vec<IpAddr>, LookupError> {
    if resolvers.is_empty() {
        return ask_system(name).await;
    }
    let qname = to_wire(name).ok_or_else(|| LookupError::BadName(name.to_owned()))?;
    let mut cause = None;
    for &resolver in resolvers {
        let mut found = Vec::new();
        for qtype in [TYPE_A, TYPE_AAAA] {
            match ask(resolver, &qname, qtype).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => {
                    cause = Some(error.to_string());
                    if found.is_empty() {
                        // A resolver that does not answer the first question will not answer the second one either.
                        break;
                    }
                }
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(LookupError::NoAddress {
        name: name.to_owned(),
        cause,
    })
}

async fn ask_system(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    let fail = |cause| LookupError::NoAddress {
        name: name.to_owned(),
        cause,
    };
    let found = tokio::net::lookup_host((name, 0))
        .await
        .map_err(|error| fail(Some(error.to_string())))?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|address| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        Err(fail(None))
    } else {
        Ok(addresses)
    }
}

async fn ask(resolver: SocketAddr, qname: &[u8], qtype: u16) -> std::io::Result<Vec<IpAddr>> {
    let query = probe::query(qname, qtype, true);
    let question_end = query.len();
    let resolver = Target::new(resolver);
    let mut answer = probe::ask(&resolver, None, Protocol::Udp, query.clone(), TIMEOUT).await?;
    if wire::is_truncated(&answer) {
        answer = probe::ask(&resolver, None, Protocol::Tcp, query, TIMEOUT).await?;
    }
    Ok(wire::addresses(&answer, question_end))
}

/// A host name in wire format.
fn to_wire(name: &str) -> Option<Vec<u8>> {
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..=63).contains(length))?;
        wire.push(length);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    (wire.len() <= 255).then_some(wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_become_wire_format() {
        assert_eq!(
            to_wire("dns.example.").as_deref(),
            Some(&b"\x03dns\x07example\0"[..])
        );
        for bad in ["", ".", "a..b", &"x".repeat(64), &"abcd.".repeat(60)] {
            assert_eq!(to_wire(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_resolver_that_is_not_there_is_named_in_the_error() {
        let gone = std::net::UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = lookup_host("nowhere.example", &[gone])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("no addresses found for \"nowhere.example\""),
            "{error}"
        );
    }
}
