//! What the listeners are told about the first bytes that come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use catena_core::plugin::{Proxied, ProxiedConnection, ProxyHeader};

use crate::config::{Config, Policy};
use crate::header::{Ends, Parsed, parse};
use crate::metrics::Metrics;
use crate::sessions::Sessions;

/// Between two warnings about datagrams that are dropped: whoever sends many must not fill the log.
const WARN_EVERY_MS: u64 = 1000;

/// The rules of a block.
pub(crate) struct Rules {
    config: Config,
    sessions: Arc<Sessions>,
    metrics: Metrics,
    born: Instant,
    /// When the next warning may come, in milliseconds of this block's life.
    next_warning: AtomicU64,
}

impl Rules {
    pub(crate) fn new(config: Config, sessions: Arc<Sessions>, metrics: Metrics) -> Self {
        Self {
            config,
            sessions,
            metrics,
            born: Instant::now(),
            next_warning: AtomicU64::new(0),
        }
    }

    fn policy(&self, from: SocketAddr) -> Policy {
        if self.config.allowed.contains(from.ip()) {
            Policy::Use
        } else {
            self.config.other
        }
    }

    /// A datagram that has nothing before its message: the client is the sender, or the one of the session.
    fn without_header(&self, policy: Policy, from: SocketAddr) -> Proxied {
        let session = match self.config.sessions {
            Some(limits) if policy == Policy::Use => self.sessions.client(from, Instant::now(), limits),
            _ => None,
        };
        Proxied {
            header: 0,
            client: session.unwrap_or(from),
        }
    }

    /// A datagram whose message begins at `header`; `None` if there is no message.
    fn with_header(
        &self,
        policy: Policy,
        ends: Ends,
        header: usize,
        bytes: &[u8],
        from: SocketAddr,
    ) -> Option<Proxied> {
        if policy != Policy::Use {
            return Some(Proxied { header, client: from });
        }
        if let Some(limits) = self.config.sessions {
            self.sessions.set(from, ends.client, Instant::now(), limits);
        }
        // A header alone opens a session, and is no query.
        (bytes.len() > header).then_some(Proxied {
            header,
            client: ends.client,
        })
    }

    fn dropped(&self, from: SocketAddr, why: &str) {
        self.metrics.dropped.inc();
        let now = self.born.elapsed().as_millis() as u64;
        let due = self.next_warning.load(Ordering::Relaxed);
        let next = now + WARN_EVERY_MS;
        if now >= due
            && self
                .next_warning
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            tracing::warn!(target: "plugin/proxyproto", "dropping invalid Proxy Protocol packet from {from}: {why}");
        }
    }

    fn refused(&self, from: SocketAddr, why: &str) -> ProxiedConnection {
        self.metrics.refused.inc();
        tracing::debug!(target: "plugin/proxyproto", "closing the connection from {from}: {why}");
        ProxiedConnection::Refused
    }
}

impl ProxyHeader for Rules {
    fn datagram(&self, bytes: &[u8], from: SocketAddr) -> Option<Proxied> {
        let policy = self.policy(from);
        if policy == Policy::Skip {
            return Some(Proxied {
                header: 0,
                client: from,
            });
        }
        let header = match parse(bytes) {
            Parsed::None => return Some(self.without_header(policy, from)),
            Parsed::Header(header) => header,
            Parsed::Partial => {
                self.dropped(from, "the header is cut off");
                return None;
            }
            Parsed::Malformed(why) => {
                self.dropped(from, why);
                return None;
            }
        };
        let why = match header.ends {
            _ if header.version != 2 => "datagrams have headers of version 2",
            Some(ends) if ends.datagrams && policy != Policy::Reject => {
                return self.with_header(policy, ends, header.length, bytes, from);
            }
            Some(ends) if ends.datagrams => "this proxy may send no headers",
            _ => "the header is not of a datagram",
        };
        self.dropped(from, why);
        None
    }

