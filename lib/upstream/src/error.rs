//! Why an upstream gave no answer.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::random::NoRandomness;

/// How a query travels to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Over UDP, from a random port.
    Udp,
    /// Over TCP, on a connection that is kept.
    Tcp,
}

impl Protocol {
    /// `udp` or `tcp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
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
    /// The system call.
    pub call: &'static str,
    /// The system's words.
    pub cause: String,
}

impl ExchangeError {
    pub(crate) fn network(step: &'static str, route: Route, call: &'static str, cause: &io::Error) -> Self {
        Self::Network(Box::new(NetworkError {
            step,
            route,
            call,
            cause: reason(cause),
        }))
    }
}

/// How an upstream was asked, and between which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// Over UDP or TCP.
    pub protocol: Protocol,
    /// This end, where it is known.
    pub local: Option<SocketAddr>,
    /// The upstream.
    pub peer: SocketAddr,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.local {
            Some(local) => write!(f, "{} {local}->{}", self.protocol, self.peer),
            None => write!(f, "{} {}", self.protocol, self.peer),
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
            peer: "192.0.2.53:53".parse().unwrap(),
        };
        let timeout = ExchangeError::Timeout(Box::new(route));
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
