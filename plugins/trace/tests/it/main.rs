//! Spans as a collector receives them.

mod collector;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use async_trait::async_trait;
use catena_core::message::{HttpHeaders, QueryBuilder, Rcode, Request};
use catena_core::plugin::{
    AtOnce, Definition, ListenHost, MetadataProvider, MetadataSink, Next, Outcome, Plugin, PluginError,
};
use catena_plugin_trace::PLUGIN;
use catena_testkit::{Handler, RECORDS, TestServer};
use serde_json::{Value, json};

use collector::Collector;

/// Listens on an address, as `bind` has it.
static LISTENS: Definition = Definition::new("listens", |setup| {
    setup.settings().listen.push(ListenHost {
        ip: Ipv4Addr::LOCALHOST.into(),
        scope: 0,
        text: "127.0.0.1".to_owned(),
        span: None,
    });
    Ok(())
});

/// Lets everything pass at once.
static PASSES: Definition = Definition::new("passes", |setup| {
    setup.add(Passes);
    Ok(())
});

struct Passes;

impl Plugin for Passes {
    fn name(&self) -> &'static str {
        "passes"
    }

    fn serve_at_once(&self, _: &mut Request) -> AtOnce {
        AtOnce::Pass
    }
}

/// Fails for queries of type TXT, refuses those of type NS, and takes for ever for those of type MX.
static MOODS: Definition = Definition::new("moods", |setup| {
    setup.add(Moods);
    Ok(())
});

struct Moods;

#[async_trait]
impl Plugin for Moods {
    fn name(&self) -> &'static str {
        "moods"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        match request.qtype_code() {
            16 => Err(PluginError::new("moods", "no luck")),
            2 => Ok(Outcome::Status(Rcode::REFUSED)),
            15 => std::future::pending().await,
            _ => next.run(request).await,
        }
    }
}

fn plugins() -> Vec<Definition> {
    vec![LISTENS, PLUGIN, PASSES, MOODS, RECORDS]
}

const REST: &str = "passes\n moods\n records {\n a.example.org. 60 IN A 192.0.2.1\n }";

/// Soon enough for a test.
const SOON: &str = "zipkin_max_batch_interval 10ms";

fn server(collector: &str, options: &str) -> TestServer {
    TestServer::start(
        plugins(),
        &format!(".:@PORT@ {{\n trace {collector} {{\n {options}\n }}\n {REST}\n}}"),
    )
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    spans
        .iter()
        .find(|span| span["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {spans:?}"))
}

#[test]
fn zipkin_gets_a_span_for_the_query_and_within_it_one_for_each_plugin() {
    let collector = Collector::start();
    let server = TestServer::start(
        plugins(),
        &format!(
            ".:@PORT@ {{\n listens\n trace zipkin {} {{\n {SOON}\n service dns\n }}\n {REST}\n}}",
            collector.address
        ),
    );
    server.ask("A.example.org. A");
    let received = collector.next();
    assert_eq!(received.line, "POST /api/v2/spans HTTP/1.1");
    for header in [
        "content-type: application/json".to_owned(),
        "b3: 0".to_owned(),
        format!("host: {}", collector.address),
    ] {
        assert!(received.headers.contains(&header), "{:?}", received.headers);
    }
    let spans = received.json().as_array().unwrap().clone();
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["records", "moods", "passes", "servedns"]);
    for pair in spans.windows(2) {
        assert_eq!(pair[0]["parentId"], pair[1]["id"], "{pair:?}");
        assert_eq!(pair[0]["traceId"], pair[1]["traceId"], "{pair:?}");
    }
    let query = &spans[3];
    assert_eq!((query.get("parentId"), &query["kind"]), (None, &json!("SERVER")));
    assert_eq!(query["id"], query["traceId"]);
    assert_eq!(
        query["tags"],
        json!({
            "coredns.io/name": "a.example.org.",
            "coredns.io/type": "A",
            "coredns.io/rcode": "NOERROR",
            "coredns.io/proto": "udp",
            "coredns.io/remote": "127.0.0.1",
        })
    );
    assert_eq!(
        query["localEndpoint"],
        json!({ "serviceName": "dns", "ipv4": "127.0.0.1", "port": server.port() })
    );
    server.ask("a.example.org. A +tcp");
    let other = collector.spans(4);
    assert_eq!(named(&other, "servedns")["tags"]["coredns.io/proto"], "tcp");
    assert_ne!(other[0]["traceId"], query["traceId"]);
}

