//! One kept answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use catena_core::message::{Kept, Request, Response};

/// Which of the two caches holds an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has what was asked for, or refers to who may know.
    Success,
    /// It denies that there is such a thing, or says that there is a failure.
    Denial,
}

/// A point in time: milliseconds since the cache was made.
pub(crate) type Millis = u64;

/// An answer, and what is known of it. Apart from what counts its uses it never changes.
#[derive(Debug)]
pub(crate) struct Entry {
    kept: Kept,
    stored: Millis,
    /// Time of the last hit in the upper bits, number of hits in the lower ones.
    popularity: AtomicU64,
    /// Whether a refresh is under way in the upper bit, the time before which none is tried in the lower ones.
    refresh: AtomicU64,
    /// An answer to the same question that has what was asked for, which this one does not.
    last_good: Option<Arc<Self>>,
    /// How many purges there had been when it was asked for.
    asked: u64,
    ttl: u32,
    /// DO and CD of the query, see [`crate::store::bits`].
    bits: u8,
    kind: Kind,
    /// It has a record of the type that was asked for.
    answering: bool,
    /// There may be a denial of the same question.
    shadowed: AtomicBool,
}

const HIT_BITS: u32 = 24;
const MAX_HITS: u64 = (1 << HIT_BITS) - 1;
const REFRESHING: u64 = 1 << 63;

/// Bytes of an entry beside its message: itself, its counts of references, and its place in the cache.
const OVERHEAD: usize = size_of::<Entry>() + 64;

impl Entry {
    /// Keeps `response` for `ttl` seconds from `now` on.
    pub(crate) fn new(response: &Response, now: Millis, ttl: u32, kind: Kind, answering: bool) -> Self {
        Self {
            kept: Kept::of(response),
            stored: now,
            popularity: AtomicU64::new(0),
            refresh: AtomicU64::new(0),
            last_good: None,
            asked: 0,
            ttl,
            bits: 0,
            kind,
            answering,
            shadowed: AtomicBool::new(false),
        }
    }

    /// Says with which DO and CD it was asked for, and after how many purges.
    pub(crate) const fn asked_with(mut self, bits: u8, asked: u64) -> Self {
        self.bits = bits;
        self.asked = asked;
        self
    }

    /// Holds a last answer that had what was asked for, while this one does not.
    pub(crate) fn with_last_good(mut self, last_good: Option<Arc<Self>>) -> Self {
        self.last_good = last_good;
        self
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// DO and CD of the query that it answers.
    #[inline]
    pub(crate) const fn bits(&self) -> u8 {
        self.bits
    }

    /// How many purges there had been when it was asked for.
    #[inline]
    pub(crate) const fn asked(&self) -> u64 {
        self.asked
    }

    /// When it was stored.
    pub(crate) const fn stored(&self) -> Millis {
        self.stored
    }

    /// The TTL when it was stored, in seconds.
    pub(crate) const fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Seconds that are left; less than one when it has expired.
    #[inline]
    pub(crate) fn left(&self, now: Millis) -> i64 {
        i64::from(self.ttl) - (now.saturating_sub(self.stored) / 1000) as i64
    }

    /// Memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let last_good = self.last_good.as_ref().map_or(0, |entry| entry.bytes());
        OVERHEAD + self.kept.heap_len() + last_good
    }

    /// Whether there may be a denial of the same question.
    #[inline]
    pub(crate) fn is_shadowed(&self) -> bool {
        self.shadowed.load(Ordering::Relaxed)
    }

    pub(crate) fn shadow(&self) {
        self.shadowed.store(true, Ordering::Relaxed);
    }

    /// This one or the last one that has what the request asks for.
    pub(crate) fn answering_entry(self: &Arc<Self>, request: &Request) -> Option<Arc<Self>> {
        let answers = |entry: &Arc<Self>| entry.answering && entry.kept.answers(request);
        if answers(self) {
            return Some(Arc::clone(self));
        }
        self.last_good.as_ref().filter(|entry| answers(entry)).cloned()
    }

    /// Counts a hit; gives how many there were without a longer gap than `gap`.
    pub(crate) fn hit(&self, now: Millis, gap: Duration) -> u64 {
        let gap = gap.as_millis() as u64;
        let next = |old: u64| {
            let (last, hits) = (old >> HIT_BITS, old & MAX_HITS);
            let hits = if last.saturating_add(gap) < now { 0 } else { hits };
            now << HIT_BITS | (hits + 1).min(MAX_HITS)
        };
        let update = |old| Some(next(old));
        let old = self
            .popularity
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        next(old.unwrap_or_default()) & MAX_HITS
    }

