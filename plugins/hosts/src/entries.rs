//! Lines of an address and the names that it has, as hosts(5) describes them.

use std::net::IpAddr;

use catena_core::message::Zone;
use catena_core::message::name::{MAX_NAME_LEN, parse_presentation};

/// One name of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) address: IpAddr,
    /// Where the name starts among the names.
    pub(crate) name_at: u32,
    pub(crate) name_len: u8,
    pub(crate) source: Source,
}

/// Where an entry stands. A name's addresses of the file come before those of the Corefile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    File,
    Corefile,
}

/// All pairs of an address and a name, in their order, with the names in lower-case wire form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    pub(crate) pairs: Vec<Pair>,
    names: Vec<u8>,
}

/// More names than offsets of 32 bits can point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more entries than a table can hold")]
pub(crate) struct TooLarge;

impl Entries {
    /// Adds what a hosts file says, as far as its names lie within `zones`.
    ///
    /// Lines that make no sense are passed over, and so are names that cannot be: they harm no other.
    pub(crate) fn read(&mut self, text: &[u8], source: Source, zones: &[Zone]) -> Result<(), TooLarge> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        for line in text.split(|&byte| byte == b'\n') {
            self.read_line(line, source, zones)?;
        }
        Ok(())
    }

    fn read_line(&mut self, line: &[u8], source: Source, zones: &[Zone]) -> Result<(), TooLarge> {
        let mut words = words(line);
        let Some(address) = words.next().and_then(parse_address) else {
            return Ok(());
        };
        for word in words {
            let mut wire = [0; MAX_NAME_LEN];
            let Ok(len) = parse_presentation(word, &mut wire) else {
                continue;
            };
            // Length bytes are at most 63, and so never in the range of the capital letters.
            let name = &mut wire[..len];
            name.make_ascii_lowercase();
            if zones.iter().any(|zone| zone.contains(name)) {
                let name_at = u32::try_from(self.names.len()).map_err(|_| TooLarge)?;
                self.names.extend_from_slice(name);
                self.pairs.push(Pair {
                    address,
                    name_at,
                    name_len: len as u8,
                    source,
                });
            }
        }
        Ok(())
    }

    /// Adds entries that were read before.
    pub(crate) fn append(&mut self, other: &Self) -> Result<(), TooLarge> {
        let shift = u32::try_from(self.names.len()).map_err(|_| TooLarge)?;
        for pair in &other.pairs {
            let name_at = pair.name_at.checked_add(shift).ok_or(TooLarge)?;
            self.pairs.push(Pair { name_at, ..*pair });
        }
        self.names.extend_from_slice(&other.names);
        Ok(())
    }

    /// The name of a pair, in lower-case wire form.
    pub(crate) fn name(&self, pair: &Pair) -> &[u8] {
        let at = pair.name_at as usize;
        &self.names[at..at + usize::from(pair.name_len)]
    }

    /// How many entries these are for the metrics: each pair counts, and so does its reverse if there is one.
    pub(crate) fn count(&self, reverse: bool) -> usize {
        let reversed = self
            .pairs
            .iter()
            .filter(|pair| reverse && !is_wildcard(self.name(pair)));
        self.pairs.len() + reversed.count()
    }
}

/// Whether a line of the Corefile can be an entry: an address with a name behind it.
pub(crate) fn is_entry(line: &[u8]) -> bool {
    let mut words = words(line);
    words.next().and_then(parse_address).is_some() && words.next().is_some()
}

/// Whether a wire name starts with the label `*`.
pub(crate) fn is_wildcard(name: &[u8]) -> bool {
    name.starts_with(WILDCARD)
}

/// The wire form of the name under which the reverse of an address is asked for: `1.2.0.192.in-addr.arpa.`
pub(crate) fn reverse_name(address: IpAddr) -> Vec<u8> {
    let mut wire = Vec::with_capacity(REVERSE_LEN);
    match address {
        IpAddr::V4(ip) => {
            for octet in ip.octets().iter().rev() {
                let digits = octet.to_string();
                wire.push(digits.len() as u8);
                wire.extend_from_slice(digits.as_bytes());
            }
            wire.extend_from_slice(b"\x07in-addr");
        }
        IpAddr::V6(ip) => {
            for octet in ip.octets().iter().rev() {
                for nibble in [octet & 0xf, octet >> 4] {
                    wire.extend_from_slice(&[1, HEX[usize::from(nibble)]]);
                }
            }
            wire.extend_from_slice(b"\x03ip6");
        }
    }
    wire.extend_from_slice(b"\x04arpa\0");
    wire
}

/// The words of a line up to a comment.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
    line.split(|&byte| byte.is_ascii_whitespace() || byte == b'\x0b')
        .filter(|word| !word.is_empty())
}

