//! The metrics of queries. Names, labels, help texts and buckets are CoreDNS's.

use std::sync::OnceLock;

use catena_core::message::{Rcode, Transport};
use catena_metrics::{Counter, CounterFamily, Histogram, HistogramFamily, Registry, TIME_BUCKETS};

/// Upper bounds of sizes in bytes.
const SIZE_BUCKETS: [f64; 14] = [
    0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16e3, 32e3, 48e3, 64e3,
];

/// Values of the label `proto`.
const PROTOCOLS: [&str; 2] = ["udp", "tcp"];

/// Values of the label `family`: IPv4 and IPv6.
const ADDRESS_FAMILIES: [&str; 2] = ["1", "2"];

/// Query types with a label of their own, and the one for all others at the end.
const TYPES: [(u16, &str); 20] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (43, "DS"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (50, "NSEC3"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (0, "other"),
];

/// Where a type's label stands in [`TYPES`], for the codes that there are labels for; the last place for all others.
const TYPE_PLACES: [u8; 256] = {
    let mut places = [TYPES.len() as u8 - 1; 256];
    let mut place = 0;
    while place < TYPES.len() - 1 {
        places[TYPES[place].0 as usize] = place as u8;
        place += 1;
    }
    places
};

/// RCODEs whose counters are kept at hand; those beyond need an extended RCODE and are rare.
const COMMON_RCODES: usize = 24;

/// The families of all zones.
#[derive(Debug)]
pub(crate) struct Families {
    requests: CounterFamily,
    do_requests: CounterFamily,
    duration: HistogramFamily,
    request_size: HistogramFamily,
    response_size: HistogramFamily,
    responses: CounterFamily,
    https_responses: CounterFamily,
    https3_responses: CounterFamily,
    quic_responses: CounterFamily,
}

impl Families {
    pub(crate) fn new(registry: &Registry) -> Self {
        let sizes =
            |name, help| registry.histogram(name, help, &["server", "zone", "view", "proto"], &SIZE_BUCKETS);
        Self {
            requests: registry.counter(
                "coredns_dns_requests_total",
                "Counter of DNS requests made per zone, protocol and family.",
                &["server", "zone", "view", "proto", "family", "type"],
            ),
            do_requests: registry.counter(
                "coredns_dns_do_requests_total",
                "Counter of DNS requests with DO bit set per zone.",
                &["server", "zone", "view"],
            ),
            duration: registry.histogram(
                "coredns_dns_request_duration_seconds",
                "Histogram of the time (in seconds) each request took per zone.",
                &["server", "zone", "view"],
                &TIME_BUCKETS,
            ),
            request_size: sizes(
                "coredns_dns_request_size_bytes",
                "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
            ),
            response_size: sizes(
                "coredns_dns_response_size_bytes",
                "Size of the returned response in bytes.",
            ),
            responses: registry.counter(
                "coredns_dns_responses_total",
                "Counter of response status codes.",
                &["server", "zone", "view", "rcode", "plugin"],
            ),
            https_responses: registry.counter(
                "coredns_dns_https_responses_total",
                "Counter of DoH responses per server and http status code.",
                &["server", "status"],
            ),
            https3_responses: registry.counter(
                "coredns_dns_https3_responses_total",
                "Counter of DoH3 responses per server and http status code.",
                &["server", "status"],
            ),
            quic_responses: registry.counter(
                "coredns_dns_quic_responses_total",
                "Counter of DoQ responses per server and QUIC application code.",
                &["server", "status"],
            ),
        }
    }

    /// The counter of responses with a status of HTTP or QUIC, where a transport has one.
    pub(crate) fn status(&self, server: &str, transport: Transport, status: u64) -> Option<Counter> {
        match transport {
            Transport::Https => Some(self.https_responses.with(&[server, &status.to_string()])),
            Transport::Https3 => Some(self.https3_responses.with(&[server, &status.to_string()])),
            Transport::Quic => Some(self.quic_responses.with(&[server, &format!("{status:#x}")])),
            _ => None,
        }
    }
}

/// What is counted of one query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    /// It came over datagrams.
    pub(crate) datagram: bool,
    /// Its client has an IPv6 address.
    pub(crate) ipv6: bool,
    pub(crate) qtype: u16,
    pub(crate) dnssec_ok: bool,
    /// Bytes as they came.
    pub(crate) size: usize,
}

