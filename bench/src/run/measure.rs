//! One turn of one server.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::{Course, Sample, millis_since};
use crate::controller::Controller;
use crate::load::flood;
use crate::peers::{Contender, Ground, Learns, Plan};
use crate::process::Server;
use crate::query::Expect;
use crate::upstream::{Behind, StreamUpstream, Upstream};
use crate::work::Work;

/// A server's turn.
pub(super) struct Turn<'a> {
    pub(super) course: &'a Course<'a>,
    pub(super) contender: &'a Contender,
    pub(super) ground: &'a Ground<'a>,
}

/// Who is behind a server, if it asks anybody.
pub(super) type Upstreams = Option<Box<dyn Behind>>;

impl Turn<'_> {
    pub(super) fn run(&self, plan: &Plan) -> io::Result<Sample> {
        let mut upstream = self.upstream()?;
        let started = Instant::now();
        let mut server = Server::start(
            self.contender,
            plan,
            self.ground.dir,
            self.course.settings.server_core,
        )?;
        let told = self.tell(&mut server, started)?;
        let start_ms = self.first_answer(&mut server, &mut upstream, started)?;
        std::thread::sleep(SETTLE);
        let (controller, state_ms) = told.unzip();
        let sample = Sample {
            start_ms,
            state_ms: state_ms.unwrap_or(0.0),
            idle_mib: mebibytes(server.usage().rss_bytes),
            ..Sample::default()
        };
        let sample = match self.course.work {
            Work::Flood => self.flood(&mut server, sample)?,
            Work::Popular => self.popular(&mut server, upstream, sample)?,
            Work::Million => self.million(&mut server, upstream, sample)?,
            Work::IdleTcp | Work::IdleDot | Work::IdleDoh | Work::IdleStreams => {
                self.idle(&mut server, upstream, sample)?
            }
            _ => {
                let mut load = self.make_load(upstream, controller)?;
                self.load(&mut server, &mut load, sample)?
            }
        };
        server.stop();
        Ok(sample)
    }

    fn upstream(&self) -> io::Result<Upstreams> {
        let address = self.ground.upstream;
        Ok(match (self.course.work, self.course.work.upstream_ttl()) {
            (_, None) => None,
            (Work::ForwardDot, Some(ttl)) => {
                Some(Box::new(StreamUpstream::tls(address, self.ground.identity, ttl)?))
            }
            // Some forwarders ask over TCP what they were asked over TLS.
            (_, Some(ttl)) => Some(Box::new((
                Upstream::new(address, ttl)?,
                StreamUpstream::tcp(address, ttl)?,
            ))),
        })
    }

    /// Puts the names, where that is how the server learns them; returns how long the server took for them, too.
    fn tell(&self, server: &mut Server, since: Instant) -> io::Result<Option<(Controller, f64)>> {
        if self.contender.learns == Learns::Itself {
            return Ok(None);
        }
        while since.elapsed() < START_TIMEOUT {
            if let Ok(mut controller) = Controller::connect(self.ground.http) {
                let others = match self.contender.learns {
                    Learns::Among(others) => others,
                    _ => 0,
                };
                let began = Instant::now();
                controller.put_state(self.ground.hosts, others)?;
                return Ok(Some((controller, millis_since(began))));
            }
            if !server.is_running() {
                return Err(self.failure("ended"));
            }
            std::thread::sleep(ASK_EVERY);
        }
        Err(self.failure("does not open its API"))
    }

    /// Asks until the server answers, and returns how long that took.
    ///
    /// It is asked over UDP, but for the work that is about TCP alone. Encrypted listeners are open then, too, or soon.
    fn first_answer(&self, server: &mut Server, upstream: &mut Upstreams, since: Instant) -> io::Result<f64> {
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
            if let Some(upstream) = upstream {
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

    fn flood(&self, server: &mut Server, sample: Sample) -> io::Result<Sample> {
        let queries = self.course.queries;
        let mut peak = 0;
        let flood = flood(self.ground.address, queries, FLOOD_RATE, FLOOD_TIME, || {
            peak = peak.max(server.usage().rss_bytes);
        })?;
        let recovery_ms = self.first_answer(server, &mut None, Instant::now())?;
        Ok(Sample {
            recovery_ms,
            loaded_mib: mebibytes(peak.max(server.usage().rss_bytes)),
            flood_rate: flood.sent as f64 / flood.took.as_secs_f64(),
            ..sample
        })
    }

    /// An error with the line of what the server printed that says most.
    pub(super) fn failure(&self, what: &str) -> io::Error {
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

pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

const START_TIMEOUT: Duration = Duration::from_secs(15);
const ASK_EVERY: Duration = Duration::from_millis(1);
/// Servers go on with their start behind the first answer.
const SETTLE: Duration = Duration::from_millis(200);
const FLOOD_RATE: u64 = 1_000_000;
const FLOOD_TIME: Duration = Duration::from_secs(5);
