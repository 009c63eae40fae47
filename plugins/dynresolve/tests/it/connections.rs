//! HTTP itself: versions, connections, and clients that behave badly.

use std::io::Write;
use std::net::Ipv4Addr;

use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::http::{Http, TOKEN, read_reply};
use crate::serve;

#[test]
fn a_connection_takes_several_requests() {
    let server = serve("", "");
    let http = Http::of(&server);
    let mut stream = http.connect();
    let body = r#"{"type":"A","records":["10.0.0.1"]}"#;
    for (method, path, body, status) in [
        ("GET", "/v1/services", "", 200),
        ("PUT", "/v1/services/a", body, 200),
        ("GET", "/nowhere", "", 404),
        ("GET", "/v1/services/a", "", 200),
        ("GET", "/v1/openapi.json", "", 200),
    ] {
        let request = http.head(method, path, body.len(), "keep-alive") + body;
        stream.write_all(request.as_bytes()).unwrap();
        read_reply(&mut stream).expect("a response").expect(status);
    }
}

#[test]
fn http2_works_on_the_same_port() {
    let server = serve("", "");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server.port_of(1)))
            .await
            .unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut client, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        for (method, path, status) in [
            ("PUT", "/v1/services/a", 200),
            ("GET", "/v1/services/a", 200),
            ("GET", "/x", 404),
        ] {
            let request = hyper::Request::builder()
                .method(method)
                .uri(format!("http://api{path}"))
                .header("authorization", format!("Bearer {TOKEN}"))
                .body(r#"{"type":"A","records":["192.0.2.1"]}"#.to_owned())
                .unwrap();
            let response = client.send_request(request).await.unwrap();
            assert_eq!(
                (response.status().as_u16(), response.version()),
                (status, hyper::Version::HTTP_2),
                "{method} {path}"
            );
        }
    });
    server
        .ask("a.service.local. A")
        .assert_answer(["a.service.local. 5 A 192.0.2.1"]);
}

#[test]
fn a_header_without_end_and_bytes_that_are_no_http_are_refused() {
    let server = serve("", "");
    let http = Http::of(&server);
    let long = format!("GET /v1/services HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET /v1/services HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000));
    for (case, bytes) in [
        ("a long header", long.as_bytes()),
        ("many headers", many.as_bytes()),
        ("noise", b"\x00\xff\r\n\r\n"),
    ] {
        let mut stream = http.connect();
        let _ = stream.write_all(bytes);
        let status = read_reply(&mut stream).map_or(0, |reply| reply.status);
        assert!([0, 400, 431].contains(&status), "case {case}: {status}");
        http.get("/v1/services").expect(200);
    }
}

#[test]
fn dns_is_answered_while_the_api_is_busy() {
    let server = serve("api rate-limit 100000", "");
    let http = Http::of(&server);
    http.register("a", &[1]);
    let entry = |number: u32| format!("\"n{number}\":{{\"type\":\"A\",\"records\":[\"10.0.0.1\"]}}");
    let entries: Vec<String> = (0..20_000)
        .map(entry)
        .chain(["\"a\":{\"type\":\"A\",\"records\":[\"192.0.2.1\"]}".to_owned()])
        .collect();
    let body = format!("{{\"services\":{{{}}}}}", entries.join(","));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..3 {
                http.put("/v1/state", &body).expect(200);
            }
        });
        let mut asked = 0;
        while !writer.is_finished() {
            server
                .ask("a.service.local. A")
                .assert_answer(["a.service.local. 5 A 192.0.2.1"]);
            asked += 1;
        }
        assert!(asked > 10, "{asked} queries");
    });
}

#[test]
fn a_body_that_is_refused_while_it_is_sent_has_its_answer_over_both_versions_of_http() {
    let server = serve("api rate-limit 100000", "");
    let http = Http::of(&server);
    let large = "x".repeat(11 << 20);
    for (case, token, path, status) in [
        ("too large", TOKEN, "/v1/state", 413),
        ("another token", "guess", "/v1/state", 401),
        ("no such path", TOKEN, "/v1/nowhere", 404),
    ] {
        // A client that reads only when it is through with sending.
        let mut stream = http.connect();
        let head = http
            .with_token(Some(token))
            .head("PUT", path, large.len(), "keep-alive");
        stream
            .write_all((head + &large).as_bytes())
            .unwrap_or_else(|error| panic!("case {case}: {error}"));
        read_reply(&mut stream).expect(case).expect(status);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server.port_of(1)))
                .await
                .unwrap();
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut client, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            let request = hyper::Request::put(format!("http://api{path}"))
                .header("authorization", format!("Bearer {token}"))
                .body(large.clone())
                .unwrap();
            let response = client.send_request(request).await;
            let response = response.unwrap_or_else(|error| panic!("case {case}: {error:?}"));
            assert_eq!(response.status().as_u16(), status, "case {case}");
        });
    }
}