#[test]
fn what_became_of_a_query_is_told() {
    let collector = Collector::start();
    let server = server(&collector.address.to_string(), SOON);
    for (question, rcode, error) in [
        ("a.example.org. A", "NOERROR", None),
        ("b.example.org. A", "NXDOMAIN", None),
        ("a.example.org. NS", "REFUSED", None),
        ("a.example.org. TXT", "SERVFAIL", Some("plugin/moods: no luck")),
    ] {
        server.ask(question);
        let spans = collector.next().json();
        let query = named(spans.as_array().unwrap(), "servedns").clone();
        assert_eq!(query["tags"]["coredns.io/rcode"], rcode, "{question}");
        assert_eq!(
            query["tags"].get("error").is_some(),
            error.is_some(),
            "{question}"
        );
        let notes: Vec<String> = query["annotations"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|note| note["value"].as_str().unwrap().to_owned())
            .collect();
        let want: Vec<String> = error
            .into_iter()
            .flat_map(|error| ["event:error".to_owned(), format!("error.object:{error}")])
            .collect();
        assert_eq!(notes, want, "{question}");
    }
}

#[test]
fn one_query_in_so_many_is_followed() {
    for (every, queries, want) in [(3, 7, 2), (0, 5, 0), (1, 2, 2)] {
        let collector = Collector::start();
        let server = server(
            &collector.address.to_string(),
            &format!("zipkin_max_batch_interval 1h\n every {every}"),
        );
        for _ in 0..queries {
            server.ask("a.example.org. A");
        }
        // What waits is sent at the end.
        server.stop();
        if want > 0 {
            let spans = collector.spans(4 * want);
            let traced = spans.iter().filter(|span| span["name"] == "servedns").count();
            assert_eq!(traced, want, "every {every}");
        }
        assert!(collector.is_empty(), "every {every}");
    }
}

#[test]
fn a_full_batch_does_not_wait_for_the_interval() {
    let collector = Collector::start();
    let server = server(
        &collector.address.to_string(),
        "zipkin_max_batch_interval 1h\n zipkin_max_batch_size 8",
    );
    server.ask("a.example.org. A");
    assert!(collector.is_empty());
    server.ask("a.example.org. A");
    collector.spans(8);
    server.wait_for_metric("catena_trace_spans_total", &[], 8.0);
}

#[test]
fn a_collector_that_does_not_answer_holds_no_query_up_and_the_oldest_spans_are_lost() {
    // Connections are made, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let server = server(&address, &format!("{SOON}\n zipkin_max_backlog_size 10"));
    let begun = std::time::Instant::now();
    for _ in 0..50 {
        server.ask("a.example.org. A");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let lost = server
        .metrics()
        .value("catena_trace_dropped_total", &[("reason", "backlog")])
        .unwrap();
    // Of 200 spans at most ten wait and a batch is on its way.
    assert!(lost >= 170.0, "{lost}");
}

#[test]
fn spans_wait_for_a_collector_that_is_not_there_yet() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let server = server(&address.to_string(), SOON);
    server.ask("a.example.org. A");
    let warning = server.logs().wait_for("failed to send spans");
    assert!(
        warning.contains("[WARNING] plugin/trace: http://127.0.0.1:"),
        "{warning}"
    );
    server.wait_for_metric("catena_trace_failures_total", &[], 2.0);
    let collector = Collector::on(TcpListener::bind(address).unwrap());
    collector.spans(4);
    server.wait_for_metric("catena_trace_spans_total", &[], 4.0);
    // The operator is not told at each attempt.
    assert_eq!(server.logs().lines_with("failed to send spans").len(), 1);
}

