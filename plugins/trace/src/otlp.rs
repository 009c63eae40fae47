//! Spans for OpenTelemetry: its protocol over HTTP, in JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::exporter::Service;
use crate::span::{About, Span};

/// Kinds of spans, as opentelemetry-proto numbers them.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// The status of a span that ended with an error.
const STATUS_ERROR: u8 = 2;

/// The spans as they are sent.
pub(crate) fn encode(spans: &[Span], service: &Service) -> Vec<u8> {
    let spans: Vec<Value> = spans.iter().map(described).collect();
    let mut resource = vec![attribute("service.name", &service.name)];
    if let Some(address) = service.address {
        resource.push(attribute("service.instance.id", &address.to_string()));
    }
    let scope = json!({ "name": "catena", "version": env!("CARGO_PKG_VERSION") });
    let request = json!({
        "resourceSpans": [{
            "resource": { "attributes": resource },
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }],
    });
    request.to_string().into_bytes()
}

/// A trace's number as OpenTelemetry shows it.
pub(crate) fn trace_text(trace: u128) -> String {
    format!("{trace:032x}")
}

fn described(span: &Span) -> Value {
    let (kind, attributes) = match &span.about {
        About::Plugin => (INTERNAL, Vec::new()),
        About::Ask(upstream) => (CLIENT, vec![attribute("peer.address", &upstream.to_string())]),
        About::Query(query) => {
            let tags = query.tags().into_iter();
            let tags = tags.map(|(name, value)| attribute(&format!("coredns.io/{name}"), &value));
            (SERVER, tags.collect())
        }
    };
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("traceId", json!(trace_text(span.trace)));
    put("spanId", json!(format!("{:016x}", span.id)));
    if let Some(parent) = span.parent {
        put("parentSpanId", json!(format!("{parent:016x}")));
    }
    put("name", json!(span.name));
    put("kind", json!(kind));
    put("startTimeUnixNano", nanos(span.start));
    put("endTimeUnixNano", nanos(span.start + span.duration));
    put("attributes", Value::Array(attributes));
    if let About::Query(query) = &span.about
        && let Some(error) = &query.error
    {
        put("status", json!({ "code": STATUS_ERROR, "message": error }));
    }
    Value::Object(fields)
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Numbers of 64 bits are text in the JSON of Protocol Buffers.
fn nanos(time: SystemTime) -> Value {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Value::String(since.as_nanos().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Query;
    use crate::testing::{query, span};

    #[test]
    fn the_request_is_what_a_collector_reads() {
        let error = Some("plugin/erratic: no luck".to_owned());
        let about = About::Query(Box::new(Query { error, ..query() }));
        let mut plugin = span("cache", About::Plugin);
        plugin.parent = None;
        let upstream = About::Ask("192.0.2.1:53".parse().unwrap());
        let service = Service {
            name: "dns".to_owned(),
            address: Some("192.0.2.9:53".parse().unwrap()),
        };
        let spans = [span("servedns", about), plugin, span("connect", upstream)];
        let sent: Value = serde_json::from_slice(&encode(&spans, &service)).unwrap();
        let resource = &sent["resourceSpans"][0];
        assert_eq!(
            resource["resource"]["attributes"],
            json!([
                { "key": "service.name", "value": { "stringValue": "dns" } },
                { "key": "service.instance.id", "value": { "stringValue": "192.0.2.9:53" } },
            ])
        );
        let spans = &resource["scopeSpans"][0]["spans"];
        assert_eq!(
            spans[0],
            json!({
                "traceId": "0000000000000000000000000000001f",
                "spanId": "000000000000002f",
                "parentSpanId": "000000000000003f",
                "name": "servedns",
                "kind": 2,
                "startTimeUnixNano": "1000000000",
                "endTimeUnixNano": "1001500000",
                "attributes": [
                    { "key": "coredns.io/name", "value": { "stringValue": "a.example.org." } },
                    { "key": "coredns.io/type", "value": { "stringValue": "A" } },
                    { "key": "coredns.io/rcode", "value": { "stringValue": "NOERROR" } },
                    { "key": "coredns.io/proto", "value": { "stringValue": "udp" } },
                    { "key": "coredns.io/remote", "value": { "stringValue": "192.0.2.53" } },
                ],
                "status": { "code": 2, "message": "plugin/erratic: no luck" },
            })
        );
        assert_eq!(
            (&spans[1]["kind"], spans[1].get("parentSpanId")),
            (&json!(1), None)
        );
        assert_eq!(spans[2]["kind"], 3);
        assert_eq!(spans[2]["attributes"][0]["value"]["stringValue"], "192.0.2.1:53");
    }
}
