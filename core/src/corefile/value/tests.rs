//! Tables of words and their values.

use std::sync::Arc;

use super::*;
use crate::corefile::{Source, Span};

fn word(text: &str) -> Token {
    let source = Arc::new(Source::new("Corefile", None, text));
    Token::new(text, Span::new(source, 1, 1, 1), false)
}

/// The value, or what was expected instead.
fn shown<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("no: {}", error.expected().unwrap_or_default()),
    }
}

#[test]
fn numbers() {
    for (text, want) in [
        ("5", "5"),
        ("+5", "5"),
        ("007", "7"),
        ("10", "10"),
        ("11", "no: a number from 1 to 10"),
        ("0", "no: a number from 1 to 10"),
        ("-1", "no: a number from 1 to 10"),
        ("5s", "no: a number from 1 to 10"),
        ("", "no: a number from 1 to 10"),
        (
            "99999999999999999999999999999999999999999",
            "no: a number from 1 to 10",
        ),
    ] {
        assert_eq!(shown(word(text).count(1..=10)), want, "count {text:?}");
    }
    assert_eq!(shown(word("x").count(..)), "no: a number of at least 0");
    assert_eq!(shown(word("x").count(5..)), "no: a number of at least 5");
    assert_eq!(
        shown(word("18446744073709551615").count(..)),
        u64::MAX.to_string()
    );
    assert_eq!(shown(word("-3").integer(-5..5)), "-3");
    assert_eq!(
        shown(word("5").integer(-5..5)),
        "no: a whole number from -5 to less than 5"
    );
    assert_eq!(shown(word("0.5").float(0.0..=1.0)), "0.5");
    assert_eq!(shown(word("1.5").float(0.0..=1.0)), "no: a number from 0 to 1");
    for text in ["nan", "inf", "x", ""] {
        assert_eq!(shown(word(text).float(..)), "no: a number", "float {text:?}");
    }
}

#[test]
fn sizes() {
    for (text, want) in [
        ("512", "512"),
        ("64k", "65536"),
        ("64KiB", "65536"),
        ("2M", "2097152"),
        ("1gb", "1073741824"),
        ("100b", "100"),
        ("k", "no: a size such as 512 or 64k of at most 4294967296"),
        ("1.5k", "no: a size such as 512 or 64k of at most 4294967296"),
        ("5t", "no: a size such as 512 or 64k of at most 4294967296"),
        ("5g", "no: a size such as 512 or 64k of at most 4294967296"),
        (
            "99999999999g",
            "no: a size such as 512 or 64k of at most 4294967296",
        ),
    ] {
        assert_eq!(shown(word(text).size(..=4 << 30)), want, "size {text:?}");
    }
}

#[test]
fn durations() {
    assert_eq!(shown(word("1m").duration()), "60s");
    assert_eq!(
        shown(word("-1m").duration()),
        "no: a duration that is not negative"
    );
    assert_eq!(shown(word("-1m").signed_duration()), "-60000000000");
    let range = Duration::from_secs(1)..=Duration::from_secs(60);
    assert_eq!(
        shown(word("61s").duration_in(range)),
        "no: a duration from 1s to 60s"
    );
    let error = word("5").duration().unwrap_err().to_string();
    assert!(error.contains("a number needs a unit"), "{error}");
}

#[test]
fn addresses_and_networks() {
    for (text, port, want) in [
        ("192.0.2.1", Some(53), "192.0.2.1:53"),
        ("192.0.2.1:5353", Some(53), "192.0.2.1:5353"),
        ("2001:db8::1", Some(53), "[2001:db8::1]:53"),
        ("[2001:db8::1]", Some(53), "[2001:db8::1]:53"),
        (
            "[192.0.2.1]",
            Some(53),
            "no: an IP address, with or without a port",
        ),
        (
            "192.0.2.1:0",
            Some(53),
            "no: an IP address, with or without a port",
        ),
        (
            "192.0.2.1:65536",
            Some(53),
            "no: an IP address, with or without a port",
        ),
        (
            "192.000.002.001",
            Some(53),
            "no: an IP address, with or without a port",
        ),
        ("192.0.2.1:53", None, "192.0.2.1:53"),
        ("192.0.2.1", None, "no: an IP address with a port"),
    ] {
        assert_eq!(shown(word(text).address(port)), want, "address {text:?}");
    }
    assert_eq!(shown(word("2001:db8::1").ip()), "2001:db8::1");
    assert_eq!(shown(word("a").ip()), "no: an IP address");
    for (text, want) in [
        ("0", false),
        ("1", true),
        ("65535", true),
        ("65536", false),
        ("http", false),
    ] {
        assert_eq!(word(text).port().is_ok(), want, "port {text:?}");
    }
    for (text, want) in [
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        (
            "192.0.2.0/33",
            "no: a network such as 192.0.2.0/24, or an IP address",
        ),
    ] {
        assert_eq!(shown(word(text).network()), want, "network {text:?}");
    }
}

#[test]
fn zones_of_names_and_networks() {
    for (text, want) in [
        ("Example.ORG", "[example.org.]"),
        ("tls://example.org:853", "[example.org.]"),
        ("192.0.2.0/24", "[2.0.192.in-addr.arpa.]"),
        (
            "192.0.2.0/31",
            "[0.2.0.192.in-addr.arpa., 1.2.0.192.in-addr.arpa.]",
        ),
        ("a..b", "no: a zone"),
        ("example.org:", "no: a zone"),
    ] {
        assert_eq!(shown(word(text).zones()), want, "zones {text:?}");
    }
    assert_eq!(shown(word("192.0.2.0/31").zone()), "no: one zone");
}

#[test]
fn patterns_words_and_paths() {
    assert!(word("^a+$").regex().unwrap().is_match("aa"));
    assert_eq!(shown(word("(").regex()), "no: a regular expression");
    assert_eq!(shown(word(&"a".repeat(10_001)).regex()), "no: at most 10000");
    assert!(word("((a{1000}){1000}){1000}").regex().is_err());
    for (text, want) in [
        ("on", Some(true)),
        ("false", Some(false)),
        ("On", None),
        ("1", None),
    ] {
        assert_eq!(word(text).on_off().ok(), want, "on_off {text:?}");
    }
    assert_eq!(word("b").one_of(&["a", "b"]).unwrap(), "b");
    let root = Path::new("/etc/catena");
    assert_eq!(word("hosts").path(root).unwrap(), Path::new("/etc/catena/hosts"));
    assert_eq!(word("/etc/hosts").path(root).unwrap(), Path::new("/etc/hosts"));
    assert!(word("").path(root).is_err());
}
