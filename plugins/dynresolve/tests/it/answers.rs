//! What clients of DNS get.

use catena_core::message::Rcode;
use catena_testkit::{Case, Query, check_all};

use crate::http::Http;
use crate::serve;

const FAST: &str = "api rate-limit 100000";

#[test]
fn services_are_answered_with_authority_their_ttl_and_the_letters_of_the_question() {
    let server = serve(&format!("{FAST}\n ttl 9"), "");
    let http = Http::of(&server);
    http.register("valkey", &[1, 2]);
    http.put(
        "/v1/services/own",
        r#"{"type":"A","records":["192.0.2.3"],"ttl":77}"#,
    )
    .expect(200);
    http.register("a.b", &[4]);
    check_all(
        &server,
        &[
            Case::new("all records", "valkey.service.local. A")
                .flags("aa rd")
                .answer([
                    "valkey.service.local. 9 A 192.0.2.1",
                    "valkey.service.local. 9 A 192.0.2.2",
                ]),
            Case::new("own TTL", "own.service.local. A +tcp")
                .flags("aa rd")
                .answer(["own.service.local. 77 A 192.0.2.3"]),
            Case::new("letters", "vALkey.Service.LOCAL. A").answer([
                "vALkey.Service.LOCAL. 9 A 192.0.2.1",
                "vALkey.Service.LOCAL. 9 A 192.0.2.2",
            ]),
            Case::new("two labels", "a.b.service.local. A").answer(["a.b.service.local. 9 A 192.0.2.4"]),
        ],
    );
    assert_eq!(
        server.ask("vALkey.Service.LOCAL. A").question(),
        "vALkey.Service.LOCAL. IN A"
    );
}

#[test]
fn without_a_next_plugin_names_and_types_are_denied_with_the_soa() {
    let server = serve(&format!("{FAST}\n ttl 9"), "");
    let http = Http::of(&server);
    http.register("valkey", &[1]);
    http.register("a.b", &[1]);
    for (name, qtype, rcode) in [
        ("none.service.local.", "A", Rcode::NXDOMAIN),
        ("none.service.local.", "AAAA", Rcode::NXDOMAIN),
        ("none.service.local.", "ANY", Rcode::NXDOMAIN),
        ("x.valkey.service.local.", "A", Rcode::NXDOMAIN),
        ("service.local.", "A", Rcode::NOERROR),
        ("service.local.", "AAAA", Rcode::NOERROR),
        ("b.service.local.", "A", Rcode::NOERROR),
        ("b.service.local.", "TXT", Rcode::NOERROR),
        ("valkey.service.local.", "AAAA", Rcode::NOERROR),
        ("valkey.service.local.", "ANY", Rcode::NOERROR),
        ("valkey.service.local.", "SOA", Rcode::NOERROR),
    ] {
        let answer = server.ask(Query::new(name, qtype));
        answer
            .assert_rcode(rcode)
            .assert_flags("aa rd")
            .assert_answer([""; 0]);
        let authority = answer.authority();
        assert_eq!(authority.len(), 1, "{name} {qtype}: {answer}");
        let soa = authority[0].to_string();
        assert!(soa.starts_with("service.local."), "{soa}");
        assert!(
            soa.contains("ns.dns.service.local. hostmaster.service.local. ")
                && soa.ends_with(" 7200 1800 86400 9"),
            "{soa}"
        );
        assert_eq!(
            authority[0].ttl(),
            Some(9),
            "for `ttl` seconds it is remembered: {soa}"
        );
    }
    assert_eq!(
        server
            .metrics()
            .value("coredns_dynresolve_queries_total", &[("outcome", "nxdomain")]),
        Some(4.0)
    );
    assert_eq!(
        server
            .metrics()
            .value("coredns_dynresolve_queries_total", &[("outcome", "nodata")]),
        Some(7.0)
    );
}

