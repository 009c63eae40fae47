use super::*;
use std::ffi::OsString;

use catena_core::corefile::testing::parse_directives;

const NEEDED: &str = "api listen 127.0.0.1:8080\n api token secret\n";

fn parse_text(text: &str) -> Result<Config, ConfigErrors> {
    parse(&parse_directives(text).unwrap(), Path::new("/nonexistent"))
}

/// A directive with the options that are required, and others behind them from line 4 on.
fn with(options: &str) -> Result<Config, ConfigErrors> {
    parse_text(&format!("dynresolve {{\n {NEEDED} {options}\n}}"))
}

#[test]
fn defaults_hold() {
    let config = with("").unwrap();
    assert_eq!((config.ttl, config.cache), (5, Duration::from_millis(100)));
    assert_eq!((config.fallback, config.rate.get()), (None, 10));
    assert!(config.allow.is_empty() && config.tls.is_none() && config.persist.is_none());
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
}

#[test]
fn every_option_is_read() {
    let config = parse_text(
        "dynresolve {\n api listen [2001:db8::1]:8443\n api token secret\n api allow 127.0.0.0/8 10.0.0.1\n \
         api allow 2001:db8::/32 ::1\n api rate-limit 1000\n api tls cert.pem /etc/key.pem\n api persist state.json\n ttl 0\n \
         cache 1m30s\n fallback 10.0.0.1\n}",
    )
    .unwrap();
    assert_eq!((config.ttl, config.cache), (0, Duration::from_secs(90)));
    assert_eq!(
        (config.fallback, config.rate.get()),
        (Some(Ipv4Addr::new(10, 0, 0, 1)), 1000)
    );
    let allow: Vec<_> = config.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["127.0.0.0/8", "10.0.0.1/32", "2001:db8::/32", "::1/128"]);
    let tls = config.tls.unwrap();
    assert_eq!(
        (tls.cert.as_path(), tls.key.as_path()),
        (Path::new("/nonexistent/cert.pem"), Path::new("/etc/key.pem"))
    );
    assert_eq!(
        config.persist.as_deref(),
        Some(Path::new("/nonexistent/state.json"))
    );
}

#[test]
fn listen_addresses_may_be_those_of_go() {
    for (text, want) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("localhost:80", "127.0.0.1:80"),
        (":80", "[::]:80"),
    ] {
        let config = parse_text(&format!(
            "dynresolve {{\n api listen {text}\n api token x\n api tls a b\n}}"
        ))
        .unwrap();
        assert_eq!(config.listen.to_string(), want);
    }
}

#[test]
fn tokens_are_plain_or_name_a_variable() {
    let environment = |name: &str| match name {
        "TOKEN" => Some(OsString::from("from the environment".replace(' ', "-"))),
        "EMPTY" => Some(OsString::new()),
        "BLANK" => Some(OsString::from("a b")),
        _ => None,
    };
    for (text, want) in [
        ("secret", Ok("secret")),
        ("$TOKEN", Ok("from-the-environment")),
        ("{env.TOKEN}", Ok("from-the-environment")),
        ("sec$TOKEN", Ok("sec$TOKEN")),
        ("$1", Ok("$1")),
        ("$", Ok("$")),
        ("{env.}", Ok("{env.}")),
        (
            "$NONE",
            Err(
                "Corefile:3:12: got `$NONE`, expected a token in the environment variable NONE, which is not set or \
                       is empty",
            ),
        ),
        (
            "{env.EMPTY}",
            Err(
                "Corefile:3:12: got `{env.EMPTY}`, expected a token in the environment variable EMPTY, which \
                             is not set or is empty",
            ),
        ),
        (
            "$BLANK",
            Err(
                "Corefile:3:12: a token that no client can send, expected printable ASCII characters without \
                        blanks",
            ),
        ),
        (
            "\"a b\"",
            Err(
                "Corefile:3:12: a token that no client can send, expected printable ASCII characters without \
                         blanks",
            ),
        ),
    ] {
        let config = parse_text(&format!(
            "dynresolve {{\n api listen 127.0.0.1:80\n api token {text}\n}}"
        ))
        .unwrap();
        let token = config.token(&environment).map_err(|error| error.headline());
        assert_eq!(token, want.map(str::to_owned).map_err(str::to_owned), "{text}");
    }
}

#[test]
fn bad_input_is_refused_with_place_and_advice() {
    for (case, text, want) in [
        (
            "no block",
            "dynresolve",
            "Corefile:1:1: `api listen` is missing, expected `api listen ADDRESS:PORT` in the block of \
                                    `dynresolve`",
        ),
        (
            "no token",
            "dynresolve {\n api listen 127.0.0.1:80\n}",
            "Corefile:1:1: `api token` is missing, expected `api token TOKEN` in the block of `dynresolve`",
        ),
        (
            "argument",
            "dynresolve x {\n api listen 127.0.0.1:80\n api token x\n}",
            "Corefile:1:12: wrong argument count: unexpected `x` after `dynresolve`, expected no arguments",
        ),
        (
            "twice",
            "dynresolve\ndynresolve",
            "Corefile:2:1: this plugin can only be used once per Server Block",
        ),
        (
            "empty token",
            "dynresolve {\n api listen 127.0.0.1:80\n api token \"\"\n}",
            "Corefile:3:12: an empty token, expected the token that clients of the API show",
        ),
        (
            "host name",
            "dynresolve {\n api listen example.org:80\n api token x\n}",
            "Corefile:2:13: got `example.org:80`, expected an IP address with a port, such as 127.0.0.1:8080",
        ),
        (
            "no port",
            "dynresolve {\n api listen 127.0.0.1\n api token x\n}",
            "Corefile:2:13: got `127.0.0.1`, expected an IP address with a port, such as 127.0.0.1:8080",
        ),
        (
            "port 0",
            "dynresolve {\n api listen 127.0.0.1:0\n api token x\n}",
            "Corefile:2:13: got `127.0.0.1:0`, expected an IP address with a port, such as 127.0.0.1:8080",
        ),
        (
            "no TLS",
            "dynresolve {\n api listen 10.0.0.1:80\n api token x\n}",
            "Corefile:2:13: the API listens on 10.0.0.1:80 without TLS, expected `api tls CERT KEY`, or a loopback address such \
          as 127.0.0.1:8080",
        ),
        (
            "all addresses without TLS",
            "dynresolve {\n api listen :80\n api token x\n}",
            "Corefile:2:13: the API listens on [::]:80 without TLS, expected `api tls CERT KEY`, or a loopback address such as \
          127.0.0.1:8080",
        ),
    ] {
        assert_eq!(
            parse_text(text).unwrap_err().as_slice()[0].headline(),
            want,
            "case {case}"
        );
    }
}

