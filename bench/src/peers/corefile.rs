//! Servers that read a Corefile: Catena and CoreDNS.

use super::{Ground, Learns, Plan, Work, ZONE};
use crate::controller::TOKEN;
use crate::query::Expect;

/// One Corefile for a work.
pub(super) struct Variant {
    pub(super) label: &'static str,
    pub(super) expect: Expect,
    pub(super) learns: Learns,
    pub(super) plan: fn(&Ground<'_>) -> Plan,
}

const HOSTS: Variant = Variant {
    label: "hosts",
    expect: Expect::ANSWER,
    learns: Learns::Itself,
    plan: hosts,
};
const WHOAMI: Variant = Variant {
    label: "whoami",
    expect: Expect::NOERROR,
    learns: Learns::Itself,
    plan: whoami,
};
const WHOAMI_AND_FOUR: Variant = Variant {
    label: "whoami + 4 plugins",
    expect: Expect::NOERROR,
    learns: Learns::Itself,
    plan: whoami_and_four,
};
const FORWARD: Variant = Variant {
    label: "forward",
    expect: Expect::ANSWER,
    learns: Learns::Itself,
    plan: forward,
};
const CACHE: Variant = Variant {
    label: "cache",
    expect: Expect::ANSWER,
    learns: Learns::Itself,
    plan: cache,
};
const DYNRESOLVE: Variant = Variant {
    label: "dynresolve",
    expect: Expect::ANSWER,
    learns: Learns::Told,
    plan: dynresolve,
};
const DYNRESOLVE_AND_WRITES: Variant = Variant {
    label: "dynresolve + 1,000 writes/s",
    expect: Expect::ANSWER,
    learns: Learns::Rewritten(1_000),
    plan: dynresolve,
};

const DYNRESOLVE_AMONG_MANY: Variant = Variant {
    label: "dynresolve, 100,000 services",
    expect: Expect::ANSWER,
    learns: Learns::Among(99_000),
    plan: dynresolve,
};

pub(super) fn variants(work: Work) -> &'static [Variant] {
    match work {
        Work::Memory => &[HOSTS, WHOAMI, WHOAMI_AND_FOUR],
        Work::Tcp | Work::Flood => &[HOSTS],
        Work::Cache => &[CACHE],
        Work::Forward => &[FORWARD],
    }
}

/// What only Catena can do.
pub(super) fn variants_of_catena(work: Work) -> &'static [Variant] {
    match work {
        Work::Memory => &[DYNRESOLVE, DYNRESOLVE_AND_WRITES, DYNRESOLVE_AMONG_MANY],
        Work::Cache | Work::Forward | Work::Tcp | Work::Flood => &[],
    }
}

fn hosts(ground: &Ground<'_>) -> Plan {
    let lines = ground
        .hosts
        .iter()
        .map(|(name, address)| format!("{address} {name}\n"));
    plan(ground, &format!("    hosts {}\n", ground.path("hosts"))).file("hosts", lines.collect())
}

fn whoami(ground: &Ground<'_>) -> Plan {
    plan(ground, "    whoami\n")
}

fn whoami_and_four(ground: &Ground<'_>) -> Plan {
    plan(
        ground,
        "    errors\n    bufsize 1232\n    any\n    local\n    whoami\n",
    )
}

fn forward(ground: &Ground<'_>) -> Plan {
    plan(ground, &format!("    forward . {}\n", ground.upstream))
}

/// A block as it is written for a resolver in daily use.
fn cache(ground: &Ground<'_>) -> Plan {
    let directives = format!(
        "    errors\n    prometheus {}\n    cache\n    forward . {}\n    loop\n    reload\n",
        ground.http, ground.upstream
    );
    plan(ground, &directives)
}

fn dynresolve(ground: &Ground<'_>) -> Plan {
    let directives = format!(
        "    dynresolve {{\n        api listen {}\n        api token {TOKEN}\n        api rate-limit 1000000\n    }}\n",
        ground.http
    );
    block(ground, ZONE, &directives)
}

/// One block for all names.
fn plan(ground: &Ground<'_>, directives: &str) -> Plan {
    block(ground, ".", directives)
}

/// One block on the run's address, with one worker.
fn block(ground: &Ground<'_>, zone: &str, directives: &str) -> Plan {
    let (ip, port) = (ground.address.ip(), ground.address.port());
    let text = format!("{zone}:{port} {{\n    bind {ip}\n{directives}}}\n");
    let mut plan = Plan::new(["-conf".to_owned(), ground.path("Corefile")]).file("Corefile", text);
    plan.env.push(("GOMAXPROCS", "1"));
    plan
}
