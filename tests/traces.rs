//! Spans of queries that several plugins work on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use catena_testkit::{TestServer, Upstream};

/// The body of the next request that comes.
fn receive(collector: &TcpListener) -> String {
    let (mut stream, _) = collector.accept().expect("a connection");
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    stream
        .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .expect("an answer");
    String::from_utf8(body).expect("text")
}

/// The value of each field of this name, in the order in which they stand.
fn values<'a>(json: &'a str, name: &str) -> Vec<&'a str> {
    json.split(&format!("\"{name}\":\""))
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[test]
fn a_miss_of_the_cache_is_followed_to_the_upstream_and_the_log_shows_the_trace() {
    let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
    let upstream = Upstream::start("a.example.org. 60 IN A 192.0.2.1");
    let corefile = format!(
        ".:@PORT@ {{
            metadata
            bind 127.0.0.1
            trace {} {{
                zipkin_max_batch_interval 10ms
            }}
            log . \"trace {{/trace/traceid}} of {{name}}\"
            cache
            forward . {}
        }}",
        collector.local_addr().expect("an address"),
        upstream.address()
    );
    let server = TestServer::start(catena::plugins::registry(), &corefile);
    server
        .ask("a.example.org. A")
        .assert_answer(["a.example.org. 60 IN A 192.0.2.1"]);
    let spans = receive(&collector);
    assert_eq!(
        values(&spans, "name"),
        ["connect", "forward", "cache", "log", "servedns"],
        "{spans}"
    );
    assert_eq!(values(&spans, "peer.address"), [upstream.address().to_string()]);
    assert_eq!(values(&spans, "ipv4")[0], "127.0.0.1");
    let (ids, parents) = (values(&spans, "id"), values(&spans, "parentId"));
    assert_eq!(parents, ids[1..], "each lies within the next one");
    let trace = values(&spans, "traceId")[0];
    server
        .logs()
        .wait_for(&format!("trace {trace} of a.example.org."));
    server.ask("a.example.org. A");
    let spans = receive(&collector);
    assert_eq!(
        values(&spans, "name"),
        ["cache", "log", "servedns"],
        "a hit ends there"
    );
}
