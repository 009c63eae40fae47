//! Spans for the agent of Datadog: version 0.4 of its interface, in MessagePack.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rmp::encode::{ByteBuf, write_array_len, write_f64, write_map_len, write_sint, write_str, write_uint};

use crate::exporter::Service;
use crate::span::{About, Query, Span};

/// Keep the trace: as libraries mark what their own sampling has chosen.
const KEEP: f64 = 1.0;

/// The spans as they are sent, a trace each, and how many traces that are. Only queries are told of, as CoreDNS does.
pub(crate) fn encode(spans: &[Span], service: &Service, rate: f64) -> (Vec<u8>, usize) {
    let queries: Vec<(&Span, &Query)> = spans
        .iter()
        .filter_map(|span| match &span.about {
            About::Query(query) => Some((span, &**query)),
            About::Plugin | About::Ask(_) => None,
        })
        .collect();
    let mut out = ByteBuf::new();
    array(&mut out, queries.len());
    for (span, query) in &queries {
        array(&mut out, 1);
        write_span(&mut out, span, query, service, rate);
    }
    (out.into_vec(), queries.len())
}

/// A trace's number as Datadog shows it.
pub(crate) fn trace_text(trace: u128) -> String {
    format!("{trace:032x}")
}

fn write_span(out: &mut ByteBuf, span: &Span, query: &Query, service: &Service, rate: f64) {
    map(out, 12);
    for (key, value) in [
        ("service", service.name.as_str()),
        ("name", span.name),
        ("resource", span.name),
        ("type", "dns"),
    ] {
        text(out, key);
        text(out, value);
    }
    text(out, "start");
    number(out, nanos(since_epoch(span.start)));
    text(out, "duration");
    number(out, nanos(span.duration));
    text(out, "trace_id");
    unsigned(out, span.trace as u64);
    text(out, "span_id");
    unsigned(out, span.id);
    text(out, "parent_id");
    unsigned(out, span.parent.unwrap_or(0));
    text(out, "error");
    number(out, query.error.is_some().into());
    text(out, "meta");
    write_meta(out, span, query);
    text(out, "metrics");
    write_metrics(out, rate);
}

fn write_meta(out: &mut ByteBuf, span: &Span, query: &Query) {
    let tags = query.tags().into_iter();
    let mut meta: Vec<(String, String)> = tags
        .map(|(name, value)| (format!("coredns.io@{name}"), value))
        .collect();
    meta.push(("language".to_owned(), "rust".to_owned()));
    // The half of the number that has no field.
    meta.push(("_dd.p.tid".to_owned(), format!("{:016x}", span.trace >> 64)));
    if let Some(error) = &query.error {
        meta.push(("error.message".to_owned(), error.clone()));
        meta.push(("error.type".to_owned(), "dns_error".to_owned()));
    }
    map(out, meta.len());
    for (key, value) in &meta {
        text(out, key);
        text(out, value);
    }
}

fn write_metrics(out: &mut ByteBuf, rate: f64) {
    let analysed = rate > 0.0;
    map(out, if analysed { 3 } else { 2 });
    let mut metric = |key, value| {
        text(out, key);
        ok(write_f64(out, value));
    };
    metric("_sampling_priority_v1", KEEP);
    metric("_dd.top_level", 1.0);
    if analysed {
        metric("_dd1.sr.eausr", rate);
    }
}

fn array(out: &mut ByteBuf, len: usize) {
    ok(write_array_len(out, u32::try_from(len).unwrap_or(u32::MAX)));
}

fn map(out: &mut ByteBuf, len: usize) {
    ok(write_map_len(out, u32::try_from(len).unwrap_or(u32::MAX)));
}

fn text(out: &mut ByteBuf, text: &str) {
    ok(write_str(out, text));
}

fn number(out: &mut ByteBuf, number: i64) {
    ok(write_sint(out, number));
}

fn unsigned(out: &mut ByteBuf, number: u64) {
    ok(write_uint(out, number));
}

/// Writing to memory does not fail.
fn ok<T, E>(result: Result<T, E>) {
    drop(result);
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rmpv::Value;

    use super::*;
    use crate::testing::{query, span};

    fn service() -> Service {
        Service {
            name: "coredns".to_owned(),
            address: None,
        }
    }

    fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
        &value[name]
    }

    #[test]
    fn each_query_is_a_trace() {
        let mut first = span("servedns", About::Query(Box::new(query())));
        first.trace = 7 << 64 | u128::from(u64::MAX);
        first.parent = None;
        let error = Some("no luck".to_owned());
        let second = span("servedns", About::Query(Box::new(Query { error, ..query() })));
        let spans = [first, span("cache", About::Plugin), second];
        let (sent, count) = encode(&spans, &service(), 0.5);
        assert_eq!(count, 2);
        let sent = rmpv::decode::read_value(&mut sent.as_slice()).unwrap();
        let [first, second] = sent.as_array().unwrap().as_slice() else {
            panic!("{sent}");
        };
        let (first, second) = (&first[0], &second[0]);
        for (name, want) in [
            ("service", Value::from("coredns")),
            ("name", Value::from("servedns")),
            ("resource", Value::from("servedns")),
            ("type", Value::from("dns")),
            ("start", Value::from(1_000_000_000)),
            ("duration", Value::from(1_500_000)),
            ("trace_id", Value::from(u64::MAX)),
            ("span_id", Value::from(0x2f)),
            ("parent_id", Value::from(0)),
            ("error", Value::from(0)),
        ] {
            assert_eq!(field(first, name), &want, "{name}");
        }
        let meta = field(first, "meta");
        assert_eq!(field(meta, "coredns.io@name"), &Value::from("a.example.org."));
        assert_eq!(field(meta, "coredns.io@remote"), &Value::from("192.0.2.53"));
        assert_eq!(field(meta, "_dd.p.tid"), &Value::from("0000000000000007"));
        let metrics = field(first, "metrics");
        assert_eq!(field(metrics, "_dd1.sr.eausr"), &Value::from(0.5));
        assert_eq!(field(second, "error"), &Value::from(1));
        assert_eq!(
            field(field(second, "meta"), "error.message"),
            &Value::from("no luck")
        );
        assert_eq!(field(second, "parent_id"), &Value::from(0x3f));
    }

    #[test]
    fn without_a_rate_nothing_is_analysed() {
        let (sent, _) = encode(
            &[span("servedns", About::Query(Box::new(query())))],
            &service(),
            0.0,
        );
        let sent = rmpv::decode::read_value(&mut sent.as_slice()).unwrap();
        assert_eq!(field(&sent[0][0], "metrics").as_map().unwrap().len(), 2);
    }
}
