//! The API, endpoint by endpoint.

use serde_json::{Value, json};

use crate::http::Http;
use crate::{corefile, serve};

const FAST: &str = "api rate-limit 100000";
const ONE: &str = r#"{"type":"A","records":["10.0.0.12"]}"#;

#[test]
fn services_are_put_shown_and_deleted() {
    let server = serve(&format!("{FAST}\n ttl 9"), "");
    let http = Http::of(&server);
    let empty = http.get("/v1/services");
    assert_eq!(
        empty.expect(200).body,
        r#"{"zone":"service.local","services":{}}"#
    );
    assert_eq!(empty.header("content-type"), Some("application/json"));
    let valkey =
        r#"{"name":"valkey","fqdn":"valkey.service.local","type":"A","records":["10.0.0.12"],"ttl":9}"#;
    assert_eq!(http.put("/v1/services/valkey", ONE).expect(200).body, valkey);
    assert_eq!(http.get("/v1/services/valkey").expect(200).body, valkey);
    assert_eq!(
        http.get("/v1/services/Valkey.Service.Local.").expect(200).body,
        valkey
    );
    let replaced = http.put(
        "/v1/services/valkey.service.local",
        r#"{"type":"A","records":["10.0.0.13"],"ttl":60}"#,
    );
    let valkey =
        r#"{"name":"valkey","fqdn":"valkey.service.local","type":"A","records":["10.0.0.13"],"ttl":60}"#;
    assert_eq!(replaced.expect(200).body, valkey);
    http.put("/v1/services/db", ONE).expect(200);
    http.put("/v1/services/app", ONE).expect(200);
    assert_eq!(
        http.get("/v1/services").expect(200).body,
        r#"{"zone":"service.local","services":{"app":{"type":"A","records":["10.0.0.12"],"ttl":9},"db":{"type":"A","records":["10.0.0.12"],"ttl":9},"valkey":{"type":"A","records":["10.0.0.13"],"ttl":60}}}"#
    );
    assert_eq!(http.delete("/v1/services/valkey", "").expect(204).body, "");
    assert_eq!(
        http.delete("/v1/services/valkey", "").expect(404).error(),
        "there is no service valkey.service.local"
    );
    assert_eq!(
        http.get("/v1/services/valkey").expect(404).error(),
        "there is no service valkey.service.local"
    );
}

#[test]
fn records_are_added_and_removed() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    let path = "/v1/services/valkey/records";
    let steps = [
        (
            "creates",
            "POST",
            r#"{"records":["10.0.0.1"],"ttl":60}"#,
            200,
            json!([["10.0.0.1"], 60]),
        ),
        (
            "adds, ttl stays",
            "POST",
            r#"{"records":["10.0.0.2","10.0.0.1"]}"#,
            200,
            json!([["10.0.0.1", "10.0.0.2"], 60]),
        ),
        (
            "ttl 0 is none",
            "POST",
            r#"{"records":["10.0.0.3"],"ttl":0}"#,
            200,
            json!([["10.0.0.1", "10.0.0.2", "10.0.0.3"], 60]),
        ),
        (
            "ttl",
            "POST",
            r#"{"records":["10.0.0.3"],"ttl":7}"#,
            200,
            json!([["10.0.0.1", "10.0.0.2", "10.0.0.3"], 7]),
        ),
        (
            "removes",
            "DELETE",
            r#"{"records":["10.0.0.2","10.0.0.9"]}"#,
            200,
            json!([["10.0.0.1", "10.0.0.3"], 7]),
        ),
        (
            "removes nothing",
            "DELETE",
            r#"{"records":["10.0.0.2"]}"#,
            200,
            json!([["10.0.0.1", "10.0.0.3"], 7]),
        ),
        (
            "removes the rest",
            "DELETE",
            r#"{"records":["10.0.0.1","10.0.0.3"]}"#,
            204,
            Value::Null,
        ),
        (
            "nothing left",
            "DELETE",
            r#"{"records":["10.0.0.1"]}"#,
            404,
            Value::Null,
        ),
        ("no records", "POST", "{}", 400, Value::Null),
        ("empty records", "DELETE", r#"{"records":[]}"#, 400, Value::Null),
    ];
    for (step, method, body, status, want) in steps {
        let reply = http.send(method, path, body);
        assert_eq!(reply.status, status, "step {step}: {}", reply.body);
        if status == 200 {
            let got: Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(json!([got["records"], got["ttl"]]), want, "step {step}");
        }
    }
    http.get("/v1/services/valkey").expect(404);
}

