//! Counts what the server answers by itself, under the zone `dropped`, which can be no zone's name.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use catena_core::message::{Rcode, Request, Transport};
use catena_core::plugin::ServerObserver;
use catena_metrics::Counter;

use crate::metrics::{Answer, Families, Query, Site};

/// The value of the label `zone`.
const ZONE: &str = "dropped";

/// A header, and an OPT record without options.
const HEADER_LEN: usize = 12;
const OPT_LEN: usize = 11;

/// The server's one observer. It goes on through reloads, so that counters do.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    families: OnceLock<Arc<Families>>,
    /// One for each listener that has refused something. There are few, so they are found by their names.
    sites: ArcSwap<Vec<Arc<Site>>>,
    /// One for each status of each listener of HTTP or QUIC.
    statuses: ArcSwap<Vec<Arc<Status>>>,
}

/// Responses of one status.
#[derive(Debug)]
struct Status {
    server: Box<str>,
    transport: Transport,
    status: u64,
    count: Counter,
}

impl Dropped {
    pub(crate) fn set_families(&self, families: &Arc<Families>) {
        // The families of one registry are the same ones.
        let _ = self.families.set(Arc::clone(families));
    }

    #[cold]
    fn add(&self, server: &str) -> Arc<Site> {
        let site = Arc::new(Site::new(server, ZONE, "", ""));
        // When two workers do this at a time, two sites count with the same counters.
        self.sites.rcu(|sites| {
            let mut sites = Vec::clone(sites);
            sites.push(Arc::clone(&site));
            sites
        });
        site
    }

    #[cold]
    fn add_status(&self, families: &Families, server: &str, transport: Transport, status: u64) {
        let Some(count) = families.status(server, transport, status) else {
            return;
        };
        count.inc();
        let status = Arc::new(Status {
            server: server.into(),
            transport,
            status,
            count,
        });
        self.statuses.rcu(|statuses| {
            let mut statuses = Vec::clone(statuses);
            statuses.push(Arc::clone(&status));
            statuses
        });
    }
}

impl ServerObserver for Dropped {
    fn refused(&self, request: &Request, rcode: Rcode) {
        let Some(families) = self.families.get() else {
            return;
        };
        let query = Query {
            datagram: request.transport().is_datagram(),
            ipv6: request.peer().ip().to_canonical().is_ipv6(),
            qtype: request.qtype_code(),
            dnssec_ok: request.dnssec_ok(),
            size: request.wire().len(),
        };
        let opt = if request.edns().is_some() { OPT_LEN } else { 0 };
        let answer = Answer {
            rcode,
            written: false,
            size: HEADER_LEN + request.question().len() + opt,
            seconds: request.received().elapsed().as_secs_f64(),
        };
        let sites = self.sites.load();
        match sites.iter().find(|site| *site.server() == **request.server()) {
            Some(site) => site.count(families, &query, &answer),
            None => self.add(request.server()).count(families, &query, &answer),
        }
    }

    fn responded(&self, server: &str, transport: Transport, status: u64) {
        let Some(families) = self.families.get() else {
            return;
        };
        let statuses = self.statuses.load();
        let known = statuses
            .iter()
            .find(|known| known.status == status && known.transport == transport && *known.server == *server);
        match known {
            Some(known) => known.count.inc(),
            None => self.add_status(families, server, transport, status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::message::QueryBuilder;
    use catena_metrics::Registry;

    #[test]
    fn refused_queries_are_counted_for_their_listener() {
        let registry = Registry::default();
        let dropped = Dropped::default();
        let query = QueryBuilder::new("a.example.com.", 1_u16)
            .unwrap()
            .edns(1232, true);
        let request = query.to_request().unwrap();
        dropped.refused(&request, Rcode::REFUSED);
        dropped.set_families(&Arc::new(Families::new(&registry)));
        for _ in 0..3 {
            dropped.refused(&request, Rcode::REFUSED);
        }
        let mut text = String::new();
        registry.encode_text(&mut text);
        for want in [
            "coredns_dns_responses_total{plugin=\"\",rcode=\"REFUSED\",server=\"dns://:53\",view=\"\",zone=\"dropped\"} 3\n",
            "coredns_dns_do_requests_total{server=\"dns://:53\",view=\"\",zone=\"dropped\"} 3\n",
            "coredns_dns_response_size_bytes_sum{proto=\"udp\",server=\"dns://:53\",view=\"\",zone=\"dropped\"} 126\n",
        ] {
            assert!(text.contains(want), "{text}");
        }
    }
}
