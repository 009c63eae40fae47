//! Turns about what a cache keeps.

use std::io;
use std::time::{Duration, Instant};

use super::load::STEPS_BETWEEN_LOOKS;
use super::measure::{Turn, Upstreams, mebibytes};
use super::{Sample, numbered};
use crate::load::{Client, Stats, UdpLoad};
use crate::process::Server;
use crate::query::{Expect, Queries};
use crate::upstream::Behind;

impl Turn<'_> {
    /// Fills the cache with all names, and asks for them again.
    pub(super) fn million(
        &self,
        server: &mut Server,
        upstream: Upstreams,
        sample: Sample,
    ) -> io::Result<Sample> {
        let mut upstream = upstream.ok_or_else(|| self.failure("has no upstream"))?;
        let (queries, window) = (self.course.queries, self.course.settings.window);
        let (_, first) = self.ask_all(queries, window, upstream.as_mut(), false)?;
        let loaded_mib = mebibytes(server.usage().rss_bytes);
        let (asked, second) = self.ask_all(queries, window, upstream.as_mut(), false)?;
        Ok(Sample {
            loaded_mib,
            kept_percent: share_kept(asked, &second),
            lost: first.lost + second.lost,
            wrong: first.wrong + second.wrong,
            ..sample
        })
    }

    /// Makes a set popular, and sees how it fares while names come by that nobody asks for twice.
    pub(super) fn popular(
        &self,
        server: &mut Server,
        upstream: Upstreams,
        sample: Sample,
    ) -> io::Result<Sample> {
        let mut upstream = upstream.ok_or_else(|| self.failure("has no upstream"))?;
        let edns = self.course.settings.edns;
        let mut popular = Queries::none(edns);
        for number in 0..POPULAR {
            popular.add(&format!("host-{number:04}.{}", crate::peers::ZONE));
        }
        let mut before = (0, Stats::default());
        for _ in 0..ROUNDS {
            before = self.ask_all(&popular, SMALL_WINDOW, upstream.as_mut(), true)?;
        }
        let flood = self.flood_of_names(&popular, upstream.as_mut())?;
        let after = self.ask_all(&popular, SMALL_WINDOW, upstream.as_mut(), true)?;
        if !server.is_running() {
            return Err(self.failure("ended under load"));
        }
        Ok(Sample {
            hits_before_percent: share_kept(before.0, &before.1),
            hits_percent: share_kept(flood.asked, &flood.popular),
            kept_percent: share_kept(after.0, &after.1),
            new_names: flood.new as f64,
            lost: before.1.lost + flood.popular.lost + after.1.lost,
            wrong: before.1.wrong + flood.popular.wrong + after.1.wrong,
            loaded_mib: mebibytes(server.usage().rss_bytes),
            ..sample
        })
    }

    fn flood_of_names(&self, popular: &Queries, upstream: &mut dyn Behind) -> io::Result<NameFlood> {
        let (settings, address) = (self.course.settings, self.ground.address);
        let names = numbered('n', NEW_NAMES + NEW_NAMES / 10, settings.edns);
        let mut regulars = UdpLoad::new(address, popular, Expect::ANSWER, SMALL_WINDOW)?;
        let mut strangers = UdpLoad::new(address, &names, Expect::ANSWER, settings.window)?;
        let mut flood = NameFlood::default();
        let (mut came, began) = (0, Instant::now());
        upstream.take_answered();
        while flood.new < NEW_NAMES as u64 {
            for _ in 0..STEPS_BETWEEN_LOOKS {
                upstream.step()?;
                flood.new += strangers.step()? as u64;
                // Not by turns of clients but of answers: those from the cache come sooner.
                if came * NEW_FOR_EACH <= flood.new {
                    came += regulars.step()? as u64;
                }
            }
            if began.elapsed() > PATIENCE {
                return Err(self.failure(&format!("answered only {} new names", flood.new)));
            }
        }
        flood.asked = upstream.take_answered().popular;
        flood.popular = regulars.take_stats();
        Ok(flood)
    }
}

/// What a flood of names did.
#[derive(Default)]
struct NameFlood {
    /// Answers to names that are asked for once.
    new: u64,
    /// What those saw who asked for popular ones.
    popular: Stats,
    /// How often the upstream was asked for popular ones.
    asked: u64,
}

/// The share of answers, in percent, for which the upstream was not asked.
fn share_kept(asked: u64, stats: &Stats) -> f64 {
    100.0 - asked as f64 * 100.0 / stats.answered.max(1) as f64
}

const POPULAR: usize = 5_000;
/// How often each popular name is asked for before the flood.
const ROUNDS: usize = 4;
/// Ten times what the cache holds.
const NEW_NAMES: usize = 100_000;
/// Answers to new names for each to a popular one: between two queries for the same popular name 20,000 others come, twice
/// what the cache holds.
const NEW_FOR_EACH: u64 = 4;
const SMALL_WINDOW: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);