#[test]
fn a_service_has_at_most_64_records_also_after_adding() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    let octets: Vec<u8> = (0..64).collect();
    http.register("many", &octets);
    let refused = http.post("/v1/services/many/records", r#"{"records":["192.0.2.64"]}"#);
    assert_eq!(
        refused.expect(400).error(),
        "records: expected at most 64 addresses for a service, got 65"
    );
    http.post("/v1/services/many/records", r#"{"records":["192.0.2.63"]}"#)
        .expect(200);
    let body: Value = serde_json::from_str(&http.get("/v1/services/many").body).unwrap();
    assert_eq!(body["records"].as_array().unwrap().len(), 64);
}

#[test]
fn all_services_are_replaced_or_none() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    http.put("/v1/services/old", ONE).expect(200);
    let two = r#"{"services":{"a":{"type":"A","records":["10.0.0.1"]},"b.service.local":{"type":"A","records":["10.0.0.2"],"ttl":7}}}"#;
    assert_eq!(
        http.put("/v1/state", two).expect(200).body,
        r#"{"zone":"service.local","count":2}"#
    );
    let now = r#"{"zone":"service.local","services":{"a":{"type":"A","records":["10.0.0.1"],"ttl":5},"b":{"type":"A","records":["10.0.0.2"],"ttl":7}}}"#;
    assert_eq!(http.get("/v1/services").body, now);
    let bad =
        r#"{"services":{"c":{"type":"A","records":["10.0.0.1"]},"d":{"type":"A","records":["10.0.0.300"]}}}"#;
    let error = http.put("/v1/state", bad).expect(400).error();
    assert_eq!(
        error,
        "services.d.records[0]: expected an IPv4 address such as \"10.0.0.12\", got \"10.0.0.300\""
    );
    assert_eq!(http.get("/v1/services").body, now);
    // What is shown can be put back, and so can the empty state.
    http.put("/v1/state", now).expect(200);
    assert_eq!(http.get("/v1/services").body, now);
    assert_eq!(
        http.put("/v1/state", r#"{"services":{}}"#).expect(200).body,
        r#"{"zone":"service.local","count":0}"#
    );
}

#[test]
fn the_token_is_needed_everywhere_but_for_the_description() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    for token in [None, Some(""), Some("Secret"), Some("secret2"), Some("secre")] {
        let http = http.with_token(token);
        for (method, path) in [
            ("GET", "/v1/services"),
            ("GET", "/v1/services/a"),
            ("PUT", "/v1/services/a"),
            ("DELETE", "/v1/services/a"),
            ("POST", "/v1/services/a/records"),
            ("DELETE", "/v1/services/a/records"),
            ("PUT", "/v1/state"),
            ("GET", "/"),
            ("PATCH", "/v1/services"),
        ] {
            let reply = http.send(method, path, ONE);
            reply.expect(401).error();
            assert_eq!(
                reply.header("www-authenticate"),
                Some("Bearer realm=\"dynresolve\""),
                "{method} {path}"
            );
        }
        http.get("/v1/openapi.json").expect(200);
    }
    http.get("/v1/services/a").expect(404);
}

#[test]
fn clients_of_other_networks_are_refused_before_their_token_is_looked_at() {
    for (allow, status) in [
        ("", 200),
        ("api allow 127.0.0.0/8", 200),
        ("api allow 127.0.0.1", 200),
        ("api allow 10.0.0.0/8 2001:db8::/32\n api allow 127.0.0.1/32", 200),
        ("api allow 10.0.0.0/8", 403),
        ("api allow 127.0.0.2", 403),
    ] {
        let server = serve(&format!("{FAST}\n {allow}"), "");
        let http = Http::of(&server);
        assert_eq!(http.put("/v1/services/a", ONE).status, status, "{allow}");
        let stranger = http.with_token(None);
        assert_eq!(
            stranger.get("/v1/services").status,
            if status == 200 { 401 } else { 403 },
            "{allow}"
        );
        assert_eq!(stranger.get("/v1/openapi.json").status, status, "{allow}");
    }
}

