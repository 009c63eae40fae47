//! unbound: one thread, answers without validation, otherwise as it ships.

use super::{Ground, PATIENCE_SECONDS, Plan, ZONE};
use crate::tls::NAME;

pub(super) fn local(ground: &Ground<'_>) -> Plan {
    plan(ground, &data(ground), "")
}

pub(super) fn forward(ground: &Ground<'_>) -> Plan {
    plan(ground, KEEP_NOTHING, &forward_zone(ground, "", ""))
}

pub(super) fn forward_dot(ground: &Ground<'_>) -> Plan {
    let (certificate, _) = ground.identity();
    let own = format!("{KEEP_NOTHING}  tls-cert-bundle: \"{certificate}\"\n");
    let zone = forward_zone(ground, &format!("#{NAME}"), "  forward-tls-upstream: yes\n");
    plan(ground, &own, &zone)
}

pub(super) fn cache(ground: &Ground<'_>) -> Plan {
    plan(ground, "", &forward_zone(ground, "", ""))
}

/// Room for about 10,000 answers: each has a message and a record set.
pub(super) fn cache_small(ground: &Ground<'_>) -> Plan {
    let own = "  msg-cache-size: 4m\n  rrset-cache-size: 4m\n  msg-cache-slabs: 1\n  rrset-cache-slabs: 1\n";
    plan(ground, own, &forward_zone(ground, "", ""))
}

pub(super) fn cache_million(ground: &Ground<'_>) -> Plan {
    let own = "  msg-cache-size: 1g\n  rrset-cache-size: 1g\n";
    plan(ground, own, &forward_zone(ground, "", ""))
}

pub(super) fn dot(ground: &Ground<'_>) -> Plan {
    secure(ground, "tls-port", "")
}

pub(super) fn doh(ground: &Ground<'_>) -> Plan {
    secure(ground, "https-port", "")
}

pub(super) fn dot_idle(ground: &Ground<'_>) -> Plan {
    secure(ground, "tls-port", &patience(ground))
}

pub(super) fn doh_idle(ground: &Ground<'_>) -> Plan {
    secure(ground, "https-port", &patience(ground))
}

/// It wants two descriptors for each connection that it allows, and closes idle ones when half of them are there.
fn patience(ground: &Ground<'_>) -> String {
    format!(
        "  tcp-idle-timeout: {PATIENCE_SECONDS}000\n  incoming-num-tcp: {}\n  outgoing-num-tcp: 1\n  outgoing-range: 64\n",
        ground.connections * 2
    )
}

fn secure(ground: &Ground<'_>, port: &str, own: &str) -> Plan {
    let ((certificate, key), secure) = (ground.identity(), ground.secure);
    let own = format!(
        "  interface: {}@{}\n  {port}: {}\n  tls-service-key: \"{key}\"\n  tls-service-pem: \"{certificate}\"\n  \
         {own}{}",
        secure.ip(),
        secure.port(),
        secure.port(),
        data(ground),
    );
    plan(ground, &own, "")
}

fn data(ground: &Ground<'_>) -> String {
    let mut text = format!("  local-zone: \"{ZONE}.\" static\n");
    for (name, address) in ground.hosts {
        text.push_str(&format!("  local-data: \"{name}. 3600 IN A {address}\"\n"));
    }
    text
}

fn forward_zone(ground: &Ground<'_>, name: &str, own: &str) -> String {
    let upstream = ground.upstream;
    format!(
        "forward-zone:\n  name: \".\"\n{own}  forward-addr: {}@{}{name}\n",
        upstream.ip(),
        upstream.port()
    )
}

fn plan(ground: &Ground<'_>, own: &str, zones: &str) -> Plan {
    let (ip, port, dir) = (ground.address.ip(), ground.address.port(), ground.dir.display());
    let text = format!(
        "server:\n  num-threads: 1\n  interface: {ip}@{port}\n  port: {port}\n  access-control: 0.0.0.0/0 allow\n  username: \"\"\n  \
         chroot: \"\"\n  directory: \"{dir}\"\n  pidfile: \"{dir}/unbound.pid\"\n  logfile: \"{dir}/unbound.log\"\n  use-syslog: \
         no\n  do-daemonize: no\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  incoming-num-tcp: 1000\n  \
         num-queries-per-thread: 4096\n  outgoing-range: 8192\n  so-rcvbuf: 4m\n{own}{zones}remote-control:\n  \
         control-enable: no\n"
    );
    Plan::new(["-d".to_owned(), "-c".to_owned(), ground.path("unbound.conf")]).file("unbound.conf", text)
}

/// The upstream's TTL is 0; this keeps unbound from holding the answers all the same.
const KEEP_NOTHING: &str = "  cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n";