#[test]
fn what_a_collector_refuses_is_not_sent_again() {
    let collector = Collector::start();
    collector.answer_with(500);
    let server = server(&collector.address.to_string(), SOON);
    server.ask("a.example.org. A");
    collector.spans(4);
    server.wait_for_metric("catena_trace_dropped_total", &[("reason", "refused")], 4.0);
    server
        .logs()
        .wait_for("the collector refused spans with status code 500");
    collector.answer_with(200);
    server.ask("a.example.org. A");
    collector.spans(4);
    server.wait_for_metric("catena_trace_spans_total", &[], 4.0);
}

#[test]
fn a_reload_sends_what_waits_and_goes_on_with_another_collector() {
    let (first, second) = (Collector::start(), Collector::start());
    let corefile = |collector: &Collector| {
        format!(
            ".:@PORT@ {{\n trace {} {{\n zipkin_max_batch_interval 1h\n }}\n {REST}\n}}",
            collector.address
        )
    };
    let server = TestServer::start(plugins(), &corefile(&first));
    server.ask("a.example.org. A");
    server.reload(&corefile(&second)).unwrap();
    first.spans(4);
    server.ask("a.example.org. A");
    server.stop();
    second.spans(4);
    assert!(first.is_empty());
}

#[test]
fn datadog_gets_queries_alone() {
    let collector = Collector::start();
    let server = server(
        &format!("datadog {}", collector.address),
        &format!("{SOON}\n datadog_analytics_rate 0.25"),
    );
    server.ask("a.example.org. A");
    let received = collector.next();
    assert_eq!(received.line, "POST /v0.4/traces HTTP/1.1");
    for header in ["content-type: application/msgpack", "x-datadog-trace-count: 1"] {
        assert!(received.headers.iter().any(|known| known == header), "{header}");
    }
    let traces = rmpv::decode::read_value(&mut received.body.as_slice()).unwrap();
    assert_eq!(
        (
            traces.as_array().unwrap().len(),
            traces[0].as_array().unwrap().len()
        ),
        (1, 1)
    );
    let span = &traces[0][0];
    assert_eq!(span["name"].as_str(), Some("servedns"));
    assert_eq!(span["service"].as_str(), Some("coredns"));
    assert_eq!(span["meta"]["coredns.io@name"].as_str(), Some("a.example.org."));
    assert_eq!(span["metrics"]["_dd1.sr.eausr"].as_f64(), Some(0.25));
}

#[test]
fn opentelemetry_gets_all_spans() {
    let collector = Collector::start();
    let server = server(&format!("otlp {}", collector.address), SOON);
    server.ask("a.example.org. A");
    let received = collector.next();
    assert_eq!(received.line, "POST /v1/traces HTTP/1.1");
    let sent = received.json();
    let spans = sent["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array()
        .unwrap();
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["records", "moods", "passes", "servedns"]);
    assert_eq!(spans[0]["traceId"].as_str().unwrap().len(), 32);
    assert_eq!(spans[2]["parentSpanId"], spans[3]["spanId"]);
}

fn handler(collector: &Collector, options: &str) -> Handler {
    let text = format!(
        "trace {} {{\n zipkin_max_batch_interval 1h\n {options}\n}}\n{REST}",
        collector.address
    );
    let handler = Handler::builder(plugins(), &text).build().expect("a block");
    handler.start().expect("a start");
    handler
}

fn request(qtype: u16, headers: &[(&str, &str)]) -> Request {
    let query = QueryBuilder::new("a.example.org.", qtype).expect("a name");
    let mut request = query.to_request().expect("a query");
    let headers: HttpHeaders = headers.iter().copied().collect();
    request.extensions_mut().insert(headers);
    request
}

