//! Who may use the API, and how fast.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The token, the networks, and the rate of writes of one instance.
pub(crate) struct Access {
    /// Digests are compared, so that not even the length of the token takes part.
    token: [u8; 32],
    allow: Vec<IpNet>,
    writes: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl Access {
    /// Lets in who shows the token from one of the networks (any if there are none), with so many writes a second.
    pub(crate) fn new(token: &str, allow: Vec<IpNet>, rate: NonZeroU32) -> Self {
        Self {
            token: Sha256::digest(token).into(),
            allow,
            writes: RateLimiter::direct(Quota::per_second(rate)),
            clock: DefaultClock::default(),
        }
    }

    /// Whether a client may connect from there.
    pub(crate) fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.allow.is_empty() || self.allow.iter().any(|network| network.contains(&client))
    }

    /// Whether an `Authorization` header shows the token.
    pub(crate) fn knows(&self, authorization: &[u8]) -> bool {
        const SCHEME: &[u8] = b"Bearer ";
        let Some((scheme, token)) = authorization.split_at_checked(SCHEME.len()) else {
            return false;
        };
        // The name of the scheme is no secret (RFC 9110, section 11.1: its letters' case does not matter).
        let shown: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
        scheme.eq_ignore_ascii_case(SCHEME) && bool::from(self.token.ct_eq(&shown))
    }

    /// Takes one write from the rate, or says when there will be one.
    pub(crate) fn take_write(&self) -> Result<(), Duration> {
        self.writes
            .check()
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Access({:?})", self.allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(allow: &[&str], rate: u32) -> Access {
        let allow = allow.iter().map(|network| network.parse().unwrap()).collect();
        Access::new("secret", allow, NonZeroU32::new(rate).unwrap())
    }

    #[test]
    fn the_token_is_known_behind_its_scheme_only() {
        let access = access(&[], 1);
        for (header, known) in [
            ("Bearer secret", true),
            ("bearer secret", true),
            ("Bearer  secret", true),
            ("Bearer secre", false),
            ("Bearer secret2", false),
            ("Bearer Secret", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic secret", false),
            ("secret", false),
            ("", false),
        ] {
            assert_eq!(access.knows(header.as_bytes()), known, "{header:?}");
        }
    }

    #[test]
    fn networks_bound_the_clients() {
        let some = access(&["127.0.0.0/8", "2001:db8::/32"], 1);
        for (client, allowed) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            assert_eq!(some.allows(client.parse().unwrap()), allowed, "{client}");
            assert!(access(&[], 1).allows(client.parse().unwrap()), "{client}");
        }
    }

    #[test]
    fn a_burst_of_writes_is_as_large_as_the_rate() {
        let access = access(&[], 10);
        assert!((0..10).all(|_| access.take_write().is_ok()));
        let wait = access.take_write().unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_millis(100),
            "{wait:?}"
        );
    }
}
