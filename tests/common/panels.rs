//! What dashboards and alerts that were made for CoreDNS ask for.

use std::collections::BTreeMap;

/// The name of a sample, and its labels.
pub type Sample = (String, BTreeMap<String, String>);

/// A query of a dashboard or an alert, as data: the metric, the labels that the query demands with their values, and
/// those by which it adds up.
#[derive(Debug)]
pub struct Panel {
    metric: &'static str,
    demands: &'static [(&'static str, &'static str)],
    by: &'static [&'static str],
}

const fn panel(
    metric: &'static str,
    demands: &'static [(&'static str, &'static str)],
    by: &'static [&'static str],
) -> Panel {
    Panel { metric, demands, by }
}

const UDP: &[(&str, &str)] = &[("proto", "udp")];
const TCP: &[(&str, &str)] = &[("proto", "tcp")];
const OF_FORWARD: &[(&str, &str)] = &[("proxy_name", "forward")];
const FORWARD_FAILS: &[(&str, &str)] = &[("proxy_name", "forward"), ("rcode", "SERVFAIL")];
const SERVFAIL: &[(&str, &str)] = &[("rcode", "SERVFAIL")];

/// Grafana's dashboard 14981, "CoreDNS" for its versions since 1.7; 12539 and 5926 before it have the same panels.
const GRAFANA_14981: &[Panel] = &[
    panel("coredns_dns_requests_total", &[], &["proto"]),
    panel("coredns_dns_requests_total", &[], &["type"]),
    panel("coredns_dns_requests_total", &[], &["zone"]),
    panel("coredns_dns_do_requests_total", &[], &[]),
    panel("coredns_dns_request_size_bytes_bucket", UDP, &["le", "proto"]),
    panel("coredns_dns_request_size_bytes_bucket", TCP, &["le", "proto"]),
    panel("coredns_dns_responses_total", &[], &["rcode"]),
    panel("coredns_dns_request_duration_seconds_bucket", &[], &["le"]),
    panel("coredns_dns_response_size_bytes_bucket", UDP, &["le", "proto"]),
    panel("coredns_dns_response_size_bytes_bucket", TCP, &["le", "proto"]),
    panel("coredns_cache_entries", &[], &["type"]),
    panel("coredns_cache_hits_total", &[], &["type"]),
    panel("coredns_cache_misses_total", &[], &[]),
];

/// Grafana's dashboard 15762, "Kubernetes / System / CoreDNS".
const GRAFANA_15762: &[Panel] = &[
    panel("coredns_build_info", &[], &[]),
    panel("coredns_dns_requests_total", UDP, &["proto"]),
    panel("coredns_dns_requests_total", &[], &["type"]),
    panel("coredns_dns_responses_total", &[], &["rcode"]),
    panel("coredns_dns_request_duration_seconds_bucket", &[], &["le"]),
    panel("coredns_dns_request_size_bytes_bucket", &[], &["le"]),
    panel("coredns_dns_request_size_bytes_sum", UDP, &["proto"]),
    panel("coredns_dns_request_size_bytes_count", UDP, &["proto"]),
    panel("coredns_dns_response_size_bytes_bucket", &[], &["le"]),
    panel("coredns_cache_entries", &[], &["type"]),
    panel("coredns_cache_hits_total", &[], &["type"]),
    panel("coredns_cache_misses_total", &[], &[]),
    panel("coredns_proxy_request_duration_seconds_count", OF_FORWARD, &[]),
    panel(
        "coredns_proxy_request_duration_seconds_count",
        FORWARD_FAILS,
        &["rcode"],
    ),
    panel("process_cpu_seconds_total", &[], &[]),
    panel("process_resident_memory_bytes", &[], &[]),
];

/// The alerts of coredns-mixin. Its metrics `coredns_forward_*` of upstreams stand under the names that CoreDNS has for
/// them since 1.11, as 1.14.7 has no others.
const MIXIN_ALERTS: &[Panel] = &[
    panel(
        "coredns_dns_request_duration_seconds_bucket",
        &[],
        &["server", "zone", "le"],
    ),
    panel(
        "coredns_dns_responses_total",
        SERVFAIL,
        &["server", "zone", "view", "plugin"],
    ),
    panel(
        "coredns_dns_responses_total",
        &[],
        &["server", "zone", "view", "plugin"],
    ),
    panel(
        "coredns_proxy_request_duration_seconds_bucket",
        OF_FORWARD,
        &["to", "le"],
    ),
    panel(
        "coredns_proxy_request_duration_seconds_count",
        FORWARD_FAILS,
        &["to"],
    ),
    panel("coredns_proxy_healthcheck_failures_total", OF_FORWARD, &["to"]),
    panel("coredns_forward_healthcheck_broken_total", &[], &[]),
    panel("coredns_panics_total", &[], &[]),
];

/// The panels of coredns-mixin's dashboard that the alerts do not have. `go_goroutines` is not there: nothing of this server
/// is written in Go.
const MIXIN_DASHBOARD: &[Panel] = &[
    panel("coredns_plugin_enabled", &[], &["name"]),
    panel("coredns_dns_requests_total", &[], &["type", "zone"]),
    panel(
        "coredns_proxy_request_duration_seconds_count",
        OF_FORWARD,
        &["to"],
    ),
    panel(
        "coredns_dns_request_size_bytes_bucket",
        &[],
        &["server", "zone", "proto", "le"],
    ),
    panel(
        "coredns_dns_response_size_bytes_bucket",
        &[],
        &["server", "zone", "proto", "le"],
    ),
    panel("coredns_cache_hits_total", &[], &["type"]),
];

/// All of them, with the names of their sources.
pub const SOURCES: [(&str, &[Panel]); 4] = [
    ("Grafana 14981", GRAFANA_14981),
    ("Grafana 15762", GRAFANA_15762),
    ("the alerts of coredns-mixin", MIXIN_ALERTS),
    ("the dashboard of coredns-mixin", MIXIN_DASHBOARD),
];

impl Panel {
    /// Whether there is no series for it among the samples.
    pub fn is_missing(&self, samples: &[Sample]) -> bool {
        !samples.iter().any(|(name, labels)| {
            let has = |(label, value): &(&str, &str)| labels.get(*label).is_some_and(|has| has == value);
            name == self.metric
                && self.demands.iter().all(has)
                && self.by.iter().all(|label| labels.contains_key(*label))
        })
    }

    /// Its expression, in the manner of dashboards.
    pub fn expression(&self) -> String {
        let demands: Vec<String> = self
            .demands
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let selector = format!("{}{{{}}}", self.metric, demands.join(","));
        let grows = ["_total", "_bucket"].iter().any(|end| self.metric.ends_with(end));
        let value = if grows {
            format!("rate({selector}[1m])")
        } else {
            selector
        };
        let sum = format!("sum by ({}) ({value})", self.by.join(","));
        if self.metric.ends_with("_bucket") {
            format!("histogram_quantile(0.99, {sum})")
        } else {
            sum
        }
    }
}

/// The samples of a text: name and labels of each.
pub fn samples(text: &str) -> Vec<Sample> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (sample, _) = line.rsplit_once(' ').expect(line);
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            let labels = labels
                .trim_end_matches('}')
                .split("\",")
                .filter(|label| !label.is_empty());
            let pair = |label: &str| {
                let (name, value) = label.split_once("=\"").expect(line);
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            };
            (name.to_owned(), labels.map(pair).collect())
        })
        .collect()
}