/// What is counted of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) rcode: Rcode,
    /// A plugin wrote it; else the server makes it of the RCODE, or there is none.
    pub(crate) written: bool,
    /// Bytes without compression; none if no plugin wrote it.
    pub(crate) size: usize,
    pub(crate) seconds: f64,
}

/// The metrics of one zone on one listener, made when they are first counted and kept from then on: counting takes no
/// lock and looks nothing up.
#[derive(Debug)]
pub(crate) struct Site {
    server: Box<str>,
    zone: Box<str>,
    view: Box<str>,
    /// The value of the label `plugin` of answers that a plugin wrote.
    plugin: Box<str>,
    requests: [[[OnceLock<Counter>; TYPES.len()]; 2]; 2],
    do_requests: OnceLock<Counter>,
    duration: OnceLock<Histogram>,
    sizes: [OnceLock<(Histogram, Histogram)>; 2],
    responses: [[OnceLock<Counter>; COMMON_RCODES]; 2],
}

impl Site {
    pub(crate) fn new(server: &str, zone: &str, view: &str, plugin: &str) -> Self {
        Self {
            server: server.into(),
            zone: zone.into(),
            view: view.into(),
            plugin: plugin.into(),
            requests: [const { [const { [const { OnceLock::new() }; TYPES.len()] }; 2] }; 2],
            do_requests: OnceLock::new(),
            duration: OnceLock::new(),
            sizes: [const { OnceLock::new() }; 2],
            responses: [const { [const { OnceLock::new() }; COMMON_RCODES] }; 2],
        }
    }

    /// The listener's label.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Counts a query with its answer.
    pub(crate) fn count(&self, families: &Families, query: &Query, answer: &Answer) {
        let labels = [&*self.server, &*self.zone, &*self.view];
        let [server, zone, view] = labels;
        let protocol = usize::from(!query.datagram);
        let family = usize::from(query.ipv6);
        let qtype = usize::from(
            *TYPE_PLACES
                .get(usize::from(query.qtype))
                .unwrap_or(&(TYPES.len() as u8 - 1)),
        );
        if query.dnssec_ok {
            self.do_requests
                .get_or_init(|| families.do_requests.with(&labels))
                .inc();
        }
        self.requests[protocol][family][qtype]
            .get_or_init(|| {
                let values = [
                    server,
                    zone,
                    view,
                    PROTOCOLS[protocol],
                    ADDRESS_FAMILIES[family],
                    TYPES[qtype].1,
                ];
                families.requests.with(&values)
            })
            .inc();
        self.duration
            .get_or_init(|| families.duration.with(&labels))
            .observe(answer.seconds);
        let (requests, responses) = self.sizes[protocol].get_or_init(|| {
            let values = [server, zone, view, PROTOCOLS[protocol]];
            (
                families.request_size.with(&values),
                families.response_size.with(&values),
            )
        });
        requests.observe(query.size as f64);
        responses.observe(answer.size as f64);
        self.count_rcode(families, answer);
    }

    fn count_rcode(&self, families: &Families, answer: &Answer) {
        let plugin = if answer.written { &*self.plugin } else { "" };
        let find = || {
            let rcode = rcode_name(answer.rcode);
            families
                .responses
                .with(&[&self.server, &self.zone, &self.view, &rcode, plugin])
        };
        let known = &self.responses[usize::from(answer.written)];
        match known.get(usize::from(answer.rcode.code())) {
            Some(known) => known.get_or_init(find).inc(),
            None => find().inc(),
        }
    }
}

