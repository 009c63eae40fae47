//! Ways to ask a server.

use catena_core::message::Transport;

/// A transport, and of HTTP the version and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Over {
    /// Datagrams.
    Udp,
    /// TCP.
    Tcp,
    /// TLS (RFC 7858).
    Tls,
    /// HTTP/2 and POST (RFC 8484).
    Https,
    /// HTTP/2 and GET.
    HttpsGet,
    /// HTTP/1.1 and POST.
    Http1,
    /// HTTP/1.1 and GET.
    Http1Get,
    /// HTTP/3 and POST.
    Https3,
    /// HTTP/3 and GET.
    Https3Get,
    /// QUIC (RFC 9250).
    Quic,
    /// gRPC calls.
    Grpc,
}

impl Over {
    /// Every way that there is.
    pub const ALL: [Self; 11] = [
        Self::Udp,
        Self::Tcp,
        Self::Tls,
        Self::Https,
        Self::HttpsGet,
        Self::Http1,
        Self::Http1Get,
        Self::Https3,
        Self::Https3Get,
        Self::Quic,
        Self::Grpc,
    ];

    /// One way for each transport.
    pub const TRANSPORTS: [Self; 7] = [
        Self::Udp,
        Self::Tcp,
        Self::Tls,
        Self::Https,
        Self::Https3,
        Self::Quic,
        Self::Grpc,
    ];

    /// The transport.
    #[must_use]
    pub const fn transport(self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp => Transport::Tcp,
            Self::Tls => Transport::Tls,
            Self::Https | Self::HttpsGet | Self::Http1 | Self::Http1Get => Transport::Https,
            Self::Https3 | Self::Https3Get => Transport::Https3,
            Self::Quic => Transport::Quic,
            Self::Grpc => Transport::Grpc,
        }
    }

    /// The word of a query's text that names it, without its `+`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::HttpsGet => "https-get",
            Self::Http1 => "http1",
            Self::Http1Get => "http1-get",
            Self::Https3 => "https3",
            Self::Https3Get => "https3-get",
            Self::Quic => "quic",
            Self::Grpc => "grpc",
        }
    }

    /// The way of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|over| over.word() == word)
    }

    /// Whether the message is in the path of a request.
    #[cfg(feature = "encrypted")]
    pub(crate) const fn is_get(self) -> bool {
        matches!(self, Self::HttpsGet | Self::Http1Get | Self::Https3Get)
    }

    /// What is negotiated (RFC 7301).
    #[cfg(feature = "encrypted")]
    pub(crate) fn application_protocols(self) -> Vec<Vec<u8>> {
        let name: &[u8] = match self {
            Self::Udp | Self::Tcp => return Vec::new(),
            Self::Tls => b"dot",
            Self::Https | Self::HttpsGet | Self::Grpc => b"h2",
            Self::Http1 | Self::Http1Get => b"http/1.1",
            Self::Https3 | Self::Https3Get => b"h3",
            Self::Quic => b"doq",
        };
        vec![name.to_vec()]
    }
}
