//! The command line of the benches.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use catena_bench::load::{Client, Handshakes, Stats, StreamLoad, UdpLoad, doh, doh3, doq};
use catena_bench::peers::Programs;
use catena_bench::query::{Expect, Queries};
use catena_bench::run::{Settings, run};
use catena_bench::tls::Trust;
use catena_bench::upstream::Upstream;
use catena_bench::work::Work;
use catena_bench::{echo, forwarder, process};

const USAGE: &str = "\
Measures DNS servers side by side, or plays a part in it.

  catena-bench run [OPTIONS]       measure, and print tables in markdown
      --works LIST      of memory, cache, miss, popular, million, logs, forward, forward-dot, tcp, dot, doh, doh-get,
                        doq, doh3, handshakes, resumption, idle-tcp, idle-dot, idle-doh, idle-streams, flood, with
                        commas between them (default: all)
      --only LIST       only servers whose name holds one of these words; what they are compared with always runs
      --rounds N        turns of each server (3)
      --seconds N       length of a turn (3)
      --window N        queries in flight over UDP (128)
      --connections N   connections over everything but UDP (32)
      --pipeline N      queries in flight on each connection (8)
      --idle N          idle connections (10,000 and so on, as each work says)
      --no-edns         queries without EDNS
      --catena PATH     default: catena beside this program, if it is there
      --coredns PATH    a CoreDNS to measure as well
      --cores S,L       core of the server, core of the load (0,1)
      --out FILE        write the tables there, too
  catena-bench load ADDRESS [OPTIONS]   load one server that runs already
      --names FILE      names to ask for, one a line (default: 1,000 of the bench)
      --over TRANSPORT  udp (default), tcp, dot, doh, doh-get, doq or doh3; or handshakes or resumption, where each
                        query has a new connection of DNS over TLS; --window, --connections, --pipeline, --seconds,
                        --no-edns as above
      --ca FILE         who signed the server's certificate, for all but udp and tcp
      --server-name N   the name in that certificate (dns.example.org)
      --any-answer      NOERROR is enough, also without records in the answer section
      --core N          run on this core
  catena-bench echo ADDRESS        the floor over UDP
  catena-bench echo-tcp ADDRESS    the floor over TCP
  catena-bench forwarder ADDRESS UPSTREAM   the floor of forwarding over UDP
  catena-bench upstream ADDRESS    an upstream that answers everything with one address, TTL 0
";

