//! Tables of keys, as CoreDNS reads them.

use std::sync::Arc;

use super::*;
use crate::corefile::Source;

fn read(words: &str) -> Result<Vec<Key>, ConfigErrors> {
    let source = Arc::new(Source::new("Corefile", None, words));
    let token = |word: &str| Token::new(word, Span::new(Arc::clone(&source), 1, 1, 1), false);
    keys(&words.split(' ').map(token).collect::<Vec<_>>(), 1053)
}

#[test]
fn keys_are_read_as_coredns_reads_them() {
    for (words, want) in [
        (".", "dns://.:1053"),
        (
            "Example.ORG example.net:53",
            "dns://example.org.:1053 dns://example.net.:53",
        ),
        ("dns://.", "dns://.:1053"),
        (
            "tls://. quic://. https://. https3://. grpc://.",
            "tls://.:853 quic://.:853 https://.:443 https3://.:443 grpc://.:443",
        ),
        ("tls://example.org:8853", "tls://example.org.:8853"),
        ("example.org:+053", "dns://example.org.:53"),
        ("example.org:0", "dns://example.org.:0"),
        // What is no port or no scheme belongs to the name.
        ("example.org:dns", "dns://example.org:dns.:1053"),
        ("TLS://example.org", "dns://tls://example.org.:1053"),
        ("udp://example.org:53", "dns://udp://example.org.:53"),
        ("}", "dns://}.:1053"),
        // An address without a mask or with a wrong one is a name.
        (
            "192.0.2.1 192.0.2.0/33",
            "dns://192.0.2.1.:1053 dns://192.0.2.0/33.:1053",
        ),
        (
            "192.0.2.0/24:53 2001:db8:12::/48",
            "dns://2.0.192.in-addr.arpa.:53 \
          dns://2.1.0.0.8.b.d.0.1.0.0.2.ip6.arpa.:1053",
        ),
        ("203.0.113.7/32", "dns://7.113.0.203.in-addr.arpa.:1053"),
        ("192.0.2.77/24", "dns://2.0.192.in-addr.arpa.:1053"),
        ("0.0.0.0/0", "dns://in-addr.arpa.:1053"),
        (
            "192.0.2.0/31:53",
            "dns://0.2.0.192.in-addr.arpa.:53 dns://1.2.0.192.in-addr.arpa.:53",
        ),
        (
            "2001:db8::/31",
            "dns://8.b.d.0.1.0.0.2.ip6.arpa.:1053 dns://9.b.d.0.1.0.0.2.ip6.arpa.:1053",
        ),
        (
            "10.0.0.0/23 a",
            "dns://0.0.10.in-addr.arpa.:1053 dns://1.0.10.in-addr.arpa.:1053 dns://a.:1053",
        ),
    ] {
        let got: Vec<String> = read(words).unwrap().iter().map(Key::to_string).collect();
        assert_eq!(got.join(" "), want, "keys {words:?}");
    }
    assert_eq!(read("10.0.0.0/9").unwrap().len(), 128);
}

#[test]
fn keys_that_cannot_be_served_are_refused() {
    let label = format!("{}.example.org", "a".repeat(64));
    for (words, want) in [
        (
            "example.org:",
            "expecting data after last colon: \"example.org:\"",
        ),
        ("tls://", "expecting data after last colon: \"\""),
        ("example.org:99999", "address 99999: invalid port"),
        ("example.org:-1", "address -1: invalid port"),
        (":53", "zone is not a valid domain name: "),
        ("a..b", "zone is not a valid domain name: a..b"),
        (label.as_str(), "zone is not a valid domain name: aaa"),
        (&"a.".repeat(200), "specified zone is too long: 400 > 255"),
        ("::/0", "invalid CIDR ::/0"),
        ("0::/16", "invalid CIDR 0::/16"),
        ("unix:///run/x", "a socket file is no zone"),
    ] {
        let error = read(words).unwrap_err().to_string();
        assert!(error.contains(want), "keys {words:?}: {error}");
    }
    assert_eq!(read("a: b c:").unwrap_err().iter().count(), 2);
}

#[test]
fn the_same_cannot_be_served_twice() {
    let keys = read("example.org:53 dns://Example.org:53 tls://example.org:53 example.org:54").unwrap();
    let mut served = Served::default();
    assert!(served.add(&keys[0], "", false).is_ok());
    let error = served.add(&keys[1], "", false).unwrap_err();
    assert_eq!(
        error.message(),
        "cannot serve dns://example.org.:53 - it is already defined"
    );
    for other in &keys[2..] {
        assert!(served.add(other, "", false).is_ok(), "{other}");
    }
}

#[test]
fn views_and_addresses_tell_blocks_apart() {
    let key = &read("example.org:53").unwrap()[0];
    for (case, added, want) in [
        (
            "views",
            vec![("", true), ("", true), ("", false), ("", true)],
            None,
        ),
        (
            "two addresses",
            vec![("192.0.2.1", false), ("192.0.2.2", false)],
            None,
        ),
        (
            "one address twice",
            vec![("192.0.2.1", false), ("192.0.2.1", false)],
            Some("cannot serve dns://example.org.:53 on 192.0.2.1 - it is already defined"),
        ),
        (
            "all addresses, then one",
            vec![("", false), ("192.0.2.1", false)],
            Some(
                "cannot serve dns://example.org.:53 on 192.0.2.1 - zone overlap listener capacity with \
          dns://example.org.:53",
            ),
        ),
        (
            "one address, then all",
            vec![("192.0.2.1", false), ("", false)],
            Some(
                "cannot serve dns://example.org.:53 - zone overlap listener capacity with \
          dns://example.org.:53 on 192.0.2.1",
            ),
        ),
    ] {
        let mut served = Served::default();
        let results: Result<(), ConfigError> = added
            .iter()
            .try_for_each(|(address, filtered)| served.add(key, address, *filtered));
        assert_eq!(
            results.err().as_ref().map(ConfigError::message),
            want,
            "case {case}"
        );
    }
}

#[test]
fn odd_names_are_told_from_usual_ones() {
    for (word, want) in [
        (".", true),
        ("example.org", true),
        ("a-1.b", true),
        ("1.2.0.192.in-addr.arpa", true),
        ("}", false),
        ("_tcp.example.org", false),
        ("1.example.org", false),
        ("a-.example.org", false),
    ] {
        assert_eq!(
            read(word).unwrap()[0].has_preferred_syntax(),
            want,
            "zone {word:?}"
        );
    }
}