    fn connection(&self, bytes: &[u8], from: SocketAddr) -> ProxiedConnection {
        let policy = self.policy(from);
        let begins = |header, ends| ProxiedConnection::Begins { header, ends };
        if policy == Policy::Skip {
            return begins(0, None);
        }
        match parse(bytes) {
            Parsed::None => begins(0, None),
            Parsed::Partial => ProxiedConnection::More,
            Parsed::Malformed(why) => self.refused(from, why),
            Parsed::Header(_) if policy == Policy::Reject => {
                self.refused(from, "this proxy may send no headers")
            }
            Parsed::Header(header) => {
                let ends = header.ends.filter(|_| policy == Policy::Use);
                begins(header.length, ends.map(|ends| (ends.client, ends.server)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;
    use catena_metrics::Registry;

    use super::*;
    use crate::header::testing::{v2, v2_of};

    const LINE: &[u8] = b"PROXY TCP4 192.0.2.77 192.0.2.1 4660 53\r\n";

    fn rules(options: &str) -> Rules {
        let text = format!("proxyproto {{\n{options}\n}}");
        let config = crate::config::parse(&parse_directives(&text).unwrap()).unwrap();
        Rules::new(config, Arc::default(), Metrics::of(&Registry::default()))
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    fn with_message(header: &[u8]) -> Vec<u8> {
        [header, b"message"].concat()
    }

    #[test]
    fn the_sender_decides_what_becomes_of_a_datagram() {
        let (near, mapped, far) = (
            at("10.0.0.1:5000"),
            at("[::ffff:10.0.0.1]:5000"),
            at("10.9.9.9:5000"),
        );
        let behind = Some(Proxied {
            header: 28,
            client: at("192.0.2.77:4660"),
        });
        let ignored = |client| Some(Proxied { header: 28, client });
        let raw = |client| Some(Proxied { header: 0, client });
        for (options, from, want, bare) in [
            ("", far, behind, raw(far)),
            ("allow 10.0.0.0/24", near, behind, raw(near)),
            ("allow 10.0.0.0/24", mapped, behind, raw(mapped)),
            ("allow 10.0.0.0/24", far, ignored(far), raw(far)),
            ("allow 10.0.0.0/24\ndefault use", far, behind, raw(far)),
            ("allow 10.0.0.0/24\ndefault reject", far, None, raw(far)),
            ("allow 10.0.0.0/24\ndefault reject", near, behind, raw(near)),
            ("allow 10.0.0.0/24\ndefault skip", far, raw(far), raw(far)),
            ("default ignore", far, ignored(far), raw(far)),
        ] {
            let rules = rules(options);
            assert_eq!(
                rules.datagram(&with_message(&v2_of(0x12)), from),
                want,
                "{options} {from}"
            );
            assert_eq!(rules.datagram(b"message", from), bare, "{options} {from}");
        }
    }

    #[test]
    fn the_sender_decides_what_becomes_of_a_connection() {
        let (near, far) = (at("10.0.0.1:5000"), at("10.9.9.9:5000"));
        let begins = |header, ends: bool| ProxiedConnection::Begins {
            header,
            ends: ends.then(|| (at("192.0.2.77:4660"), at("192.0.2.1:53"))),
        };
        for (options, from, want) in [
            ("", far, begins(41, true)),
            ("allow 10.0.0.0/24", near, begins(41, true)),
            ("allow 10.0.0.0/24", far, begins(41, false)),
            (
                "allow 10.0.0.0/24\ndefault reject",
                far,
                ProxiedConnection::Refused,
            ),
            ("allow 10.0.0.0/24\ndefault skip", far, begins(0, false)),
        ] {
            let rules = rules(options);
            assert_eq!(
                rules.connection(&with_message(LINE), from),
                want,
                "{options} {from}"
            );
            assert_eq!(
                rules.connection(b"\0\x07message", from),
                begins(0, false),
                "{options} {from}"
            );
        }
        let rules = rules("");
        assert_eq!(rules.connection(&LINE[..20], far), ProxiedConnection::More);
        assert_eq!(
            rules.connection(b"PROXY nobody\r\n", far),
            ProxiedConnection::Refused
        );
        assert_eq!(rules.connection(&v2(0x20, 0, &[]), far), begins(16, false));
        assert_eq!(rules.connection(&v2_of(0x11), far), begins(28, true));
    }

    #[test]
    fn headers_that_no_datagram_has_are_dropped() {
        let from = at("10.0.0.1:5000");
        for (case, header) in [
            ("version 1", LINE.to_vec()),
            ("of a stream", v2_of(0x11)),
            ("local", v2(0x20, 0, &[])),
            ("unspecified", v2(0x21, 0, &[])),
            ("cut off", v2_of(0x12)[..20].to_vec()),
            ("malformed", b"PROXY me\r\n".to_vec()),
            ("nothing", Vec::new()),
        ] {
            let bytes = if header.len() < 28 {
                header
            } else {
                with_message(&header)
            };
            assert_eq!(rules("").datagram(&bytes, from), None, "{case}");
        }
    }

    #[test]
    fn a_header_alone_opens_a_session_for_that_port_of_the_proxy() {
        let (from, other) = (at("10.0.0.1:5000"), at("10.0.0.1:5001"));
        let client = at("192.0.2.77:4660");
        let (without, rules) = (rules(""), rules("udp_session_tracking 1m"));
        assert_eq!(rules.datagram(&v2_of(0x12), from), None);
        assert_eq!(
            rules.datagram(b"message", from),
            Some(Proxied { header: 0, client })
        );
        assert_eq!(
            rules.datagram(b"message", other),
            Some(Proxied {
                header: 0,
                client: other
            })
        );
        assert_eq!(without.datagram(&v2_of(0x12), from), None);
        assert_eq!(
            without.datagram(b"message", from),
            Some(Proxied {
                header: 0,
                client: from
            })
        );
    }

    #[test]
    fn whoever_is_not_believed_opens_no_session() {
        let far = at("10.9.9.9:5000");
        let rules = rules("allow 10.0.0.0/24\nudp_session_tracking 1m");
        assert_eq!(
            rules.datagram(&v2_of(0x12), far),
            Some(Proxied {
                header: 28,
                client: far
            })
        );
        assert_eq!(
            rules.datagram(b"message", far),
            Some(Proxied {
                header: 0,
                client: far
            })
        );
    }
}