#[test]
fn the_apex_has_soa_and_ns_and_each_write_changes_the_serial() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    let serial = || {
        let answer = server.ask("service.local. SOA");
        answer.assert_rcode(Rcode::NOERROR).assert_flags("aa rd");
        assert_eq!(answer.answer().len(), 1, "{answer}");
        let soa = answer.answer()[0].to_string();
        let words: Vec<&str> = soa.split_whitespace().collect();
        words[words.len() - 5].parse::<u32>().unwrap()
    };
    let mut last = serial();
    assert_eq!(serial(), last, "without a write it stays");
    let put = || http.register("a", &[1]);
    let post = || {
        http.post("/v1/services/a/records", r#"{"records":["192.0.2.2"]}"#)
            .expect(200);
    };
    let take = || {
        http.delete("/v1/services/a/records", r#"{"records":["192.0.2.2"]}"#)
            .expect(200);
    };
    let delete = || {
        http.delete("/v1/services/a", "").expect(204);
    };
    let state = || {
        http.put("/v1/state", r#"{"services":{}}"#).expect(200);
    };
    let writes: [(&str, &dyn Fn()); 5] = [
        ("put", &put),
        ("post", &post),
        ("take", &take),
        ("delete", &delete),
        ("state", &state),
    ];
    for (what, write) in writes {
        write();
        let now = serial();
        assert!(now > last, "{what}: {now} behind {last}");
        last = now;
    }
    let answer = server.ask("service.local. NS");
    answer
        .assert_flags("aa rd")
        .assert_answer(["service.local. 5 NS ns.dns.service.local."]);
    answer.assert_additional(["ns.dns.service.local. 5 A 127.0.0.1"]);
}

#[test]
fn the_name_of_the_ns_record_has_the_address_that_was_asked_unless_it_is_a_service() {
    let server = serve(FAST, "");
    for (query, rcode, want) in [
        (
            "ns.dns.service.local. A",
            Rcode::NOERROR,
            &["ns.dns.service.local. 5 A 127.0.0.1"][..],
        ),
        ("ns.dns.service.local. AAAA", Rcode::NOERROR, &[]),
        ("dns.service.local. A", Rcode::NOERROR, &[]),
        ("x.dns.service.local. A", Rcode::NXDOMAIN, &[]),
        ("x.ns.dns.service.local. A", Rcode::NXDOMAIN, &[]),
    ] {
        let answer = server.ask(query);
        answer
            .assert_rcode(rcode)
            .assert_flags("aa rd")
            .assert_answer(want.iter().copied());
        assert_eq!(answer.authority().len(), usize::from(want.is_empty()), "{query}");
    }
    Http::of(&server).register("ns.dns", &[7]);
    server
        .ask("ns.dns.service.local. A")
        .assert_answer(["ns.dns.service.local. 5 A 192.0.2.7"]);
}

#[test]
fn the_fallback_answers_for_what_is_not_there_and_no_type_denies_it() {
    let server = serve(
        &format!("{FAST}\n fallback 192.0.2.99\n ttl 3"),
        "records {\n  none.service.local. 60 A 192.0.2.50\n }",
    );
    let http = Http::of(&server);
    http.register("valkey", &[1]);
    check_all(
        &server,
        &[
            Case::new("there", "valkey.service.local. A").answer(["valkey.service.local. 3 A 192.0.2.1"]),
            Case::new("not there", "none.service.local. A")
                .flags("aa rd")
                .answer(["none.service.local. 3 A 192.0.2.99"]),
        ],
    );
    server
        .ask("other.service.local. AAAA")
        .assert_rcode(Rcode::NOERROR)
        .assert_answer([""; 0]);
    http.delete("/v1/services/valkey", "").expect(204);
    server
        .ask("valkey.service.local. A")
        .assert_answer(["valkey.service.local. 3 A 192.0.2.99"]);
}

#[test]
fn what_is_not_there_goes_to_the_next_plugin() {
    let behind = "records {\n  fixed.service.local. 60 A 192.0.2.50\n  valkey.service.local. 60 A 192.0.2.51\n  \
                  valkey.service.local. 60 TXT \"text\"\n  service.local. 60 SOA ns. mail. 7 1 1 1 1\n }";
    let server = serve(FAST, behind);
    let http = Http::of(&server);
    http.register("valkey", &[1]);
    http.register("other", &[1]);
    check_all(
        &server,
        &[
            Case::new("own before next", "valkey.service.local. A")
                .answer(["valkey.service.local. 5 A 192.0.2.1"]),
            Case::new("next", "fixed.service.local. A").answer(["fixed.service.local. 60 A 192.0.2.50"]),
            Case::new("another type", "valkey.service.local. TXT")
                .answer(["valkey.service.local. 60 TXT \"text\""]),
            Case::new("the SOA of behind", "service.local. SOA")
                .answer(["service.local. 60 SOA ns. mail. 7 1 1 1 1"]),
        ],
    );
    // What is behind does not know the service, and must not deny it.
    let answer = server.ask("other.service.local. AAAA");
    answer.assert_rcode(Rcode::NOERROR).assert_answer([""; 0]);
    assert_eq!(answer.authority().len(), 1, "{answer}");
    // Names that neither knows are what is behind says they are.
    server.ask("none.service.local. A").assert_rcode(Rcode::NXDOMAIN);
    http.delete("/v1/services/valkey", "").expect(204);
    server
        .ask("valkey.service.local. A")
        .assert_answer(["valkey.service.local. 60 A 192.0.2.51"]);
}

#[test]
fn answers_beyond_the_clients_size_are_truncated_and_whole_over_tcp() {
    let server = serve(FAST, "");
    let octets: Vec<u8> = (1..=64).collect();
    Http::of(&server).register("many", &octets);
    let answer = server.ask("many.service.local. A");
    answer.assert_flags("aa rd tc");
    assert!(
        answer.wire().len() <= 512 && !answer.answer().is_empty(),
        "{answer}"
    );
    let answer = server.ask("many.service.local. A +tcp");
    answer.assert_flags("aa rd");
    assert_eq!(answer.answer().len(), 64);
    assert_eq!(
        server.ask("many.service.local. A +bufsize=1232").answer().len(),
        64
    );
}

#[test]
fn a_write_is_seen_by_the_very_next_query() {
    let server = serve(&format!("{FAST}\n cache 1h"), "");
    let http = Http::of(&server);
    for octet in 1..=50 {
        http.register("a", &[octet]);
        server
            .ask("a.service.local. A")
            .assert_answer([format!("a.service.local. 5 A 192.0.2.{octet}")]);
    }
    http.delete("/v1/services/a", "").expect(204);
    server.ask("a.service.local. A").assert_rcode(Rcode::NXDOMAIN);
    http.put(
        "/v1/state",
        r#"{"services":{"a":{"type":"A","records":["192.0.2.9"]}}}"#,
    )
    .expect(200);
    server
        .ask("a.service.local. A")
        .assert_answer(["a.service.local. 5 A 192.0.2.9"]);
}

#[test]
fn names_outside_of_the_zones_are_not_touched() {
    let corefile = ".:@PORT@ {\n records {\n  a.example.org. 60 A 192.0.2.50\n }\n}\n".to_owned()
        + &crate::corefile(FAST, "");
    let server = catena_testkit::TestServer::start(crate::PLUGINS, &corefile);
    Http::of(&server).register("a.example.org", &[1]);
    check_all(
        &server,
        &[
            Case::new("outside", "a.example.org. A").answer(["a.example.org. 60 A 192.0.2.50"]),
            Case::new("inside", "a.example.org.service.local. A")
                .answer(["a.example.org.service.local. 5 A 192.0.2.1"]),
        ],
    );
}

#[test]
fn metrics_count_queries_services_and_records() {
    let server = serve(&format!("{FAST}\n cache 1h"), "");
    let http = Http::of(&server);
    http.register("a", &[1, 2]);
    http.register("b", &[1]);
    let value = |name: &str, labels: &[(&str, &str)]| {
        server
            .metrics()
            .value(&format!("coredns_dynresolve_{name}"), labels)
            .unwrap_or_default()
    };
    let zone = ("zone", "service.local.");
    for _ in 0..3 {
        server.ask("a.service.local. A");
    }
    assert_eq!(value("queries_total", &[zone, ("outcome", "source")]), 1.0);
    assert_eq!(value("queries_total", &[zone, ("outcome", "cache")]), 2.0);
    assert_eq!(
        (value("services", &[zone]), value("records", &[zone])),
        (2.0, 3.0)
    );
    assert_eq!(value("writes_total", &[zone]), 2.0);
    assert_eq!(
        value(
            "api_requests_total",
            &[zone, ("method", "PUT"), ("status", "200")]
        ),
        2.0
    );
    http.with_token(None).get("/v1/services").expect(401);
    assert_eq!(
        value("api_requests_total", &[("method", "GET"), ("status", "401")]),
        1.0
    );
    http.send("BREW", "/v1/services", "").expect(405);
    assert_eq!(
        value("api_requests_total", &[("method", "other"), ("status", "405")]),
        1.0
    );
    http.delete("/v1/services/a", "").expect(204);
    assert_eq!(
        (value("services", &[zone]), value("records", &[zone])),
        (1.0, 1.0)
    );
    assert_eq!(
        (
            value("persist_errors_total", &[zone]),
            value("panics_total", &[zone])
        ),
        (0.0, 0.0)
    );
}
