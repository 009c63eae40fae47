//! Records as operators write them, against hickory-proto's view of their wire form.

use crate::{RecordError, TextRecord};

fn read(text: &str) -> Result<TextRecord, RecordError> {
    text.parse()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn owner_ttl_class_and_type() {
    for (text, owner, ttl, class, record_type) in [
        (
            "a.example.org. 60 IN A 192.0.2.1",
            &b"\x01a\x07example\x03org\0"[..],
            60,
            1,
            1,
        ),
        ("a IN 60 A 192.0.2.1", b"\x01a\0", 60, 1, 1),
        ("a IN A 192.0.2.1", b"\x01a\0", 3600, 1, 1),
        ("A 30 A 192.0.2.1", b"\x01A\0", 30, 1, 1),
        ("a A 192.0.2.1", b"\x01a\0", 3600, 1, 1),
        (". 1h30m CH TXT x", b"\0", 5400, 3, 16),
        ("@ 1w2d CLASS1 TYPE1 192.0.2.1", b"\0", 777_600, 1, 1),
        ("\n a 60 A 192.0.2.1 ; comment\n\n", b"\x01a\0", 60, 1, 1),
        ("a 60 IN A (\n 192.0.2.1 ; comment\n)", b"\x01a\0", 60, 1, 1),
        (r"\097\.b 60 A 192.0.2.1", b"\x03a.b\0", 60, 1, 1),
        ("a 60 in a 192.0.2.1", b"\x01a\0", 60, 1, 1),
        ("a class4 type16 x", b"\x01a\0", 3600, 4, 16),
        ("a A 192.0.2.1\nb 60 A (", b"\x01a\0", 3600, 1, 1),
        ("a A 192.0.2.1 ; end\nnonsense", b"\x01a\0", 3600, 1, 1),
    ] {
        let record = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let got = (
            record.owner.as_slice(),
            record.ttl,
            record.class,
            record.record_type,
        );
        assert_eq!(got, (owner, ttl, class, record_type), "{text}");
    }
}

#[test]
fn data_of_all_types() {
    for (text, want) in [
        ("A 192.0.2.1", "c0000201"),
        ("AAAA 2001:db8::1", "20010db8000000000000000000000001"),
        ("CNAME target", "0674617267657400"),
        ("MX 10 .", "000a00"),
        ("SRV 1 2 53 a.", "000100020035016100"),
        ("SOA ns h (1 60 1m 1h 1d)", "026e73000168000000000100000"),
        ("TXT a \"b c\" \"\"", "01610362206300"),
        (r#"TXT "\"\\\065""#, "03225c41"),
        ("HINFO a b", "01610162"),
        ("CAA 0 issue \"ca.example\"", "0005697373756563612e6578616d706c65"),
        ("NAPTR 1 2 u s \"\" .", "00010002017501730000"),
        ("DS 5 8 2 AB cd", "00050802abcd"),
        ("DNSKEY 257 3 8 AQID BA==", "0101030801020304"),
        ("TLSA 3 1 1 00ff", "03010100ff"),
        ("SSHFP 1 2 00ff", "010200ff"),
        ("RP a b", "016100016200"),
        ("URI 1 2 \"ftp://a\"", "000100026674703a2f2f61"),
        (r"TYPE65280 \# 3 abcdef", "abcdef"),
        (r"A \# 4 c0000201", "c0000201"),
        (r"TYPE65280 \# 0", ""),
        ("HTTPS 1 . alpn=h2,h3 port=443", "000100"),
        ("SVCB 0 b.", "0000016200"),
        (
            "HTTPS 1 . key9=\"a b\" no-default-alpn ipv4hint=192.0.2.1",
            "0001000002000000040004c000020100090003612062",
        ),
        (
            "HTTPS 1 . ipv6hint=2001:db8::1 mandatory=port,alpn",
            "00010000000004000100030006001020010db8000000000000000000000001",
        ),
    ] {
        let got = read(&format!("a 60 IN {text}")).unwrap_or_else(|error| panic!("{text}: {error}"));
        let got = hex(&got.rdata);
        assert!(got.starts_with(want), "{text}: {got} and not {want}");
        let whole = ["SOA", "HTTPS 1 . alpn"]
            .iter()
            .all(|prefix| !text.starts_with(prefix));
        assert!(!whole || got == want, "{text}: {got} and not {want}");
    }
    assert_eq!(
        hex(&read("a SOA ns h 1 60 1m 1h 1d").unwrap().rdata)[14..],
        *"000000010000003c0000003c00000e1000015180"
    );
    assert_eq!(
        hex(&read("a HTTPS 1 . alpn=h2,h3 port=443").unwrap().rdata),
        "0001000001000602683202683300030002 01bb".replace(' ', "")
    );
    assert_eq!(
        read(&format!("a TXT {}", "x".repeat(300))).unwrap().rdata.len(),
        302
    );
}

#[test]
fn what_is_no_record_is_refused() {
    for (text, want) in [
        ("", "no record"),
        (" ; nothing", "no record"),
        ("a", "missing type"),
        ("a 60 IN", "missing type"),
        ("a 60 IN A", "missing IPv4 address"),
        ("a 60 IN A x", "bad IPv4 address: `x`"),
        ("a 60 IN A 192.0.2.1 x", "unexpected `x` behind the data"),
        ("a 60 IN AAAA 192.0.2.1", "bad IPv6 address: `192.0.2.1`"),
        ("a 60 IN MX nonsense", "bad preference: `nonsense`"),
        ("a 60 60 A 192.0.2.1", "bad TTL, class or type: `60`"),
        ("a 60 IN XX y", "bad TTL, class or type: `XX`"),
        ("a..b A 192.0.2.1", "bad owner: `a..b`"),
        ("a TXT \"x", "a quote or a parenthesis is not closed"),
        ("a A ( 192.0.2.1", "a quote or a parenthesis is not closed"),
        ("a A ) 192.0.2.1", "a parenthesis that was not opened"),
        (r"a TYPE65280 \# 2 ab", "the data is not as long as it says"),
        (r"a TYPE65280 \# 1 zz", "bad data: `zz`"),
        (r"a A \# 3 c00002", "the data is not that of its type"),
        (r"a MX \# 2 000a", "the data is not that of its type"),
        (r"a CNAME \# 2 c000", "the data is not that of its type"),
        (r"a TXT \300", r"bad text: `\300`"),
        ("a DNSKEY 1 3 8 A", "bad key: `A`"),
        ("a HTTPS 1 . alpn=", "bad value of a parameter: `alpn=`"),
        (
            "a HTTPS 1 . port=1 port=2",
            "bad parameter, since it is there twice: `port=2`",
        ),
        ("a HTTPS 1 . what=1", "bad parameter: `what=1`"),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), want, "{text}");
    }
}

proptest::proptest! {
    /// No text makes the reader panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[a@.;\"()\\\\ \\n0-9A-Z#=]{0,60}") {
        let _ = read(&text);
        let _ = read(&format!("a 60 IN {text}"));
    }
}
