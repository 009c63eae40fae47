//! What queries read: all names of an instance, in parts that are replaced one by one or all at once.
//!
//! A query loads the table, and of it the one part that its name can be in; both are immutable. A write to one
//! service makes a new part, of a thousandth of the names; a replacement of all services makes a new table, so a
//! query sees either all of it or nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use arc_swap::{ArcSwap, Guard};

/// Parts of a table: with 100,000 services a write copies a hundred pointers.
const PARTS: usize = 1024;

/// One name, and what is known of it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name in wire form and behind it the addresses, four bytes each.
    data: Box<[u8]>,
    name_len: u8,
    /// TTL in seconds; nought stands for the instance's.
    ttl: u32,
    /// How many services are below this name.
    below: u32,
    /// Until when it counts as fresh, in milliseconds since the store was made.
    fresh_until: AtomicU64,
}

impl Entry {
    /// An entry; without addresses it is no service, but a name on the way to one.
    pub(crate) fn new(name: &[u8], records: impl IntoIterator<Item = [u8; 4]>, ttl: u32, below: u32) -> Self {
        let mut data = name.to_vec();
        records
            .into_iter()
            .for_each(|record| data.extend_from_slice(&record));
        Self {
            data: data.into_boxed_slice(),
            name_len: name.len() as u8,
            ttl,
            below,
            fresh_until: AtomicU64::new(0),
        }
    }

    /// The same with another number of services below.
    pub(crate) fn with_below(&self, below: u32) -> Self {
        Self {
            data: self.data.clone(),
            name_len: self.name_len,
            ttl: self.ttl,
            below,
            fresh_until: AtomicU64::new(self.fresh_until.load(Ordering::Relaxed)),
        }
    }

    /// The name in wire form.
    #[inline]
    pub(crate) fn name(&self) -> &[u8] {
        &self.data[..usize::from(self.name_len)]
    }

    /// The addresses, four bytes each; none for a name that only has services below.
    #[inline]
    pub(crate) fn addresses(&self) -> &[u8] {
        &self.data[usize::from(self.name_len)..]
    }

    /// The addresses.
    pub(crate) fn records(&self) -> impl Iterator<Item = [u8; 4]> + '_ {
        self.addresses()
            .chunks_exact(4)
            .filter_map(|record| record.try_into().ok())
    }

    /// Whether the name has addresses.
    #[inline]
    pub(crate) fn is_service(&self) -> bool {
        !self.addresses().is_empty()
    }

    /// TTL in seconds; nought stands for the instance's.
    #[inline]
    pub(crate) fn ttl(&self) -> u32 {
        self.ttl
    }

    /// How many services are below.
    pub(crate) fn below(&self) -> u32 {
        self.below
    }

    /// Whether it counts as fresh at a time, in milliseconds since the store was made.
    #[inline]
    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        now < self.fresh_until.load(Ordering::Relaxed)
    }

    /// Says until when it is fresh.
    #[inline]
    pub(crate) fn refresh(&self, until: u64) {
        self.fresh_until.store(until, Ordering::Relaxed);
    }
}

/// The names of one part, sorted by their hash.
pub(crate) type Part = Vec<(u64, Arc<Entry>)>;

/// All names.
#[derive(Debug)]
pub(crate) struct Table {
    parts: Box<[ArcSwap<Part>]>,
    hasher: RandomState,
}

