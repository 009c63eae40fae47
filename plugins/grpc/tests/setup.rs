//! What the Corefile can say, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use catena_plugin_grpc::PLUGIN;
use catena_testkit::{Handler, assert_setup_errors, setup_plugin};

#[test]
fn errors_say_what_is_wrong_and_where() {
    let with = |option: &str| format!("grpc . 192.0.2.53 {{\n{option}\n}}");
    let cases = [
        (
            "nothing",
            "grpc".to_owned(),
            "Corefile:1:1: plugin/grpc: wrong argument count",
        ),
        (
            "no target",
            "grpc .".to_owned(),
            "Corefile:1:1: plugin/grpc: wrong argument count",
        ),
        (
            "a host name",
            "grpc . dns.example.org:443".to_owned(),
            "Corefile:1:8: plugin/grpc: not an IP address or file: dns.example.org:443",
        ),
        (
            "another protocol",
            "grpc . tls://192.0.2.53".to_owned(),
            "Corefile:1:8: plugin/grpc: `tls` is no protocol for calls: tls://192.0.2.53",
        ),
        (
            "sixteen targets",
            format!("grpc . {}", vec!["192.0.2.53"; 16].join(" ")),
            "Corefile:1:1: plugin/grpc: more than 15 TOs configured: 16",
        ),
        (
            "twice",
            "grpc example.net 192.0.2.53\ngrpc example.org 192.0.2.54".to_owned(),
            "Corefile:2:1: plugin/grpc: this plugin can only be used once per Server Block",
        ),
        (
            "unknown option",
            with("polcy random"),
            "Corefile:2:1: plugin/grpc: unknown option `polcy` (one of: except, tls, ",
        ),
        (
            "unknown policy",
            with("policy fastest"),
            "Corefile:2:8: plugin/grpc: got `fastest`, expected one of: random",
        ),
        (
            "except nothing",
            with("except"),
            "Corefile:2:1: plugin/grpc: wrong argument count",
        ),
        (
            "four files",
            with("tls a b c d"),
            "Corefile:2:11: plugin/grpc: wrong argument count",
        ),
        (
            "no such file",
            with("tls /no/such/ca.pem"),
            "Corefile:2:5: plugin/grpc: cannot read /no/such/ca.pem",
        ),
        (
            "no name",
            with("tls_servername a..b"),
            "Corefile:2:16: plugin/grpc: got `a..b`, expected a domain name or an IP address",
        ),
    ];
    assert_setup_errors(
        &PLUGIN,
        cases
            .iter()
            .map(|(case, text, want)| (*case, text.as_str(), *want)),
    );
}

#[test]
fn every_option_and_target_of_the_page_is_understood() {
    let page = include_str!("../README.md");
    for option in [
        "except a.example 192.0.2.0/23",
        "tls",
        "tls_servername dns.example",
        "policy sequential",
        "fallthrough",
        "fallthrough example.org",
    ] {
        let text = format!("grpc . 192.0.2.53 {{\n{option}\n}}");
        assert!(setup_plugin(&PLUGIN, &text).is_ok(), "{option}");
        let name = option.split(' ').next().unwrap_or_default();
        assert!(page.contains(&format!("\n* `{name}`")), "{name} on the page");
    }
    for to in [
        "192.0.2.53",
        "192.0.2.53:9005 [2001:db8::1]:53 2001:db8::2",
        "unix:///run/grpc.sock",
        "grpc://192.0.2.53",
    ] {
        assert!(setup_plugin(&PLUGIN, &format!("grpc . {to}")).is_ok(), "{to}");
    }
}

#[test]
fn it_is_one_link_of_the_chain() {
    assert_eq!(Handler::new(&PLUGIN, "grpc . 192.0.2.53").chain(), ["grpc"]);
}
