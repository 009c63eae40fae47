//! One turn of one server.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::{Course, millis_since};
use crate::controller::{Controller, Writer};
use crate::load::{Client, Stats, TcpLoad, UdpLoad, flood};
use crate::peers::{Contender, Ground, Learns, Plan, Work};
use crate::process::Server;
use crate::query::Expect;
use crate::upstream::Upstream;

/// What a turn gave.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// The server's CPU time for one answered query.
    pub(super) micros: f64,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// What should not be: queries without an answer, wrong answers, answers that nobody asked for.
    pub(super) lost: u64,
    pub(super) wrong: u64,
    pub(super) stray: u64,
    pub(super) idle_mib: f64,
    pub(super) loaded_mib: f64,
    pub(super) start_ms: f64,
    /// Of a flood: until the first answer afterwards, and how fast it really was.
    pub(super) recovery_ms: f64,
    pub(super) flood_rate: f64,
    /// What a controller wrote meanwhile.
    pub(super) writes_per_second: f64,
}

impl Sample {
    pub(super) fn brief(&self) -> String {
        if self.flood_rate > 0.0 {
            return format!(
                "{:.0} queries/s, {:.1} -> {:.1} MiB, answered {:.1} ms later",
                self.flood_rate, self.idle_mib, self.loaded_mib, self.recovery_ms
            );
        }
        let mut text = format!(
            "{:.2} us, {:.0} q/s, p99 {:.2} ms, {} lost, {} wrong, {} stray",
            self.micros, self.per_second, self.p99_ms, self.lost, self.wrong, self.stray
        );
        if self.writes_per_second > 0.0 {
            text.push_str(&format!(
                ", max {:.1} ms, {:.0} writes/s",
                self.max_ms, self.writes_per_second
            ));
        }
        text
    }
}

/// A server's turn.
pub(super) struct Turn<'a> {
    pub(super) course: &'a Course<'a>,
    pub(super) contender: &'a Contender,
    pub(super) ground: &'a Ground<'a>,
}

