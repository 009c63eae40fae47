//! The memory in use.
//!
//! With the feature `jemalloc` the allocator notes the call stacks of a sample of what is allocated, if the program was
//! started with that turned on. The server's usual allocator has nothing of the kind: then it is shown what the system
//! knows, which is how much of each mapping is in memory.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use crate::profile::{Place, Profile};

/// Where Linux shows the mappings of the process that asks.
const MAPPINGS: &str = "/proc/self/smaps";

/// Stands above all mappings, so that nobody looks for call stacks.
#[cfg(not(feature = "jemalloc"))]
const ADVICE: &str = "no call stacks: build catena with --features jemalloc for them";
#[cfg(feature = "jemalloc")]
const ADVICE: &str =
    "no call stacks: start catena with _RJEM_MALLOC_CONF=prof:true in its environment for them";

/// The profile as it is sent. It reads files, so it blocks.
///
/// # Errors
///
/// The system does not show the mappings, or the allocator cannot write its profile.
pub(crate) fn take() -> io::Result<Vec<u8>> {
    #[cfg(feature = "jemalloc")]
    if let Some(profile) = sampled() {
        return profile;
    }
    encode(&mappings(&fs::read_to_string(MAPPINGS)?)).finish()
}

/// What jemalloc has noted; nothing if it was not told to.
#[cfg(feature = "jemalloc")]
fn sampled() -> Option<io::Result<Vec<u8>>> {
    let control = jemalloc_pprof::PROF_CTL.as_ref()?;
    let profile = control.blocking_lock().dump_pprof();
    Some(profile.map_err(|error| io::Error::other(error.to_string())))
}

/// How many mappings there are of each name, and how many bytes of them are in memory.
fn mappings(smaps: &str) -> BTreeMap<String, (i64, i64)> {
    let mut found: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut name = String::new();
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("Rss:") => {
                let kib: i64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                let (count, bytes) = found.entry(name.clone()).or_default();
                *count += 1;
                *bytes += kib.saturating_mul(1024);
            }
            // A mapping begins with its range of addresses.
            Some(range) if !range.ends_with(':') => {
                name = words.nth(4).unwrap_or("[anonymous]").to_owned();
            }
            _ => {}
        }
    }
    found.retain(|_, (_, bytes)| *bytes > 0);
    found
}

fn encode(mappings: &BTreeMap<String, (i64, i64)>) -> Profile {
    let mut profile = Profile::new(&[("inuse_objects", "count"), ("inuse_space", "bytes")]);
    profile.set_period("space", "bytes", 1);
    profile.set_time(SystemTime::now(), Duration::ZERO);
    profile.add_comment(ADVICE);
    for (name, &(count, bytes)) in mappings {
        let stack = [vec![Place::named(name)], vec![Place::named(ADVICE)]];
        profile.add_sample(stack, vec![count, bytes], &[]);
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::testing::{read, stacks};

    #[test]
    fn mappings_of_one_name_are_added_up() {
        let smaps = "55d000-55d100 r--p 00000000 08:01 42 /usr/bin/catena\nSize: 4 kB\nRss: 4 kB\nVmFlags: rd mr\n\
                     7f0000-7f0100 rw-p 00000000 00:00 0\nRss: 8 kB\n\
                     7f1000-7f1100 rw-p 00000000 00:00 0\nRss: 16 kB\n\
                     7f2000-7f2100 rw-p 00000000 00:00 0 [stack]\nRss: 0 kB\nRss:";
        let found: Vec<_> = mappings(smaps).into_iter().collect();
        assert_eq!(
            found,
            [
                ("/usr/bin/catena".to_owned(), (1, 4096)),
                ("[anonymous]".to_owned(), (2, 24_576))
            ]
        );
    }

    #[test]
    fn without_a_profiler_the_profile_says_so_and_what_to_do() {
        let profile = read(&take().unwrap());
        assert_eq!(profile.string_table[profile.comment[0] as usize], ADVICE);
        let stacks = stacks(&profile);
        assert!(!stacks.is_empty());
        for (stack, values) in stacks {
            assert_eq!((stack[1].as_str(), values.len()), (ADVICE, 2));
        }
    }
}