    /// Hits so far.
    pub(crate) fn hits(&self) -> u64 {
        self.popularity.load(Ordering::Relaxed) & MAX_HITS
    }

    /// Takes over the hits of the entry that it replaces.
    pub(crate) fn take_over_hits(&self, old: &Self, now: Millis) {
        self.popularity
            .store(now << HIT_BITS | old.hits(), Ordering::Relaxed);
    }

    /// Whether a refresh may begin: none is under way, and none has failed a short while ago.
    pub(crate) fn may_refresh(&self, now: Millis) -> bool {
        let refresh = self.refresh.load(Ordering::Relaxed);
        refresh & REFRESHING == 0 && now >= refresh
    }

    /// Begins a refresh, if one may begin.
    pub(crate) fn begin_refresh(self: &Arc<Self>, now: Millis) -> Option<Refreshing> {
        let old = self.refresh.load(Ordering::Relaxed);
        if old & REFRESHING != 0 || now < old {
            return None;
        }
        self.refresh
            .compare_exchange(old, REFRESHING, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        Some(Refreshing(Arc::clone(self)))
    }
}

/// The only refresh of an entry. It ends when this is dropped, whatever became of it.
#[derive(Debug)]
pub(crate) struct Refreshing(Arc<Entry>);

impl Refreshing {
    /// The entry that is refreshed.
    pub(crate) const fn entry(&self) -> &Arc<Entry> {
        &self.0
    }

    /// Ends it as failed: no other one begins before `retry`.
    pub(crate) fn fail(self, retry: Millis) {
        self.0.refresh.store(REFRESHING | retry, Ordering::Release);
    }
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.0.refresh.fetch_and(!REFRESHING, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::message::{CLASS_IN, Owner, QueryBuilder};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn entry(now: Millis, ttl: u32) -> Arc<Entry> {
        let mut request = QueryBuilder::new("a.example.org.", 1_u16)
            .unwrap()
            .to_request()
            .unwrap();
        let mut reply = request.reply();
        reply.answer(Owner::Question, 1_u16, CLASS_IN, ttl, Ipv4Addr::new(192, 0, 2, 1));
        Arc::new(Entry::new(&reply.finish(), now, ttl, Kind::Success, true))
    }

    #[test]
    fn an_entry_with_one_address_takes_little_room() {
        assert!(size_of::<Entry>() <= 72, "{}", size_of::<Entry>());
    }

    #[test]
    fn a_gap_begins_the_count_of_hits_anew() {
        let entry = entry(0, 60);
        let minute = Duration::from_secs(60);
        let hits: Vec<u64> = [1_000, 61_000, 61_000, 121_001, 121_002]
            .iter()
            .map(|now| entry.hit(*now, minute))
            .collect();
        assert_eq!(hits, [1, 2, 3, 1, 2]);
        let next = self::entry(0, 60);
        next.take_over_hits(&entry, 122_000);
        assert_eq!(next.hit(122_001, minute), 3);
    }

    #[test]
    fn one_refresh_at_a_time_and_none_soon_after_a_failed_one() {
        let entry = entry(0, 60);
        let first = entry.begin_refresh(10).unwrap();
        assert!(!entry.may_refresh(10) && entry.begin_refresh(10).is_none());
        drop(first);
        entry.begin_refresh(20).unwrap().fail(50);
        assert!(!entry.may_refresh(49) && entry.begin_refresh(49).is_none());
        assert!(entry.may_refresh(50) && entry.begin_refresh(50).is_some());
    }

    proptest! {
        #[test]
        fn the_time_left_never_grows_and_never_exceeds_the_ttl(
            ttl in 0_u32..=i32::MAX as u32, stored in 0_u64..1 << 40, mut times in prop::collection::vec(0_u64..1 << 41, 1..20)
        ) {
            let entry = entry(stored, ttl);
            times.sort_unstable();
            let left: Vec<i64> = times.iter().map(|now| entry.left(*now)).collect();
            prop_assert!(left.is_sorted_by(|before, after| before >= after));
            prop_assert!(left.iter().all(|left| *left <= i64::from(ttl)));
            prop_assert_eq!(entry.left(stored + u64::from(ttl) * 1000), 0);
        }
    }
}