/// The load on a server, the upstream behind it, and who writes to it, by turns on one thread.
struct Load<'q> {
    client: Box<dyn Client + 'q>,
    upstream: Option<Upstream>,
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
    pub(super) fn run(&self, plan: &Plan) -> io::Result<Sample> {
        let mut upstream = match self.course.work {
            Work::Cache => Some(Upstream::new(self.ground.upstream, CACHED_TTL)?),
            Work::Forward => Some(Upstream::new(self.ground.upstream, 0)?),
            _ => None,
        };
        let started = Instant::now();
        let mut server = Server::start(
            self.contender,
            plan,
            self.ground.dir,
            self.course.settings.server_core,
        )?;
        let controller = self.tell(&mut server, started)?;
        let start_ms = self.first_answer(&mut server, upstream.as_mut(), started)?;
        std::thread::sleep(SETTLE);
        let idle_mib = mebibytes(server.usage().rss_bytes);
        let sample = Sample {
            start_ms,
            idle_mib,
            ..Sample::default()
        };
        let sample = match self.course.work {
            Work::Flood => self.flood(&mut server, sample)?,
            _ => {
                let load = self.make_load(upstream, controller)?;
                self.load(&mut server, load, sample)?
            }
        };
        server.stop();
        Ok(sample)
    }

    /// Puts the names, where that is how the server learns them.
    fn tell(&self, server: &mut Server, since: Instant) -> io::Result<Option<Controller>> {
        if self.contender.learns == Learns::Itself {
            return Ok(None);
        }
        while since.elapsed() < START_TIMEOUT {
            if let Ok(mut controller) = Controller::connect(self.ground.http) {
                let others = match self.contender.learns {
                    Learns::Among(others) => others,
                    _ => 0,
                };
                controller.put_state(self.ground.hosts, others)?;
                return Ok(Some(controller));
            }
            if !server.is_running() {
                return Err(self.failure("ended"));
            }
            std::thread::sleep(ASK_EVERY);
        }
        Err(self.failure("does not open its API"))
    }

    /// Asks until the server answers, and returns how long that took.
    fn first_answer(
        &self,
        server: &mut Server,
        mut upstream: Option<&mut Upstream>,
        since: Instant,
    ) -> io::Result<f64> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(self.ground.address)?;
        socket.set_nonblocking(true)?;
        let mut asked: Option<Instant> = None;
        while since.elapsed() < START_TIMEOUT {
            if asked.is_none_or(|asked| asked.elapsed() > ASK_EVERY) {
                if !server.is_running() {
                    return Err(self.failure("ended"));
                }
                if self.course.work == Work::Tcp && self.ask_tcp().is_ok() {
                    return Ok(millis_since(since));
                }
                // Refused, as long as nobody listens.
                let _ = socket.send(self.course.queries.get(0));
                asked = Some(Instant::now());
            }
            if let Some(upstream) = upstream.as_deref_mut() {
                upstream.step()?;
            }
            let mut answer = [0; 4096];
            if let Ok(length) = socket.recv(&mut answer)
                && self.course.work != Work::Tcp
                && self.course.queries.accepts(0, &answer[..length], Expect::NOERROR)
            {
                return Ok(millis_since(since));
            }
            std::thread::yield_now();
        }
        Err(self.failure("does not answer"))
    }

    /// Asks one query on a connection of its own.
    fn ask_tcp(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.ground.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let query = self.course.queries.get(0);
        stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
        stream.read_exact(&mut [0; 2])
    }

    fn make_load(&self, upstream: Option<Upstream>, controller: Option<Controller>) -> io::Result<Load<'_>> {
        let (course, settings) = (self.course, self.course.settings);
        let (address, queries, expect) = (self.ground.address, course.queries, self.contender.expect);
        let client: Box<dyn Client> = if course.work == Work::Tcp {
            let (connections, pipeline) = (settings.connections, settings.pipeline);
            Box::new(TcpLoad::new(address, queries, expect, connections, pipeline)?)
        } else {
            Box::new(UdpLoad::new(address, queries, expect, settings.window)?)
        };
        let writer = match (self.contender.learns, controller) {
            (Learns::Rewritten(rate), Some(controller)) => Some(controller.writing(self.ground.hosts, rate)?),
            _ => None,
        };
        Ok(Load {
            client,
            upstream,
            writer,
        })
    }

    fn load(&self, server: &mut Server, mut load: Load<'_>, sample: Sample) -> io::Result<Sample> {
        load.drive(WARM_UP)?;
        load.take();
        let (before, start) = (server.usage(), Instant::now());
        load.drive(self.course.settings.turn)?;
        let (took, after) = (start.elapsed(), server.usage());
        let Taken {
            stats,
            forwarded,
            written,
        } = load.take();
        if !server.is_running() {
            return Err(self.failure("ended under load"));
        }
        if stats.answered == 0 {
            return Err(self.failure(&format!(
                "no good answer, {} wrong, {} lost",
                stats.wrong, stats.lost
            )));
        }
        if self.course.work == Work::Cache && forwarded > stats.answered / FORWARDED_AT_MOST {
            return Err(self.failure(&format!("asks the upstream {forwarded} times")));
        }
        let cpu = after.cpu.saturating_sub(before.cpu);
        Ok(Sample {
            micros: cpu.as_secs_f64() * 1e6 / stats.answered as f64,
            per_second: stats.answered as f64 / took.as_secs_f64(),
            p50_ms: stats.latency.quantile(0.5) as f64 / 1e6,
            p99_ms: stats.latency.quantile(0.99) as f64 / 1e6,
            max_ms: stats.latency.max() as f64 / 1e6,
            lost: stats.lost,
            wrong: stats.wrong,
            stray: stats.stray,
            loaded_mib: mebibytes(after.rss_bytes),
            writes_per_second: written as f64 / took.as_secs_f64(),
            ..sample
        })
    }

    fn flood(&self, server: &mut Server, sample: Sample) -> io::Result<Sample> {
        let queries = self.course.queries;
        let mut peak = 0;
        let flood = flood(self.ground.address, queries, FLOOD_RATE, FLOOD_TIME, || {
            peak = peak.max(server.usage().rss_bytes);
        })?;
        let recovery_ms = self.first_answer(server, None, Instant::now())?;
        Ok(Sample {
            recovery_ms,
            loaded_mib: mebibytes(peak.max(server.usage().rss_bytes)),
            flood_rate: flood.sent as f64 / flood.took.as_secs_f64(),
            ..sample
        })
    }

    /// An error with the line of what the server printed that says most.
    fn failure(&self, what: &str) -> io::Error {
        let output = fs::read(self.ground.dir.join("output")).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let mut lines = output.lines().rev().filter(|line| !line.trim().is_empty());
        let last = lines.clone().next().unwrap_or("no output");
        let line = lines
            .find(|line| line.to_lowercase().contains("error"))
            .unwrap_or(last);
        io::Error::other(format!("{what}: {line}"))
    }
}

impl Load<'_> {
    fn drive(&mut self, duration: Duration) -> io::Result<()> {
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
            forwarded: upstream.map_or(0, |upstream| std::mem::take(&mut upstream.answered)),
            written: self.writer.as_mut().map_or(0, Writer::take_accepted),
        }
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

const START_TIMEOUT: Duration = Duration::from_secs(15);
const ASK_EVERY: Duration = Duration::from_millis(1);
/// Servers go on with their start behind the first answer.
const SETTLE: Duration = Duration::from_millis(200);
const WARM_UP: Duration = Duration::from_millis(500);
const STEPS_BETWEEN_LOOKS: usize = 64;
/// Longer than any turn.
const CACHED_TTL: u32 = 3600;
/// A server that has all names in its cache asks at most for one in so many: to see whether the upstream is well.
const FORWARDED_AT_MOST: u64 = 100;
const FLOOD_RATE: u64 = 1_000_000;
const FLOOD_TIME: Duration = Duration::from_secs(5);
