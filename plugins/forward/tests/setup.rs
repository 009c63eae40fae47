//! What the Corefile can say, and what is refused.

use catena_plugin_forward::PLUGIN;
use catena_testkit::{Handler, assert_setup_errors, setup_plugin};

#[test]
fn errors_say_what_is_wrong_and_where() {
    let with = |option: &str| format!("forward . 192.0.2.53 {{\n{option}\n}}");
    let sixteen = format!("forward . {}", vec!["192.0.2.53"; 16].join(" "));
    let cases = [
        (
            "nothing",
            "forward".to_owned(),
            "Corefile:1:1: plugin/forward: wrong argument count",
        ),
        (
            "no target",
            "forward .".to_owned(),
            "Corefile:1:1: plugin/forward: wrong argument count",
        ),
        (
            "sixteen targets",
            sixteen,
            "Corefile:1:176: plugin/forward: more than 15 TOs configured: 16",
        ),
        (
            "other protocol",
            "forward . grpc://192.0.2.53".to_owned(),
            "Corefile:1:11: plugin/forward: `grpc` is no protocol",
        ),
        (
            "a file over tls",
            "forward . tls:///etc/resolv.conf".to_owned(),
            "Corefile:1:11: plugin/forward: got `tls:///etc/resolv.conf`, expected an IP address or a host name, with",
        ),
        (
            "no name behind a percent sign",
            "forward . tls://192.0.2.53%:853".to_owned(),
            "Corefile:1:11: plugin/forward: `` is no server name: tls://192.0.2.53%:853",
        ),
        (
            "a bad name behind a percent sign",
            "forward . quic://192.0.2.53%a..b".to_owned(),
            "Corefile:1:11: plugin/forward: `a..b` is no server name",
        ),
        (
            "a misspelt scheme",
            "forward . htps://192.0.2.53".to_owned(),
            "Corefile:1:11: plugin/forward: `htps` is no protocol to forward over: htps://192.0.2.53",
        ),
        (
            "http3 path",
            "forward . https3://192.0.2.53/q".to_owned(),
            "Corefile:1:11: plugin/forward: paths are not allowed in https3 upstreams",
        ),
        (
            "a name that is none",
            with("tls_servername a..b"),
            "Corefile:2:16: plugin/forward: got `a..b`, expected a domain name or an IP address",
        ),
        (
            "four files",
            with("tls a b c d"),
            "Corefile:2:11: plugin/forward: wrong argument count",
        ),
        (
            "https path",
            "forward . https://192.0.2.53/q".to_owned(),
            "Corefile:1:11: plugin/forward: paths are not allowed in https upstreams",
        ),
        (
            "two names for tls",
            "forward . tls://192.0.2.53%a.example {\ntls_servername b.example\n}".to_owned(),
            "Corefile:2:16: plugin/forward: both `tls_servername b.example` and the name `a.example`",
        ),
        (
            "no address, file or name",
            "forward . /no/such/file".to_owned(),
            "Corefile:1:11: plugin/forward: got `/no/such/file`, expected an IP address",
        ),
        (
            "unknown option",
            with("force_tpc"),
            "Corefile:2:1: plugin/forward: unknown option `force_tpc` (one of: except, ",
        ),
        (
            "switch with a value",
            with("force_tcp on"),
            "Corefile:2:11: plugin/forward: wrong argument count",
        ),
        (
            "except nothing",
            with("except"),
            "Corefile:2:1: plugin/forward: wrong argument count",
        ),
        (
            "unknown policy",
            with("policy fastest"),
            "Corefile:2:8: plugin/forward: got `fastest`, expected one of: random",
        ),
        (
            "bad duration",
            with("expire 5"),
            "Corefile:2:8: plugin/forward: got `5`, expected a duration",
        ),
        (
            "negative expire",
            with("expire -5s"),
            "Corefile:2:8: plugin/forward: got `-5s`, expected a duration that is not negative",
        ),
        (
            "no read timeout",
            with("read_timeout 0s"),
            "Corefile:2:14: plugin/forward: got `0s`, expected a duration above zero",
        ),
        (
            "max_age below expire",
            with("max_age 5s"),
            "Corefile:2:1: plugin/forward: max_age (5s) must not be less than expire (10s)",
        ),
        (
            "negative count",
            with("max_concurrent -5"),
            "Corefile:2:16: plugin/forward: got `-5`, expected a number",
        ),
        (
            "huge count",
            with("max_fails 4294967296"),
            "Corefile:2:11: plugin/forward: got `4294967296`",
        ),
        (
            "no rcode",
            with("next NXDOMAIN NOPE"),
            "Corefile:2:15: plugin/forward: NOPE is not a valid rcode",
        ),
        (
            "failover of success",
            with("failover SERVFAIL NOERROR"),
            "Corefile:2:19: plugin/forward: NoError cannot be used in failover",
        ),
        (
            "no source address",
            with("source_address localhost"),
            "Corefile:2:16: plugin/forward: got `localhost`, expected an IP address",
        ),
        (
            "resolver by name",
            with("resolver dns.example:53"),
            "Corefile:2:10: plugin/forward: resolver must be an IP address",
        ),
        (
            "unknown health option",
            with("health_check 1s norec"),
            "Corefile:2:17: plugin/forward: unknown option `norec` of health_check",
        ),
        (
            "health domain missing",
            with("health_check 1s domain"),
            "Corefile:2:17: plugin/forward: `domain` needs a name",
        ),
        (
            "doh method",
            with("doh_method PUT"),
            "Corefile:2:12: plugin/forward: got `PUT`, expected one of: GET, POST",
        ),
        (
            "tls file",
            with("tls /no/such/ca.pem"),
            "Corefile:2:5: plugin/forward: cannot read /no/such/ca.pem",
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
fn every_option_of_the_page_is_understood() {
    let page = include_str!("../README.md");
    for option in [
        "except a.example 192.0.2.0/23",
        "force_tcp",
        "prefer_udp",
        "expire 20s",
        "max_age 1m",
        "max_idle_conns 4",
        "read_timeout 1500ms",
        "max_fails 0",
        "max_connect_attempts 0",
        "doh_method POST",
        "tls",
        "tls_servername dns.example",
        "policy round_robin",
        "health_check 5s no_rec domain probe.example",
        "max_concurrent 0",
        "next SERVFAIL refused",
        "next_on_nodata",
        "failfast_all_unhealthy_upstreams",
        "failover SERVFAIL",
        "source_address 127.0.0.1",
        "resolver 192.0.2.1 [2001:db8::1]:53",
    ] {
        let text = format!("forward . 192.0.2.53 {{\n{option}\n}}");
        assert!(setup_plugin(&PLUGIN, &text).is_ok(), "{option}");
        let name = option.split(' ').next().unwrap_or_default();
        assert!(page.contains(&format!("\n* `{name}`")), "{name} on the page");
    }
}

#[test]
fn each_directive_is_a_link_of_the_chain() {
    let handler = Handler::new(
        &PLUGIN,
        "forward a.example 192.0.2.1\nforward . 192.0.2.2 2001:db8::1 dns://192.0.2.3:54",
    );
    assert_eq!(handler.chain(), ["forward", "forward"]);
}

#[test]
fn a_network_of_several_reverse_zones_is_warned_about() {
    let handler = Handler::new(&PLUGIN, "forward 198.51.100.0/23 192.0.2.1");
    assert_eq!(
        handler.warnings(),
        [
            "[WARNING] plugin/forward: Unsupported CIDR notation: '198.51.100.0/23' expands to multiple zones. \
          Using only '100.51.198.in-addr.arpa.'."
        ]
    );
}

#[test]
fn files_of_name_servers_stand_beside_the_corefile() {
    for (content, works) in [("nameserver 192.0.2.1\n", true), ("search example.org\n", false)] {
        let built = Handler::builder(&PLUGIN, "forward . resolv.test")
            .file("resolv.test", content)
            .build();
        assert_eq!(built.is_ok(), works, "{content}");
    }
}
