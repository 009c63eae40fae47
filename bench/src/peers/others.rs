//! The peers with configuration languages of their own.
//!
//! Each has one thread for queries, answers without rate limits, and is otherwise as it ships.

use super::{Ground, Plan};

/// The zone that holds all names of a run.
pub(crate) const ZONE: &str = "bench.example.org";

pub(super) fn nsd(ground: &Ground<'_>) -> Plan {
    let (ip, port, dir) = (ground.address.ip(), ground.address.port(), ground.dir.display());
    let text = format!(
        "server:\n  server-count: 1\n  ip-address: {ip}@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{dir}\"\n  \
         database: \"\"\n  pidfile: \"{dir}/nsd.pid\"\n  xfrdfile: \"{dir}/xfrd.state\"\n  zonelistfile: \
         \"{dir}/zone.list\"\n  xfrdir: \"{dir}\"\n  logfile: \"{dir}/nsd.log\"\n  tcp-count: 1000\n  tcp-query-count: 0\n  \
         rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  name: {ZONE}\n  \
         zonefile: zone\n"
    );
    Plan::new(["-d".to_owned(), "-c".to_owned(), ground.path("nsd.conf")])
        .file("nsd.conf", text)
        .file("zone", zone(ground))
}

pub(super) fn knot(ground: &Ground<'_>) -> Plan {
    let (ip, port, dir) = (ground.address.ip(), ground.address.port(), ground.dir.display());
    let text = format!(
        "server:\n  listen: {ip}@{port}\n  rundir: \"{dir}\"\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         database:\n  storage: \"{dir}\"\nlog:\n  - target: \"{dir}/knot.log\"\n    any: warning\nzone:\n  - domain: {ZONE}\n    \
         storage: \"{dir}\"\n    file: zone\n"
    );
    Plan::new(["-c".to_owned(), ground.path("knot.conf")])
        .file("knot.conf", text)
        .file("zone", zone(ground))
}

pub(super) fn unbound_local(ground: &Ground<'_>) -> Plan {
    let mut own = format!("  local-zone: \"{ZONE}.\" static\n");
    for (name, address) in ground.hosts {
        own.push_str(&format!("  local-data: \"{name}. 3600 IN A {address}\"\n"));
    }
    unbound(ground, &own, "")
}

pub(super) fn unbound_forward(ground: &Ground<'_>) -> Plan {
    // The upstream's TTL is 0; this keeps unbound from holding the answers all the same.
    let own = "  cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n";
    unbound(ground, own, &forward_zone(ground))
}

pub(super) fn unbound_cache(ground: &Ground<'_>) -> Plan {
    unbound(ground, "", &forward_zone(ground))
}

fn forward_zone(ground: &Ground<'_>) -> String {
    let upstream = ground.upstream;
    format!(
        "forward-zone:\n  name: \".\"\n  forward-addr: {}@{}\n",
        upstream.ip(),
        upstream.port()
    )
}

fn unbound(ground: &Ground<'_>, own: &str, zones: &str) -> Plan {
    let (ip, port, dir) = (ground.address.ip(), ground.address.port(), ground.dir.display());
    let text = format!(
        "server:\n  num-threads: 1\n  interface: {ip}\n  port: {port}\n  access-control: 0.0.0.0/0 allow\n  username: \"\"\n  \
         chroot: \"\"\n  directory: \"{dir}\"\n  pidfile: \"{dir}/unbound.pid\"\n  logfile: \"{dir}/unbound.log\"\n  use-syslog: \
         no\n  do-daemonize: no\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  incoming-num-tcp: 1000\n  \
         num-queries-per-thread: 4096\n  outgoing-range: 8192\n  so-rcvbuf: 4m\n{own}{zones}remote-control:\n  \
         control-enable: no\n"
    );
    Plan::new(["-d".to_owned(), "-c".to_owned(), ground.path("unbound.conf")]).file("unbound.conf", text)
}

pub(super) fn dnsdist(ground: &Ground<'_>) -> Plan {
    dnsdist_with(ground, "")
}

pub(super) fn dnsdist_cache(ground: &Ground<'_>) -> Plan {
    dnsdist_with(ground, "getPool(\"\"):setCache(newPacketCache(10000))\n")
}

fn dnsdist_with(ground: &Ground<'_>, own: &str) -> Plan {
    // Without its look-up of security news.
    let text = format!(
        "setSecurityPollSuffix(\"\")\nsetACL({{\"0.0.0.0/0\"}})\nsetLocal(\"{}\")\nsetMaxUDPOutstanding(65535)\n\
         newServer({{address=\"{}\", checkName=\"check.{ZONE}.\"}})\n{own}",
        ground.address, ground.upstream
    );
    let args = ["--supervised", "--disable-syslog", "-C"].map(str::to_owned);
    Plan::new(args.into_iter().chain([ground.path("dnsdist.conf")])).file("dnsdist.conf", text)
}

fn zone(ground: &Ground<'_>) -> String {
    let mut text = format!(
        "$ORIGIN {ZONE}.\n$TTL 3600\n@ SOA ns.{ZONE}. hostmaster.{ZONE}. 1 7200 900 1209600 3600\n@ NS ns\nns A 192.0.2.53\n"
    );
    for (name, address) in ground.hosts {
        text.push_str(&format!("{name}. A {address}\n"));
    }
    text
}
