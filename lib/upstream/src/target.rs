//! What a group can ask: servers over each transport.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::error::Protocol;
use crate::http::{Content, Http};
use crate::tls::{self, Tls, TlsError};

/// How an upstream is spoken to, as its scheme says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// DNS over UDP and TCP.
    Dns,
    /// DNS in gRPC calls, as CoreDNS defines them.
    Grpc,
    /// DNS over HTTP/2 (RFC 8484).
    Https,
    /// DNS over HTTP/3 (RFC 8484, RFC 9114).
    Https3,
    /// DNS over QUIC (RFC 9250).
    Quic,
    /// DNS over TLS (RFC 7858).
    Tls,
}

impl Scheme {
    /// The scheme of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::Dns,
            Self::Grpc,
            Self::Https,
            Self::Https3,
            Self::Quic,
            Self::Tls,
        ]
        .into_iter()
        .find(|scheme| scheme.name() == name)
    }

    /// What stands before `://`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Grpc => "grpc",
            Self::Https => "https",
            Self::Https3 => "https3",
            Self::Quic => "quic",
            Self::Tls => "tls",
        }
    }

    /// The port of a target that names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Dns => 53,
            Self::Grpc | Self::Https | Self::Https3 => 443,
            Self::Quic | Self::Tls => 853,
        }
    }

    /// Whether upstreams show a certificate.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        !matches!(self, Self::Dns | Self::Grpc)
    }
}

/// How a query travels in HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 8484 knows these two")]
pub enum Method {
    /// In the path, so that HTTP caches can know it again.
    Get,
    /// In the body.
    #[default]
    Post,
}

/// An upstream.
#[derive(Clone)]
#[non_exhaustive]
pub struct Target {
    /// Where it listens; no address at all for one on a Unix socket.
    pub address: SocketAddr,
    pub(crate) unix: Option<Arc<PathBuf>>,
    pub(crate) kind: Kind,
}

/// What is needed to speak to an upstream.
#[derive(Clone)]
pub(crate) enum Kind {
    Plain,
    Tls(Secured),
    /// HTTP/2, in the clear if there is no TLS.
    Http2(Option<Secured>, Http),
    Quic(Box<OverQuic>),
    Http3(Box<OverQuic>, Http),
}

