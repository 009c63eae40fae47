//! Servers that read a Corefile: Catena and CoreDNS.

use super::{Ground, Learns, PATIENCE_SECONDS, Plan, Planner, Work, ZONE};
use crate::controller::TOKEN;
use crate::query::Expect;
use crate::tls::NAME;

/// One Corefile for a work.
pub(super) struct Variant {
    pub(super) label: &'static str,
    pub(super) expect: Expect,
    pub(super) learns: Learns,
    pub(super) over: Option<Work>,
    pub(super) logs: bool,
    pub(super) plan: Planner,
}

impl Variant {
    fn new(label: &'static str, plan: Planner) -> Self {
        Self {
            label,
            expect: Expect::ANSWER,
            learns: Learns::Itself,
            over: None,
            logs: false,
            plan,
        }
    }

    /// `whoami` has its records in the additional section.
    fn whoami(label: &'static str, plan: Planner) -> Self {
        let mut variant = Self::new(label, plan);
        variant.expect = Expect::NOERROR;
        variant
    }

    fn dynresolve(label: &'static str, learns: Learns) -> Self {
        let mut variant = Self::new(label, dynresolve);
        variant.learns = learns;
        variant
    }

    fn logging(label: &'static str, plan: Planner) -> Self {
        let mut variant = Self::new(label, plan);
        variant.logs = true;
        variant
    }

    /// DNS over TLS, in whatever work.
    fn over_tls(label: &'static str) -> Self {
        let mut variant = Self::new(label, |ground| secure(ground, "tls", "", hosts));
        variant.over = Some(Work::Dot);
        variant
    }
}

pub(super) fn variants(work: Work) -> Vec<Variant> {
    let memory = || Variant::new("hosts", |ground| plan(ground, hosts));
    match work {
        Work::Memory => vec![
            memory(),
            Variant::whoami("whoami", |ground| plan(ground, |_| "    whoami\n".to_owned())),
            Variant::whoami("whoami + 4 plugins", |ground| plan(ground, whoami_and_four)),
        ],
        Work::Tcp | Work::Flood => vec![memory()],
        Work::Cache | Work::Miss | Work::Popular => vec![Variant::new("cache", |ground| plan(ground, cache))],
        Work::Million => vec![Variant::new("cache", |ground| plan(ground, cache_million))],
        Work::Logs => vec![
            Variant::new("cache", |ground| {
                plan(ground, |ground| logs(ground, false, false))
            }),
            Variant::new("cache + prometheus", |ground| {
                plan(ground, |ground| logs(ground, true, false))
            }),
            Variant::logging("cache + log", |ground| {
                plan(ground, |ground| logs(ground, false, true))
            }),
            Variant::logging("cache + prometheus + log", |ground| {
                plan(ground, |ground| logs(ground, true, true))
            }),
        ],
        Work::Forward => vec![Variant::new("forward", |ground| {
            plan(ground, |ground| format!("    forward . {}\n", ground.upstream))
        })],
        Work::ForwardDot => vec![Variant::new("forward", |ground| plan(ground, forward_dot))],
        Work::Dot | Work::Handshakes | Work::Resumption => vec![
            Variant::new("hosts", |ground| secure(ground, "tls", "", hosts)),
            Variant::new("cache", |ground| secure(ground, "tls", "", cache)),
        ],
        Work::Doh | Work::DohGet => vec![
            Variant::new("hosts", |ground| secure(ground, "https", "", hosts)),
            Variant::new("cache", |ground| secure(ground, "https", "", cache)),
        ],
        Work::Doq => vec![
            Variant::over_tls("DoT"),
            Variant::new("DoQ", |ground| secure(ground, "quic", "", hosts)),
        ],
        Work::Doh3 => vec![
            Variant::over_tls("DoT"),
            Variant::new("DoH3", |ground| secure(ground, "https3", "", hosts)),
        ],
        Work::IdleTcp => vec![Variant::new("hosts", |ground| {
            plan(ground, |ground| hosts(ground) + &patience())
        })],
        Work::IdleDot => vec![Variant::new("hosts", |ground| {
            secure(ground, "tls", &patience(), hosts)
        })],
        Work::IdleDoh | Work::IdleStreams => vec![Variant::new("hosts", |ground| {
            let own = format!("{}    https {{\n        max_connections 0\n    }}\n", patience());
            secure(ground, "https", &own, hosts)
        })],
    }
}

