//! The immutable table that queries are answered from.
//!
//! All names and addresses stand in one run of bytes: behind each name its IPv4 addresses, its IPv6 addresses, and the
//! names that it is the reverse of. A lookup hashes the name, finds its entry in a few steps, and reads what is next
//! to the name. What a name gets from wildcards is worked out when the table is built.

use std::net::IpAddr;

use ahash::RandomState;
use catena_core::message::name::MAX_NAME_LEN;

use crate::entries::{Entries, Pair, Source, TooLarge, WILDCARD, is_wildcard, reverse_name};

/// Names, and what is known of them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    index: Index,
    /// Behind each other in the order of the index.
    lists: Box<[Lists]>,
    bytes: Box<[u8]>,
    wildcards: bool,
}

/// Where the data of a name stands: behind the name, in this order. Lengths are in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Lists {
    at: u32,
    v4: u32,
    v6: u32,
    names: u32,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    /// IPv4 addresses, four bytes each.
    pub(crate) v4: &'a [u8],
    /// IPv6 addresses, 16 bytes each.
    pub(crate) v6: &'a [u8],
    /// Names that this one is the reverse of, in wire form.
    pub(crate) names: &'a [u8],
}

impl Found<'_> {
    /// Whether the name has an address: whether it is a host.
    pub(crate) fn is_host(&self) -> bool {
        !self.v4.is_empty() || !self.v6.is_empty()
    }
}

impl Table {
    /// A table of these entries, with the reverse of each address if `reverse` is set.
    pub(crate) fn build(entries: &Entries, reverse: bool) -> Result<Self, TooLarge> {
        let mut index = Index::default();
        let pairs = &entries.pairs;
        let forward = pairs
            .iter()
            .map(|pair| index.insert(entries.name(pair)))
            .collect::<Result<Vec<_>, _>>()?;
        let reversed = if reverse {
            reverse_ids(entries, &mut index)?
        } else {
            Vec::new()
        };
        let wildcards = pairs.iter().any(|pair| is_wildcard(entries.name(pair)));
        let groups = Groups::of(&forward, index.len());
        let reverse_groups = Groups::of(&reversed, index.len());
        let mut writer = Writer {
            entries,
            bytes: Vec::new(),
        };
        let mut lists = Vec::with_capacity(index.len());
        for id in 0..index.len() {
            let name = index.name(id);
            let wildcard = if wildcards {
                wildcard_above(name).and_then(|key| index.find(key.as_wire()))
            } else {
                None
            };
            let fallback = wildcard.map_or(&[][..], |id| groups.of_id(id));
            lists.push(writer.write(name, groups.of_id(id), fallback, reverse_groups.of_id(id))?);
        }
        let bytes = writer.bytes.into_boxed_slice();
        index.move_names(&lists);
        Ok(Self {
            index,
            lists: lists.into_boxed_slice(),
            bytes,
            wildcards,
        })
    }

    /// What is known of a name, given in lower-case wire form.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<Found<'_>> {
        if let Some(id) = self.index.find_in(name, &self.bytes) {
            return Some(self.found(id));
        }
        if !self.wildcards {
            return None;
        }
        let key = wildcard_above(name)?;
        self.index
            .find_in(key.as_wire(), &self.bytes)
            .map(|id| self.found(id))
    }

    #[inline]
    fn found(&self, id: usize) -> Found<'_> {
        let Lists { at, v4, v6, names } = self.lists[id];
        let rest = &self.bytes[at as usize..];
        let (v4, rest) = rest.split_at(v4 as usize);
        let (v6, rest) = rest.split_at(v6 as usize);
        Found {
            v4,
            v6,
            names: &rest[..names as usize],
        }
    }
}

/// The reverse names of all pairs, as ids of the index; wildcards have none.
fn reverse_ids(entries: &Entries, index: &mut Index) -> Result<Vec<u32>, TooLarge> {
    // Lists of names to block give one address again and again.
    let mut last: Option<(IpAddr, u32)> = None;
    let mut ids = Vec::with_capacity(entries.pairs.len());
    for pair in &entries.pairs {
        if is_wildcard(entries.name(pair)) {
            ids.push(NO_ID);
            continue;
        }
        let id = match last {
            Some((address, id)) if address == pair.address => id,
            _ => index.insert(&reverse_name(pair.address))?,
        };
        last = Some((pair.address, id));
        ids.push(id);
    }
    Ok(ids)
}

