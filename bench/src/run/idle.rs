//! Turns about what idle connections cost.

use std::io;
use std::time::Duration;

use super::load::Load;
use super::measure::{Turn, Upstreams, mebibytes};
use super::{Course, Sample, Settings};
use crate::load::{Idle, Kind};
use crate::process::Server;
use crate::query::Queries;
use crate::work::Work;

impl Turn<'_> {
    /// A load over UDP, the connections, and the same load beside them.
    pub(super) fn idle(
        &self,
        server: &mut Server,
        upstream: Upstreams,
        sample: Sample,
    ) -> io::Result<Sample> {
        let Course {
            settings,
            work,
            queries,
            identity,
            ..
        } = *self.course;
        let (kind, over, address) = match work {
            Work::IdleTcp => (Kind::Tcp, Work::Tcp, self.ground.address),
            Work::IdleDot => (Kind::Dot, Work::Dot, self.ground.secure),
            Work::IdleDoh => (Kind::Doh(0), Work::Doh, self.ground.secure),
            _ => (Kind::Doh(STREAMS), Work::Doh, self.ground.secure),
        };
        let count = count(settings, work);
        let mut load = self.make_load(upstream, None)?;
        let before = self.load(server, &mut load, sample)?;
        // Caches may hold answers for each transport; nobody is there to ask while connections are opened.
        let first = Queries::new([self.ground.hosts[0].0.as_str()], settings.edns);
        let mut warm = Load::new(self.make_client(over, &first, (1, 1))?, load.upstream.take());
        warm.drive(SETTLE)?;
        load.upstream = warm.upstream.take();
        drop(warm);
        let idle_mib = mebibytes(server.usage().rss_bytes);
        let opened = Idle::open(kind, address, &identity.trust()?, queries, count);
        let mut idle = opened.map_err(|error| self.failure(&format!("the load cannot connect: {error}")))?;
        std::thread::sleep(SETTLE);
        let loaded_mib = mebibytes(server.usage().rss_bytes);
        let beside = self.load(server, &mut load, sample)?;
        let (held, streams) = idle.held();
        Ok(Sample {
            idle_mib,
            loaded_mib,
            opened: count as f64,
            held: held as f64,
            streams_held: streams as f64,
            micros_before: before.micros,
            p99_before_ms: before.p99_ms,
            ..beside
        })
    }
}

/// How many connections there shall be.
pub(super) fn count(settings: &Settings, work: Work) -> usize {
    let count = match work {
        Work::IdleTcp => 50_000,
        Work::IdleDot | Work::IdleDoh => 10_000,
        Work::IdleStreams => 1_000,
        _ => return 0,
    };
    settings.idle.unwrap_or(count).min(allowed())
}

/// What limits on descriptors leave to both sides, each of which needs some for other things.
fn allowed() -> usize {
    let limit = rlimit::Resource::NOFILE.get_soft().unwrap_or(1024);
    usize::try_from(limit.saturating_sub(1024 + 256)).unwrap_or(usize::MAX)
}

/// Idle streams of a connection.
const STREAMS: usize = 50;
const SETTLE: Duration = Duration::from_millis(500);