/// The number of the trace, as other plugins find it.
fn label(handler: &Handler, request: &Request) -> Option<String> {
    struct Found(Option<String>);
    impl MetadataSink for Found {
        fn add(&mut self, label: &str, value: &str) {
            assert_eq!(label, "trace/traceid");
            self.0 = Some(value.to_owned());
        }
    }
    let mut found = Found(None);
    for provider in handler.services().all::<dyn MetadataProvider>() {
        provider.provide(request, &mut found);
    }
    found.0
}

#[test]
fn a_client_s_own_trace_is_gone_on_with() {
    let headers = [
        ("X-B3-TraceId", "000000000000001f"),
        ("X-B3-SpanId", "000000000000002f"),
    ];
    for (options, own, shared) in [("", false, None), ("client_server", true, Some(json!(true)))] {
        let collector = Collector::start();
        let handler = handler(&collector, options);
        let mut request = request(1, &headers);
        handler.block_on(handler.serve(&mut request)).unwrap();
        assert_eq!(label(&handler, &request).as_deref(), Some("000000000000001f"));
        handler.stop();
        let spans = collector.spans(4);
        let query = named(&spans, "servedns");
        assert_eq!(query["traceId"], "000000000000001f");
        let at = if own { "id" } else { "parentId" };
        assert_eq!(
            (&query[at], query.get("shared").cloned()),
            (&json!("000000000000002f"), shared)
        );
    }
}

#[test]
fn a_client_over_https_says_what_its_trace_is() {
    let collector = Collector::start();
    let server = TestServer::start(
        plugins(),
        &format!(
            "https://.:@P1@ {{\n trace {} {{\n {SOON}\n }}\n {REST}\n}}",
            collector.address
        ),
    );
    let query = request(1, &[]).wire().to_vec();
    let head = format!(
        "POST /dns-query HTTP/1.1\r\nhost: a\r\nconnection: close\r\nX-B3-TraceId: 1f\r\nX-B3-SpanId: 2f\r\n\
         content-type: application/dns-message\r\ncontent-length: {}\r\n\r\n",
        query.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", server.port_of(1))).unwrap();
    stream.write_all(&[head.as_bytes(), &query].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let spans = collector.spans(4);
    let query = named(&spans, "servedns");
    assert_eq!(query["traceId"], "000000000000001f");
    assert_eq!(query["parentId"], "000000000000002f");
    assert_eq!(query["tags"]["coredns.io/proto"], "tcp");
}

#[test]
fn a_client_that_wants_no_trace_has_none() {
    let collector = Collector::start();
    let handler = handler(&collector, "");
    let mut request = request(1, &[("b3", "0")]);
    handler.block_on(handler.serve(&mut request)).unwrap();
    assert_eq!(label(&handler, &request), None);
    handler.stop();
    assert!(collector.is_empty());
}

#[test]
fn a_query_that_is_given_up_is_told_too() {
    let collector = Collector::start();
    let handler = handler(&collector, "");
    let mut request = request(15, &[]);
    handler.block_on(async {
        let serving = handler.serve(&mut request);
        let given_up = tokio::time::timeout(Duration::from_millis(10), serving).await;
        assert!(given_up.is_err());
    });
    handler.stop();
    let spans = collector.spans(3);
    let query = named(&spans, "servedns");
    assert_eq!(query["tags"]["coredns.io/rcode"], "SERVFAIL");
    assert_eq!(query["annotations"][1]["value"], "error.object:given up");
}

#[test]
fn what_is_odd_is_told() {
    let handler = Handler::builder(plugins(), &format!("trace datadog\n{REST}"))
        .build()
        .unwrap();
    let warnings = handler.warnings();
    assert!(
        warnings[0].starts_with("[WARNING] plugin/trace: `datadog` alone is the host of a zipkin collector"),
        "{warnings:?}"
    );
}
