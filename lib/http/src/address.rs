//! Addresses to listen on, as Corefiles name them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use catena_core::corefile::{ConfigError, Token};

/// What a wrong address is told to be.
const EXPECTED: &str = "an address with a port, such as `localhost:8080`, `[::1]:8080` or `:8080`";

/// A host, or none for all addresses, and a port.
///
/// ```
/// use catena_http::Address;
///
/// for good in ["localhost:9153", ":8080", "[::1]:8181", "192.0.2.1:80"] {
///     assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
/// }
/// for bad in ["localhost", "192.0.2.1", "::1:80", "a:b", "/foo", ":99999", ""] {
///     assert!(bad.parse::<Address>().is_err(), "{bad}");
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

/// A word that is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address with a port")]
pub struct AddressError;

impl Address {
    /// Reads an argument of a directive.
    ///
    /// # Errors
    ///
    /// The word has no port, or a port that is no number.
    pub fn from_token(token: &Token) -> Result<Self, ConfigError> {
        token
            .as_str()
            .parse()
            .map_err(|AddressError| token.expected(EXPECTED))
    }

    /// The host; empty for all addresses.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 is any free one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket address: of a name's addresses the first of IPv4, if there is one, as Go does.
    ///
    /// # Errors
    ///
    /// The name cannot be looked up, or has no address.
    pub async fn resolve(&self) -> io::Result<SocketAddr> {
        if self.host.is_empty() {
            return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), self.port));
        }
        let found: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await?
            .collect();
        let first = found
            .iter()
            .find(|address| address.is_ipv4())
            .or_else(|| found.first());
        first
            .copied()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
        // Go's numbers have no sign.
        let port = port
            .parse()
            .ok()
            .filter(|_| !port.starts_with('+'))
            .ok_or(AddressError)?;
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = inner.unwrap_or(host);
        let colons_fit = inner.is_some() || !host.contains(':');
        if !colons_fit || host.contains(['[', ']', '/', ' ']) {
            return Err(AddressError);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::corefile::testing::parse_directives;

    #[tokio::test]
    async fn names_and_wildcards_resolve() {
        for (text, want) in [
            (":80", "[::]:80"),
            ("[::1]:80", "[::1]:80"),
            ("127.0.0.2:0", "127.0.0.2:0"),
            ("localhost:1", "127.0.0.1:1"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.resolve().await.unwrap().to_string(), want, "{text}");
        }
        let nowhere: Address = "no-such-host.invalid:80".parse().unwrap();
        assert!(nowhere.resolve().await.is_err());
    }

    #[test]
    fn a_wrong_word_is_told_with_its_place() {
        let lines = parse_directives("health localhost").unwrap();
        let error = Address::from_token(&lines[0].args()[0]).unwrap_err();
        assert_eq!(
            error.headline(),
            "Corefile:1:8: got `localhost`, expected an address with a port, such as `localhost:8080`, `[::1]:8080` or \
             `:8080`"
        );
    }
}