/// What only Catena can do.
pub(super) fn variants_of_catena(work: Work) -> Vec<Variant> {
    match work {
        Work::Memory => vec![
            Variant::dynresolve("dynresolve", Learns::Told),
            Variant::dynresolve("dynresolve + 1,000 writes/s", Learns::Rewritten(1_000)),
            Variant::dynresolve("dynresolve, 100,000 services", Learns::Among(99_000)),
        ],
        _ => Vec::new(),
    }
}

fn hosts(ground: &Ground<'_>) -> String {
    format!("    hosts {}\n", ground.path("hosts"))
}

fn whoami_and_four(_: &Ground<'_>) -> String {
    "    errors\n    bufsize 1232\n    any\n    local\n    whoami\n".to_owned()
}

/// A block as it is written for a resolver in daily use.
fn cache(ground: &Ground<'_>) -> String {
    format!(
        "    errors\n    prometheus {}\n    cache\n    forward . {}\n    loop\n    reload\n",
        ground.http, ground.upstream
    )
}

fn cache_million(ground: &Ground<'_>) -> String {
    cache(ground).replace("    cache\n", "    cache {\n        success 1100000\n    }\n")
}

fn logs(ground: &Ground<'_>, prometheus: bool, log: bool) -> String {
    let mut text = cache(ground);
    if !prometheus {
        text = text.replace(&format!("    prometheus {}\n", ground.http), "");
    }
    if log {
        text.push_str("    log\n");
    }
    text
}

fn forward_dot(ground: &Ground<'_>) -> String {
    let (certificate, _) = ground.identity();
    format!(
        "    forward . tls://{} {{\n        tls {certificate}\n        tls_servername {NAME}\n    }}\n",
        ground.upstream
    )
}

fn dynresolve(ground: &Ground<'_>) -> Plan {
    let directives = format!(
        "    dynresolve {{\n        api listen {}\n        api token {TOKEN}\n        api rate-limit 1000000\n    }}\n",
        ground.http
    );
    start(ground, &block(ground.address, ZONE, &directives))
}

/// Idle connections stay.
fn patience() -> String {
    format!("    timeouts {{\n        read {PATIENCE_SECONDS}s\n        idle {PATIENCE_SECONDS}s\n    }}\n")
}

/// One block for all names.
fn plan(ground: &Ground<'_>, directives: fn(&Ground<'_>) -> String) -> Plan {
    start(ground, &block(ground.address, ".", &directives(ground)))
}

/// The same, and an encrypted listener beside it with the same directives and some `own` ones.
fn secure(ground: &Ground<'_>, scheme: &str, own: &str, directives: fn(&Ground<'_>) -> String) -> Plan {
    let ((certificate, key), directives) = (ground.identity(), directives(ground));
    let encrypted = format!("    tls {certificate} {key}\n{own}{directives}");
    let text =
        block(ground.address, ".", &directives) + &block(ground.secure, &format!("{scheme}://."), &encrypted);
    start(ground, &text)
}

fn block(address: std::net::SocketAddr, zone: &str, directives: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("{zone}:{port} {{\n    bind {ip}\n{directives}}}\n")
}

/// With one worker.
fn start(ground: &Ground<'_>, corefile: &str) -> Plan {
    let lines = ground
        .hosts
        .iter()
        .map(|(name, address)| format!("{address} {name}\n"));
    let mut plan = Plan::new(["-conf".to_owned(), ground.path("Corefile")])
        .file("Corefile", corefile.to_owned())
        .file("hosts", lines.collect());
    plan.env.push(("GOMAXPROCS", "1"));
    plan
}
