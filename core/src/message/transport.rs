//! The transports that a query can come by.

use std::fmt;

/// How a query reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// DNS over UDP (RFC 1035).
    Udp,
    /// DNS over TCP (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTP/1.1 and HTTP/2 (RFC 8484).
    Https,
    /// DNS over HTTP/3.
    Https3,
    /// DNS over QUIC (RFC 9250).
    Quic,
    /// DNS in gRPC calls, as CoreDNS defines them.
    Grpc,
}

impl Transport {
    /// The scheme of server block keys and labels: `dns`, `tls`, `https`, `https3`, `quic`, `grpc`.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Udp | Self::Tcp => "dns",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Https3 => "https3",
            Self::Quic => "quic",
            Self::Grpc => "grpc",
        }
    }

    /// What logs and metrics say of it: `udp` for what runs over datagrams, `tcp` for the rest.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        if self.is_datagram() { "udp" } else { "tcp" }
    }

    /// Whether answers are bound by the size that the client announces by EDNS, else 512 bytes.
    ///
    /// QUIC carries whole messages of up to 65535 bytes; HTTP/3 does too, but CoreDNS sees its peer as a UDP address
    /// and fits its answers to the announced size.
    #[must_use]
    pub const fn is_size_limited(self) -> bool {
        matches!(self, Self::Udp | Self::Https3)
    }

    /// Whether the bytes travel in UDP datagrams.
    #[must_use]
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::Https3 | Self::Quic)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Https3 => "https3",
            Self::Quic => "quic",
            Self::Grpc => "grpc",
        })
    }
}