/// Writes the run of bytes.
struct Writer<'a> {
    entries: &'a Entries,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn write(
        &mut self,
        name: &[u8],
        own: &[u32],
        wildcard: &[u32],
        reverse: &[u32],
    ) -> Result<Lists, TooLarge> {
        self.bytes.extend_from_slice(name);
        let at = self.bytes.len();
        for source in [Source::File, Source::Corefile] {
            self.addresses(own, wildcard, |pair| {
                pair.source == source && pair.address.is_ipv4()
            });
        }
        let v6_at = self.bytes.len();
        for source in [Source::File, Source::Corefile] {
            self.addresses(own, wildcard, |pair| {
                pair.source == source && pair.address.is_ipv6()
            });
        }
        let names_at = self.bytes.len();
        for &pair in reverse {
            let pair = &self.entries.pairs[pair as usize];
            self.bytes.extend_from_slice(self.entries.name(pair));
        }
        // The offsets before it fit if this one does.
        u32::try_from(self.bytes.len()).map_err(|_| TooLarge)?;
        Ok(Lists {
            at: at as u32,
            v4: (v6_at - at) as u32,
            v6: (names_at - v6_at) as u32,
            names: (self.bytes.len() - names_at) as u32,
        })
    }

    /// Writes the addresses of those pairs that are wanted: the name's own or, if it has none, the wildcard's.
    fn addresses(&mut self, own: &[u32], wildcard: &[u32], wanted: impl Fn(&Pair) -> bool) {
        let before = self.bytes.len();
        for group in [own, wildcard] {
            for &pair in group {
                let pair = &self.entries.pairs[pair as usize];
                match pair.address {
                    _ if !wanted(pair) => {}
                    IpAddr::V4(ip) => self.bytes.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => self.bytes.extend_from_slice(&ip.octets()),
                }
            }
            if self.bytes.len() > before {
                return;
            }
        }
    }
}

/// No name.
const NO_ID: u32 = u32::MAX;

/// The pairs of each id, in their order.
struct Groups {
    /// Where each id's pairs end; they start where those of the id before end.
    ends: Vec<u32>,
    pairs: Vec<u32>,
}

impl Groups {
    fn of(ids: &[u32], count: usize) -> Self {
        let mut ends = vec![0_u32; count];
        for &id in ids.iter().filter(|id| **id != NO_ID) {
            ends[id as usize] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            // From here on each is where its group starts, and moves to its end as the group is filled.
            (sum, *end) = (sum + *end, sum);
        }
        let mut pairs = vec![0; sum as usize];
        for (pair, &id) in ids.iter().enumerate().filter(|(_, id)| **id != NO_ID) {
            let place = &mut ends[id as usize];
            pairs[*place as usize] = pair as u32;
            *place += 1;
        }
        Self { ends, pairs }
    }

    fn of_id(&self, id: usize) -> &[u32] {
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.pairs[start..self.ends[id] as usize]
    }
}

/// The wildcard name one label above `name`: `*.example.org.` for `a.example.org.`
fn wildcard_above(name: &[u8]) -> Option<WildcardName> {
    let parent = name.get(usize::from(*name.first()?) + 1..)?;
    // A lone `*` covers nothing, as in CoreDNS.
    if parent.len() < 2 || is_wildcard(name) {
        return None;
    }
    let len = WILDCARD.len() + parent.len();
    let mut wire = [0; MAX_NAME_LEN];
    wire[..WILDCARD.len()].copy_from_slice(WILDCARD);
    wire.get_mut(WILDCARD.len()..len)?.copy_from_slice(parent);
    Some(WildcardName { wire, len })
}

struct WildcardName {
    wire: [u8; MAX_NAME_LEN],
    len: usize,
}

