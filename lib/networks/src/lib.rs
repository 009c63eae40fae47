//! Sets of IP networks that answer whether an address is in one of them, however many there are.
//!
//! ```
//! use catena_networks::NetworkSet;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let set: NetworkSet = ["192.0.2.0/24".parse()?, "2001:db8::/32".parse()?].into_iter().collect();
//! assert!(set.contains("192.0.2.77".parse()?));
//! assert!(!set.contains("198.51.100.1".parse()?));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

use std::net::IpAddr;

use ipnet::IpNet;

/// A set of IPv4 and IPv6 networks.
///
/// The families are apart: `::/0` holds no IPv4 address. An IPv4 address in IPv6 form (`::ffff:192.0.2.1`), as an
/// address or as a network of 96 bits or longer, is IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSet {
    /// First and last addresses, sorted, without overlap.
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl NetworkSet {
    /// Every address of both families.
    #[must_use]
    pub fn all() -> Self {
        Self {
            v4: Box::new([(0, u32::MAX)]),
            v6: Box::new([(0, u128::MAX)]),
        }
    }

    /// Whether no network is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether an address is in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, u32::from(address)),
            IpAddr::V6(address) => holds(&self.v6, u128::from(address)),
        }
    }
}

impl FromIterator<IpNet> for NetworkSet {
    fn from_iter<T: IntoIterator<Item = IpNet>>(networks: T) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match (
                network.network().to_canonical(),
                network.broadcast().to_canonical(),
            ) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((u32::from(first), u32::from(last))),
                _ => {
                    if let IpNet::V6(network) = network {
                        v6.push((u128::from(network.network()), u128::from(network.broadcast())));
                    }
                }
            }
        }
        Self {
            v4: merged(v4),
            v6: merged(v6),
        }
    }
}

/// Whether one of the ranges holds `address`.
fn holds<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|&(first, _)| first <= address);
    behind > 0 && ranges[behind - 1].1 >= address
}

/// Sorts the ranges and joins those that overlap.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut kept: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match kept.last_mut() {
            Some(before) if before.1 >= first => before.1 = before.1.max(last),
            _ => kept.push((first, last)),
        }
    }
    kept.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    fn set(networks: &[&str]) -> NetworkSet {
        networks
            .iter()
            .map(|text| text.parse::<IpNet>().unwrap())
            .collect()
    }

    #[test]
    fn families_are_apart() {
        for (networks, address, want) in [
            (&["0.0.0.0/0"][..], "192.0.2.1", true),
            (&["0.0.0.0/0"], "2001:db8::1", false),
            (&["::/0"], "192.0.2.1", false),
            (&["::/0"], "2001:db8::1", true),
            (&["192.0.2.0/24"], "::ffff:192.0.2.9", true),
            (&["::ffff:192.0.2.0/120"], "192.0.2.9", true),
            (&["::ffff:192.0.2.0/120"], "192.0.3.9", false),
            (&["192.0.2.9/24"], "192.0.2.1", true),
            (&[], "192.0.2.1", false),
        ] {
            assert_eq!(
                set(networks).contains(address.parse().unwrap()),
                want,
                "{networks:?} {address}"
            );
        }
        assert!(set(&[]).is_empty() && !NetworkSet::all().is_empty());
        for address in [
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(NetworkSet::all().contains(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        /// The set says the same as its networks one by one.
        #[test]
        fn as_the_networks_say(
            networks in prop::collection::vec((any::<u32>(), 8u8..=32), 0..20),
            address in any::<u32>(),
        ) {
            // Few first bytes, so that networks meet.
            let networks: Vec<Ipv4Net> = networks
                .into_iter()
                .map(|(bits, len)| Ipv4Net::new(Ipv4Addr::from(bits & 0x03ff_ffff), len).unwrap())
                .collect();
            let address = Ipv4Addr::from(address & 0x03ff_ffff);
            let set: NetworkSet = networks.iter().copied().map(IpNet::V4).collect();
            prop_assert_eq!(set.contains(address.into()), networks.iter().any(|network| network.contains(&address)));
        }

        /// So it does for IPv6.
        #[test]
        fn as_the_ipv6_networks_say(
            networks in prop::collection::vec((any::<u128>(), 4u8..=128), 0..20),
            address in any::<u128>(),
        ) {
            let place = |bits: u128| Ipv6Addr::from(bits >> 5 | 1 << 125);
            let networks: Vec<Ipv6Net> =
                networks.into_iter().map(|(bits, len)| Ipv6Net::new(place(bits), len).unwrap()).collect();
            let set: NetworkSet = networks.iter().copied().map(IpNet::V6).collect();
            let wanted = networks.iter().any(|network| network.contains(&place(address)));
            prop_assert_eq!(set.contains(place(address).into()), wanted);
        }
    }
}
