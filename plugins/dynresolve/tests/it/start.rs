//! What starts, and what does not.

use catena_testkit::{Handler, TestServer};

use crate::http::Http;
use crate::{PLUGINS, corefile, serve};

fn start_error(text: &str) -> String {
    match TestServer::builder(PLUGINS, text).try_start() {
        Ok(_) => panic!("this starts:\n{text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn two_blocks_on_one_address_are_an_error_that_names_both() {
    let second = corefile("", "").replace("service.local", "other.local");
    let error = start_error(&(corefile("", "") + &second));
    assert!(
        error.contains("Corefile:11:14: plugin/dynresolve: `dns://other.local.:"),
        "{error}"
    );
    assert!(
        error.contains("cannot listen on 127.0.0.1:") && error.contains("`dns://service.local.:"),
        "{error}"
    );
    assert!(error.contains("that stands at Corefile:3:14"), "{error}");
}

#[test]
fn addresses_that_overlap_are_an_error_that_names_both_blocks() {
    let tls = "api tls cert.pem key.pem";
    for (one, other) in [
        ("127.0.0.1", "0.0.0.0"),
        ("0.0.0.0", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("[::1]", ""),
        ("", "0.0.0.0"),
        ("localhost", "127.0.0.1"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
    ] {
        let block = |zone: &str, host: &str| {
            corefile(tls, "")
                .replace("service.local", zone)
                .replace("127.0.0.1:@P1@", &format!("{host}:@P1@"))
        };
        let error = start_error(&(block("one.local", one) + &block("other.local", other)));
        assert!(
            error.contains("`dns://other.local.:") && error.contains("cannot listen on "),
            "{one} {other}: {error}"
        );
        assert!(error.contains(": `dns://one.local.:"), "{one} {other}: {error}");
    }
}

#[test]
fn two_blocks_with_one_file_are_an_error_that_names_both() {
    let options = "api persist state.json";
    let second = corefile(options, "")
        .replace("service.local", "other.local")
        .replace("@P1@", "@P2@");
    let error = start_error(&(corefile(options, "") + &second));
    assert!(
        error.contains("cannot keep its state in ") && error.contains("`dns://service.local.:"),
        "{error}"
    );
    assert!(error.contains("`dns://other.local.:"), "{error}");
}

#[test]
fn a_variable_that_is_not_set_is_an_error_at_the_start_with_its_place() {
    for token in [
        "$DYNRESOLVE_NO_SUCH_VARIABLE",
        "{env.DYNRESOLVE_NO_SUCH_VARIABLE}",
    ] {
        let error = start_error(&corefile("", "").replace("token secret", &format!("token {token}")));
        let want = format!(
            "Corefile:4:13: plugin/dynresolve: got `{token}`, expected a token in the environment variable"
        );
        assert!(error.contains(&want), "{error}");
    }
    // The Corefile's own notation leaves an empty word, or none.
    let error =
        start_error(&corefile("", "").replace("token secret", "token \"{$DYNRESOLVE_NO_SUCH_VARIABLE}\""));
    assert!(
        error.contains("Corefile:4:13: plugin/dynresolve: an empty token"),
        "{error}"
    );
}

#[test]
fn a_variable_gives_the_token() {
    // Cargo sets it for each test.
    let name = "CARGO_PKG_NAME";
    let value = std::env::var(name).unwrap();
    for token in [
        format!("${name}"),
        format!("{{env.{name}}}"),
        format!("{{${name}}}"),
    ] {
        let server = TestServer::start(
            PLUGINS,
            &corefile("", "").replace("token secret", &format!("token {token}")),
        );
        let http = Http::of(&server).with_token(Some(&value));
        http.get("/v1/services").expect(200);
        http.with_token(Some(&token)).get("/v1/services").expect(401);
    }
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let first = serve("", "");
    let text = corefile("", "").replace("@P1@", &first.port_of(1).to_string());
    let error = start_error(&text);
    assert!(
        error.contains("plugin/dynresolve: the API cannot listen on 127.0.0.1:"),
        "{error}"
    );
}

#[test]
fn an_address_beyond_loopback_needs_tls() {
    let error = start_error(&corefile("", "").replace("127.0.0.1:@P1@", "0.0.0.0:@P1@"));
    assert!(
        error.contains("without TLS, expected `api tls CERT KEY`"),
        "{error}"
    );
}

#[test]
fn it_is_ready_when_it_is_restored() {
    let handler = Handler::builder(
        [catena_plugin_dynresolve::PLUGIN],
        "dynresolve {\n api listen localhost:@PORT@\n api token x\n}",
    )
    .with("PORT", &free_port())
    .build()
    .unwrap();
    let ready = || {
        let services = handler.services();
        let all: Vec<_> = services.all::<dyn catena_core::plugin::Readiness>().collect();
        assert_eq!((all.len(), all[0].name()), (1, "dynresolve"));
        all[0].ready()
    };
    assert!(!ready());
    handler.start().unwrap();
    assert!(ready());
    handler.stop();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
