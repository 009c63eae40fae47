//! The servers that are measured, each configured for the same work in a folder of its own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

mod corefile;
mod dnsdist;
mod others;
mod unbound;

pub(crate) use others::ZONE;

use crate::query::Expect;
use crate::tls::Identity;
use crate::work::Work;

/// What a configuration is made for.
pub struct Ground<'a> {
    /// The folder of this run; files of the plan are written there.
    pub dir: &'a Path,
    /// Where the server listens for plain DNS.
    pub address: SocketAddr,
    /// Where it listens for encrypted DNS, where the work asks for it.
    pub secure: SocketAddr,
    /// Where its API or its metrics listen, if it has any.
    pub http: SocketAddr,
    /// Where the upstream listens.
    pub upstream: SocketAddr,
    /// How many connections it must allow.
    pub connections: usize,
    /// Names and addresses that the server knows.
    pub hosts: &'a [(String, String)],
    /// What encrypted listeners show, those of upstreams too.
    pub identity: &'a Identity,
}

impl Ground<'_> {
    fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    /// The files of certificate and key.
    fn identity(&self) -> (std::path::Display<'_>, std::path::Display<'_>) {
        (self.identity.certificate.display(), self.identity.key.display())
    }
}

/// How to start a server.
#[derive(Default)]
pub struct Plan {
    /// Arguments behind the program.
    pub args: Vec<OsString>,
    /// Environment beyond the inherited one.
    pub env: Vec<(&'static str, &'static str)>,
    /// Files to write first, by name in the run's folder.
    pub files: Vec<(&'static str, String)>,
}

impl Plan {
    fn new(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    fn file(mut self, name: &'static str, text: String) -> Self {
        self.files.push((name, text));
        self
    }
}

/// Makes a server's configuration.
pub(crate) type Planner = fn(&Ground<'_>) -> Plan;

/// How a server learns the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a closed list, of which the runner knows each"
)]
pub enum Learns {
    /// By itself: from its files, or from the upstream.
    Itself,
    /// A controller puts them before the first query.
    Told,
    /// The same, among so many others that nobody asks for.
    Among(usize),
    /// As told, and the controller goes on with so many writes a second.
    Rewritten(u32),
}

/// One server with one configuration.
pub struct Contender {
    /// As the table calls it.
    pub label: String,
    /// What is started.
    pub program: PathBuf,
    /// What its answers must look like.
    pub expect: Expect,
    /// How it learns the names.
    pub learns: Learns,
    /// What it is asked over, where that is not the work's own transport.
    pub over: Option<Work>,
    /// Whether it writes a line for each query to its output, which is a pipe that is read.
    pub logs: bool,
    /// Makes its configuration.
    pub plan: Planner,
}

/// The programs that were found.
pub struct Programs {
    /// This program, which is also the echo.
    pub own: PathBuf,
    /// Catena.
    pub catena: Option<PathBuf>,
    /// CoreDNS.
    pub coredns: Option<PathBuf>,
}

/// All servers for a work, and the names of those which are not installed.
pub fn contenders(work: Work, programs: &Programs) -> (Vec<Contender>, Vec<&'static str>) {
    let mut found = Found::default();
    let own = Some(programs.own.clone());
    match work.reference() {
        Some("echo") if work == Work::Tcp => found.add("echo", own.clone(), Expect::NOERROR, |ground| {
            Plan::new(["echo-tcp".to_owned(), ground.address.to_string()])
        }),
        Some("echo") => found.add("echo", own.clone(), Expect::NOERROR, |ground| {
            Plan::new(["echo".to_owned(), ground.address.to_string()])
        }),
        _ => {}
    }
    if work == Work::Forward {
        found.add("bare forwarder", own, Expect::ANSWER, |ground| {
            let (address, upstream) = (ground.address.to_string(), ground.upstream.to_string());
            Plan::new(["forwarder".to_owned(), address, upstream])
        });
    }
    for (name, program, plan) in debian(work) {
        found.add(name, installed(program), Expect::ANSWER, *plan);
    }
    for (name, program) in [("catena", &programs.catena), ("coredns", &programs.coredns)] {
        found.add_corefiles(work, name, program.as_ref());
    }
    (found.contenders, found.missing)
}

/// Debian's servers for a work: label, program, configuration.
fn debian(work: Work) -> &'static [(&'static str, &'static str, Planner)] {
    match work {
        Work::Memory | Work::Tcp | Work::Flood => &[
            ("nsd", "nsd", others::nsd),
            ("knot", "knotd", others::knot),
            ("unbound", "unbound", unbound::local),
        ],
        Work::Cache => &[
            ("dnsdist", "dnsdist", dnsdist::cache),
            ("unbound", "unbound", unbound::cache),
        ],
        Work::Miss => &[
            ("dnsdist", "dnsdist", dnsdist::forward),
            ("dnsdist, cache", "dnsdist", dnsdist::cache),
            ("unbound, cache", "unbound", unbound::cache),
        ],
        Work::Popular => &[
            ("dnsdist", "dnsdist", dnsdist::cache),
            ("unbound", "unbound", unbound::cache_small),
        ],
        Work::Million => &[
            ("dnsdist", "dnsdist", dnsdist::cache_million),
            ("unbound", "unbound", unbound::cache_million),
        ],
        Work::Forward => &[
            ("dnsdist", "dnsdist", dnsdist::forward),
            ("unbound", "unbound", unbound::forward),
        ],
        Work::ForwardDot => &[
            ("dnsdist", "dnsdist", dnsdist::forward_dot),
            ("unbound", "unbound", unbound::forward_dot),
        ],
        Work::Dot | Work::Handshakes | Work::Resumption => &[
            ("nsd", "nsd", others::nsd_dot),
            ("unbound", "unbound", unbound::dot),
            ("dnsdist", "dnsdist", dnsdist::dot),
            ("kresd", "kresd", others::kresd_dot),
        ],
        Work::IdleDot => &[
            ("nsd", "nsd", others::nsd_dot),
            ("unbound", "unbound", unbound::dot_idle),
            ("dnsdist", "dnsdist", dnsdist::dot),
            ("kresd", "kresd", others::kresd_dot),
        ],
        Work::Doh | Work::DohGet => &[
            ("unbound", "unbound", unbound::doh),
            ("dnsdist", "dnsdist", dnsdist::doh),
            ("kresd", "kresd", others::kresd_doh),
        ],
        Work::IdleDoh | Work::IdleStreams => &[
            ("unbound", "unbound", unbound::doh_idle),
            ("dnsdist", "dnsdist", dnsdist::doh),
            ("kresd", "kresd", others::kresd_doh),
        ],
        // None of Debian's serves these.
        Work::Doq | Work::Doh3 | Work::Logs | Work::IdleTcp => &[],
    }
}

