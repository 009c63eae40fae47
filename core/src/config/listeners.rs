//! Listen addresses: which blocks meet on which, and which cannot.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use super::PlannedListener;
use super::build::BuiltBlock;
use crate::corefile::{Collector, ConfigError, Key, Scheme, Served};
use crate::net::tls::{ListenerTls, TlsIdentity};
use crate::plugin::{Bounds, ListenHost};
use crate::server::Site;

/// A scheme and a socket address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddress {
    /// The protocol that is served.
    pub scheme: Scheme,
    /// Where; the wildcard `[::]` stands for all addresses, IPv4 as well.
    pub socket: SocketAddr,
}

impl ListenAddress {
    fn new(scheme: Scheme, host: Option<&ListenHost>, port: u16) -> Self {
        let socket = match host.map(|host| (host.ip, host.scope)) {
            None => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            Some((IpAddr::V4(ip), _)) => SocketAddrV4::new(ip, port).into(),
            Some((IpAddr::V6(ip), scope)) => SocketAddrV6::new(ip, port, 0, scope).into(),
        };
        Self { scheme, socket }
    }

    fn is_wildcard(&self) -> bool {
        self.socket.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    }

    /// The line that the start prints for a zone here; `host` is the address as `bind` gives it, if it does.
    pub(super) fn startup_line(&self, zone: &str, host: Option<&str>) -> String {
        let scheme = match self.scheme {
            Scheme::Dns => String::new(),
            other => format!("{other}://"),
        };
        let port = self.socket.port();
        match host {
            None => format!("{scheme}{zone}:{port}"),
            Some(host) => format!("{scheme}{zone}:{port} on {host}"),
        }
    }
}

/// The form that metrics name servers by, such as `dns://:53` and `tls://127.0.0.1:853`.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_wildcard() {
            write!(f, "{}://:{}", self.scheme, self.socket.port())
        } else {
            write!(f, "{}://{}", self.scheme, self.socket)
        }
    }
}

/// The names of the listeners of a block's first key.
pub(super) fn labels(block: &BuiltBlock) -> Vec<String> {
    let Some(key) = block.info.keys.first() else {
        return Vec::new();
    };
    let label = |host: Option<&ListenHost>| ListenAddress::new(key.scheme, host, key.port).to_string();
    match block.settings.listen.as_slice() {
        [] => vec![label(None)],
        hosts => hosts.iter().map(|host| label(Some(host))).collect(),
    }
}

/// Brings the blocks' keys together on their listen addresses.
pub(super) fn plan(blocks: &[BuiltBlock], errors: &mut Collector) -> Vec<PlannedListener> {
    let mut served = Served::default();
    let mut listeners: BTreeMap<ListenAddress, PlannedListener> = BTreeMap::new();
    let mut identities: BTreeMap<ListenAddress, Vec<Arc<TlsIdentity>>> = BTreeMap::new();
    for block in blocks {
        let hosts: Vec<Option<&ListenHost>> = match block.settings.listen.as_slice() {
            [] => vec![None],
            hosts => hosts.iter().map(Some).collect(),
        };
        for key in &block.info.keys {
            for &host in &hosts {
                let text = host.map_or("", |host| host.text.as_str());
                if let Err(error) = served.add(key, text, !block.settings.filters.is_empty()) {
                    errors.push(error);
                    continue;
                }
                let address = ListenAddress::new(key.scheme, host, key.port);
                if let Err(error) = add_identity(identities.entry(address).or_default(), key, block) {
                    errors.push(error);
                    continue;
                }
                let listener = listeners.entry(address).or_insert_with(|| PlannedListener {
                    address,
                    host: host.map(|host| host.text.clone()),
                    sites: Vec::new(),
                    sockets: block.settings.sockets,
                    transports: block.settings.transports,
                    timeouts: block.settings.timeouts,
                    other_classes: false,
                    proxy: None,
                    tls: None,
                    padding: None,
                    bounds: Bounds::default(),
                });
                merge(listener, block);
                listener.sites.push(Site {
                    zone: Arc::new(key.zone.clone()),
                    chain: Arc::clone(&block.chain),
                    filters: block.settings.filters.clone().into(),
                    services: Arc::clone(&block.services),
                });
            }
        }
    }
    for (address, identities) in identities {
        if let Some(listener) = listeners.get_mut(&address) {
            listener.tls = ListenerTls::new(address.scheme, identities).map(Arc::new);
        }
    }
    listeners.into_values().collect()
}

/// Brings a block's certificate to one of its listeners.
fn add_identity(
    identities: &mut Vec<Arc<TlsIdentity>>,
    key: &Key,
    block: &BuiltBlock,
) -> Result<(), ConfigError> {
    let on_quic = matches!(key.scheme, Scheme::Quic | Scheme::Https3);
    let Some(identity) = block.settings.tls.as_ref().filter(|_| key.scheme != Scheme::Dns) else {
        if on_quic {
            let message = format!(
                "`{}://` needs a certificate: there is no `tls` in the block",
                key.scheme
            );
            return Err(ConfigError::new(key.span.clone(), message).with_expected("a line `tls CERT KEY`"));
        }
        return Ok(());
    };
    if identities.iter().any(|known| Arc::ptr_eq(known, identity)) {
        return Ok(());
    }
    if on_quic
        && identities
            .first()
            .is_some_and(|first| !first.asks_the_same(identity))
    {
        let message = format!(
            "blocks on one `{}://` port ask for clients' certificates in different ways",
            key.scheme
        );
        return Err(ConfigError::new(key.span.clone(), message)
            .with_expected("the same `client_auth` and CA in all of them, or a port for each"));
    }
    identities.push(Arc::clone(identity));
    Ok(())
}

/// Settings of a listener come from all blocks on it; of two times the later block's holds.
fn merge(listener: &mut PlannedListener, block: &BuiltBlock) {
    let (mine, theirs) = (&mut listener.timeouts, &block.settings.timeouts);
    mine.read = theirs.read.or(mine.read);
    mine.write = theirs.write.or(mine.write);
    mine.idle = theirs.idle.or(mine.idle);
    mine.max_queries = theirs.max_queries.or(mine.max_queries);
    mine.keepalive |= theirs.keepalive;
    listener.padding = block.settings.padding.or(listener.padding);
    listener.other_classes |= block.other_classes;
    let scheme = listener.address.scheme;
    listener.bounds = listener.bounds.or(*block.settings.bounds.of(scheme));
    if let Some(proxy) = &block.settings.proxy {
        listener.proxy = Some(Arc::clone(proxy));
    }
}

/// Whether a zone is a host name as RFC 1035, section 2.3.1 prefers it, or a reverse zone.
pub(super) fn is_preferred_syntax(zone: &str) -> bool {
    if zone == "." || is_reverse(zone) {
        return true;
    }
    let Some(labels) = zone.strip_suffix('.') else {
        return false;
    };
    labels.split('.').all(|label| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    })
}

fn is_reverse(zone: &str) -> bool {
    zone.ends_with(".in-addr.arpa.") || zone.ends_with(".ip6.arpa.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_host_names_are_told_apart() {
        for (case, zone, want) in [
            ("root", ".", true),
            ("plain", "example.org.", true),
            ("hyphen", "a-b.example.", true),
            ("reverse", "10.in-addr.arpa.", true),
            ("starts with a digit", "9a.example.", false),
            ("underscore", "_tcp.example.", false),
            ("ends with a hyphen", "a-.example.", false),
            ("brace", "}.", false),
        ] {
            assert_eq!(is_preferred_syntax(zone), want, "case {case}");
        }
    }
}
