//! Writing names compressed (RFC 1035, section 4.1.4) in linear time.

use std::sync::OnceLock;

use super::name::MAX_LABELS;

/// Highest offset that a pointer can hold.
const MAX_POINTER: usize = 0x3fff;

/// Entries that one search looks at.
const PROBES: usize = 4;

/// Comparisons of names that one message may cost; beyond it names are written in full.
const MAX_COMPARISONS: u32 = 20_000;

/// Remembers where names stand in a message that is being written.
///
/// A table of fixed size with hash and offset of each suffix: a search looks at a few entries at most, and where the
/// table is full, later names find fewer pointers, which costs bytes but never time. Letters count in comparisons, so
/// that compression never changes the case of a name.
#[derive(Clone)]
pub(crate) struct Compressor<const N: usize> {
    /// Upper half: tag from the hash, lower half: offset; nought is free.
    slots: [u32; N],
    used: usize,
    comparisons: u32,
}

impl<const N: usize> Compressor<N> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [0; N],
            used: 0,
            comparisons: 0,
        }
    }

    /// Notes the uncompressed name that stands at `at`, as that of the question does.
    pub(crate) fn note(&mut self, wire: &[u8], at: usize, name: &[u8]) {
        let suffixes = Suffixes::of(name);
        for (start, hash) in suffixes.iter() {
            if self.find(wire, hash, &name[start..]).is_some() {
                break;
            }
            self.insert(hash, at + start);
        }
    }

    /// Appends `name`, given in full; with `compress` it may end in a pointer.
    pub(crate) fn write(&mut self, wire: &mut Vec<u8>, name: &[u8], compress: bool) {
        let at = wire.len();
        let suffixes = Suffixes::of(name);
        let mut known = None;
        for (start, hash) in suffixes.iter() {
            if let Some(offset) = self.find(wire, hash, &name[start..]) {
                known = Some((start, offset));
                break;
            }
        }
        match known {
            Some((start, offset)) if compress => {
                wire.extend_from_slice(&name[..start]);
                wire.extend_from_slice(&(0xc000 | offset as u16).to_be_bytes());
            }
            _ => wire.extend_from_slice(name),
        }
        for (start, hash) in suffixes.iter() {
            if known.is_some_and(|(known, _)| start >= known) {
                break;
            }
            self.insert(hash, at + start);
        }
    }

    fn find(&mut self, wire: &[u8], hash: u32, name: &[u8]) -> Option<usize> {
        for probe in 0..PROBES {
            let slot = self.slots[(hash as usize + probe) % N];
            if slot == 0 {
                return None;
            }
            if slot >> 16 == hash >> 16 && self.comparisons < MAX_COMPARISONS {
                self.comparisons += 1;
                let offset = (slot & 0xffff) as usize;
                if stands_at(wire, offset, name) {
                    return Some(offset);
                }
            }
        }
        None
    }

    fn insert(&mut self, hash: u32, offset: usize) {
        if offset > MAX_POINTER || self.used >= N / 4 * 3 {
            return;
        }
        for probe in 0..PROBES {
            let slot = &mut self.slots[(hash as usize + probe) % N];
            if *slot == 0 {
                *slot = (hash & 0xffff_0000) | offset as u32;
                self.used += 1;
                return;
            }
        }
    }
}

/// Start and hash of each suffix of a name, the root left out.
struct Suffixes {
    count: usize,
    starts: [u8; MAX_LABELS],
    hashes: [u32; MAX_LABELS],
}

impl Suffixes {
    fn of(name: &[u8]) -> Self {
        let mut suffixes = Self {
            count: 0,
            starts: [0; MAX_LABELS],
            hashes: [0; MAX_LABELS],
        };
        let mut at = 0;
        while let Some(&len) = name.get(at)
            && len != 0
            && suffixes.count < MAX_LABELS
        {
            suffixes.starts[suffixes.count] = at as u8;
            suffixes.count += 1;
            at += usize::from(len) + 1;
        }
        // From the right: the hash of a suffix is that of its parent and one label more, so all cost one pass.
        let mut hash = seed();
        let mut end = at;
        for index in (0..suffixes.count).rev() {
            let start = usize::from(suffixes.starts[index]);
            for &byte in &name[start..end.min(name.len())] {
                hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            }
            end = start;
            // The low bits choose the slot and the high bits are the tag: mix them.
            suffixes.hashes[index] = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
        }
        suffixes
    }

