//! The kept answers: one cache for those that have what was asked for, one for denials.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use catena_core::message::{CLASS_IN, QName, Rcode, Request, Zone};
use catena_core::plugin::CachePurge;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, Weighter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Config, Limits};
use crate::entry::{Entry, Kind, Millis};
use crate::flight::{Flights, Joined, Lead};

use purges::Purges;

mod purges;

/// Memory that an entry may take before it counts as two. A cache of N entries takes at most N times as much.
pub(crate) const BYTES_OF_ENTRY: u64 = 2048;

/// Types that most names are asked for: A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, SVCB and HTTPS.
const COMMON_TYPES: [u16; 11] = [1, 2, 5, 6, 12, 15, 16, 28, 33, 64, 65];

/// Fetches that may be under way at a time without a client that waits for them as long as they take.
const MAX_BEHIND: usize = 8192;

/// Under which answers are kept: a keyed digest of the question, DO and CD. Whatever is found under it is compared with
/// them before it is used, so that two questions with one digest cost time and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    /// The key of those who ask over a stream and cannot use a truncated answer.
    pub(crate) const fn of_streams(self) -> Self {
        Self(!self.0)
    }

    /// The key under which the same question may be on its way once more, for who must not wait for himself.
    pub(crate) const fn of_round(self, round: u64) -> Self {
        Self(self.0.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// One of `count` places, a power of two.
    pub(crate) const fn shard(self, count: usize) -> usize {
        (self.0 >> 24) as usize & (count - 1)
    }

    #[cfg(test)]
    pub(crate) const fn of_number(number: u64) -> Self {
        Self(number)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Takes keys as they are: they are digests already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassKey;

impl BuildHasher for PassKey {
    type Hasher = Passed;

    fn build_hasher(&self) -> Passed {
        Passed(0)
    }
}

/// The digest of a [`Key`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Weighs entries so that one bound holds for their number and for their bytes.
#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<Key, Arc<Entry>> for ByBytes {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        (entry.bytes() as u64).max(BYTES_OF_ENTRY)
    }
}

/// Holds what was evicted until the lock is released, and counts it.
#[derive(Clone, Copy, Debug)]
struct Evicting;

impl Lifecycle<Key, Arc<Entry>> for Evicting {
    type RequestState = Vec<Arc<Entry>>;

    fn on_evict(&self, evicted: &mut Self::RequestState, _: Key, entry: Arc<Entry>) {
        evicted.push(entry);
    }
}

type Entries = Cache<Key, Arc<Entry>, ByBytes, PassKey, Evicting>;

/// What keeps questions with the same name, type and class apart: the bits DO and CD.
#[inline]
pub(crate) fn bits(request: &Request) -> u8 {
    u8::from(request.dnssec_ok()) << 1 | u8::from(request.cd())
}

/// All that one `cache` directive keeps. A reload keeps it too, as long as the block is the same.
pub(crate) struct Store {
    success: Entries,
    denial: Entries,
    digests: RandomState,
    epoch: Instant,
    purges: Purges,
    flights: Arc<Flights>,
    behind: Arc<Semaphore>,
}

/// What was found for a query.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) entry: Arc<Entry>,
    /// Seconds that are left; less than one if it has expired.
    pub(crate) left: i64,
}

/// What a stored answer pushed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) evicted: u64,
}

