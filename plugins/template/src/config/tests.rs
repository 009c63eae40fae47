//! What directives say, and what is refused.

use catena_core::corefile::testing::parse_directives;
use proptest::prelude::*;

use super::*;

fn rules(text: &str) -> Result<Vec<Rule>, ConfigErrors> {
    let block = ["example.org".parse().unwrap(), "example.net".parse().unwrap()];
    parse(&parse_directives(text).unwrap(), &block)
}

fn zones(rule: &Rule) -> String {
    rule.zones.iter().map(Zone::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_directive_in_full() {
    let text = r#"template IN AAAA example.org 192.0.2.0/23 {
        match ^a ^b
        match c$
        answer "{{ .Name }} 60 IN A 192.0.2.1" "b. 60 IN A 192.0.2.2"
        answer "c. 60 IN A 192.0.2.3"
        additional "{{ index .Match 0 }} 60 IN A 192.0.2.4"
        authority "e. 60 IN NS f."
        rcode NXDOMAIN
        ederror 21 "Not Supported"
        fallthrough example.org
        upstream
    }"#;
    let rule = &rules(text).unwrap()[0];
    assert_eq!(
        zones(rule),
        "example.org. 2.0.192.in-addr.arpa. 3.0.192.in-addr.arpa."
    );
    assert_eq!((rule.class, rule.rtype, rule.rcode), (1, 28, Rcode::NXDOMAIN));
    let patterns: Vec<_> = rule.patterns.iter().map(Pattern::text).collect();
    assert_eq!(patterns, ["^a", "^b", "c$"]);
    let counts = (rule.answer.len(), rule.additional.len(), rule.authority.len());
    assert_eq!(counts, (3, 1, 1));
    assert!(rule.needs_groups && rule.named.contains("Match"));
    let extended = Extended {
        code: 21,
        text: "Not Supported".to_owned(),
    };
    assert_eq!(rule.extended, Some(extended));
    assert!(rule.fallthrough.covers(&"a.example.org".parse().unwrap()));
    assert!(!rule.fallthrough.covers(&"a.example.net".parse().unwrap()));
}

#[test]
fn defaults() {
    let rule = &rules("template ANY ANY").unwrap()[0];
    assert_eq!(zones(rule), "example.org. example.net.");
    assert_eq!((rule.class, rule.rtype, rule.rcode), (255, 255, Rcode::NOERROR));
    assert_eq!(rule.patterns[0].text(), ".*");
    assert!(rule.extended.is_none() && rule.fallthrough.is_none() && !rule.needs_groups);
}

#[test]
fn later_lines_replace_what_there_is_one_of() {
    let text = "template IN A {\n rcode NXDOMAIN\n rcode REFUSED\n ederror 1 a\n ederror 2\n fallthrough a.\n fallthrough\n}";
    let rule = &rules(text).unwrap()[0];
    assert_eq!(rule.rcode, Rcode::REFUSED);
    assert_eq!(
        rule.extended
            .as_ref()
            .map(|extended| (extended.code, extended.text.as_str())),
        Some((2, ""))
    );
    assert!(rule.fallthrough.covers(&"b.".parse().unwrap()));
}

#[test]
fn bad_input_is_refused_with_place_and_advice() {
    let class = "expected a class in capitals, such as IN or ANY";
    let rtype = "expected a query type in capitals, such as AAAA or ANY";
    for (case, text, want) in [
        (
            "nothing",
            "template",
            "Corefile:1:1: wrong argument count after `template`, expected CLASS TYPE [ZONE...]".to_owned(),
        ),
        (
            "no type",
            "template IN",
            "Corefile:1:1: wrong argument count after `template`, expected CLASS TYPE [ZONE...]".to_owned(),
        ),
        (
            "class",
            "template X A",
            format!("Corefile:1:10: got `X`, {class}"),
        ),
        (
            "class in small letters",
            "template in A",
            format!("Corefile:1:10: got `in`, {class}"),
        ),
        (
            "type",
            "template IN AXYZ",
            format!("Corefile:1:13: got `AXYZ`, {rtype}"),
        ),
        (
            "type by number",
            "template IN TYPE1",
            format!("Corefile:1:13: got `TYPE1`, {rtype}"),
        ),
        (
            "zone",
            "template IN A a..b",
            "Corefile:1:15: got `a..b`, expected a zone".to_owned(),
        ),
    ] {
        let errors = rules(text).unwrap_err();
        assert_eq!(errors.as_slice()[0].headline(), want, "case {case}");
    }
    let options = "(one of: match, answer, additional, authority, rcode, ederror, fallthrough, upstream)";
    for (line, want) in [
        (
            "anser x",
            format!("Corefile:2:2: unknown option `anser` {options}"),
        ),
        (
            "match",
            "Corefile:2:2: wrong argument count after `match`, expected REGEX...".to_owned(),
        ),
        (
            "match (",
            "Corefile:2:8: got `(`, expected a regular expression".to_owned(),
        ),
        (
            "match a (?!b)",
            "Corefile:2:10: got `(?!b)`, expected a regular expression".to_owned(),
        ),
        (
            "answer",
            "Corefile:2:2: wrong argument count after `answer`, expected RECORD...".to_owned(),
        ),
        (
            "additional",
            "Corefile:2:2: wrong argument count after `additional`, expected RECORD...".to_owned(),
        ),
        (
            "authority",
            "Corefile:2:2: wrong argument count after `authority`, expected RECORD...".to_owned(),
        ),
        (
            "answer \"{{\"",
            "Corefile:2:9: the answer is no template".to_owned(),
        ),
        (
            "answer \"{{ nope }}\"",
            "Corefile:2:9: the answer is no template".to_owned(),
        ),
        (
            "additional a \"{{\"",
            "Corefile:2:15: the additional is no template".to_owned(),
        ),
        (
            "authority \"{{ end }}\"",
            "Corefile:2:12: the authority is no template".to_owned(),
        ),
        (
            "rcode",
            "Corefile:2:2: wrong argument count after `rcode`, expected CODE".to_owned(),
        ),
        (
            "rcode nxdomain",
            "Corefile:2:8: got `nxdomain`, expected a response code in capitals, such as NXDOMAIN".to_owned(),
        ),
        (
            "rcode NXDOMAIN x",
            "Corefile:2:17: wrong argument count: unexpected `x` after `rcode`, expected CODE".to_owned(),
        ),
        (
            "rcode 3",
            "Corefile:2:8: got `3`, expected a response code in capitals, such as NXDOMAIN".to_owned(),
        ),
        (
            "ederror",
            "Corefile:2:2: wrong argument count after `ederror`, expected CODE [REASON]".to_owned(),
        ),
        (
            "ederror Blocked no",
            "Corefile:2:10: got `Blocked`, expected a number from 0 to 65535".to_owned(),
        ),
        (
            "ederror 65536",
            "Corefile:2:10: got `65536`, expected a number from 0 to 65535".to_owned(),
        ),
        (
            "ederror 1 a b",
            "Corefile:2:14: wrong argument count: unexpected `b` after `ederror`, expected CODE [REASON]"
                .to_owned(),
        ),
        (
            "fallthrough a..b",
            "Corefile:2:14: got `a..b`, expected a zone".to_owned(),
        ),
        ("match a {\n }", "Corefile:2:2: `match` takes no block".to_owned()),
    ] {
        let errors = rules(&format!("template IN A {{\n {line}\n}}")).unwrap_err();
        assert_eq!(errors.as_slice()[0].headline(), want, "{line}");
    }
}

#[test]
fn errors_explain_themselves() {
    let long = format!("template IN A {{\n match {}\n}}", "a".repeat(10_001));
    for (text, want) in [
        ("template in A", "did you mean `IN`"),
        ("template IN aaaa", "did you mean `AAAA`"),
        ("template IN A {\n rcode nxdomain\n}", "did you mean `NXDOMAIN`"),
        ("template IN A {\n rcode NXDOMIAN\n}", "did you mean `NXDOMAIN`"),
        ("template IN A {\n anser x\n}", "did you mean `answer`"),
        (
            "template IN A {\n match (?!b)\n}",
            "error parsing regexp: invalid or unsupported Perl syntax: `(?!`",
        ),
        ("template IN A {\n match a(b\n}", "error parsing regexp: "),
        (
            "template IN A {\n answer \"{{ nope }}\"\n}",
            "function \"nope\" not defined",
        ),
        ("template IN A {\n answer \"{{ if .Name }}\"\n}", "unexpected EOF"),
        (
            long.as_str(),
            "regular expression of 10001 bytes, expected at most 10000",
        ),
    ] {
        let shown = rules(text).unwrap_err().to_string();
        assert!(shown.contains(want), "{text:.60}: {shown:.300}");
    }
}

#[test]
fn all_lines_are_looked_at() {
    let text = "template X A {\n match ( [\n answer \"{{\" ok \"{{ nope }}\"\n rcode x\n}\ntemplate IN Y";
    assert_eq!(rules(text).unwrap_err().as_slice().len(), 7);
}

/// Words that directives are made of.
const WORDS: &[&str] = &[
    "template",
    "IN",
    "ANY",
    "CH",
    "A",
    "TXT",
    "example.org",
    ".",
    "192.0.2.0/23",
    "{",
    "}",
    "match",
    "answer",
    "additional",
    "authority",
    "rcode",
    "ederror",
    "fallthrough",
    "upstream",
    "^(?P<a>[a-z]+)[.]",
    "(",
    "[a-",
    "\"{{ .Name }} A 192.0.2.1\"",
    "\"{{ if .Group.a }}x{{ end }}\"",
    "\"{{\"",
    "NXDOMAIN",
    "SERVFAIL",
    "15",
    "70000",
    "\n",
    "\n",
    "#",
    "\\",
    "\"",
];

proptest! {
    /// Words of directives in any order are read or refused.
    #[test]
    fn any_words_are_rules_or_refused(places in proptest::collection::vec(0..WORDS.len(), 0..30)) {
        let words: Vec<&str> = places.iter().map(|place| WORDS[*place]).collect();
        for text in [words.join(" "), format!("template IN A {{\n{}\n}}", words.join(" "))] {
            if let Ok(directives) = parse_directives(&text) {
                let _ = parse(&directives, &[Zone::root()]);
            }
        }
    }

    /// So is any text behind the name, and any text that a good directive became by a change.
    #[test]
    fn any_text_is_a_rule_or_refused(text in "[ -~\n]{0,80}", at in 0..400_usize, cut in 0..40_usize) {
        let good = "template IN A example.org {\n match ^(?P<a>[a-z]+)[.] \n answer \"{{ .Name }} 60 IN A {{ index .Match 1 }}\"\n \
                    ederror 15 \"why\"\n rcode NXDOMAIN\n fallthrough example.net\n}\n";
        let at = at.min(good.len());
        let end = (at + cut).min(good.len());
        let mutated = format!("{}{text}{}", &good[..at], &good[end..]);
        for text in [format!("template {text}"), mutated] {
            if let Ok(directives) = parse_directives(&text) {
                let _ = parse(&directives, &[Zone::root()]);
            }
        }
    }
}
