use super::*;
use std::ffi::OsString;

use crate::cli::proxy::settings::{SETTINGS, Words};

/// The Corefile for a command line and an environment, `NAME=VALUE` with commas' place taken by `;` between them.
fn made(line: &str, environment: &[(&str, &str)]) -> Result<String, String> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let mut given = Words::read(&words).map_err(|error| error.to_string())?.given;
    let lookup = |name: &str| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    };
    given
        .read_environment(lookup)
        .and_then(|()| Proxy::read(&given))
        .map(|proxy| proxy.corefile())
        .map_err(|error| error.to_string())
}

const DEFAULT: &str = "\
.:53 {
    errors
    health :8080
    ready :8181
    cache
    forward . tls://1.1.1.1:853 {
        read_timeout 2s
    }
}
";

#[test]
fn without_settings_it_listens_on_53_and_asks_1_1_1_1() {
    assert_eq!(made("", &[]).unwrap(), DEFAULT);
    // As in a manifest that leaves a value empty.
    let empty: Vec<_> = SETTINGS.iter().map(|setting| (setting.variable, "")).collect();
    assert_eq!(made("", &empty).unwrap(), DEFAULT);
}

#[test]
fn the_defaults_can_be_said() {
    let said: Vec<_> = SETTINGS
        .iter()
        .filter(|setting| !setting.default.is_empty())
        .map(|setting| (setting.variable, setting.default))
        .collect();
    assert_eq!(made("", &said).unwrap(), DEFAULT);
}

#[test]
fn each_setting_changes_its_lines_by_variable_and_by_flag() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "text\n-----BEGIN CERTIFICATE-----\n").unwrap();
    let file = file.to_str().unwrap();
    let tls = format!("        tls \"{file}\"\n        read_timeout");
    let forward = "forward . tls://1.1.1.1:853";
    for (variable, flag, value, old, new) in [
        (
            "DNS_PROXY_UPSTREAM_SERVER",
            "upstream-server",
            "192.0.2.1,2001:db8::1,[2001:db8::2]:8853,192.0.2.2:1,[2001:db8::3],a.example.org,b.example.org:1",
            forward,
            "forward . tls://192.0.2.1:853 tls://[2001:db8::1]:853 tls://[2001:db8::2]:8853 tls://192.0.2.2:1 \
             tls://[2001:db8::3]:853 tls://a.example.org:853 tls://b.example.org:1",
        ),
        (
            "DNS_PROXY_UPSTREAM_PORT",
            "upstream-port",
            "8853",
            forward,
            "forward . tls://1.1.1.1:8853",
        ),
        (
            "DNS_PROXY_UPSTREAM_SERVERNAME",
            "upstream-servername",
            "dns.example.org.",
            "        read_timeout",
            "        tls_servername dns.example.org\n        read_timeout",
        ),
        (
            "DNS_PROXY_UPSTREAM_CA",
            "upstream-ca",
            file,
            "        read_timeout",
            &tls,
        ),
        (
            "DNS_PROXY_UPSTREAM_TIMEOUT",
            "upstream-timeout",
            "1500ms",
            "read_timeout 2s",
            "read_timeout 1500ms",
        ),
        (
            "DNS_PROXY_UPSTREAM_TIMEOUT",
            "upstream-timeout",
            "3000",
            "read_timeout 2s",
            "read_timeout 3s",
        ),
        ("DNS_PROXY_LISTEN", "listen", ":1053", ".:53", ".:1053"),
        (
            "DNS_PROXY_LISTEN",
            "listen",
            "127.0.0.1:1053,[::1]:1053",
            ".:53 {\n",
            ".:1053 {\n    bind 127.0.0.1 ::1\n",
        ),
        (
            "DNS_PROXY_LISTEN",
            "listen",
            "127.0.0.1:1053,:1053",
            ".:53 {\n",
            ".:1053 {\n",
        ),
        (
            "DNS_PROXY_ENABLE_UDP",
            "enable-udp",
            "false",
            "    errors\n",
            "    transports tcp\n    errors\n",
        ),
        (
            "DNS_PROXY_ENABLE_TCP",
            "enable-tcp",
            "0",
            "    errors\n",
            "    transports udp\n    errors\n",
        ),
        ("DNS_PROXY_CACHE", "cache", "false", "    cache\n", ""),
        (
            "DNS_PROXY_CACHE",
            "cache",
            "300",
            "    cache\n",
            "    cache 300\n",
        ),
        (
            "DNS_PROXY_METRICS",
            "metrics",
            "true",
            "    cache\n",
            "    prometheus :9153\n    cache\n",
        ),
        (
            "DNS_PROXY_METRICS",
            "metrics",
            "127.0.0.1:9253",
            "    cache\n",
            "    prometheus 127.0.0.1:9253\n    cache\n",
        ),
        ("DNS_PROXY_HEALTH", "health", "false", "    health :8080\n", ""),
        (
            "DNS_PROXY_HEALTH",
            "health",
            "[::1]:80",
            "health :8080",
            "health [::1]:80",
        ),
        ("DNS_PROXY_READY", "ready", ":81", "ready :8181", "ready :81"),
        (
            "DNS_PROXY_LOG",
            "log",
            "true",
            "    errors\n",
            "    errors\n    log\n",
        ),
    ] {
        let want = DEFAULT.replacen(old, new, 1);
        assert_ne!(want, DEFAULT, "{variable}");
        assert_eq!(
            made("", &[(variable, value)]).unwrap(),
            want,
            "{variable}={value}"
        );
        assert_eq!(
            made(&format!("-{flag} {value}"), &[]).unwrap(),
            want,
            "-{flag} {value}"
        );
        // The flag comes first, however bad the variable is.
        let both = made(&format!("--{flag}={value}"), &[(variable, "\u{1}")]);
        assert_eq!(both.unwrap(), want, "--{flag}={value}");
    }
}

