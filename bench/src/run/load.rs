//! The usual turn: a load for a while, and what it cost.

use std::io;
use std::time::{Duration, Instant};

use super::measure::{Turn, Upstreams, mebibytes};
use super::{Course, Sample};
use crate::controller::{Controller, Writer};
use crate::load::{Client, Handshakes, Stats, StreamLoad, UdpLoad, doh, doh3, doq};
use crate::peers::Learns;
use crate::process::Server;
use crate::query::{Expect, Queries};
use crate::upstream::Behind;
use crate::work::Work;

/// The load on a server, the upstream behind it, and who writes to it, by turns on one thread.
pub(super) struct Load<'q> {
    client: Box<dyn Client + 'q>,
    pub(super) upstream: Upstreams,
    writer: Option<Writer<'q>>,
}

/// What a load saw.
struct Taken {
    stats: Stats,
    /// Queries that the upstream answered.
    forwarded: u64,
    /// Writes that were accepted.
    written: u64,
}

impl Turn<'_> {
    pub(super) fn make_load(
        &self,
        upstream: Upstreams,
        controller: Option<Controller>,
    ) -> io::Result<Load<'_>> {
        let writer = match (self.contender.learns, controller) {
            (Learns::Rewritten(rate), Some(controller)) => Some(controller.writing(self.ground.hosts, rate)?),
            _ => None,
        };
        let Course {
            settings,
            work,
            queries,
            ..
        } = *self.course;
        let over = self.contender.over.unwrap_or(work);
        Ok(Load {
            client: self.make_client(over, queries, (settings.connections, settings.pipeline))?,
            upstream,
            writer,
        })
    }

    /// The clients, all connected where the work is not about connecting.
    ///
    /// Servers open their encrypted listeners at about the same time as those for UDP; the first connection may have to
    /// wait for it.
    pub(super) fn make_client<'q>(
        &self,
        over: Work,
        queries: &'q Queries,
        size: (usize, usize),
    ) -> io::Result<Box<dyn Client + 'q>> {
        let began = Instant::now();
        loop {
            match self.connect(over, queries, size) {
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused
                        && began.elapsed() < LISTEN_TIMEOUT =>
                {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(self.failure(&format!("the load cannot connect: {error}"))),
                connected => return connected,
            }
        }
    }

    /// A load as the work `over` has it, of so many connections with so many queries in flight each.
    fn connect<'q>(
        &self,
        over: Work,
        queries: &'q Queries,
        size: (usize, usize),
    ) -> io::Result<Box<dyn Client + 'q>> {
        let (expect, trust) = (self.contender.expect, self.course.identity.trust()?);
        let (plain, secure) = (self.ground.address, self.ground.secure);
        Ok(match over {
            Work::Tcp => Box::new(StreamLoad::tcp(plain, queries, expect, size.0, size.1)?),
            Work::Dot => Box::new(StreamLoad::tls(secure, &trust, queries, expect, size.0, size.1)?),
            Work::Doh => Box::new(doh(secure, &trust, queries, expect, size, false)?),
            Work::DohGet => Box::new(doh(secure, &trust, queries, expect, size, true)?),
            Work::Doq => Box::new(doq(secure, &trust, queries, expect, size)?),
            Work::Doh3 => Box::new(doh3(secure, &trust, queries, expect, size)?),
            work @ (Work::Handshakes | Work::Resumption) => {
                let resumed = work == Work::Resumption;
                // Until it listens.
                std::net::TcpStream::connect(secure)?;
                Box::new(Handshakes::new(secure, &trust, queries, expect, size.0, resumed)?)
            }
            Work::ForwardDot => Box::new(UdpLoad::new(plain, queries, expect, CLIENTS)?),
            _ => Box::new(UdpLoad::new(plain, queries, expect, self.course.settings.window)?),
        })
    }

    /// Drives the load for a turn, after a while in which caches warm up.
    pub(super) fn load(
        &self,
        server: &mut Server,
        load: &mut Load<'_>,
        sample: Sample,
    ) -> io::Result<Sample> {
        load.drive(WARM_UP)?;
        let warm_up = load.take();
        let (before, start) = (server.usage(), Instant::now());
        load.drive(self.course.settings.turn)?;
        let (took, after) = (start.elapsed(), server.usage());
        let taken = load.take();
        let stats = &taken.stats;
        if !server.is_running() {
            return Err(self.failure("ended under load"));
        }
        self.check(&taken)?;
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let lines_percent = if self.contender.logs {
            let lines = settled_lines(server);
            lines as f64 * 100.0 / (warm_up.stats.answered + stats.answered) as f64
        } else {
            0.0
        };
        Ok(Sample {
            micros: cpu * 1e6 / stats.answered as f64,
            busy_percent: cpu * 100.0 / took.as_secs_f64(),
            per_second: stats.answered as f64 / took.as_secs_f64(),
            p50_ms: stats.latency.quantile(0.5) as f64 / 1e6,
            p99_ms: stats.latency.quantile(0.99) as f64 / 1e6,
            max_ms: stats.latency.max() as f64 / 1e6,
            lost: stats.lost,
            wrong: stats.wrong,
            stray: stats.stray,
            loaded_mib: mebibytes(after.rss_bytes),
            writes_per_second: taken.written as f64 / took.as_secs_f64(),
            resumed_percent: stats.resumed as f64 * 100.0 / stats.answered as f64,
            lines_percent,
            ..sample
        })
    }

    /// A server that did something else than what the work is about is not shown beside those that did.
    fn check(&self, taken: &Taken) -> io::Result<()> {
        let Taken { stats, forwarded, .. } = taken;
        let (work, answered) = (self.course.work, stats.answered);
        if answered == 0 {
            let (wrong, lost) = (stats.wrong, stats.lost);
            return Err(self.failure(&format!("no good answer, {wrong} wrong, {lost} lost")));
        }
        match work {
            Work::Forward | Work::ForwardDot | Work::Miss if *forwarded < answered / 100 * 98 => Err(self
                .failure(&format!(
                    "asks the upstream only {forwarded} times for {answered} answers"
                ))),
            Work::Forward | Work::ForwardDot | Work::Miss => Ok(()),
            _ if *forwarded > answered / FORWARDED_AT_MOST + FORWARDED_AT_FIRST => {
                Err(self.failure(&format!("asks the upstream {forwarded} times")))
            }
            Work::Handshakes if stats.resumed > 0 => {
                Err(self.failure("resumes sessions that it was not asked to"))
            }
            _ => Ok(()),
        }
    }

    /// How often the upstream was asked and all that a client saw, when it has asked all queries once, from now on.
    ///
    /// `popular` says whether only the upstream's queries for popular names count.
    pub(super) fn ask_all(
        &self,
        queries: &Queries,
        window: usize,
        upstream: &mut dyn Behind,
        popular: bool,
    ) -> io::Result<(u64, Stats)> {
        let mut client = UdpLoad::new(self.ground.address, queries, Expect::ANSWER, window)?;
        let (mut total, began) = (Stats::default(), Instant::now());
        upstream.take_answered();
        while total.answered + total.wrong + total.lost < queries.len() as u64 {
            for _ in 0..STEPS_BETWEEN_LOOKS {
                upstream.step()?;
                client.step()?;
            }
            let stats = client.take_stats();
            total.answered += stats.answered;
            total.wrong += stats.wrong;
            total.lost += stats.lost;
            if began.elapsed() > ALL_TIMEOUT {
                let (answered, count) = (total.answered, queries.len());
                return Err(self.failure(&format!("answered only {answered} of {count} names")));
            }
        }
        let asked = upstream.take_answered();
        Ok((if popular { asked.popular } else { asked.all }, total))
    }
}

