//! nsd, knot and knot-resolver.
//!
//! Each has one thread for queries, answers without rate limits, and is otherwise as it ships.

use super::{Ground, PATIENCE_SECONDS, Plan};

/// The zone that holds all names of a run.
pub(crate) const ZONE: &str = "bench.example.org";

pub(super) fn nsd(ground: &Ground<'_>) -> Plan {
    nsd_with(ground, "  tcp-count: 1000\n")
}

pub(super) fn nsd_dot(ground: &Ground<'_>) -> Plan {
    let ((certificate, key), secure) = (ground.identity(), ground.secure);
    let own = format!(
        "  tcp-count: {}\n  tcp-timeout: {PATIENCE_SECONDS}\n  ip-address: {}@{}\n  tls-port: {}\n  \
         tls-service-key: \"{key}\"\n  tls-service-pem: \"{certificate}\"\n",
        ground.connections,
        secure.ip(),
        secure.port(),
        secure.port(),
    );
    nsd_with(ground, &own)
}

fn nsd_with(ground: &Ground<'_>, own: &str) -> Plan {
    let (ip, port, dir) = (ground.address.ip(), ground.address.port(), ground.dir.display());
    let text = format!(
        "server:\n  server-count: 1\n  ip-address: {ip}@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{dir}\"\n  \
         database: \"\"\n  pidfile: \"{dir}/nsd.pid\"\n  xfrdfile: \"{dir}/xfrd.state\"\n  zonelistfile: \
         \"{dir}/zone.list\"\n  xfrdir: \"{dir}\"\n  logfile: \"{dir}/nsd.log\"\n  tcp-query-count: 0\n  \
         rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n{own}remote-control:\n  control-enable: no\nzone:\n  name: {ZONE}\n  \
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

pub(super) fn kresd_dot(ground: &Ground<'_>) -> Plan {
    kresd(ground, "tls")
}

pub(super) fn kresd_doh(ground: &Ground<'_>) -> Plan {
    kresd(ground, "doh2")
}

/// Answers from its cache, without validation.
fn kresd(ground: &Ground<'_>, kind: &str) -> Plan {
    let (address, secure, upstream) = (ground.address, ground.secure, ground.upstream);
    let (certificate, key) = ground.identity();
    let text = format!(
        "net.listen('{}', {}, {{ kind = 'dns' }})\nnet.listen('{}', {}, {{ kind = '{kind}' }})\n\
         net.tls('{certificate}', '{key}')\nnet.tcp_in_idle({PATIENCE_SECONDS}000)\ntrust_anchors.remove('.')\n\
         cache.open(100 * MB, 'lmdb://{}')\npolicy.add(policy.all(policy.STUB('{}@{}')))\n",
        address.ip(),
        address.port(),
        secure.ip(),
        secure.port(),
        ground.path("cache"),
        upstream.ip(),
        upstream.port(),
    );
    let dir = ground.dir.display().to_string();
    Plan::new([
        "--noninteractive".to_owned(),
        "--config".to_owned(),
        ground.path("kresd.conf"),
        dir,
    ])
    .file("kresd.conf", text)
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
