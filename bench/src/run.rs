//! The side-by-side runner: all servers do the same work by turns, several rounds, and the medians make a table.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

mod cache;
mod idle;
mod load;
mod measure;
mod sample;
mod table;

use sample::Sample;

use crate::peers::{Contender, Ground, Programs, contenders};
use crate::process::pin_self;
use crate::query::Queries;
use crate::tls::Identity;
use crate::work::Work;

/// What to measure, and how.
pub struct Settings {
    /// The works, in this order.
    pub works: Vec<Work>,
    /// Only servers whose label holds one of these words; all when empty.
    pub only: Vec<String>,
    /// How often each server has its turn.
    pub rounds: usize,
    /// How long a turn is measured.
    pub turn: Duration,
    /// Queries in flight over UDP.
    pub window: usize,
    /// Connections over everything but UDP, and queries in flight on each.
    pub connections: usize,
    /// See `connections`.
    pub pipeline: usize,
    /// Idle connections, as far as descriptors allow; each work has its own number where this is none.
    pub idle: Option<usize>,
    /// Whether queries carry EDNS.
    pub edns: bool,
    /// The core of the servers.
    pub server_core: usize,
    /// The core of the load and of the upstream.
    pub load_core: usize,
    /// The programs.
    pub programs: Programs,
    /// Where servers keep their files; a folder each.
    pub scratch: PathBuf,
}

/// Measures everything and returns the tables in markdown.
///
/// What happens meanwhile is told on standard error.
///
/// # Errors
///
/// The load cannot be made. A server that fails is left out of its table, and named below it.
pub fn run(settings: &Settings) -> io::Result<String> {
    pin_self(settings.load_core)?;
    // For idle connections; servers inherit it.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let identity = Identity::new(&settings.scratch)?;
    let hosts = hosts();
    let mut text = table::heading(settings);
    for work in &settings.works {
        let (mut contenders, mut missing) = contenders(*work, &settings.programs);
        let wanted =
            |label: &str| settings.only.is_empty() || settings.only.iter().any(|word| label.contains(word));
        contenders.retain(|contender| {
            Some(contender.label.as_str()) == work.reference() || wanted(&contender.label)
        });
        missing.retain(|name| wanted(name));
        let queries = queries(*work, &hosts, settings.edns);
        let course = Course {
            settings,
            work: *work,
            hosts: &hosts,
            queries: &queries,
            identity: &identity,
        };
        let results = course.rounds(&contenders)?;
        text.push_str(&table::section(*work, &results, &missing));
    }
    Ok(text)
}

/// A server's samples, or why there are none.
struct Outcome {
    label: String,
    samples: Vec<Sample>,
    failure: Option<String>,
}

/// One work's measurements.
struct Course<'a> {
    settings: &'a Settings,
    work: Work,
    hosts: &'a [(String, String)],
    queries: &'a Queries,
    identity: &'a Identity,
}

impl Course<'_> {
    /// Lets each server have its turn, then all of them again: what disturbs the machine for a while disturbs all.
    fn rounds(&self, contenders: &[Contender]) -> io::Result<Vec<Outcome>> {
        let mut outcomes: Vec<_> = contenders
            .iter()
            .map(|contender| Outcome {
                label: contender.label.clone(),
                samples: Vec::new(),
                failure: None,
            })
            .collect();
        for round in 1..=self.settings.rounds {
            for (contender, outcome) in contenders.iter().zip(&mut outcomes) {
                if outcome.failure.is_some() {
                    continue;
                }
                match self.turn(contender) {
                    Ok(sample) => {
                        eprintln!(
                            "{} {round}: {}: {}",
                            self.work.name(),
                            contender.label,
                            sample.brief(self.work)
                        );
                        outcome.samples.push(sample);
                    }
                    Err(error) => {
                        eprintln!("{} {round}: {}: {error}", self.work.name(), contender.label);
                        outcome.failure = Some(error.to_string());
                    }
                }
            }
        }
        Ok(outcomes)
    }

    fn turn(&self, contender: &Contender) -> io::Result<Sample> {
        let dir = scratch_dir(&self.settings.scratch, self.work, &contender.label)?;
        let address = free_address()?;
        let ground = Ground {
            dir: &dir,
            address,
            secure: free_address()?,
            http: free_address()?,
            upstream: free_address()?,
            hosts: self.hosts,
            connections: self.settings.connections + idle::count(self.settings, self.work),
            identity: self.identity,
        };
        let plan = (contender.plan)(&ground);
        measure::Turn {
            course: self,
            contender,
            ground: &ground,
        }
        .run(&plan)
    }
}

/// The names that servers know: 1,000, with addresses of the documentation networks and beyond.
pub fn hosts() -> Vec<(String, String)> {
    let zone = crate::peers::ZONE;
    (0..1000_u32)
        .map(|number| {
            (
                format!("host-{number:04}.{zone}"),
                Ipv4Addr::from(0x0a00_0001 + number * 7).to_string(),
            )
        })
        .collect()
}

/// Forwarders are asked for so many names that no two equal queries are under way, which some would join.
fn queries(work: Work, hosts: &[(String, String)], edns: bool) -> Queries {
    match work {
        Work::Forward | Work::ForwardDot => numbered('n', 100_000, edns),
        // So many that no turn asks for one twice.
        Work::Miss => numbered('n', 3_000_000, edns),
        Work::Million => numbered('n', 1_000_000, edns),
        _ => Queries::new(hosts.iter().map(|(name, _)| name.as_str()), edns),
    }
}

/// Queries for names that differ in a number only.
fn numbered(letter: char, count: usize, edns: bool) -> Queries {
    let mut queries = Queries::none(edns);
    for number in 0..count {
        queries.add(&format!("{letter}{number}.{}", crate::peers::ZONE));
    }
    queries
}

fn scratch_dir(scratch: &Path, work: Work, label: &str) -> io::Result<PathBuf> {
    let name: String = label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let dir = scratch.join(format!("{}-{name}", work.name()));
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// A port of the loopback address that is free for UDP and TCP, and another one each time.
///
/// It is below those that Linux gives to sockets which want any, or one of them would have it now and then when the
/// server starts.
fn free_address() -> io::Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        let number = std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT + number as u16));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::other("no port is free"))
}

const FIRST_PORT: u16 = 20_000;
const PORTS: u32 = 12_000;

/// Time since `start` in milliseconds.
fn millis_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_addresses_differ_and_leave_out_what_is_taken() {
        let first = free_address().unwrap();
        let next = SocketAddr::new(first.ip(), first.port() + 1);
        let _taken = UdpSocket::bind(next);
        let second = free_address().unwrap();
        assert!(second != first && second != next, "{first} {second}");
    }
}