/// TLS over a stream.
#[derive(Clone)]
pub(crate) struct Secured {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

/// A QUIC connection.
#[derive(Clone)]
pub(crate) struct OverQuic {
    pub(crate) config: quinn::ClientConfig,
    pub(crate) name: String,
}

impl Target {
    /// An upstream that speaks DNS over UDP and TCP.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            unix: None,
            kind: Kind::Plain,
        }
    }

    /// An upstream that shows a certificate for `name`; for its IP address if there is no name.
    ///
    /// `method` counts for HTTP. With [`Scheme::Dns`] this is the same as [`Target::new`].
    ///
    /// # Errors
    ///
    /// The name is none that a certificate could be for.
    pub fn secure(
        scheme: Scheme,
        address: SocketAddr,
        tls: &Tls,
        name: Option<&str>,
        method: Method,
    ) -> Result<Self, TlsError> {
        let authority = authority(address, name);
        let kind = match scheme {
            Scheme::Dns => Kind::Plain,
            Scheme::Tls => Kind::Tls(secured(tls, address, name, &[])?),
            Scheme::Https => Kind::Http2(
                Some(secured(tls, address, name, &[b"h2", b"http/1.1"])?),
                Http::new(Content::Doh(method), "https", &authority),
            ),
            Scheme::Grpc => Kind::Http2(
                Some(secured(tls, address, name, &[b"h2"])?),
                Http::new(Content::Grpc, "https", &authority),
            ),
            Scheme::Quic => Kind::Quic(over_quic(tls, address, name, b"doq", 0)?),
            Scheme::Https3 => Kind::Http3(
                over_quic(tls, address, name, b"h3", HTTP3_STREAMS)?,
                Http::new(Content::Doh(method), "https", &authority),
            ),
        };
        Ok(Self {
            address,
            unix: None,
            kind,
        })
    }

    /// An upstream that takes gRPC calls in the clear.
    #[must_use]
    pub fn grpc(address: SocketAddr) -> Self {
        let http = Http::new(Content::Grpc, "http", &authority(address, None));
        Self {
            address,
            unix: None,
            kind: Kind::Http2(None, http),
        }
    }

    /// An upstream that takes gRPC calls on a Unix socket, in the clear or with a certificate for the name.
    ///
    /// # Errors
    ///
    /// The name is none that a certificate could be for.
    pub fn grpc_on_unix_socket(path: &Path, tls: Option<(&Tls, &str)>) -> Result<Self, TlsError> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let (secured, scheme) = match tls {
            None => (None, "http"),
            Some((tls, name)) => (Some(secured(tls, nowhere, Some(name), &[b"h2"])?), "https"),
        };
        let host = tls.map_or("localhost", |(_, name)| name);
        Ok(Self {
            address: nowhere,
            unix: Some(Arc::new(path.to_owned())),
            kind: Kind::Http2(secured, Http::new(Content::Grpc, scheme, host)),
        })
    }

    /// How it is asked, whatever the client used; `None` for one that is asked over UDP or TCP.
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        match &self.kind {
            Kind::Plain => None,
            Kind::Tls(_) => Some(Protocol::Tls),
            Kind::Http2(_, http) => Some(match http.content() {
                Content::Doh(_) => Protocol::Https,
                Content::Grpc => Protocol::Grpc,
            }),
            Kind::Quic(_) => Some(Protocol::Quic),
            Kind::Http3(..) => Some(Protocol::Https3),
        }
    }
}

impl fmt::Display for Target {
    /// Address and port, or the path of its socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unix {
            Some(path) => write!(f, "unix://{}", path.display()),
            None => self.address.fmt(f),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol() {
            None => write!(f, "{self}"),
            Some(protocol) => write!(f, "{self} over {protocol}"),
        }
    }
}

/// Streams that the other side of HTTP/3 opens towards this one: control and QPACK, and some that mean nothing.
const HTTP3_STREAMS: u32 = 8;

fn secured(tls: &Tls, address: SocketAddr, name: Option<&str>, alpn: &[&[u8]]) -> Result<Secured, TlsError> {
    Ok(Secured {
        connector: TlsConnector::from(Arc::new(tls.config_for(alpn))),
        name: named(address, name)?,
    })
}

fn over_quic(
    tls: &Tls,
    address: SocketAddr,
    name: Option<&str>,
    alpn: &[u8],
    their_streams: u32,
) -> Result<Box<OverQuic>, TlsError> {
    let name = named(address, name)?.to_str().into_owned();
    let config = QuicClientConfig::try_from(tls.config_for(&[alpn]))
        .map_err(|error| TlsError::Library(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(config));
    config.transport_config(Arc::new(crate::quic::transport(their_streams)));
    Ok(Box::new(OverQuic { config, name }))
}

fn named(address: SocketAddr, name: Option<&str>) -> Result<ServerName<'static>, TlsError> {
    match name {
        None => Ok(ServerName::IpAddress(address.ip().into())),
        Some(name) => tls::parse_name(name)
            .ok_or_else(|| TlsError::Library(format!("`{name}` is no name that a certificate can be for"))),
    }
}

/// Whom HTTP requests are for: the name if there is one, since a server may have several.
fn authority(address: SocketAddr, name: Option<&str>) -> String {
    let Some(name) = name else {
        return address.to_string();
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let host = if name.contains(':') {
        format!("[{name}]")
    } else {
        name.to_owned()
    };
    match address.port() {
        443 | 0 => host,
        port => format!("{host}:{port}"),
    }
}