#[derive(Default)]
struct Found {
    contenders: Vec<Contender>,
    missing: Vec<&'static str>,
}

impl Found {
    fn add(&mut self, name: &'static str, program: Option<PathBuf>, expect: Expect, plan: Planner) {
        match program {
            Some(program) => self.contenders.push(Contender {
                label: name.to_owned(),
                program,
                expect,
                learns: Learns::Itself,
                over: None,
                logs: false,
                plan,
            }),
            None => self.missing.push(name),
        }
    }

    fn add_corefiles(&mut self, work: Work, name: &'static str, program: Option<&PathBuf>) {
        let Some(program) = program else {
            return self.missing.push(name);
        };
        let mut variants = corefile::variants(work);
        if name == "catena" {
            variants.extend(corefile::variants_of_catena(work));
        }
        for variant in variants {
            self.contenders.push(Contender {
                label: format!("{name} {}", variant.label),
                program: program.clone(),
                expect: variant.expect,
                learns: variant.learns,
                over: variant.over,
                logs: variant.logs,
                plan: variant.plan,
            });
        }
    }
}

/// Finds a program in `PATH` or where Debian puts daemons.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin")])
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
}

/// Seconds for which idle connections are kept: longer than any turn.
const PATIENCE_SECONDS: usize = 600;
