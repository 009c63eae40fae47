//! The servers that are measured, each configured for the same work in a folder of its own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

mod corefile;
mod others;

pub(crate) use others::ZONE;

use crate::query::Expect;

/// What a server shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a closed list; a work is added together with its peers"
)]
pub enum Work {
    /// Answer 1,000 names from memory over UDP.
    Memory,
    /// The same over TCP, with kept connections.
    Tcp,
    /// Answer 1,000 names from the cache before the forwarding, over UDP.
    Cache,
    /// Forward over UDP, nothing cached.
    Forward,
    /// Survive a million queries a second.
    Flood,
}

impl Work {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 5] = [Self::Memory, Self::Cache, Self::Forward, Self::Tcp, Self::Flood];

    /// As the command line and the table call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cache => "cache",
            Self::Tcp => "tcp",
            Self::Forward => "forward",
            Self::Flood => "flood",
        }
    }
}

/// What a configuration is made for.
pub struct Ground<'a> {
    /// The folder of this run; files of the plan are written there.
    pub dir: &'a Path,
    /// Where the server listens.
    pub address: SocketAddr,
    /// Where its API or its metrics listen, if it has any.
    pub http: SocketAddr,
    /// Where the upstream listens.
    pub upstream: SocketAddr,
    /// Names and addresses that the server knows.
    pub hosts: &'a [(String, String)],
}

impl Ground<'_> {
    fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
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
    /// Makes its configuration.
    pub plan: fn(&Ground<'_>) -> Plan,
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
    let echo: fn(&Ground<'_>) -> Plan = match work {
        Work::Tcp => |ground| Plan::new(["echo-tcp".to_owned(), ground.address.to_string()]),
        _ => |ground| Plan::new(["echo".to_owned(), ground.address.to_string()]),
    };
    if work != Work::Flood {
        found.add("echo", Some(programs.own.clone()), Expect::NOERROR, echo);
    }
    match work {
        Work::Memory | Work::Tcp | Work::Flood => {
            found.add("nsd", installed("nsd"), Expect::ANSWER, others::nsd);
            found.add("knot", installed("knotd"), Expect::ANSWER, others::knot);
            found.add(
                "unbound",
                installed("unbound"),
                Expect::ANSWER,
                others::unbound_local,
            );
        }
        Work::Cache => {
            found.add(
                "dnsdist",
                installed("dnsdist"),
                Expect::ANSWER,
                others::dnsdist_cache,
            );
            found.add(
                "unbound",
                installed("unbound"),
                Expect::ANSWER,
                others::unbound_cache,
            );
        }
        Work::Forward => {
            let own = Some(programs.own.clone());
            found.add("bare forwarder", own, Expect::ANSWER, |ground| {
                let (address, upstream) = (ground.address.to_string(), ground.upstream.to_string());
                Plan::new(["forwarder".to_owned(), address, upstream])
            });
            found.add("dnsdist", installed("dnsdist"), Expect::ANSWER, others::dnsdist);
            found.add(
                "unbound",
                installed("unbound"),
                Expect::ANSWER,
                others::unbound_forward,
            );
        }
    }
    for (name, program) in [("catena", &programs.catena), ("coredns", &programs.coredns)] {
        found.add_corefiles(work, name, program.as_ref());
    }
    (found.contenders, found.missing)
}

#[derive(Default)]
struct Found {
    contenders: Vec<Contender>,
    missing: Vec<&'static str>,
}

impl Found {
    fn add(
        &mut self,
        name: &'static str,
        program: Option<PathBuf>,
        expect: Expect,
        plan: fn(&Ground<'_>) -> Plan,
    ) {
        match program {
            Some(program) => self.contenders.push(Contender {
                label: name.to_owned(),
                program,
                expect,
                learns: Learns::Itself,
                plan,
            }),
            None => self.missing.push(name),
        }
    }

    fn add_corefiles(&mut self, work: Work, name: &'static str, program: Option<&PathBuf>) {
        let Some(program) = program else {
            return self.missing.push(name);
        };
        let own = match name {
            "catena" => corefile::variants_of_catena(work),
            _ => &[],
        };
        for variant in corefile::variants(work).iter().chain(own) {
            self.contenders.push(Contender {
                label: format!("{name} {}", variant.label),
                program: program.clone(),
                expect: variant.expect,
                learns: variant.learns,
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