fn main() -> ExitCode {
    let mut args = Args(std::env::args().skip(1).collect());
    let command = args.next_plain();
    let result = match command.as_deref() {
        Some("run") => run_all(args),
        Some("load") => load(args),
        Some("echo") => args.address().and_then(|at| echo::udp(at).map_err(text)),
        Some("echo-tcp") => args.address().and_then(|at| echo::tcp(at).map_err(text)),
        Some("forwarder") => args
            .address()
            .and_then(|at| Ok((at, args.address()?)))
            .and_then(|(at, upstream)| forwarder::udp(at, upstream).map_err(text)),
        Some("upstream") => args
            .address()
            .and_then(|at| Upstream::new(at, 0).and_then(|mut up| up.run()).map_err(text)),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn run_all(mut args: Args) -> Result<(), String> {
    let own = std::env::current_exe().map_err(text)?;
    let beside = own.with_file_name("catena");
    let catena = args
        .value("--catena")?
        .map(PathBuf::from)
        .or_else(|| beside.is_file().then_some(beside));
    let programs = Programs {
        own,
        catena,
        coredns: args.value("--coredns")?.map(PathBuf::from),
    };
    let works = match args.value("--works")? {
        None => Work::ALL.to_vec(),
        Some(list) => list.split(',').map(work).collect::<Result<_, _>>()?,
    };
    let cores = args.value("--cores")?.unwrap_or_else(|| "0,1".to_owned());
    let (server_core, load_core) = cores
        .split_once(',')
        .and_then(|(server, load)| Some((server.parse().ok()?, load.parse().ok()?)))
        .ok_or_else(|| format!("--cores: `{cores}` is no pair of cores such as 0,1"))?;
    let scratch = tempfile::tempdir().map_err(text)?;
    let settings = Settings {
        works,
        only: args
            .value("--only")?
            .map(|list| list.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        rounds: args.number("--rounds", 3)?,
        turn: Duration::from_secs(args.number("--seconds", 3)? as u64),
        window: args.number("--window", 128)?,
        connections: args.number("--connections", 32)?,
        pipeline: args.number("--pipeline", 8)?,
        idle: match args.number("--idle", usize::MAX)? {
            usize::MAX => None,
            count => Some(count),
        },
        edns: !args.flag("--no-edns"),
        server_core,
        load_core,
        programs,
        scratch: scratch.path().to_owned(),
    };
    let out = args.value("--out")?;
    args.finish()?;
    let tables = run(&settings).map_err(text)?;
    print!("{tables}");
    match out {
        Some(file) => std::fs::write(&file, &tables).map_err(|error| format!("{file}: {error}")),
        None => Ok(()),
    }
}

fn work(name: &str) -> Result<Work, String> {
    let found = Work::ALL.into_iter().find(|work| work.name() == name);
    let all = Work::ALL.map(Work::name).join(", ");
    found.ok_or_else(|| format!("--works: `{name}` is none of {all}"))
}

fn load(mut args: Args) -> Result<(), String> {
    let names = match args.value("--names")? {
        Some(file) => std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?,
        None => catena_bench::run::hosts()
            .into_iter()
            .map(|(name, _)| name + "\n")
            .collect(),
    };
    let queries = Queries::new(
        names.lines().map(str::trim).filter(|name| !name.is_empty()),
        !args.flag("--no-edns"),
    );
    if queries.is_empty() {
        return Err("--names: no names".to_owned());
    }
    let expect = if args.flag("--any-answer") {
        Expect::NOERROR
    } else {
        Expect::ANSWER
    };
    let turn = Duration::from_secs(args.number("--seconds", 5)? as u64);
    let core = args.value("--core")?;
    let over = args.value("--over")?.unwrap_or_else(|| "udp".to_owned());
    let mut trust = args
        .value("--ca")?
        .map(|file| Trust::from_file(&file).map_err(text))
        .transpose()?;
    if let (Some(trust), Some(name)) = (&mut trust, args.value("--server-name")?) {
        trust.name = name;
    }
    let aim = Aim {
        window: args.number("--window", 128)?,
        size: (args.number("--connections", 32)?, args.number("--pipeline", 8)?),
        server: args.address()?,
        queries: &queries,
        expect,
        trust,
    };
    args.finish()?;
    if let Some(core) = core {
        let number = core
            .parse()
            .map_err(|_| format!("--core: `{core}` is no number"))?;
        process::pin_self(number).map_err(text)?;
    }
    let mut client = aim.client(&over)?;
    let start = Instant::now();
    while start.elapsed() < turn {
        client.step().map_err(text)?;
    }
    report(&client.take_stats(), turn);
    Ok(())
}

/// What a load is made of.
struct Aim<'q> {
    server: SocketAddr,
    queries: &'q Queries,
    expect: Expect,
    window: usize,
    /// Connections, and queries in flight on each.
    size: (usize, usize),
    trust: Option<Trust>,
}

impl<'q> Aim<'q> {
    fn client(&self, over: &str) -> Result<Box<dyn Client + 'q>, String> {
        let Self {
            server,
            queries,
            expect,
            window,
            size,
            ..
        } = *self;
        let trust = || {
            self.trust
                .as_ref()
                .ok_or_else(|| format!("--over {over} takes a --ca, too"))
        };
        let client: Box<dyn Client + 'q> = match over {
            "udp" => Box::new(UdpLoad::new(server, queries, expect, window).map_err(text)?),
            "tcp" => Box::new(StreamLoad::tcp(server, queries, expect, size.0, size.1).map_err(text)?),
            "dot" => {
                let load = StreamLoad::tls(server, trust()?, queries, expect, size.0, size.1);
                Box::new(load.map_err(text)?)
            }
            "doh" | "doh-get" => {
                let load = doh(server, trust()?, queries, expect, size, over == "doh-get");
                Box::new(load.map_err(text)?)
            }
            "doq" => Box::new(doq(server, trust()?, queries, expect, size).map_err(text)?),
            "doh3" => Box::new(doh3(server, trust()?, queries, expect, size).map_err(text)?),
            "handshakes" | "resumption" => {
                let resumed = over == "resumption";
                let load = Handshakes::new(server, trust()?, queries, expect, size.0, resumed);
                Box::new(load.map_err(text)?)
            }
            _ => return Err(format!("--over: `{over}` is no transport\n\n{USAGE}")),
        };
        Ok(client)
    }
}

fn report(stats: &Stats, turn: Duration) {
    let millis = |nanos: u64| nanos as f64 / 1e6;
    println!(
        "{} answered ({:.0}/s), {} wrong, {} stray, {} lost; p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms",
        stats.answered,
        stats.answered as f64 / turn.as_secs_f64(),
        stats.wrong,
        stats.stray,
        stats.lost,
        millis(stats.latency.quantile(0.5)),
        millis(stats.latency.quantile(0.99)),
        millis(stats.latency.max()),
    );
}

/// What is left of the command line.
struct Args(Vec<String>);

impl Args {
    /// Takes the next argument that is no option.
    fn next_plain(&mut self) -> Option<String> {
        let at = self.0.iter().position(|arg| !arg.starts_with("--"))?;
        Some(self.0.remove(at))
    }

    fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|arg| arg == name);
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(at) = self.0.iter().position(|arg| arg == name) else {
            return Ok(None);
        };
        if at + 1 >= self.0.len() {
            return Err(format!("{name} takes a value"));
        }
        self.0.remove(at);
        Ok(Some(self.0.remove(at)))
    }

    fn number(&mut self, name: &str, default: usize) -> Result<usize, String> {
        match self.value(name)? {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number @ 1..) => Ok(number),
                _ => Err(format!("{name}: `{text}` is no number from 1 on")),
            },
        }
    }

    fn address(&mut self) -> Result<SocketAddr, String> {
        let text = self
            .next_plain()
            .ok_or("an address is missing, such as 127.0.0.1:5300")?;
        text.parse()
            .map_err(|_| format!("`{text}` is no address with a port, such as 127.0.0.1:5300"))
    }

    fn finish(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some(arg) => Err(format!("unknown argument `{arg}`\n\n{USAGE}")),
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
