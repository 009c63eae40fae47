//! What plugins of a block tell the server about the block: settings that are no link of the chain.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::PanicPolicy;
use crate::corefile::{Scheme, Span};
use crate::message::Request;
use crate::net::tls::TlsIdentity;

/// Settings of one server block. Plugins such as `bind`, `root` and `timeouts` write them in their setup.
#[derive(Clone, Debug, Default)]
pub struct BlockSettings {
    /// The folder that relative paths of the block start from, if `root` names one.
    pub root: Option<PathBuf>,
    /// Addresses to listen on (`bind`), as IP addresses with an optional zone; empty means the wildcard address.
    pub listen: Vec<ListenHost>,
    /// What a panic in a plugin does.
    pub panics: PanicPolicy,
    /// Messages of the level debug are logged (`debug`).
    pub debug: bool,
    /// Times of connections (`timeouts`).
    pub timeouts: Timeouts,
    /// Sockets for each listen address (`multisocket`); `None` is one for each worker.
    pub sockets: Option<usize>,
    /// What plain listeners take queries over (`transports`).
    pub transports: Transports,
    /// Conditions that all must hold for a query to be served by this block (`view`).
    pub filters: Vec<Arc<dyn ViewFilter>>,
    /// Reads what a proxy puts before a client's own bytes (`proxyproto`); of several blocks on a listener the last
    /// one's counts.
    pub proxy: Option<Arc<dyn ProxyHeader>>,
    /// What encrypted listeners show (`tls`).
    pub tls: Option<Arc<TlsIdentity>>,
    /// Answers over encrypted connections are padded to a multiple of so many bytes, for clients that pad (`tls`).
    pub padding: Option<u16>,
    /// Bounds of each kind of listener (`https`, `https3`, `quic`, `grpc_server`); of several blocks on a listener the
    /// first one's count.
    pub bounds: SchemeBounds,
}

/// Bounds of the listeners of a block, by their kind.
#[derive(Clone, Debug, Default)]
pub struct SchemeBounds([Bounds; Scheme::ALL.len()]);

impl SchemeBounds {
    /// The bounds of this kind of listener.
    #[must_use]
    pub const fn of(&self, scheme: Scheme) -> &Bounds {
        &self.0[scheme as usize]
    }

    /// The same, to be changed.
    pub const fn of_mut(&mut self, scheme: Scheme) -> &mut Bounds {
        &mut self.0[scheme as usize]
    }
}

/// Bounds of one listener. `None` is the default of its kind, `usize::MAX` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at a time.
    pub connections: Option<usize>,
    /// Streams, and hence queries, at a time on one connection.
    pub streams: Option<usize>,
    /// Streams at a time on all connections together.
    pub all_streams: Option<usize>,
}

impl Bounds {
    /// These bounds, and those of `other` where there is none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            connections: self.connections.or(other.connections),
            streams: self.streams.or(other.streams),
            all_streams: self.all_streams.or(other.all_streams),
        }
    }
}

/// What a listener of plain DNS takes queries over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "DNS without encryption has no other transports"
)]
pub enum Transports {
    /// UDP and TCP.
    #[default]
    Both,
    /// TCP alone.
    Tcp,
    /// UDP alone: answers that are cut off cannot be fetched whole.
    Udp,
}

impl Transports {
    /// Whether there is TCP.
    #[must_use]
    pub const fn has_tcp(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether there is UDP.
    #[must_use]
    pub const fn has_udp(self) -> bool {
        !matches!(self, Self::Tcp)
    }
}

/// An address that `bind` names, and where it does.
#[derive(Clone, Debug)]
pub struct ListenHost {
    /// The address.
    pub ip: std::net::IpAddr,
    /// The IPv6 zone (interface index), 0 for none.
    pub scope: u32,
    /// How it is printed: the address with its zone.
    pub text: String,
    /// Where the Corefile says so.
    pub span: Option<Span>,
}

/// How long a connection may take for its parts. `None` is the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For a query to arrive after its first byte; 3 seconds by default.
    pub read: Option<Duration>,
    /// For an answer to be taken by the client; 5 seconds by default.
    pub write: Option<Duration>,
    /// Between two queries of a connection; 10 seconds by default.
    pub idle: Option<Duration>,
    /// Queries on one connection before it is closed; without limit by default, and so with `usize::MAX`.
    pub max_queries: Option<usize>,
    /// Clients that ask are told the time between two queries (RFC 7828).
    pub keepalive: bool,
}

/// A condition on queries that several blocks of one zone are told apart by.
pub trait ViewFilter: Send + Sync + 'static {
    /// The view's name, for logs and metrics.
    fn view_name(&self) -> &str;
    /// Whether the block serves this query.
    fn accepts(&self, request: &Request) -> bool;
}

impl fmt::Debug for dyn ViewFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "view {}", self.view_name())
    }
}

/// Reads the header in which a proxy before the server tells whom it speaks for.
pub trait ProxyHeader: Send + Sync + 'static {
    /// Looks for a header at the start of a datagram that came from `from`; `None` if it is to be dropped.
    fn datagram(&self, bytes: &[u8], from: SocketAddr) -> Option<Proxied>;
    /// Looks for a header at the start of a connection from `from`, before anything else is read.
    fn connection(&self, bytes: &[u8], from: SocketAddr) -> ProxiedConnection;
}

/// A datagram behind its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// How long the header is; the message begins there.
    pub header: usize,
    /// The client. Answers still go to where the datagram came from.
    pub client: SocketAddr,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a listener must know all that can come")]
pub enum ProxiedConnection {
    /// The beginning of a header: more is needed.
    More,
    /// Messages begin behind the header, if there is one.
    Begins {
        /// How long the header is.
        header: usize,
        /// The client and the address that it asked, where the header says so.
        ends: Option<(SocketAddr, SocketAddr)>,
    },
    /// To be closed.
    Refused,
}

impl fmt::Debug for dyn ProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyHeader")
    }
}
