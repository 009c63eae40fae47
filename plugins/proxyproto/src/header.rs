//! Headers of the PROXY protocol, versions 1 and 2.
//!
//! Version 1 is a line of text, `PROXY TCP4 192.0.2.1 192.0.2.2 4660 53` with CR LF. Version 2 is binary: a signature of 12
//! bytes, version and command, family and protocol, a length, the addresses, and further values that say nothing here.
//!
//! See <https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What version 1 begins with.
const SIGNATURE_V1: &[u8] = b"PROXY";

/// What version 2 begins with.
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, its end included.
const MAX_V1_LEN: usize = 107;

/// Signature, command, family and length.
const FIXED_V2_LEN: usize = 16;

/// Longer headers of version 2 are refused: addresses take 216 bytes at most, and further values a few hundred.
const MAX_V2_LEN: usize = 4096;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// What the first bytes of a datagram or connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// No header.
    None,
    /// The beginning of a header.
    Partial,
    /// A whole header.
    Header(Header),
    /// Something that begins as a header does, and is none.
    Malformed(&'static str),
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its bytes.
    pub(crate) length: usize,
    pub(crate) version: u8,
    /// Client and server as the proxy sees them; none where it speaks for itself or cannot tell.
    pub(crate) ends: Option<Ends>,
}

/// The two ends of what goes through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    /// They talk in datagrams.
    pub(crate) datagrams: bool,
}

/// Reads the header at the beginning of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    if begins(bytes, SIGNATURE_V2) {
        return match bytes.len() < FIXED_V2_LEN {
            true => Parsed::Partial,
            false => parse_v2(bytes),
        };
    }
    if begins(bytes, SIGNATURE_V1) {
        return match bytes.len() < SIGNATURE_V1.len() {
            true => Parsed::Partial,
            false => parse_v1(bytes),
        };
    }
    Parsed::None
}

/// Whether `bytes` is the signature with something behind it, or the beginning of the signature.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let shared = bytes.len().min(signature.len());
    bytes[..shared] == signature[..shared]
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(MAX_V1_LEN)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() < MAX_V1_LEN {
            true => Parsed::Partial,
            false => Parsed::Malformed("a line of version 1 that does not end"),
        };
    };
    match line(&bytes[..end]) {
        Some(ends) => Parsed::Header(Header {
            length: end + 2,
            version: 1,
            ends,
        }),
        None => Parsed::Malformed("a line of version 1 that cannot be read"),
    }
}

/// The ends that a line names, if it is one.
fn line(line: &[u8]) -> Option<Option<Ends>> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    if words.next()?.as_bytes() != SIGNATURE_V1 {
        return None;
    }
    let wants_v6 = match words.next()? {
        // What follows is to be passed over.
        "UNKNOWN" => return Some(None),
        "TCP4" => false,
        "TCP6" => true,
        _ => return None,
    };
    let mut ip = || {
        let ip: IpAddr = words.next()?.parse().ok()?;
        (ip.is_ipv6() == wants_v6).then_some(ip)
    };
    let (client, server) = (ip()?, ip()?);
    let mut port = || words.next()?.parse::<u16>().ok();
    let (client_port, server_port) = (port()?, port()?);
    words.next().is_none().then_some(Some(Ends {
        client: SocketAddr::new(client, client_port),
        server: SocketAddr::new(server, server_port),
        datagrams: false,
    }))
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    let (command, family) = (bytes[12], bytes[13]);
    let length = FIXED_V2_LEN + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if command != LOCAL && command != PROXY {
        return Parsed::Malformed("an unknown version or command");
    }
    if length > MAX_V2_LEN {
        return Parsed::Malformed("a header that is too long");
    }
    let Some(addresses) = bytes.get(FIXED_V2_LEN..length) else {
        return Parsed::Partial;
    };
    let ends = match (command, family) {
        (LOCAL, _) => Some(None),
        (_, 0x11 | 0x12) => v4(addresses).map(|(client, server)| Some((client, server))),
        (_, 0x21 | 0x22) => v6(addresses).map(|(client, server)| Some((client, server))),
        // Unspecified, or sockets in a file system.
        (_, 0x00 | 0x31 | 0x32) => Some(None),
        _ => return Parsed::Malformed("an unknown family or protocol"),
    };
    match ends {
        Some(ends) => Parsed::Header(Header {
            length,
            version: 2,
            ends: ends.map(|(client, server)| Ends {
                client,
                server,
                datagrams: family & 0x0f == 2,
            }),
        }),
        None => Parsed::Malformed("addresses that are cut off"),
    }
}

fn v4(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (&[a, b, c, d, e, f, g, h, ports @ ..], _) = bytes.split_first_chunk::<12>()?;
    let (client, server) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
    Some(ends(client.into(), server.into(), ports))
}

fn v6(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (client, rest) = bytes.split_first_chunk::<16>()?;
    let (server, rest) = rest.split_first_chunk::<16>()?;
    let (&ports, _) = rest.split_first_chunk::<4>()?;
    let (client, server) = (Ipv6Addr::from(*client), Ipv6Addr::from(*server));
    Some(ends(client.into(), server.into(), ports))
}