#[test]
fn writes_over_the_rate_are_refused_and_reads_are_not_limited() {
    let server = serve("api rate-limit 3", "");
    let http = Http::of(&server);
    let statuses: Vec<u16> = (0..20).map(|_| http.put("/v1/services/a", ONE).status).collect();
    assert_eq!(statuses[..3], [200; 3], "a burst of the rate is fine");
    for (method, path, body) in [
        ("PUT", "/v1/services/a", ONE),
        ("DELETE", "/v1/services/a", ""),
        ("POST", "/v1/services/a/records", ONE),
        ("DELETE", "/v1/services/a/records", ONE),
        ("PUT", "/v1/state", r#"{"services":{}}"#),
    ] {
        // A machine that is slow enough takes each of them.
        let refused = catena_testkit::eventually("a refusal", || {
            let reply = http.send(method, path, body);
            (reply.status == 429).then_some(reply)
        });
        assert_eq!(
            refused.error(),
            "more writes than `api rate-limit` allows",
            "{method} {path}"
        );
        assert_eq!(refused.header("retry-after"), Some("1"), "{method} {path}");
    }
    server.logs().wait_for("status=429 outcome=refused");
    for _ in 0..50 {
        http.get("/v1/services").expect(200);
    }
}

#[test]
fn unknown_paths_and_wrong_methods_are_told_apart() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/services/",
        "/v1/services/a/",
        "/v1/services/a/b",
        "/v1/state/x",
        "/v2/services",
    ] {
        http.get(path).expect(404).error();
    }
    for (path, allow) in [
        ("/v1/services", "GET, HEAD"),
        ("/v1/services/a", "DELETE, GET, HEAD, PUT"),
        ("/v1/services/a/records", "DELETE, POST"),
        ("/v1/state", "PUT"),
        ("/v1/openapi.json", "GET, HEAD"),
    ] {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            let reply = http.send(method, path, "");
            if allow.split(", ").any(|allowed| allowed == method) {
                assert_ne!(reply.status, 405, "{method} {path}");
            } else {
                reply.expect(405).error();
                assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
            }
        }
    }
    assert_eq!(http.send("HEAD", "/v1/services", "").expect(200).body, "");
}

#[test]
fn bad_names_are_refused() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    for name in [
        "a_b",
        "-a",
        "a-",
        "a..b",
        "*",
        "a%20b",
        "a%2Fb",
        "%00",
        "%ff",
        "%C3%A9",
        "service.local",
        &"a".repeat(64),
    ] {
        for (method, path) in [
            ("PUT", format!("/v1/services/{name}")),
            ("POST", format!("/v1/services/{name}/records")),
        ] {
            let error = http.send(method, &path, ONE).expect(400).error();
            assert!(error.starts_with("name: expected "), "{name}: {error}");
        }
    }
    assert_eq!(
        http.get("/v1/services").body,
        r#"{"zone":"service.local","services":{}}"#
    );
}

#[test]
fn bad_bodies_are_refused() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    for body in [
        &b""[..],
        b"nonsense",
        b"[]",
        b"\"A\"",
        b"{} trailing",
        b"{\"type\":\"A\"}",
        b"{\"type\":\"AAAA\",\"records\":[\"::1\"]}",
        b"{\"type\":\"A\",\"records\":[]}",
        b"{\"type\":\"A\",\"records\":[\"10.0.0.1\"],\"ttl\":-1}",
        b"{\"type\":\"A\",\"records\":[\"10.0.0.1\"],\"x\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
    ] {
        let reply = http.try_send("PUT", "/v1/services/a", body).unwrap();
        assert!(!reply.expect(400).error().is_empty());
        http.try_send("PUT", "/v1/state", body).unwrap().expect(400);
    }
}

#[test]
fn bodies_have_a_bound() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    let filled = |size: usize, rest: &str| format!("{{\"filler\":\"{}\",{rest}", "x".repeat(size));
    let service = r#""type":"A","records":["10.0.0.1"]}"#;
    let state = r#""services":{}}"#;
    http.put("/v1/services/a", &filled((1 << 20) - 100, service))
        .expect(200);
    http.put("/v1/services/a", &filled(1 << 20, service))
        .expect(413)
        .error();
    http.post("/v1/services/a/records", &filled(1 << 20, service))
        .expect(413);
    http.put("/v1/state", &filled(2 << 20, state)).expect(200);
    http.put("/v1/state", &filled(10 << 20, state)).expect(413);
    // Without an announced length the bound is the same.
    let mut stream = http.connect();
    let head = http
        .head("PUT", "/v1/services/a", 0, "close")
        .replace("Content-Length: 0", "Transfer-Encoding: chunked");
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..17 {
        if std::io::Write::write_all(&mut stream, chunk.as_bytes()).is_err() {
            break;
        }
    }
    crate::http::read_reply(&mut stream)
        .expect("a response")
        .expect(413);
}