impl WildcardName {
    fn as_wire(&self) -> &[u8] {
        &self.wire[..self.len]
    }
}

/// Numbers names from 0 on, and finds a name's number: a hash table with open addressing, at most half full.
#[derive(Debug)]
struct Index {
    /// Nought is free; else the hash in the upper half, and the number plus one in the lower.
    slots: Vec<u64>,
    keys: Vec<Key>,
    /// The names while the table is being built.
    names: Vec<u8>,
    /// Keyed at random, so that nobody can prepare names whose hashes collide.
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    at: u32,
    len: u8,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            slots: vec![0; 16],
            keys: Vec::new(),
            names: Vec::new(),
            hasher: RandomState::new(),
        }
    }
}

impl Index {
    fn len(&self) -> usize {
        self.keys.len()
    }

    fn name(&self, id: usize) -> &[u8] {
        self.keys[id].of(&self.names)
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        self.find_in(name, &self.names)
    }

    #[inline]
    fn find_in(&self, name: &[u8], names: &[u8]) -> Option<usize> {
        let hash = self.hash(name);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                0 => return None,
                slot if slot >> 32 == hash => {
                    let id = (slot as u32 - 1) as usize;
                    if self.keys[id].of(names) == name {
                        return Some(id);
                    }
                }
                _ => {}
            }
            at = (at + 1) & mask;
        }
    }

    /// Gives the name's number, a new one if it has none.
    fn insert(&mut self, name: &[u8]) -> Result<u32, TooLarge> {
        if let Some(id) = self.find(name) {
            return Ok(id as u32);
        }
        let id = u32::try_from(self.keys.len())
            .ok()
            .filter(|id| *id < NO_ID - 1)
            .ok_or(TooLarge)?;
        let at = u32::try_from(self.names.len()).map_err(|_| TooLarge)?;
        self.names.extend_from_slice(name);
        self.keys.push(Key {
            at,
            len: name.len() as u8,
        });
        if self.keys.len() * 2 > self.slots.len() {
            let grown = vec![0; self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, grown) {
                if slot != 0 {
                    self.place(slot);
                }
            }
        }
        self.place(self.hash(name) << 32 | u64::from(id + 1));
        Ok(id)
    }

    fn place(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = (slot >> 32) as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// Follows the names to where the finished table has them: right before their lists.
    fn move_names(&mut self, lists: &[Lists]) {
        for (key, lists) in self.keys.iter_mut().zip(lists) {
            key.at = lists.at - u32::from(key.len);
        }
        self.names = Vec::new();
        self.slots.shrink_to_fit();
        self.keys.shrink_to_fit();
    }

    #[inline]
    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name) >> 32
    }
}