fn ends(client: IpAddr, server: IpAddr, [a, b, c, d]: [u8; 4]) -> (SocketAddr, SocketAddr) {
    (
        SocketAddr::new(client, u16::from_be_bytes([a, b])),
        SocketAddr::new(server, u16::from_be_bytes([c, d])),
    )
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A header of version 2 with these bytes behind its signature's fixed part.
    pub(crate) fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE_V2.to_vec();
        bytes.extend_from_slice(&[command, family]);
        bytes.extend_from_slice(&(rest.len() as u16).to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    /// One for a client at 192.0.2.77, port 4660, that asked 192.0.2.1, port 53.
    pub(crate) fn v2_of(family: u8) -> Vec<u8> {
        v2(PROXY, family, &[192, 0, 2, 77, 192, 0, 2, 1, 0x12, 0x34, 0, 53])
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{v2, v2_of};
    use super::*;

    fn both(client: &str, server: &str, datagrams: bool) -> Option<Ends> {
        Some(Ends {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
            datagrams,
        })
    }

    #[test]
    fn headers_of_both_versions_are_read() {
        let mut v6 = "2001:db8::77".parse::<Ipv6Addr>().unwrap().octets().to_vec();
        v6.extend_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        v6.extend_from_slice(&[0x12, 0x34, 0, 53]);
        let mut with_values = vec![192, 0, 2, 77, 192, 0, 2, 1, 0x12, 0x34, 0, 53];
        with_values.extend_from_slice(&[4, 0, 2, 0xab, 0xcd]);
        let four = |datagrams| both("192.0.2.77:4660", "192.0.2.1:53", datagrams);
        let six = |datagrams| both("[2001:db8::77]:4660", "[2001:db8::1]:53", datagrams);
        for (case, bytes, version, ends) in [
            (
                "v1 over IPv4",
                b"PROXY TCP4 192.0.2.77 192.0.2.1 4660 53\r\n".to_vec(),
                1,
                four(false),
            ),
            (
                "v1 over IPv6",
                b"PROXY TCP6 2001:db8::77 2001:db8::1 4660 53\r\n".to_vec(),
                1,
                six(false),
            ),
            ("v1 unknown", b"PROXY UNKNOWN\r\n".to_vec(), 1, None),
            (
                "v1 unknown, with more",
                b"PROXY UNKNOWN a b\r\n".to_vec(),
                1,
                None,
            ),
            ("v2 stream", v2_of(0x11), 2, four(false)),
            ("v2 datagrams", v2_of(0x12), 2, four(true)),
            ("v2 stream, IPv6", v2(PROXY, 0x21, &v6), 2, six(false)),
            ("v2 datagrams, IPv6", v2(PROXY, 0x22, &v6), 2, six(true)),
            ("v2 with values", v2(PROXY, 0x12, &with_values), 2, four(true)),
            ("v2 local", v2(LOCAL, 0, &[]), 2, None),
            ("v2 local with addresses", v2(LOCAL, 0x11, &[1; 12]), 2, None),
            ("v2 unspecified", v2(PROXY, 0, &[1, 2, 3]), 2, None),
            ("v2 unix", v2(PROXY, 0x31, &[0; 216]), 2, None),
        ] {
            let length = bytes.len();
            let want = Header {
                length,
                version,
                ends,
            };
            assert_eq!(
                parse(&[&bytes[..], b"rest"].concat()),
                Parsed::Header(want),
                "{case}"
            );
            // Each part of it is the beginning of a header.
            for part in 1..length {
                assert_eq!(parse(&bytes[..part]), Parsed::Partial, "{case}: {part} bytes");
            }
        }
    }

    #[test]
    fn messages_are_no_headers() {
        for bytes in [
            &b"\x12\x34\x01\0"[..],
            b"PROMISE",
            b"\r\n\r\n\0\r\nQUIET",
            b"\0",
            b"proxy TCP4",
        ] {
            assert_eq!(parse(bytes), Parsed::None, "{bytes:?}");
        }
        // Nothing can still become anything.
        assert_eq!(parse(b""), Parsed::Partial);
    }

    #[test]
    fn what_only_begins_as_a_header_is_malformed() {
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'a'; 200]].concat();
        let mut endless = v2(PROXY, 0x11, &[0; 12]);
        endless[14..16].copy_from_slice(&[0xff, 0xff]);
        for (case, bytes) in [
            ("no family", b"PROXY\r\n".to_vec()),
            ("two blanks", b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec()),
            ("another word", b"PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec()),
            (
                "another family",
                b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
            ),
            (
                "mixed families",
                b"PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n".to_vec(),
            ),
            ("no port", b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n".to_vec()),
            (
                "port too large",
                b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n".to_vec(),
            ),
            ("too much", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n".to_vec()),
            ("bytes", b"PROXY \xff\r\n".to_vec()),
            ("line without end", long),
            ("version 1 in form 2", v2(0x11, 0x11, &[0; 12])),
            ("another command", v2(0x22, 0x11, &[0; 12])),
            ("another family in form 2", v2(PROXY, 0x13, &[0; 12])),
            ("addresses too short", v2(PROXY, 0x11, &[0; 11])),
            ("IPv6 too short", v2(PROXY, 0x21, &[0; 35])),
            ("too long", endless),
        ] {
            assert!(
                matches!(parse(&bytes), Parsed::Malformed(_)),
                "{case}: {:?}",
                parse(&bytes)
            );
        }
    }

    proptest::proptest! {
        /// What was a panic in CoreDNS with a malformed packet.
        #[test]
        fn no_bytes_make_it_panic_or_read_beyond_them(
            rest in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            start in proptest::sample::select(vec![&b""[..], SIGNATURE_V1, b"PROXY TCP4 ", SIGNATURE_V2, b"\r\n\r\n\0\r\nQUIT\n\x21\x11"]),
        ) {
            let bytes = [start, &rest].concat();
            if let Parsed::Header(header) = parse(&bytes) {
                proptest::prop_assert!(header.length <= bytes.len());
            }
        }
    }
}