    /// Longest first.
    fn iter(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        (0..self.count).map(|index| (usize::from(self.starts[index]), self.hashes[index]))
    }
}

/// Whether `name`, given in full, stands at `at`, be it compressed.
fn stands_at(wire: &[u8], mut at: usize, name: &[u8]) -> bool {
    let mut rest = name;
    let mut pointers = 0;
    loop {
        match wire.get(at) {
            Some(&len @ 0xc0..) => {
                let Some(&low) = wire.get(at + 1) else {
                    return false;
                };
                at = usize::from(len & 0x3f) << 8 | usize::from(low);
                pointers += 1;
                if pointers > MAX_LABELS {
                    return false;
                }
            }
            Some(&len) => {
                let size = usize::from(len) + 1;
                if rest
                    .get(..size)
                    .is_none_or(|label| wire.get(at..at + size) != Some(label))
                {
                    return false;
                }
                if len == 0 {
                    return true;
                }
                rest = &rest[size..];
                at += size;
            }
            None => return false,
        }
    }
}

/// Differs in each process, so that nobody can prepare names whose hashes collide.
fn seed() -> u32 {
    static SEED: OnceLock<u32> = OnceLock::new();
    *SEED.get_or_init(|| ahash::RandomState::new().hash_one(0x5eed) as u32)
}

#[cfg(test)]
mod tests {
    use super::super::name::{QName, wire_len};
    use super::super::wire::{expand_name, walk_name};
    use super::*;

    fn wire_of(text: &str) -> Vec<u8> {
        QName::from_presentation(text).unwrap().as_wire().to_vec()
    }

    #[test]
    fn later_names_point_to_earlier_ones() {
        let mut names = Compressor::<64>::new();
        let mut wire = vec![0; 12];
        for (name, written) in [
            ("www.example.org.", 17),
            ("www.example.org.", 2),
            ("ftp.example.org.", 6),
            ("org.", 2),
            ("www.ftp.example.org.", 6),
            ("other.", 7),
            (".", 1),
        ] {
            let at = wire.len();
            names.write(&mut wire, &wire_of(name), true);
            assert_eq!(wire.len() - at, written, "{name}");
            let mut buffer = [0; 255];
            let span = expand_name(&wire, at, &mut buffer).unwrap();
            assert_eq!(&buffer[..span.len], wire_of(name), "{name}");
        }
    }

    #[test]
    fn letters_are_kept() {
        let mut names = Compressor::<64>::new();
        let mut wire = vec![0; 12];
        names.write(&mut wire, b"\x01a\x07example\0", true);
        let at = wire.len();
        names.write(&mut wire, b"\x01b\x07EXAMPLE\0", true);
        assert_eq!(&wire[at..], b"\x01b\x07EXAMPLE\0");
    }

    #[test]
    fn a_full_table_costs_bytes_only() {
        let mut names = Compressor::<8>::new();
        let mut wire = vec![0; 12];
        for number in 0..100 {
            let name = wire_of(&format!("host{number}.example.org."));
            let at = wire.len();
            names.write(&mut wire, &name, true);
            let mut full = Vec::new();
            walk_name(&wire, at, |label| full.extend_from_slice(label)).unwrap();
            full.push(0);
            assert_eq!(full, name);
            assert_eq!(wire_len(&name), Some(name.len()));
        }
        assert_eq!(names.used, 6);
    }

    #[test]
    fn no_pointer_leads_beyond_its_range() {
        let mut names = Compressor::<64>::new();
        let mut wire = vec![0; MAX_POINTER + 10];
        names.write(&mut wire, b"\x01a\0", true);
        names.write(&mut wire, b"\x01a\0", true);
        assert_eq!(wire[MAX_POINTER + 10..], *b"\x01a\0\x01a\0");
    }

    #[test]
    fn comparisons_are_bounded() {
        let mut names = Compressor::<64>::new();
        let mut wire = vec![0; 12];
        for _ in 0..MAX_COMPARISONS + 10 {
            names.write(&mut wire, b"\x01a\0", true);
        }
        assert_eq!(names.comparisons, MAX_COMPARISONS);
        assert_eq!(wire[wire.len() - 3..], *b"\x01a\0");
    }
}
