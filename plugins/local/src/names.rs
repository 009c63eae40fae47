//! Which names are local. All are in lower-case wire form.

use catena_core::message::name::is_suffix;

pub(crate) const LOCALHOST: &[u8] = b"\x09localhost\0";
pub(crate) const ROOT_LOCALHOST: &[u8] = b"\x04root\x09localhost\0";

const LOCALHOST_LABEL: &[u8] = b"\x09localhost";
const ARPA: &[u8] = b"\x04arpa\0";
const LOOPBACK_PTR: &[u8] = b"\x011\x010\x010\x03127\x07in-addr\x04arpa\0";
const REVERSE_ZONES: [&[u8]; 3] = [
    b"\x010\x07in-addr\x04arpa\0",
    b"\x03127\x07in-addr\x04arpa\0",
    b"\x03255\x07in-addr\x04arpa\0",
];

/// What a local name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// `localhost.` itself.
    Localhost,
    /// A name below `localhost.`, or one with `localhost` in front.
    Special,
    /// The apex of a reverse zone.
    ReverseApex,
    /// `1.0.0.127.in-addr.arpa.`, in a zone whose name is so many bytes long.
    LoopbackPtr { zone_len: usize },
    /// A name that does not exist, in a zone whose name is so many bytes long.
    Missing { zone_len: usize },
}

/// Tells what `name` is; none if it is not local. Most names are not, and are found so by their first and last bytes.
#[inline]
pub(crate) fn classify(name: &[u8], localhost_prefix: bool) -> Option<Local> {
    if name.ends_with(LOCALHOST) && is_suffix(name, LOCALHOST) {
        return Some(if name.len() == LOCALHOST.len() {
            Local::Localhost
        } else {
            Local::Special
        });
    }
    if localhost_prefix && name.starts_with(LOCALHOST_LABEL) {
        return Some(Local::Special);
    }
    if !name.ends_with(ARPA) {
        return None;
    }
    let zone = REVERSE_ZONES.iter().find(|zone| is_suffix(name, zone))?;
    let zone_len = zone.len();
    Some(if name.len() == zone_len {
        Local::ReverseApex
    } else if name == LOOPBACK_PTR {
        Local::LoopbackPtr { zone_len }
    } else {
        Local::Missing { zone_len }
    })
}

#[cfg(test)]
mod tests {
    use catena_core::message::QName;

    use super::*;

    #[test]
    fn names_are_told_apart() {
        let (zero, loopback) = (REVERSE_ZONES[0].len(), REVERSE_ZONES[1].len());
        for (name, with_prefix, without_prefix) in [
            ("localhost.", Some(Local::Localhost), Some(Local::Localhost)),
            ("www.localhost.", Some(Local::Special), Some(Local::Special)),
            ("a.b.localhost.", Some(Local::Special), Some(Local::Special)),
            ("localhost.localhost.", Some(Local::Special), Some(Local::Special)),
            ("localhost.example.org.", Some(Local::Special), None),
            (
                "localhost.127.in-addr.arpa.",
                Some(Local::Special),
                Some(Local::Missing { zone_len: loopback }),
            ),
            ("notlocalhost.", None, None),
            ("localhosts.example.org.", None, None),
            ("www.localhost.example.org.", None, None),
            // One label that ends in the bytes of the name.
            ("x\\009localhost.", None, None),
            (
                "0.in-addr.arpa.",
                Some(Local::ReverseApex),
                Some(Local::ReverseApex),
            ),
            (
                "127.in-addr.arpa.",
                Some(Local::ReverseApex),
                Some(Local::ReverseApex),
            ),
            (
                "255.in-addr.arpa.",
                Some(Local::ReverseApex),
                Some(Local::ReverseApex),
            ),
            (
                "1.0.in-addr.arpa.",
                Some(Local::Missing { zone_len: zero }),
                Some(Local::Missing { zone_len: zero }),
            ),
            (
                "1.0.0.127.in-addr.arpa.",
                Some(Local::LoopbackPtr { zone_len: loopback }),
                Some(Local::LoopbackPtr { zone_len: loopback }),
            ),
            (
                "2.0.0.127.in-addr.arpa.",
                Some(Local::Missing { zone_len: loopback }),
                Some(Local::Missing { zone_len: loopback }),
            ),
            ("10.in-addr.arpa.", None, None),
            ("1127.in-addr.arpa.", None, None),
            ("arpa.", None, None),
            (".", None, None),
        ] {
            let wire = QName::from_presentation(name).unwrap();
            assert_eq!(classify(wire.as_wire(), true), with_prefix, "{name}");
            assert_eq!(
                classify(wire.as_wire(), false),
                without_prefix,
                "{name} without the prefix"
            );
        }
    }
}