/// Reads an address without its zone (`%eth0`); IPv4 in IPv6 becomes IPv4.
fn parse_address(word: &[u8]) -> Option<IpAddr> {
    let word = word.split(|&byte| byte == b'%').next()?;
    let address: IpAddr = std::str::from_utf8(word).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// The label `*` with its length.
pub(crate) const WILDCARD: &[u8] = b"\x01*";

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Length of the reverse name of an IPv6 address, which is the longer kind.
const REVERSE_LEN: usize = 74;

/// What some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::message::name::presentation;

    fn read(text: &str) -> Vec<String> {
        let mut entries = Entries::default();
        entries
            .read(text.as_bytes(), Source::File, &[Zone::root()])
            .unwrap();
        let shown = |pair: &Pair| format!("{} {}", pair.address, presentation(entries.name(pair)));
        entries.pairs.iter().map(shown).collect()
    }

    #[test]
    fn lines_are_read_as_hosts_5_says() {
        for (case, text, want) in [
            (
                "tabs and aliases",
                "192.0.2.1\ta.example.org  b.example.org",
                &["192.0.2.1 a.example.org.", "192.0.2.1 b.example.org."][..],
            ),
            (
                "capitals and last dots",
                "192.0.2.1 A.Example.ORG.",
                &["192.0.2.1 a.example.org."],
            ),
            (
                "carriage return",
                "192.0.2.1 a\r\n192.0.2.2 b\r\n",
                &["192.0.2.1 a.", "192.0.2.2 b."],
            ),
            ("no line break at the end", "\n\n  192.0.2.1 a", &["192.0.2.1 a."]),
            ("comment", "192.0.2.1 a#b c # d\n#192.0.2.2 e", &["192.0.2.1 a."]),
            ("comment in the address", "192.0.2.1#x a", &[]),
            ("address alone", "192.0.2.1", &[]),
            ("no address", "localhost 192.0.2.1", &[]),
            ("leading noughts", "192.000.002.001 a", &[]),
            ("too few octets", "192.0.2 a", &[]),
            ("octet too large", "256.0.0.1 a", &[]),
            ("zone of an address", "fe80::1%eth0 a", &["fe80::1 a."]),
            ("IPv4 in IPv6", "::ffff:192.0.2.5 a", &["192.0.2.5 a."]),
            ("empty labels", "192.0.2.1 .a b..c ok", &["192.0.2.1 ok."]),
            ("byte order mark", "\u{feff}192.0.2.1 a", &["192.0.2.1 a."]),
            (
                "odd signs",
                "192.0.2.1 under_score -dash 1.2.3.4 a;b",
                &[
                    "192.0.2.1 under_score.",
                    "192.0.2.1 -dash.",
                    "192.0.2.1 1.2.3.4.",
                    "192.0.2.1 a\\;b.",
                ],
            ),
        ] {
            assert_eq!(read(text), want, "case {case}");
        }
    }

    #[test]
    fn a_label_that_is_too_long_harms_no_other_name() {
        let text = format!("192.0.2.1 {}.example.org good.example.org", "x".repeat(64));
        assert_eq!(read(&text), ["192.0.2.1 good.example.org."]);
    }

    #[test]
    fn bytes_that_are_no_text_are_no_danger() {
        let mut entries = Entries::default();
        entries
            .read(
                b"\xff\xfe\x00 \x00\n192.0.2.1 \xff\n192.0.2.1 a\\\n\\",
                Source::File,
                &[Zone::root()],
            )
            .unwrap();
        assert_eq!(entries.pairs.len(), 1);
    }

    #[test]
    fn names_outside_of_the_zones_are_left_out() {
        let mut entries = Entries::default();
        let zones = ["example.org".parse().unwrap(), "example.net".parse().unwrap()];
        let text = b"192.0.2.1 a.example.org a.example.com EXAMPLE.net myexample.org";
        entries.read(text, Source::File, &zones).unwrap();
        assert_eq!(entries.pairs.len(), 2);
    }

    #[test]
    fn every_pair_counts_and_its_reverse_unless_it_is_a_wildcard() {
        let mut entries = Entries::default();
        entries
            .read(b"192.0.2.1 a a b\n::1 *.b", Source::File, &[Zone::root()])
            .unwrap();
        assert_eq!((entries.count(true), entries.count(false)), (7, 4));
    }

    #[test]
    fn reverse_names() {
        for (address, want) in [
            ("192.0.2.1", "1.2.0.192.in-addr.arpa."),
            ("0.0.0.0", "0.0.0.0.in-addr.arpa."),
            (
                "2001:db8::567:89ab",
                "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
            ),
        ] {
            assert_eq!(
                presentation(&reverse_name(address.parse().unwrap())).to_string(),
                want
            );
        }
    }

    #[test]
    fn what_can_be_an_entry() {
        for (line, want) in [
            ("192.0.2.1 a", true),
            ("::1 a b", true),
            ("tttl 5", false),
            ("noreverse", false),
            ("192.0.2.1", false),
            ("192.0.2.1 # a", false),
        ] {
            assert_eq!(is_entry(line.as_bytes()), want, "{line}");
        }
    }
}
