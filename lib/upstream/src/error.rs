//! Why an upstream gave no answer.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::random::NoRandomness;

/// How a query travels to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// In a gRPC call.
    Grpc,
    /// In an HTTP/2 request.
    Https,
    /// In an HTTP/3 request.
    Https3,
    /// On a stream of its own of a QUIC connection.
    Quic,
    /// Over TCP, on a connection that is kept.
    Tcp,
    /// Over TLS, on a connection that is kept.
    Tls,
    /// Over UDP, from a random port.
    Udp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Grpc,
        Self::Https,
        Self::Https3,
        Self::Quic,
        Self::Tcp,
        Self::Tls,
        Self::Udp,
    ];

    /// As metrics have it: `grpc`, `https`, `https3`, `quic`, `tcp`, `tcp-tls` or `udp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Https => "https",
            Self::Https3 => "https3",
            Self::Quic => "quic",
            Self::Tcp => "tcp",
            Self::Tls => "tcp-tls",
            Self::Udp => "udp",
        }
    }

    /// What it runs on: `tcp` or `udp`.
    #[must_use]
    pub const fn network(self) -> &'static str {
        if self.is_datagram() { "udp" } else { "tcp" }
    }

    /// Whether it runs on UDP.
    #[must_use]
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Https3 | Self::Quic | Self::Udp)
    }

    /// Whether each query has a stream of its own, so that what comes back on it can be for no other query.
    pub(crate) const fn has_streams(self) -> bool {
        matches!(self, Self::Grpc | Self::Https | Self::Https3 | Self::Quic)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an exchange with an upstream ended without an answer. It is small, since it is part of what travels with each
/// query.
///
/// The texts are those of Go's network library, which operators of CoreDNS know and match in their logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// No answer came in time.
    #[error("read {}: i/o timeout", .0)]
    Timeout(Box<Route>),
    /// The system or the other side refused.
    #[error(transparent)]
    Network(Box<NetworkError>),
    /// What came back is no DNS message that could be an answer.
    #[error(transparent)]
    BadReply(Box<BadReply>),
    /// The upstream ended the gRPC call with this status.
    #[error(transparent)]
    Rpc(Box<RpcStatus>),
    /// The upstream answered another question.
    #[error("the upstream answered another question than it was asked")]
    OtherQuestion,
    /// The upstream closed the connection.
    #[error("EOF")]
    Closed,
    /// As many queries wait as are allowed to.
    #[error("too many queries wait for upstreams")]
    Busy,
    /// The query is none that can be asked: it has not exactly one question.
    #[error("the query has not exactly one question")]
    Malformed,
    /// There are no random bits for an id.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// What the system said when something was tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step} {route}: {call}: {cause}")]
#[non_exhaustive]
pub struct NetworkError {
    /// What was tried: `dial`, `read` or `write`.
    pub step: &'static str,
    /// How the upstream was asked.
    pub route: Route,
    /// The system call, or the layer that failed.
    pub call: &'static str,
    /// The system's words.
    pub cause: String,
}

/// A reply that is no answer, as a page of HTML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {route}: {cause}")]
#[non_exhaustive]
pub struct BadReply {
    /// How the upstream was asked.
    pub route: Route,
    /// What is wrong with what came.
    pub cause: String,
}

/// How a gRPC call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rpc error: code = {} desc = {message}", code_name(*.code))]
#[non_exhaustive]
pub struct RpcStatus {
    /// The status, of which 0 is success.
    pub code: u32,
    /// The upstream's words.
    pub message: String,
}

/// The names that gRPC gives its statuses.
fn code_name(code: u32) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("Code({code})"), |name| (*name).to_owned())
}

impl ExchangeError {
    pub(crate) fn network(step: &'static str, route: Route, call: &'static str, cause: &io::Error) -> Self {
        Self::fault(step, route, Fault::io(call, cause))
    }

    pub(crate) fn fault(step: &'static str, route: Route, fault: Fault) -> Self {
        Self::Network(Box::new(NetworkError {
            step,
            route,
            call: fault.call,
            cause: fault.cause,
        }))
    }

    /// Why one query failed on a connection that goes on.
    pub(crate) fn failure(route: Route, failure: Failure) -> Self {
        let cause = match failure {
            Failure::Fault(fault) | Failure::Lost(fault) => return Self::fault("read", route, fault),
            Failure::Rpc { code, message } => return Self::Rpc(Box::new(RpcStatus { code, message })),
            Failure::Oversized => "the reply is longer than a DNS message can be".to_owned(),
            Failure::Status(status) => format!("HTTP status {status} in place of an answer"),
            Failure::Unreadable => "what came is no DNS message".to_owned(),
        };
        Self::BadReply(Box::new(BadReply { route, cause }))
    }
}

/// What failed, before it is known for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) call: &'static str,
    pub(crate) cause: String,
}

impl Fault {
    pub(crate) fn new(call: &'static str, cause: impl Into<String>) -> Self {
        Self {
            call,
            cause: cause.into(),
        }
    }

    pub(crate) fn io(call: &'static str, cause: &io::Error) -> Self {
        match crate::tls::words(cause) {
            Some(words) => Self::new("tls", words),
            None => Self::new(call, reason(cause)),
        }
    }
}

/// Why one query of several on a connection got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Fault(Fault),
    /// The connection or the other side's will to answer on it is gone; another connection may do.
    Lost(Fault),
    Oversized,
    Rpc {
        code: u32,
        message: String,
    },
    Status(u16),
    Unreadable,
}

/// How an upstream was asked, and between which addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// How the query travelled.
    pub protocol: Protocol,
    /// This end, where it is known.
    pub local: Option<SocketAddr>,
    /// The upstream, as [`Target`](crate::Target) shows itself.
    pub peer: Arc<str>,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.protocol.network();
        match self.local {
            Some(local) => write!(f, "{network} {local}->{}", self.peer),
            None => write!(f, "{network} {}", self.peer),
        }
    }
}

/// What the system said, without its number and in lower case.
fn reason(cause: &io::Error) -> String {
    let text = cause.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_those_of_go() {
        let local = "192.0.2.1:4000".parse().ok();
        let route = Route {
            protocol: Protocol::Udp,
            local,
            peer: "192.0.2.53:53".into(),
        };
        let timeout = ExchangeError::Timeout(Box::new(route.clone()));
        assert_eq!(
            timeout.to_string(),
            "read udp 192.0.2.1:4000->192.0.2.53:53: i/o timeout"
        );
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let dial = Route {
            protocol: Protocol::Tcp,
            local: None,
            ..route
        };
        let refused = ExchangeError::network("dial", dial, "connect", &refused);
        assert_eq!(
            refused.to_string(),
            "dial tcp 192.0.2.53:53: connect: connection refused"
        );
        assert!(size_of::<ExchangeError>() <= 16);
    }
}
