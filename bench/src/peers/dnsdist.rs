//! dnsdist: one thread for datagrams and one for connections, otherwise as it ships.

use super::{Ground, PATIENCE_SECONDS, Plan, ZONE};
use crate::tls::NAME;

pub(super) fn forward(ground: &Ground<'_>) -> Plan {
    plan(ground, "", "")
}

pub(super) fn cache(ground: &Ground<'_>) -> Plan {
    plan(ground, "", SMALL_CACHE)
}

pub(super) fn cache_million(ground: &Ground<'_>) -> Plan {
    plan(ground, "", "getPool(\"\"):setCache(newPacketCache(1100000))\n")
}

/// With several queries in flight on a connection to the upstream, which it does only when told.
pub(super) fn forward_dot(ground: &Ground<'_>) -> Plan {
    let (certificate, _) = ground.identity();
    let server = format!(
        ", tls=\"openssl\", subjectName=\"{NAME}\", caStore=\"{certificate}\", validateCertificates=true, maxInFlight=100"
    );
    plan(ground, &server, "")
}

pub(super) fn dot(ground: &Ground<'_>) -> Plan {
    let ((certificate, key), secure) = (ground.identity(), ground.secure);
    let own = format!(
        "{SMALL_CACHE}setTCPRecvTimeout({PATIENCE_SECONDS})\naddTLSLocal(\"{secure}\", \"{certificate}\", \"{key}\", \
         {{provider=\"openssl\"}})\n"
    );
    plan(ground, "", &own)
}

pub(super) fn doh(ground: &Ground<'_>) -> Plan {
    let ((certificate, key), secure) = (ground.identity(), ground.secure);
    let own = format!(
        "{SMALL_CACHE}addDOHLocal(\"{secure}\", \"{certificate}\", \"{key}\", \"/dns-query\", \
         {{idleTimeout={PATIENCE_SECONDS}}})\n"
    );
    plan(ground, "", &own)
}

fn plan(ground: &Ground<'_>, server: &str, own: &str) -> Plan {
    // Without its look-up of security news.
    let text = format!(
        "setSecurityPollSuffix(\"\")\nsetACL({{\"0.0.0.0/0\"}})\nsetLocal(\"{}\")\nsetMaxUDPOutstanding(65535)\n\
         setMaxTCPClientThreads(1)\nnewServer({{address=\"{}\", checkName=\"check.{ZONE}.\"{server}}})\n{own}",
        ground.address, ground.upstream
    );
    let args = ["--supervised", "--disable-syslog", "-C"].map(str::to_owned);
    Plan::new(args.into_iter().chain([ground.path("dnsdist.conf")])).file("dnsdist.conf", text)
}

const SMALL_CACHE: &str = "getPool(\"\"):setCache(newPacketCache(10000))\n";
