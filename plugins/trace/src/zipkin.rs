//! Spans for Zipkin: version 2 of its interface, in JSON.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::exporter::Service;
use crate::span::{About, Query, Span};

/// The spans as they are sent.
pub(crate) fn encode(spans: &[Span], service: &Service) -> Vec<u8> {
    let endpoint = endpoint(service);
    let list: Vec<Value> = spans
        .iter()
        .map(|span| described(span, endpoint.as_ref()))
        .collect();
    Value::Array(list).to_string().into_bytes()
}

/// A trace's number as Zipkin and the log show it: 16 digits, or 32 where that is not enough.
pub(crate) fn trace_text(trace: u128) -> String {
    if trace >> 64 == 0 {
        format!("{trace:016x}")
    } else {
        format!("{trace:032x}")
    }
}

fn described(span: &Span, endpoint: Option<&Value>) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("timestamp", json!(micros(span.start)));
    // Zipkin has no shorter ones than a microsecond.
    let duration = (span.duration + Duration::from_nanos(500)).as_micros().max(1);
    put("duration", json!(duration as u64));
    put("traceId", json!(trace_text(span.trace)));
    put("id", json!(id_text(span.id)));
    if let Some(parent) = span.parent {
        put("parentId", json!(id_text(parent)));
    }
    put("name", json!(span.name));
    if let Some(endpoint) = endpoint {
        put("localEndpoint", endpoint.clone());
    }
    match &span.about {
        About::Plugin => {}
        About::Ask(upstream) => put("tags", json!({ "peer.address": upstream.to_string() })),
        About::Query(query) => {
            put("kind", json!("SERVER"));
            put("tags", tags(query));
            if query.shared {
                put("shared", json!(true));
            }
            if let Some(error) = &query.error {
                put("annotations", annotations(error, span.start + span.duration));
            }
        }
    }
    Value::Object(fields)
}

fn tags(query: &Query) -> Value {
    let tags = query.tags().into_iter();
    let mut tags: Map<String, Value> = tags
        .map(|(name, value)| (format!("coredns.io/{name}"), Value::String(value)))
        .collect();
    if query.error.is_some() {
        tags.insert("error".to_owned(), json!("true"));
    }
    Value::Object(tags)
}

/// What OpenTracing logs of an error.
fn annotations(error: &str, at: SystemTime) -> Value {
    let at = micros(at);
    json!([
        { "timestamp": at, "value": "event:error" },
        { "timestamp": at, "value": format!("error.object:{error}") },
    ])
}

fn endpoint(service: &Service) -> Option<Value> {
    let mut fields = Map::new();
    if !service.name.is_empty() {
        fields.insert("serviceName".to_owned(), json!(service.name));
    }
    if let Some(address) = service.address {
        let family = match address {
            SocketAddr::V4(_) => "ipv4",
            SocketAddr::V6(_) => "ipv6",
        };
        fields.insert(family.to_owned(), json!(address.ip().to_string()));
        fields.insert("port".to_owned(), json!(address.port()));
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn id_text(id: u64) -> String {
    format!("{id:016x}")
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{query, span};

    fn encoded(spans: &[Span], service: &Service) -> Value {
        serde_json::from_slice(&encode(spans, service)).unwrap()
    }

    fn service(address: Option<&str>) -> Service {
        Service {
            name: "coredns".to_owned(),
            address: address.map(|address| address.parse().unwrap()),
        }
    }

    #[test]
    fn a_query_is_told_with_its_tags() {
        let about = About::Query(Box::new(Query {
            shared: true,
            ..query()
        }));
        assert_eq!(
            encoded(&[span("servedns", about)], &service(Some("192.0.2.1:53"))),
            json!([{
                "timestamp": 1_000_000,
                "duration": 1500,
                "traceId": "000000000000001f",
                "id": "000000000000002f",
                "parentId": "000000000000003f",
                "name": "servedns",
                "kind": "SERVER",
                "shared": true,
                "localEndpoint": { "serviceName": "coredns", "ipv4": "192.0.2.1", "port": 53 },
                "tags": {
                    "coredns.io/name": "a.example.org.",
                    "coredns.io/type": "A",
                    "coredns.io/rcode": "NOERROR",
                    "coredns.io/proto": "udp",
                    "coredns.io/remote": "192.0.2.53",
                },
            }])
        );
    }

    #[test]
    fn an_error_is_a_tag_and_two_notes() {
        let error = Some("plugin/erratic: no \"luck\"".to_owned());
        let about = About::Query(Box::new(Query { error, ..query() }));
        let spans = encoded(&[span("servedns", about)], &service(None));
        assert_eq!(spans[0]["tags"]["error"], "true");
        assert_eq!(
            spans[0]["annotations"],
            json!([
                { "timestamp": 1_001_500, "value": "event:error" },
                { "timestamp": 1_001_500, "value": "error.object:plugin/erratic: no \"luck\"" },
            ])
        );
    }

    #[test]
    fn a_plugin_has_its_name_and_an_upstream_its_address() {
        let mut root = span("cache", About::Plugin);
        root.parent = None;
        root.trace = 1 << 64;
        root.duration = Duration::from_nanos(3);
        let upstream = About::Ask("[2001:db8::1]:53".parse().unwrap());
        let spans = encoded(
            &[root, span("connect", upstream)],
            &service(Some("[2001:db8::1]:53")),
        );
        assert_eq!(spans[0].get("parentId"), None);
        assert_eq!(spans[0].get("tags"), None);
        assert_eq!(spans[0]["duration"], 1);
        assert_eq!(spans[0]["traceId"], "00000000000000010000000000000000");
        assert_eq!(spans[0]["localEndpoint"]["ipv6"], "2001:db8::1");
        assert_eq!(spans[1]["tags"], json!({ "peer.address": "[2001:db8::1]:53" }));
        let nameless = Service {
            name: String::new(),
            address: None,
        };
        let spans = encoded(&[span("cache", About::Plugin)], &nameless);
        assert_eq!(spans[0].get("localEndpoint"), None);
    }
}
