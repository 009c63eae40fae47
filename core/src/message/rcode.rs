//! Response codes.

use std::fmt;

/// A response code with its extended bits (RFC 6891, section 6.1.3): 12 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rcode(pub u16);

impl Rcode {
    /// No error.
    pub const NOERROR: Self = Self(0);
    /// The query could not be read.
    pub const FORMERR: Self = Self(1);
    /// The server failed.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// The server does not do this.
    pub const NOTIMP: Self = Self(4);
    /// The server does not want to.
    pub const REFUSED: Self = Self(5);
    /// A name exists that should not (RFC 2136).
    pub const YXDOMAIN: Self = Self(6);
    /// An RRset exists that should not (RFC 2136).
    pub const YXRRSET: Self = Self(7);
    /// An RRset does not exist that should (RFC 2136).
    pub const NXRRSET: Self = Self(8);
    /// Not authoritative, or not authorized (RFC 2136, RFC 8945).
    pub const NOTAUTH: Self = Self(9);
    /// A name outside of the zone (RFC 2136).
    pub const NOTZONE: Self = Self(10);
    /// DSO type not implemented (RFC 8490).
    pub const DSOTYPENI: Self = Self(11);
    /// The EDNS version is not supported (RFC 6891); the same number as [`Rcode::BADSIG`].
    pub const BADVERS: Self = Self(16);
    /// The signature does not verify (RFC 8945).
    pub const BADSIG: Self = Self(16);
    /// The key is unknown (RFC 8945).
    pub const BADKEY: Self = Self(17);
    /// The signature is out of its time (RFC 8945).
    pub const BADTIME: Self = Self(18);
    /// Bad TKEY mode (RFC 2930).
    pub const BADMODE: Self = Self(19);
    /// Duplicate key name (RFC 2930).
    pub const BADNAME: Self = Self(20);
    /// Algorithm not supported (RFC 2930).
    pub const BADALG: Self = Self(21);
    /// Bad truncation (RFC 8945).
    pub const BADTRUNC: Self = Self(22);
    /// Bad or missing server cookie (RFC 7873).
    pub const BADCOOKIE: Self = Self(23);

    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The four bits that stand in the message's header.
    #[must_use]
    pub const fn low(self) -> u8 {
        (self.0 & 0xf) as u8
    }

    /// The eight bits that stand in the OPT record.
    #[must_use]
    pub const fn high(self) -> u8 {
        (self.0 >> 4) as u8
    }

    /// The name that CoreDNS and its Go library use; none for codes without one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            6 => "YXDOMAIN",
            7 => "YXRRSET",
            8 => "NXRRSET",
            9 => "NOTAUTH",
            10 => "NOTZONE",
            11 => "DSOTYPENI",
            16 => "BADSIG",
            17 => "BADKEY",
            18 => "BADTIME",
            19 => "BADMODE",
            20 => "BADNAME",
            21 => "BADALG",
            22 => "BADTRUNC",
            23 => "BADCOOKIE",
            _ => return None,
        })
    }

    /// Reads a name as [`Rcode::name`] gives it, in any letter case; `BADVERS` and `NOTIMPL` too.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("BADVERS") {
            return Some(Self::BADVERS);
        }
        if name.eq_ignore_ascii_case("NOTIMPL") {
            return Some(Self::NOTIMP);
        }
        (0..=23)
            .map(Self)
            .find(|rcode| rcode.name().is_some_and(|known| known.eq_ignore_ascii_case(name)))
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => self.0.fmt(f),
        }
    }
}

impl From<hickory_proto::op::ResponseCode> for Rcode {
    fn from(code: hickory_proto::op::ResponseCode) -> Self {
        Self(code.into())
    }
}

impl From<Rcode> for hickory_proto::op::ResponseCode {
    fn from(rcode: Rcode) -> Self {
        Self::from(rcode.high(), rcode.low())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_coredns() {
        for (rcode, want) in [
            (Rcode::NOERROR, "NOERROR"),
            (Rcode::NXDOMAIN, "NXDOMAIN"),
            (Rcode::BADVERS, "BADSIG"),
            (Rcode::BADCOOKIE, "BADCOOKIE"),
            (Rcode(12), "12"),
            (Rcode(4095), "4095"),
        ] {
            assert_eq!(rcode.to_string(), want);
        }
        assert_eq!(Rcode::from_name("servfail"), Some(Rcode::SERVFAIL));
        assert_eq!(Rcode::from_name("BADVERS"), Some(Rcode(16)));
        assert_eq!(Rcode::from_name("nope"), None);
    }

    #[test]
    fn the_bits_split_as_in_the_opt_record() {
        assert_eq!((Rcode::BADVERS.low(), Rcode::BADVERS.high()), (0, 1));
        assert_eq!((Rcode(0xabc).low(), Rcode(0xabc).high()), (0xc, 0xab));
        let code: hickory_proto::op::ResponseCode = Rcode::BADCOOKIE.into();
        assert_eq!(Rcode::from(code), Rcode::BADCOOKIE);
    }
}