impl Table {
    /// A table of these entries, whose names differ.
    pub(crate) fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let hasher = RandomState::new();
        let mut parts: Vec<Part> = vec![Part::new(); PARTS];
        for entry in entries {
            let hash = hasher.hash_one(entry.name());
            parts[part_of(hash)].push((hash, Arc::new(entry)));
        }
        let empty = Arc::new(Part::new());
        let finish = |mut part: Part| {
            if part.is_empty() {
                return ArcSwap::from(Arc::clone(&empty));
            }
            part.sort_unstable_by_key(|(hash, _)| *hash);
            part.shrink_to_fit();
            ArcSwap::from_pointee(part)
        };
        Self {
            parts: parts.into_iter().map(finish).collect(),
            hasher,
        }
    }

    /// The hash of a name.
    #[inline]
    pub(crate) fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    /// The part that names with this hash are in.
    #[inline]
    pub(crate) fn part(&self, hash: u64) -> Guard<Arc<Part>> {
        self.parts[part_of(hash)].load()
    }

    /// The entry of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<Arc<Entry>> {
        let hash = self.hash(name);
        find(&self.part(hash), hash, name).cloned()
    }

    /// Puts an entry in the place of that of its name; without one the name goes. Only one thread at a time may do so.
    pub(crate) fn set(&self, name: &[u8], entry: Option<Entry>) {
        let hash = self.hash(name);
        let place = &self.parts[part_of(hash)];
        let mut part = Part::clone(&place.load());
        let at = part
            .iter()
            .position(|(known, entry)| *known == hash && entry.name() == name);
        match (at, entry) {
            (Some(at), Some(entry)) => part[at].1 = Arc::new(entry),
            (Some(at), None) => drop(part.remove(at)),
            (None, Some(entry)) => {
                let at = part.partition_point(|(known, _)| *known < hash);
                part.insert(at, (hash, Arc::new(entry)));
            }
            (None, None) => return,
        }
        place.store(Arc::new(part));
    }

    /// All entries; consistent as long as nobody writes.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries = Vec::new();
        for part in &self.parts {
            entries.extend(part.load().iter().map(|(_, entry)| Arc::clone(entry)));
        }
        entries
    }
}

/// The entry of a name in its part.
#[inline]
pub(crate) fn find<'a>(part: &'a Part, hash: u64, name: &[u8]) -> Option<&'a Arc<Entry>> {
    let from = part.partition_point(|(known, _)| *known < hash);
    part[from..]
        .iter()
        .take_while(|(known, _)| *known == hash)
        .map(|(_, entry)| entry)
        .find(|entry| entry.name() == name)
}

/// The low bits choose the part, so that names of a part still differ in the high ones.
#[inline]
fn part_of(hash: u64) -> usize {
    hash as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u32) -> Entry {
        Entry::new(&number.to_be_bytes(), [number.to_be_bytes()], number, 0)
    }

    #[test]
    fn names_are_found_set_and_removed() {
        let table = Table::new((0..5000).map(entry));
        for number in [0, 1, 4999] {
            assert_eq!(table.get(&u32::to_be_bytes(number)).unwrap().ttl(), number);
        }
        assert!(table.get(&5000_u32.to_be_bytes()).is_none());
        for number in 5000..6000 {
            table.set(&u32::to_be_bytes(number), Some(entry(number)));
        }
        table.set(&7_u32.to_be_bytes(), None);
        table.set(&7_u32.to_be_bytes(), None);
        table.set(
            &8_u32.to_be_bytes(),
            Some(Entry::new(&8_u32.to_be_bytes(), [[1; 4], [2; 4]], 80, 0)),
        );
        assert!(table.get(&7_u32.to_be_bytes()).is_none());
        let eight = table.get(&8_u32.to_be_bytes()).unwrap();
        assert_eq!(
            (eight.ttl(), eight.records().collect::<Vec<_>>()),
            (80, vec![[1; 4], [2; 4]])
        );
        assert_eq!(table.entries().len(), 5999);
        for number in 4000..6000 {
            assert_eq!(table.get(&u32::to_be_bytes(number)).unwrap().ttl(), number);
        }
    }

    #[test]
    fn a_write_copies_one_part_of_a_thousand() {
        let table = Table::new((0..100_000).map(entry));
        let before: Vec<Arc<Part>> = table.parts.iter().map(ArcSwap::load_full).collect();
        let largest = before.iter().map(|part| part.len()).max();
        assert!(largest < Some(200), "{largest:?} names in one part");
        table.set(&7_u32.to_be_bytes(), Some(entry(8)));
        let same = table
            .parts
            .iter()
            .zip(&before)
            .filter(|(part, before)| Arc::ptr_eq(&part.load(), before));
        assert_eq!(same.count(), PARTS - 1);
    }

    #[test]
    fn names_with_one_hash_are_told_apart() {
        let part: Part = [3, 1, 2].map(|number| (9, Arc::new(entry(number)))).into();
        for number in [1, 2, 3] {
            assert_eq!(find(&part, 9, &u32::to_be_bytes(number)).unwrap().ttl(), number);
        }
        assert!(find(&part, 9, &[4]).is_none() && find(&part, 8, &1_u32.to_be_bytes()).is_none());
    }
}
