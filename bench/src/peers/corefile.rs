//! Servers that read a Corefile: Catena and CoreDNS.

use super::{Ground, Plan, Work};
use crate::query::Expect;

/// One Corefile for a work.
pub(super) struct Variant {
    pub(super) label: &'static str,
    pub(super) expect: Expect,
    pub(super) plan: fn(&Ground<'_>) -> Plan,
}

const HOSTS: Variant = Variant {
    label: "hosts",
    expect: Expect::ANSWER,
    plan: hosts,
};
const WHOAMI: Variant = Variant {
    label: "whoami",
    expect: Expect::NOERROR,
    plan: whoami,
};
const WHOAMI_AND_FOUR: Variant = Variant {
    label: "whoami + 4 plugins",
    expect: Expect::NOERROR,
    plan: whoami_and_four,
};
const FORWARD: Variant = Variant {
    label: "forward",
    expect: Expect::ANSWER,
    plan: forward,
};

pub(super) fn variants(work: Work) -> &'static [Variant] {
    match work {
        Work::Memory => &[HOSTS, WHOAMI, WHOAMI_AND_FOUR],
        Work::Tcp | Work::Flood => &[HOSTS],
        Work::Forward => &[FORWARD],
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

/// One block for all names on the run's address, with one worker.
fn plan(ground: &Ground<'_>, directives: &str) -> Plan {
    let (ip, port) = (ground.address.ip(), ground.address.port());
    let text = format!(".:{port} {{\n    bind {ip}\n{directives}}}\n");
    let mut plan = Plan::new(["-conf".to_owned(), ground.path("Corefile")]).file("Corefile", text);
    plan.env.push(("GOMAXPROCS", "1"));
    plan
}