#[test]
fn each_server_can_have_a_name_of_its_own() {
    let made = made(
        "",
        &[
            ("DNS_PROXY_UPSTREAM_SERVER", "192.0.2.1, [2001:db8::1]:8853"),
            (
                "DNS_PROXY_UPSTREAM_SERVERNAME",
                "one.example.org, two.example.org",
            ),
        ],
    );
    let want = "tls://192.0.2.1%one.example.org:853 tls://[2001:db8::1%two.example.org]:8853 {";
    assert!(made.as_ref().unwrap().contains(want), "{made:?}");
    assert!(!made.unwrap().contains("tls_servername"));
}

#[test]
fn bad_values_name_the_variable_or_flag_what_came_and_what_was_expected() {
    let endpoint = "true, false, or an address with a port such as 127.0.0.1:9153 or :9153";
    let server = "an IP address or a host name, with or without a port, such as 1.1.1.1 or [2001:db8::1]:853";
    let listen = "an address with a port, such as 127.0.0.1:53, or :53 for all addresses";
    let timeout = "a duration from 1ms to 60s, such as 1500ms or 2s";
    let cache = "true, false, or a number of seconds from 2 to 2147483647";
    let many = ["192.0.2.1"; 16].join(",");
    for (variable, flag, value, got, expected) in [
        ("UPSTREAM_SERVER", "upstream-server", "1.1.1", "1.1.1", server),
        ("UPSTREAM_SERVER", "upstream-server", "1.1.1.1,", "", server),
        (
            "UPSTREAM_SERVER",
            "upstream-server",
            "1.1.1.1:0",
            "1.1.1.1:0",
            server,
        ),
        ("UPSTREAM_SERVER", "upstream-server", "0.0.0.0", "0.0.0.0", server),
        (
            "UPSTREAM_SERVER",
            "upstream-server",
            "tls://1.1.1.1",
            "tls://1.1.1.1",
            server,
        ),
        (
            "UPSTREAM_SERVER",
            "upstream-server",
            &many,
            &many,
            "at most 15 servers",
        ),
        ("UPSTREAM_PORT", "upstream-port", "0", "0", "a port, 1 to 65535"),
        (
            "UPSTREAM_PORT",
            "upstream-port",
            "65536",
            "65536",
            "a port, 1 to 65535",
        ),
        ("UPSTREAM_PORT", "upstream-port", "+1", "+1", "a port, 1 to 65535"),
        (
            "UPSTREAM_SERVERNAME",
            "upstream-servername",
            "a,-b",
            "-b",
            "a host name such as dns.example.org",
        ),
        (
            "UPSTREAM_SERVERNAME",
            "upstream-servername",
            "a,b",
            "a,b",
            "one name for all servers, or 1 of them, one for each server",
        ),
        (
            "UPSTREAM_CA",
            "upstream-ca",
            "/nonexistent/ca.pem",
            "/nonexistent/ca.pem",
            "a file that can be read (No such file or directory (os error 2))",
        ),
        (
            "UPSTREAM_CA",
            "upstream-ca",
            "/etc/passwd",
            "/etc/passwd",
            "a file with certificates in PEM form",
        ),
        (
            "UPSTREAM_CA",
            "upstream-ca",
            "{$HOME}/x",
            "{$HOME}/x",
            "a path without quotes, backslashes, braces and control characters",
        ),
        ("UPSTREAM_TIMEOUT", "upstream-timeout", "0", "0", timeout),
        ("UPSTREAM_TIMEOUT", "upstream-timeout", "2h", "2h", timeout),
        ("UPSTREAM_TIMEOUT", "upstream-timeout", "61s", "61s", timeout),
        ("UPSTREAM_TIMEOUT", "upstream-timeout", "s", "s", timeout),
        ("UPSTREAM_TIMEOUT", "upstream-timeout", "-1s", "-1s", timeout),
        (
            "UPSTREAM_TIMEOUT",
            "upstream-timeout",
            "99999999999999999999",
            "99999999999999999999",
            timeout,
        ),
        ("LISTEN", "listen", "53", "53", listen),
        ("LISTEN", "listen", "localhost:53", "localhost:53", listen),
        ("LISTEN", "listen", ":0", ":0", listen),
        ("LISTEN", "listen", ":53,:54", ":53,:54", "addresses of one port"),
        ("ENABLE_UDP", "enable-udp", "yes", "yes", "true or false"),
        ("ENABLE_TCP", "enable-tcp", "on", "on", "true or false"),
        ("LOG", "log", "debug", "debug", "true or false"),
        ("CACHE", "cache", "5m", "5m", cache),
        ("CACHE", "cache", "-1", "-1", cache),
        ("METRICS", "metrics", "9153", "9153", endpoint),
        ("HEALTH", "health", "localhost:80", "localhost:80", endpoint),
        ("READY", "ready", ":x", ":x", endpoint),
    ] {
        let variable = format!("DNS_PROXY_{variable}");
        let want = format!("got `{got}`, expected {expected}");
        let by_variable = made("", &[(&variable, value)]).unwrap_err();
        assert_eq!(by_variable, format!("{variable}: {want}"));
        if !value.is_empty() {
            let by_flag = made(&format!("-{flag}={value}"), &[]).unwrap_err();
            assert_eq!(by_flag, format!("-{flag}: {want}"));
        }
    }
}

#[test]
fn something_has_to_be_served() {
    let error = made("-enable-tcp=false", &[("DNS_PROXY_ENABLE_UDP", "false")]).unwrap_err();
    assert_eq!(
        error,
        "-enable-tcp: got `false`, expected true, since DNS_PROXY_ENABLE_UDP is false too and nothing would be served"
    );
}
