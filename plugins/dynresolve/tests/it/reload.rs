//! Reloads: what stays, and what changes over.

use catena_testkit::TestServer;

use crate::http::{Http, read_reply};
use crate::{PLUGINS, corefile, serve};

const FAST: &str = "api rate-limit 100000";

#[test]
fn the_state_survives_a_reload_and_a_change_of_other_directives() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    http.register("a", &[1]);
    for text in [
        corefile(FAST, ""),
        corefile(&format!("{FAST}\n ttl 9"), ""),
        corefile(
            &format!("{FAST}\n ttl 9"),
            "records {\n x.service.local. A 192.0.2.9\n }",
        ),
        corefile(FAST, "").replace("@P1@", "@P2@"),
        corefile(FAST, "").replace("service.local:@PORT@", "service.local:@PORT@ service.local:@P3@"),
        corefile(FAST, "").replace("service.local:@PORT@", "service.local:@P3@ service.local:@PORT@"),
        corefile(FAST, "").replace("service.local:@PORT@", "service.local:@PORT@ other.local:@PORT@"),
        corefile(FAST, "").replace("service.local:@PORT@", "other.local:@PORT@ service.local:@PORT@"),
    ] {
        server.reload(&text).unwrap();
        let answer = server.ask("a.service.local. A");
        assert_eq!(answer.answer().len(), 1, "{text}\n{answer}");
    }
}

#[test]
fn the_api_takes_writes_at_each_moment_of_a_reload_and_loses_none() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    let port = server.port_of(1);
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let http = Http::on(port);
            for number in 0..150 {
                let path = format!("/v1/services/n{number}");
                let body = r#"{"type":"A","records":["10.0.0.1"]}"#;
                http.try_send("PUT", &path, body.as_bytes())
                    .expect("a response")
                    .expect(200);
            }
        });
        let mut ttl = 10;
        while !writer.is_finished() {
            ttl += 1;
            server
                .reload(&corefile(&format!("{FAST}\n ttl {ttl}"), ""))
                .unwrap();
        }
        assert!(ttl > 10);
    });
    let all: serde_json::Value = serde_json::from_str(&http.get("/v1/services").body).unwrap();
    assert_eq!(all["services"].as_object().unwrap().len(), 150);
}

#[test]
fn a_corefile_that_does_not_start_leaves_the_old_one_with_its_api_and_state() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    http.register("a", &[1]);
    for bad in [
        corefile("ttl -1", ""),
        corefile("api persist", ""),
        corefile("", "").replace("token secret", "token $DYNRESOLVE_NO_SUCH_VARIABLE"),
        corefile("", "").replace("127.0.0.1:@P1@", "0.0.0.0:@P2@\n api tls none none"),
        // The first block starts, the second one does not.
        corefile("", "")
            + &corefile("", "")
                .replace("service.local", "b.local")
                .replace("@P1@", "@P2@")
                .replace("secret", "$NO_SUCH"),
    ] {
        server.reload(&bad).unwrap_err();
        http.get("/v1/services/a").expect(200);
        server
            .ask("a.service.local. A")
            .assert_answer(["a.service.local. 5 A 192.0.2.1"]);
    }
    server.reload(&corefile("ttl 7", "")).unwrap();
    server
        .ask("a.service.local. A")
        .assert_answer(["a.service.local. 7 A 192.0.2.1"]);
}

#[test]
fn a_new_token_holds_at_once_also_on_connections_that_are_open() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    let mut stream = http.connect();
    let request = http.head("GET", "/v1/services", 0, "keep-alive");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    read_reply(&mut stream).unwrap().expect(200);
    server
        .reload(&corefile(FAST, "").replace("token secret", "token another"))
        .unwrap();
    // The old connection ends; it may take a moment until the client sees that.
    let refused = catena_testkit::eventually("the old token to be refused", || {
        let reply = http.try_send("GET", "/v1/services", b"")?;
        (reply.status == 401).then_some(reply)
    });
    refused.expect(401);
    http.with_token(Some("another")).get("/v1/services").expect(200);
    let _ = std::io::Write::write_all(&mut stream, request.as_bytes());
    assert!(read_reply(&mut stream).is_none(), "the old connection is closed");
}

#[test]
fn a_block_that_comes_later_begins_empty_and_one_that_goes_frees_its_address() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    http.register("a", &[1]);
    let second = corefile(FAST, "")
        .replace("service.local", "other.local")
        .replace("@P1@", "@P2@");
    server.reload(&(corefile(FAST, "") + &second)).unwrap();
    assert_eq!(
        Http::on(server.port_of(2)).get("/v1/services").body,
        r#"{"zone":"other.local","services":{}}"#
    );
    http.get("/v1/services/a").expect(200);
    // The blocks change their addresses.
    let swapped = (corefile(FAST, "") + &second)
        .replace("@P1@", "@P9@")
        .replace("@P2@", "@P1@")
        .replace("@P9@", "@P2@");
    server.reload(&swapped).unwrap();
    server
        .ask("a.service.local. A")
        .assert_answer(["a.service.local. 5 A 192.0.2.1"]);
    let moved = catena_testkit::eventually("the API on the other address", || {
        let reply = Http::on(server.port_of(2)).try_send("GET", "/v1/services/a", b"")?;
        (reply.status == 200).then_some(reply)
    });
    moved.expect(200);
    server
        .reload(".:@PORT@ {\n records {\n a. A 192.0.2.1\n }\n}")
        .unwrap();
    // Another server can have the address now.
    let text = corefile(FAST, "").replace("@P1@", &server.port_of(1).to_string());
    catena_testkit::eventually("the address to be free", || {
        TestServer::builder(PLUGINS, &text).try_start().ok()
    });
}

#[test]
fn the_api_moves_from_one_address_to_all_and_back() {
    let server = serve(FAST, "");
    let http = Http::of(&server);
    http.register("a", &[1]);
    for listen in ["127.0.0.1", "0.0.0.0", "127.0.0.1", "", "127.0.0.2"] {
        let pair = rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap();
        server.write("cert.pem", &pair.cert.pem());
        server.write("key.pem", &pair.signing_key.serialize_pem());
        let text = corefile(&format!("{FAST}\n api tls cert.pem key.pem"), "")
            .replace("127.0.0.1:@P1@", &format!("{listen}:@P1@"));
        server
            .reload(&text)
            .unwrap_or_else(|error| panic!("{listen:?}: {error}"));
        server
            .ask("a.service.local. A")
            .assert_answer(["a.service.local. 5 A 192.0.2.1"]);
    }
    // Nobody has 127.0.0.1 any more.
    catena_testkit::eventually("the address to be free", || {
        std::net::TcpListener::bind(("127.0.0.1", server.port_of(1))).ok()
    });
    // Another server does not get an address that overlaps.
    let text = corefile("api tls cert.pem key.pem", "")
        .replace("127.0.0.1:@P1@", &format!(":{}", server.port_of(1)));
    let pair = rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap();
    let second = TestServer::builder(PLUGINS, &text)
        .file("cert.pem", pair.cert.pem())
        .file("key.pem", pair.signing_key.serialize_pem());
    let error = match second.try_start() {
        Ok(_) => panic!("the address is taken"),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("the API cannot listen on [::]:"), "{error}");
}
