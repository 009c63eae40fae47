//! Values as CoreDNS prints them in its lines: types, classes and durations.

use std::fmt;
use std::time::Duration;

/// A record type by its name, or as `TYPE` with its number.
///
/// ```
/// use catena_core::log::TypeName;
///
/// assert_eq!(TypeName(28).to_string(), "AAAA");
/// assert_eq!(TypeName(65280).to_string(), "TYPE65280");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeName(pub u16);

impl TypeName {
    /// The name, if the type has one that CoreDNS's library knows.
    #[must_use]
    pub const fn known(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "None",
            1 => "A",
            2 => "NS",
            3 => "MD",
            4 => "MF",
            5 => "CNAME",
            6 => "SOA",
            7 => "MB",
            8 => "MG",
            9 => "MR",
            10 => "NULL",
            12 => "PTR",
            13 => "HINFO",
            14 => "MINFO",
            15 => "MX",
            16 => "TXT",
            17 => "RP",
            18 => "AFSDB",
            19 => "X25",
            20 => "ISDN",
            21 => "RT",
            23 => "NSAP-PTR",
            24 => "SIG",
            25 => "KEY",
            26 => "PX",
            27 => "GPOS",
            28 => "AAAA",
            29 => "LOC",
            30 => "NXT",
            31 => "EID",
            32 => "NIMLOC",
            33 => "SRV",
            34 => "ATMA",
            35 => "NAPTR",
            36 => "KX",
            37 => "CERT",
            39 => "DNAME",
            41..=64 => return Self::from_opt_on(self.0),
            _ => return Self::above_svcb(self.0),
        })
    }

    const fn from_opt_on(code: u16) -> Option<&'static str> {
        Some(match code {
            41 => "OPT",
            42 => "APL",
            43 => "DS",
            44 => "SSHFP",
            45 => "IPSECKEY",
            46 => "RRSIG",
            47 => "NSEC",
            48 => "DNSKEY",
            49 => "DHCID",
            50 => "NSEC3",
            51 => "NSEC3PARAM",
            52 => "TLSA",
            53 => "SMIMEA",
            55 => "HIP",
            56 => "NINFO",
            57 => "RKEY",
            58 => "TALINK",
            59 => "CDS",
            60 => "CDNSKEY",
            61 => "OPENPGPKEY",
            62 => "CSYNC",
            63 => "ZONEMD",
            64 => "SVCB",
            _ => return None,
        })
    }

    const fn above_svcb(code: u16) -> Option<&'static str> {
        Some(match code {
            65 => "HTTPS",
            99 => "SPF",
            100 => "UINFO",
            101 => "UID",
            102 => "GID",
            103 => "UNSPEC",
            104 => "NID",
            105 => "L32",
            106 => "L64",
            107 => "LP",
            108 => "EUI48",
            109 => "EUI64",
            128 => "NXNAME",
            249 => "TKEY",
            250 => "TSIG",
            251 => "IXFR",
            252 => "AXFR",
            253 => "MAILB",
            254 => "MAILA",
            255 => "ANY",
            256 => "URI",
            257 => "CAA",
            258 => "AVC",
            260 => "AMTRELAY",
            261 => "RESINFO",
            32768 => "TA",
            32769 => "DLV",
            65535 => "Reserved",
            _ => return None,
        })
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(name) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// A class by its name, or as `CLASS` with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassName(pub u16);

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "IN",
            2 => "CS",
            3 => "CH",
            4 => "HS",
            254 => "NONE",
            255 => "ANY",
            code => return write!(f, "CLASS{code}"),
        })
    }
}

/// A duration in Go's notation, as in `1m30s` and `1.5ms`.
///
/// ```
/// use std::time::Duration;
/// use catena_core::log::GoDuration;
///
/// assert_eq!(GoDuration(Duration::from_secs(300)).to_string(), "5m0s");
/// assert_eq!(GoDuration(Duration::from_micros(1500)).to_string(), "1.5ms");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_nanos();
        match total {
            0 => return f.write_str("0s"),
            1..1_000 => return write!(f, "{total}ns"),
            1_000..1_000_000 => return decimal(f, total, 3).and_then(|()| f.write_str("µs")),
            1_000_000..1_000_000_000 => return decimal(f, total, 6).and_then(|()| f.write_str("ms")),
            _ => {}
        }
        let minutes = total / 60_000_000_000;
        match (minutes / 60, minutes % 60) {
            (0, 0) => {}
            (0, minutes) => write!(f, "{minutes}m")?,
            (hours, minutes) => write!(f, "{hours}h{minutes}m")?,
        }
        decimal(f, total % 60_000_000_000, 9)?;
        f.write_str("s")
    }
}

/// A number of which the last `digits` stand behind the point, without noughts at its end.
fn decimal(f: &mut fmt::Formatter<'_>, value: u128, digits: usize) -> fmt::Result {
    let unit = 10_u128.pow(u32::try_from(digits).unwrap_or_default());
    write!(f, "{}", value / unit)?;
    let (mut fraction, mut digits) = (value % unit, digits);
    if fraction == 0 {
        return Ok(());
    }
    while fraction % 10 == 0 {
        fraction /= 10;
        digits -= 1;
    }
    write!(f, ".{fraction:0digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_classes_have_their_names_or_numbers() {
        for (code, want) in [
            (0, "None"),
            (1, "A"),
            (11, "TYPE11"),
            (23, "NSAP-PTR"),
            (41, "OPT"),
            (54, "TYPE54"),
            (64, "SVCB"),
            (65, "HTTPS"),
            (255, "ANY"),
            (65534, "TYPE65534"),
            (65535, "Reserved"),
        ] {
            assert_eq!(TypeName(code).to_string(), want);
        }
        for (code, want) in [(1, "IN"), (3, "CH"), (254, "NONE"), (255, "ANY"), (17, "CLASS17")] {
            assert_eq!(ClassName(code).to_string(), want);
        }
    }

    #[test]
    fn durations_print_as_in_go() {
        for (nanoseconds, want) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (999_999_999, "999.999999ms"),
            (1_200_000_000, "1.2s"),
            (60_000_000_000, "1m0s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_400_000_000_001, "1h30m0.000000001s"),
        ] {
            assert_eq!(GoDuration(Duration::from_nanos(nanoseconds)).to_string(), want);
        }
    }
}
