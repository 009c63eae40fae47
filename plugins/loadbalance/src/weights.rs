//! Reads a file of weights.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use catena_core::message::{QName, RecordView};

/// The weights of addresses, by the name that they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weights {
    names: HashMap<Box<[u8]>, Vec<(IpAddr, u8)>, ahash::RandomState>,
}

/// A line that is none of a comment, a name, or an address with its weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WeightError {
    #[error("wrong domain name:\"{0}\"")]
    Name(String),
    #[error("wrong domain name:\"{0}\". (Maybe a missing weight value?)")]
    AddressAlone(String),
    #[error("wrong IP address:\"{0}\"")]
    Address(String),
    #[error("wrong weight value:\"{0}\"")]
    Weight(String),
    #[error("missing domain name")]
    NoName,
    #[error("could not parse weight line:\"{0}\"")]
    Line(String),
}

impl Weights {
    /// Reads names, and below each the addresses with their weights.
    pub(crate) fn parse(text: &str) -> Result<Self, WeightError> {
        let mut weights = Self::default();
        let mut current = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields[..] {
                [name] => {
                    if name.parse::<IpAddr>().is_ok() {
                        return Err(WeightError::AddressAlone(name.to_owned()));
                    }
                    let name: QName = name.parse().map_err(|_| WeightError::Name(name.to_owned()))?;
                    weights.names.entry(name.as_wire().into()).or_default();
                    current = Some(name);
                }
                [address, weight] => {
                    let entry = entry(address, weight)?;
                    let name = current.as_ref().ok_or(WeightError::NoName)?;
                    weights
                        .names
                        .entry(name.as_wire().into())
                        .or_default()
                        .push(entry);
                }
                _ => return Err(WeightError::Line(line.to_owned())),
            }
        }
        Ok(weights)
    }

    /// The weight of an address record: 1 if the file has none for it.
    pub(crate) fn of(&self, record: &RecordView<'_>) -> u8 {
        let (Some(address), Some(known)) = (address(record), self.names.get(record.owner().as_wire())) else {
            return 1;
        };
        known
            .iter()
            .find(|(known, _)| *known == address)
            .map_or(1, |&(_, weight)| weight)
    }
}

fn entry(address: &str, weight: &str) -> Result<(IpAddr, u8), WeightError> {
    let ip: IpAddr = address
        .parse()
        .map_err(|_| WeightError::Address(address.to_owned()))?;
    match weight.parse::<u8>() {
        Ok(value @ 1..) if weight.bytes().all(|byte| byte.is_ascii_digit()) => Ok((ip.to_canonical(), value)),
        _ => Err(WeightError::Weight(weight.to_owned())),
    }
}

/// The address of an A or AAAA record.
pub(crate) fn address(record: &RecordView<'_>) -> Option<IpAddr> {
    match record.type_code() {
        1 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(record.rdata()).ok()?).into()),
        28 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(record.rdata()).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_the_weights_below_them() {
        let text = "# first\n\n www.Example.org\n192.0.2.1 3\n  2001:db8::1\t255 \nother.example.org.\n# no weights\n\
                    www.example.org.\n192.0.2.2 1\n";
        let weights = Weights::parse(text).unwrap();
        let of = |name: &str| weights.names[name.parse::<QName>().unwrap().as_wire()].clone();
        let pair = |address: &str, weight| (address.parse::<IpAddr>().unwrap(), weight);
        assert_eq!(
            of("www.example.org."),
            [
                pair("192.0.2.1", 3),
                pair("2001:db8::1", 255),
                pair("192.0.2.2", 1)
            ]
        );
        assert_eq!(of("other.example.org."), []);
        assert_eq!(Weights::parse("").unwrap(), Weights::default());
    }

    #[test]
    fn lines_that_say_nothing_are_named() {
        for (text, want) in [
            ("www\n192.0.2.1 256", "wrong weight value:\"256\""),
            ("www\n192.0.2.1 0", "wrong weight value:\"0\""),
            ("www\n192.0.2.1 +5", "wrong weight value:\"+5\""),
            ("www\n192.0.2.1 -5", "wrong weight value:\"-5\""),
            ("www\n192.0.2 5", "wrong IP address:\"192.0.2\""),
            ("192.0.2.1 5", "missing domain name"),
            (
                "192.0.2.1",
                "wrong domain name:\"192.0.2.1\". (Maybe a missing weight value?)",
            ),
            ("a..b", "wrong domain name:\"a..b\""),
            (
                "www\n192.0.2.1 5 6",
                "could not parse weight line:\"192.0.2.1 5 6\"",
            ),
        ] {
            assert_eq!(Weights::parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