#[test]
fn each_write_is_a_line_in_the_log_without_the_token() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    http.put(
        "/v1/services/valkey",
        r#"{"type":"A","records":["10.0.0.1","10.0.0.2"]}"#,
    )
    .expect(200);
    http.put("/v1/services/valkey", r#"{"type":"A","records":["\u001b[31m"]}"#)
        .expect(400);
    http.put("/v1/services/%1b%5b31m%22%20x", ONE).expect(400);
    http.with_token(Some("guess"))
        .delete("/v1/services/valkey", "")
        .expect(401);
    http.delete("/v1/services/valkey", "").expect(204);
    http.put("/v1/state", r#"{"services":{}}"#).expect(200);
    http.get("/v1/services").expect(200);
    let lines = server.logs().wait_for_count("audit ", 6);
    let lines: Vec<String> = lines
        .iter()
        .map(|line| {
            assert!(
                line.starts_with("[INFO] plugin/dynresolve: audit zone=service.local. client=127.0.0.1:"),
                "{line}"
            );
            line.split_once(" method=").unwrap().1.to_owned()
        })
        .collect();
    assert_eq!(
        lines,
        [
            "PUT name=valkey.service.local records=10.0.0.1,10.0.0.2 status=200 outcome=accepted",
            "PUT name=valkey.service.local records=- status=400 outcome=refused reason=\"records[0]: expected an IPv4 address \
         such as \\\"10.0.0.12\\\", got \\\"\\\\\\\\u001b[31m\\\"\"",
            "PUT path=\"/v1/services/%1b%5b31m%22%20x\" status=400 outcome=refused reason=\"name: expected a name of labels with \
         1 to 63 letters, digits or hyphens, none of them with a hyphen at its edge\"",
            "DELETE path=\"/v1/services/valkey\" status=401 outcome=refused reason=\"expected the header `Authorization: Bearer \
         TOKEN` with the token of this instance\"",
            "DELETE name=valkey.service.local records=- status=204 outcome=accepted",
            "PUT name=* services=0 status=200 outcome=accepted",
        ]
    );
    let (_, all) = server.stop();
    assert!(
        all.iter()
            .all(|line| !line.contains("secret") && !line.contains("guess") && !line.contains('\u{1b}')),
        "{all:?}"
    );
}

#[test]
fn blocks_have_states_apis_and_tokens_of_their_own() {
    let second =
        "other.local:@PORT@ {\n dynresolve {\n api listen 127.0.0.1:@P2@\n api token another\n }\n}\n";
    let server = catena_testkit::TestServer::start(crate::PLUGINS, &(corefile(FAST, "") + second));
    let (one, two) = (
        Http::of(&server),
        Http::on(server.port_of(2)).with_token(Some("another")),
    );
    one.put("/v1/services/a", ONE).expect(200);
    two.get("/v1/services/a").expect(404);
    one.with_token(Some("another")).get("/v1/services").expect(401);
    assert_eq!(
        two.put("/v1/services/a", ONE).body.split(',').nth(1),
        Some("\"fqdn\":\"a.other.local\"")
    );
    let metrics = server.metrics();
    assert_eq!(
        metrics.value("coredns_dynresolve_services", &[("zone", "service.local.")]),
        Some(1.0)
    );
    assert_eq!(
        metrics.value("coredns_dynresolve_services", &[("zone", "other.local.")]),
        Some(1.0)
    );
}

#[test]
fn short_names_belong_to_the_first_zone_and_full_ones_to_theirs() {
    let text = corefile(FAST, "").replacen(
        "service.local:@PORT@",
        "service.local:@PORT@ example.org:@PORT@",
        1,
    );
    let server = catena_testkit::TestServer::start(crate::PLUGINS, &text);
    let http = Http::of(&server);
    http.register("www", &[1]);
    http.register("www.example.org", &[2]);
    server
        .ask("www.service.local. A")
        .assert_answer(["www.service.local. 5 A 192.0.2.1"]);
    server
        .ask("www.example.org. A")
        .assert_answer(["www.example.org. 5 A 192.0.2.2"]);
    let soa = server.ask("none.example.org. A").authority()[0].to_string();
    assert!(soa.starts_with("example.org."), "{soa}");
    let all: Value = serde_json::from_str(&http.get("/v1/services").body).unwrap();
    assert_eq!(all["zone"], "service.local");
    assert_eq!(
        all["services"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["www", "www.example.org"]
    );
    http.put("/v1/state", &all.to_string()).expect(200);
    server
        .ask("www.example.org. A")
        .assert_answer(["www.example.org. 5 A 192.0.2.2"]);
}