impl Store {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            success: entries(&config.success),
            denial: entries(&config.denial),
            digests: RandomState::new(),
            epoch: Instant::now(),
            purges: Purges::new(config.success.capacity.saturating_add(config.denial.capacity)),
            flights: Arc::default(),
            behind: Arc::new(Semaphore::new(MAX_BEHIND)),
        }
    }

    /// The time on the clock of the entries.
    #[inline]
    pub(crate) fn millis(&self, now: Instant) -> Millis {
        now.saturating_duration_since(self.epoch).as_millis() as Millis
    }

    /// The key of a request's question. Letters, id, RD, AD, size and transport make no difference.
    #[inline]
    pub(crate) fn key(&self, request: &Request) -> Key {
        self.key_of(
            request.qname(),
            request.qtype_code(),
            request.qclass_code(),
            bits(request),
        )
    }

    #[inline]
    fn key_of(&self, name: &QName, qtype: u16, qclass: u16, bits: u8) -> Key {
        let mut digest = self.digests.build_hasher();
        let fixed = u64::from(qtype) << 32 | u64::from(qclass) << 16;
        digest.write_u64(fixed | u64::from(bits));
        digest.write(name.as_wire());
        Key(digest.finish())
    }

    /// Whether the name was purged, alone or with others, after `asked` purges.
    fn is_outdated(&self, asked: u64, name: &QName) -> bool {
        self.purges.has_swept(asked) || self.purges.has_name(asked, || self.digest_of(name))
    }

    fn digest_of(&self, name: &QName) -> u64 {
        let mut digest = self.digests.build_hasher();
        digest.write(name.as_wire());
        digest.finish()
    }

    /// Finds the answer to give: one that is left, or one that expired no longer ago than `serve_stale` allows.
    ///
    /// A denial goes before an answer of the other kind, unless that came later, it is a failure, or answers are preferred.
    #[inline]
    pub(crate) fn find(&self, key: Key, request: &Request, config: &Config, now: Millis) -> Option<Found> {
        let stale_up_to = i64::from(config.stale_up_to());
        let bits = bits(request);
        let usable = |entry: Arc<Entry>| {
            let left = entry.left(now);
            let in_time = left > 0 || -left < stale_up_to;
            let is_purged = || {
                let digest = || self.digest_of(request.qname());
                self.purges.has_name(entry.asked(), digest)
            };
            let fits = in_time && entry.bits() == bits && entry.kept().answers(request) && !is_purged();
            fits.then_some(Found { entry, left })
        };
        let success = self.success.get(&key);
        if config.prefer_positive()
            && let Some(entry) = &success
            && let Some(found) = entry.answering_entry(request).and_then(usable)
        {
            return Some(found);
        }
        if let Some(entry) = &success
            && entry.is_shadowed()
        {
            return self.find_shadowed(key, success.and_then(usable), usable);
        }
        if let Some(found) = success.and_then(usable) {
            return Some(found);
        }
        self.denial.get(&key).and_then(usable)
    }

    #[cold]
    fn find_shadowed(
        &self,
        key: Key,
        success: Option<Found>,
        usable: impl Fn(Arc<Entry>) -> Option<Found>,
    ) -> Option<Found> {
        let Some(denial) = self.denial.get(&key).and_then(usable) else {
            return success;
        };
        // A failure passes, and must not hide what was known before; and what came later is right.
        let is_failure = denial.entry.kept().rcode_low() == Rcode::SERVFAIL.code() as u8;
        let wins = |found: &Found| is_failure || found.entry.stored() > denial.entry.stored();
        success.filter(wins).or(Some(denial))
    }

    /// What is kept for the question, whether it has expired or not.
    pub(crate) fn peek(&self, key: Key, kind: Kind) -> Option<Arc<Entry>> {
        self.entries(kind).peek(&key)
    }

    /// Keeps an answer about this name, unless it was purged since the answer was asked for.
    pub(crate) fn put(
        &self,
        key: Key,
        name: &QName,
        entry: &Arc<Entry>,
        remove_denial: bool,
    ) -> Option<Stored> {
        if self.is_outdated(entry.asked(), name) {
            return None;
        }
        let kind = entry.kind();
        if kind == Kind::Success && remove_denial {
            self.denial.remove(&key);
        }
        let mut evicted = Vec::new();
        self.entries(kind)
            .insert_with_lifecycle(key, Arc::clone(entry), &mut evicted);
        // Whoever comes second sees the other one's, so it is always marked.
        match kind {
            Kind::Success if self.denial.contains_key(&key) => entry.shadow(),
            Kind::Success => {}
            Kind::Denial => {
                if let Some(hidden) = self.success.peek(&key) {
                    hidden.shadow();
                }
            }
        }
        // A sweep that came meanwhile has not seen it.
        if self.purges.has_swept(entry.asked()) {
            self.entries(kind).remove(&key);
            return None;
        }
        Some(Stored {
            evicted: evicted.len() as u64,
        })
    }

    /// How many answers of a kind there are, expired ones too.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.entries(kind).len()
    }

    /// How many purges there were so far.
    pub(crate) fn purges(&self) -> u64 {
        self.purges.count()
    }

    /// Flies for a request's question, or waits for who does.
    pub(crate) fn join(&self, key: Key, request: &Request) -> Joined {
        let asked = self.purges();
        let is_outdated = |asked| self.is_outdated(asked, request.qname());
        self.flights.join(key, request.peer().ip(), asked, is_outdated)
    }

    /// Flies for a request's question unless somebody does.
    pub(crate) fn lead(&self, key: Key, request: &Request) -> Option<Lead> {
        let asked = self.purges();
        self.flights
            .lead(key, asked, |asked| self.is_outdated(asked, request.qname()))
    }

    /// The right to fetch something behind the clients' backs; none if too many do.
    pub(crate) fn behind(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.behind).try_acquire_owned().ok()
    }

    fn entries(&self, kind: Kind) -> &Entries {
        match kind {
            Kind::Success => &self.success,
            Kind::Denial => &self.denial,
        }
    }

    fn sweep(&self, is_kept: impl Fn(&Entry) -> bool) {
        self.purges.sweep();
        for entries in [&self.success, &self.denial] {
            entries.retain(|_, entry| is_kept(entry));
        }
    }
}

impl CachePurge for Store {
    fn purge_name(&self, name: &QName) {
        // What is found from here on is known to be outdated. The usual types make room at once.
        self.purges.name(self.digest_of(name));
        for qtype in COMMON_TYPES {
            for bits in 0..4 {
                let key = self.key_of(name, qtype, CLASS_IN, bits);
                self.success.remove(&key);
                self.denial.remove(&key);
            }
        }
    }

    fn purge_zone(&self, zone: &Zone) {
        self.sweep(|entry| QName::from_wire(question_name(entry)).is_ok_and(|name| !name.is_within(zone)));
    }

    fn purge_all(&self) {
        self.sweep(|_| false);
    }
}

fn question_name(entry: &Entry) -> &[u8] {
    let question = entry.kept().question();
    question.split_last_chunk::<4>().map_or(&[0], |(name, _)| name)
}

/// An empty cache of that size.
fn entries(limits: &Limits) -> Entries {
    let capacity = usize::try_from(limits.capacity).unwrap_or(usize::MAX);
    let weight = limits.capacity.saturating_mul(BYTES_OF_ENTRY);
    Cache::with(capacity, weight, ByBytes, PassKey, Evicting)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Store({} answers, {} denials)",
            self.success.len(),
            self.denial.len()
        )
    }
}

#[cfg(test)]
mod tests;