/// The lines of a log when no more come.
fn settled_lines(server: &Server) -> u64 {
    let mut lines = server.lines();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = server.lines();
        if now == lines {
            return lines;
        }
        lines = now;
    }
}

impl<'q> Load<'q> {
    /// Clients alone, and who is behind the server.
    pub(super) fn new(client: Box<dyn Client + 'q>, upstream: Upstreams) -> Self {
        Self {
            client,
            upstream,
            writer: None,
        }
    }

    pub(super) fn drive(&mut self, duration: Duration) -> io::Result<()> {
        let start = Instant::now();
        while start.elapsed() < duration {
            for _ in 0..STEPS_BETWEEN_LOOKS {
                if let Some(upstream) = &mut self.upstream {
                    upstream.step()?;
                }
                if let Some(writer) = &mut self.writer {
                    writer.step()?;
                }
                self.client.step()?;
            }
        }
        Ok(())
    }

    /// What happened since the last call.
    fn take(&mut self) -> Taken {
        let upstream = self.upstream.as_mut();
        Taken {
            stats: self.client.take_stats(),
            forwarded: upstream.map_or(0, |upstream| upstream.take_answered().all),
            written: self.writer.as_mut().map_or(0, Writer::take_accepted),
        }
    }
}

const WARM_UP: Duration = Duration::from_millis(500);
/// How long an encrypted listener may open later than that for UDP.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const STEPS_BETWEEN_LOOKS: usize = 64;
/// Clients that a forwarder over TLS has.
const CLIENTS: usize = 200;
/// A server that has all names in its cache asks at most for one in so many: to see whether the upstream is well.
const FORWARDED_AT_MOST: u64 = 100;
/// And for each name once, where it answers so slowly that the warm-up did not get round.
const FORWARDED_AT_FIRST: u64 = 1_000;
/// For a million names, say.
const ALL_TIMEOUT: Duration = Duration::from_secs(300);
