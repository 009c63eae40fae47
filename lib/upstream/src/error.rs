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

/// Why an exchange with an upstream ended without an answer.
///
/// The texts are those of Go's network library, which operators of CoreDNS know and match in their logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// No answer came in time.
    #[error("read {protocol} {path}: i/o timeout")]
    Timeout {
        /// How it was asked.
        protocol: Protocol,
        /// Between which addresses.
        path: Path,
    },
    /// The system or the other side refused.
    #[error("{step} {protocol} {path}: {call}: {cause}")]
    Network {
        /// What was tried: `dial`, `read` or `write`.
        step: &'static str,
        /// How it was asked.
        protocol: Protocol,
        /// Between which addresses.
        path: Path,
        /// The system call.
        call: &'static str,
        /// What the system said.
        cause: String,
    },
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

impl ExchangeError {
    pub(crate) fn network(
        step: &'static str,
        protocol: Protocol,
        path: Path,
        call: &'static str,
        cause: &io::Error,
    ) -> Self {
        Self::Network {
            step,
            protocol,
            path,
            call,
            cause: reason(cause),
        }
    }
}

/// The ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// This end, where it is known.
    pub local: Option<SocketAddr>,
    /// The upstream.
    pub peer: SocketAddr,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.local {
            Some(local) => write!(f, "{local}->{}", self.peer),
            None => self.peer.fmt(f),
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
        let path = Path {
            local: "192.0.2.1:4000".parse().ok(),
            peer: "192.0.2.53:53".parse().unwrap(),
        };
        let timeout = ExchangeError::Timeout {
            protocol: Protocol::Udp,
            path,
        };
        assert_eq!(
            timeout.to_string(),
            "read udp 192.0.2.1:4000->192.0.2.53:53: i/o timeout"
        );
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let dial = Path { local: None, ..path };
        let refused = ExchangeError::network("dial", Protocol::Tcp, dial, "connect", &refused);
        assert_eq!(
            refused.to_string(),
            "dial tcp 192.0.2.53:53: connect: connection refused"
        );
    }
}