/// The value of the label `rcode`; codes without a name differ from what logs show.
fn rcode_name(rcode: Rcode) -> String {
    rcode
        .name()
        .map_or_else(|| format!("RCODE{}", rcode.code()), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: Query = Query {
        datagram: true,
        ipv6: false,
        qtype: 1,
        dnssec_ok: false,
        size: 31,
    };

    const ANSWER: Answer = Answer {
        rcode: Rcode::NOERROR,
        written: true,
        size: 100,
        seconds: 0.1,
    };

    fn text(count: impl FnOnce(&Families, &Site)) -> String {
        let registry = Registry::default();
        count(
            &Families::new(&registry),
            &Site::new("dns://:53", "example.org.", "", "cache"),
        );
        let mut text = String::new();
        registry.encode_text(&mut text);
        text
    }

    fn samples(text: &str, name: &str) -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with(name))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_type_has_its_label_or_is_other() {
        for (code, want) in [
            (1, "A"),
            (28, "AAAA"),
            (50, "NSEC3"),
            (64, "SVCB"),
            (65, "HTTPS"),
            (251, "IXFR"),
            (252, "AXFR"),
            (255, "ANY"),
            (0, "other"),
            (35, "other"),
            (257, "other"),
            (65535, "other"),
        ] {
            let text = text(|families, site| site.count(families, &Query { qtype: code, ..QUERY }, &ANSWER));
            assert_eq!(
                samples(&text, "coredns_dns_requests_total"),
                [format!(
                    "coredns_dns_requests_total{{family=\"1\",proto=\"udp\",server=\"dns://:53\",type=\"{want}\",view=\"\",\
                     zone=\"example.org.\"}} 1"
                )],
                "type {code}"
            );
        }
    }

    #[test]
    fn labels_tell_protocol_family_and_the_do_bit() {
        let text = text(|families, site| {
            site.count(
                families,
                &Query {
                    datagram: false,
                    ipv6: true,
                    dnssec_ok: true,
                    ..QUERY
                },
                &ANSWER,
            );
            site.count(families, &QUERY, &ANSWER);
        });
        let requests = samples(&text, "coredns_dns_requests_total");
        assert!(
            requests[0].contains("family=\"1\",proto=\"udp\"")
                && requests[1].contains("family=\"2\",proto=\"tcp\"")
        );
        assert_eq!(
            samples(&text, "coredns_dns_do_requests_total"),
            ["coredns_dns_do_requests_total{server=\"dns://:53\",view=\"\",zone=\"example.org.\"} 1"]
        );
    }

    #[test]
    fn rcodes_have_a_name_or_a_number_and_the_plugin_that_wrote() {
        for (rcode, written, want) in [
            (Rcode::NOERROR, true, "plugin=\"cache\",rcode=\"NOERROR\""),
            (Rcode::NOERROR, false, "plugin=\"\",rcode=\"NOERROR\""),
            (Rcode::SERVFAIL, false, "plugin=\"\",rcode=\"SERVFAIL\""),
            (Rcode(12), true, "plugin=\"cache\",rcode=\"RCODE12\""),
            (Rcode::BADCOOKIE, true, "plugin=\"cache\",rcode=\"BADCOOKIE\""),
            (Rcode(4095), true, "plugin=\"cache\",rcode=\"RCODE4095\""),
        ] {
            let text = text(|families, site| {
                for _ in 0..2 {
                    site.count(
                        families,
                        &QUERY,
                        &Answer {
                            rcode,
                            written,
                            ..ANSWER
                        },
                    );
                }
            });
            let responses = samples(&text, "coredns_dns_responses_total");
            assert!(
                responses[0].contains(want) && responses[0].ends_with(" 2"),
                "{responses:?}"
            );
        }
    }

    #[test]
    fn sizes_and_durations_fall_into_coredns_buckets() {
        let text = text(|families, site| site.count(families, &QUERY, &ANSWER));
        let bounds = |name: &str| -> Vec<String> {
            let bound = |line: String| {
                line.split("le=\"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next().map(str::to_owned))
            };
            samples(&text, name).into_iter().filter_map(bound).collect()
        };
        let sizes = [
            "0", "100", "200", "300", "400", "511", "1023", "2047", "4095", "8291", "16000", "32000",
            "48000", "64000", "+Inf",
        ];
        assert_eq!(bounds("coredns_dns_request_size_bytes_bucket"), sizes);
        assert_eq!(bounds("coredns_dns_response_size_bytes_bucket"), sizes);
        assert_eq!(bounds("coredns_dns_request_duration_seconds_bucket").len(), 17);
        assert!(text.contains("coredns_dns_request_size_bytes_sum{proto=\"udp\",server=\"dns://:53\",view=\"\",zone=\"example.org.\"} 31\n"));
        assert!(text.contains("coredns_dns_response_size_bytes_sum{proto=\"udp\",server=\"dns://:53\",view=\"\",zone=\"example.org.\"} 100\n"));
    }
}