#[test]
fn bad_options_are_refused_with_place_and_advice() {
    let ttl = "expected a number from 0 to 2147483647";
    let rate = "expected a number from 1 to 4294967295";
    for (case, option, want) in [
        (
            "unknown",
            "tll 5",
            "unknown option `tll` (one of: api, cache, fallback, ttl)".to_owned(),
        ),
        (
            "unknown of the API",
            "api tokn x",
            "unknown option `api tokn` (one of: allow, listen, persist, rate-limit, tls, token)".to_owned(),
        ),
        (
            "api alone",
            "api",
            "wrong argument count after `api`, expected OPTION VALUE...".to_owned(),
        ),
        ("ttl negative", "ttl -1", format!("got `-1`, {ttl}")),
        ("ttl large", "ttl 2147483648", format!("got `2147483648`, {ttl}")),
        ("ttl word", "ttl 5s", format!("got `5s`, {ttl}")),
        (
            "cache",
            "cache 100",
            "got `100`, expected a duration such as 5s or 1h30m".to_owned(),
        ),
        (
            "cache negative",
            "cache -1s",
            "got `-1s`, expected a duration that is not negative".to_owned(),
        ),
        (
            "fallback IPv6",
            "fallback 2001:db8::1",
            "got `2001:db8::1`, expected an IPv4 address such as 10.0.0.1".to_owned(),
        ),
        (
            "fallback word",
            "fallback x",
            "got `x`, expected an IPv4 address such as 10.0.0.1".to_owned(),
        ),
        (
            "network",
            "api allow 10.0.0.0/33",
            "got `10.0.0.0/33`, expected a network such as 192.0.2.0/24, or an IP address".to_owned(),
        ),
        (
            "no network",
            "api allow",
            "wrong argument count after `api allow`, expected NETWORK...".to_owned(),
        ),
        (
            "one TLS file",
            "api tls cert.pem",
            "wrong argument count after `api tls`, expected CERT KEY".to_owned(),
        ),
        (
            "three TLS files",
            "api tls a b c",
            "wrong argument count: unexpected `c` after `api tls`, expected CERT KEY".to_owned(),
        ),
        ("rate 0", "api rate-limit 0", format!("got `0`, {rate}")),
        ("rate negative", "api rate-limit -1", format!("got `-1`, {rate}")),
        (
            "persist alone",
            "api persist",
            "wrong argument count after `api persist`, expected FILE".to_owned(),
        ),
        ("block", "ttl 5 {\n}", "`ttl` takes no block".to_owned()),
        (
            "ttl twice",
            "ttl 5\n ttl 5",
            "`ttl` is given twice, expected it once".to_owned(),
        ),
        (
            "cache twice",
            "cache 1s\n cache 1s",
            "`cache` is given twice, expected it once".to_owned(),
        ),
        (
            "fallback twice",
            "fallback 10.0.0.1\n fallback 10.0.0.1",
            "`fallback` is given twice, expected it once".to_owned(),
        ),
        (
            "listen twice",
            "api listen 127.0.0.1:81",
            "`api listen` is given twice, expected it once".to_owned(),
        ),
        (
            "token twice",
            "api token x",
            "`api token` is given twice, expected it once".to_owned(),
        ),
        (
            "rate twice",
            "api rate-limit 1\n api rate-limit 1",
            "`api rate-limit` is given twice, expected it once".to_owned(),
        ),
        (
            "tls twice",
            "api tls a b\n api tls a b",
            "`api tls` is given twice, expected it once".to_owned(),
        ),
        (
            "persist twice",
            "api persist a\n api persist a",
            "`api persist` is given twice, expected it once".to_owned(),
        ),
    ] {
        let errors = with(option).unwrap_err();
        let headline = errors.as_slice()[0].headline();
        let (place, message) = headline.split_once(": ").unwrap();
        assert_eq!(message, want, "case {case}");
        assert!(
            place.starts_with("Corefile:4:") || place.starts_with("Corefile:5:"),
            "case {case}: {place}"
        );
    }
}

#[test]
fn near_options_are_suggested() {
    for (option, near) in [
        ("tll 5", "ttl"),
        ("api tokn x", "token"),
        ("falback 10.0.0.1", "fallback"),
    ] {
        assert_eq!(with(option).unwrap_err().as_slice()[0].suggestion(), Some(near));
    }
}