impl Key {
    #[inline]
    fn of(self, names: &[u8]) -> &[u8] {
        let at = self.at as usize;
        &names[at..at + usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use catena_core::message::name::presentation;
    use catena_core::message::{QName, Zone};

    fn table(file: &str, corefile: &str) -> Table {
        table_of(file, corefile, true)
    }

    fn table_of(file: &str, corefile: &str, reverse: bool) -> Table {
        let mut entries = Entries::default();
        entries
            .read(file.as_bytes(), Source::File, &[Zone::root()])
            .unwrap();
        entries
            .read(corefile.as_bytes(), Source::Corefile, &[Zone::root()])
            .unwrap();
        Table::build(&entries, reverse).unwrap()
    }

    fn shown(table: &Table, name: &str) -> String {
        let name: QName = name.parse().unwrap();
        let Some(found) = table.find(name.as_wire()) else {
            return "-".to_owned();
        };
        let mut words = Vec::new();
        for ip in found.v4.chunks_exact(4) {
            words.push(Ipv4Addr::from(<[u8; 4]>::try_from(ip).unwrap()).to_string());
        }
        for ip in found.v6.chunks_exact(16) {
            words.push(Ipv6Addr::from(<[u8; 16]>::try_from(ip).unwrap()).to_string());
        }
        let mut names = found.names;
        while !names.is_empty() {
            let len = catena_core::message::name::wire_len(names).unwrap();
            words.push(presentation(&names[..len]).to_string());
            names = &names[len..];
        }
        words.join(" ")
    }

    #[test]
    fn addresses_of_the_file_come_first_and_nothing_is_merged() {
        let table = table(
            "192.0.2.11 a\n192.0.2.13 a b\n192.0.2.13 a",
            "192.0.2.1 a\n192.0.2.13 a\n192.0.2.13 c",
        );
        for (name, want) in [
            ("a", "192.0.2.11 192.0.2.13 192.0.2.13 192.0.2.1 192.0.2.13"),
            ("b", "192.0.2.13"),
            ("c", "192.0.2.13"),
            ("d", "-"),
            (".", "-"),
            ("13.2.0.192.in-addr.arpa", "a. b. a. a. c."),
        ] {
            assert_eq!(shown(&table, name), want, "{name}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let table = table(
            "",
            "192.0.2.1 *.example.org\n2001:db8::1 *.example.org\n192.0.2.2 exact.example.org\n\
             192.0.2.3 *.sub.example.org\n192.0.2.4 www.*.example.net\n192.0.2.5 *",
        );
        for (name, want) in [
            ("any.example.org", "192.0.2.1 2001:db8::1"),
            // The family that an exact name lacks comes from the wildcard.
            ("exact.example.org", "192.0.2.2 2001:db8::1"),
            ("two.labels.example.org", "-"),
            ("example.org", "-"),
            ("x.sub.example.org", "192.0.2.3"),
            ("sub.example.org", "192.0.2.1 2001:db8::1"),
            ("*.example.org", "192.0.2.1 2001:db8::1"),
            ("www.x.example.net", "-"),
            ("com", "-"),
            ("1.2.0.192.in-addr.arpa", "-"),
            ("2.2.0.192.in-addr.arpa", "exact.example.org."),
        ] {
            assert_eq!(shown(&table, name), want, "{name}");
        }
    }

    #[test]
    fn wildcards_of_file_and_corefile_fill_in_apart() {
        let table = table(
            "192.0.2.1 a.example.org\n192.0.2.2 *.example.org",
            "192.0.2.3 *.example.org",
        );
        assert_eq!(shown(&table, "a.example.org"), "192.0.2.1 192.0.2.3");
        assert_eq!(shown(&table, "b.example.org"), "192.0.2.2 192.0.2.3");
    }

    #[test]
    fn a_reverse_name_can_have_addresses_too() {
        let table = table(
            "192.0.2.1 a\n192.0.2.2 1.2.0.192.in-addr.arpa\n192.0.2.3 *.0.0.10.in-addr.arpa\n10.0.0.9 b",
            "",
        );
        assert_eq!(shown(&table, "1.2.0.192.in-addr.arpa"), "192.0.2.2 a.");
        assert_eq!(shown(&table, "9.0.0.10.in-addr.arpa"), "192.0.2.3 b.");
    }

    #[test]
    fn the_reverse_can_be_left_out() {
        let table = table_of("192.0.2.1 a", "", false);
        assert_eq!(
            (shown(&table, "a"), shown(&table, "1.2.0.192.in-addr.arpa")),
            ("192.0.2.1".into(), "-".into())
        );
    }

    #[test]
    fn a_hundred_thousand_names_are_all_found() {
        let line = |number: u32| format!("{} host-{number}.example.org", Ipv4Addr::from(number));
        let text: Vec<String> = (0..100_000).map(line).collect();
        let table = table(&text.join("\n"), "");
        for number in (0..100_000).step_by(7) {
            assert_eq!(
                shown(&table, &format!("host-{number}.example.org")),
                Ipv4Addr::from(number).to_string()
            );
            assert_eq!(shown(&table, &format!("host-{number}x.example.org")), "-");
        }
        assert_eq!(shown(&table, "5.4.0.0.in-addr.arpa"), "host-1029.example.org.");
    }

    #[test]
    fn an_empty_table_knows_nothing() {
        assert_eq!(shown(&table("", ""), "a.example.org"), "-");
    }
}
