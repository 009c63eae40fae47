use super::*;

fn zones() -> Zones {
    Zones::new(&["service.local".parse().unwrap()])
}

#[test]
fn a_service_is_read() {
    for (case, body, records, ttl) in [
        (
            "whole",
            r#"{"type": "A", "records": ["10.0.0.12"], "ttl": 7}"#,
            1,
            7,
        ),
        ("without ttl", r#"{"type":"A","records":["10.0.0.12"]}"#, 1, 0),
        (
            "ttl null",
            r#"{"type":"A","records":["10.0.0.12"],"ttl":null}"#,
            1,
            0,
        ),
        (
            "ttl largest",
            r#"{"type":"A","records":["10.0.0.12"],"ttl":2147483647}"#,
            1,
            2_147_483_647,
        ),
        (
            "duplicates",
            r#"{"type":"A","records":["10.0.0.12","10.0.0.13","10.0.0.12"]}"#,
            2,
            0,
        ),
        (
            "unknown fields",
            r#"{"x":[{}],"type":"A","records":["10.0.0.12"],"y":null}"#,
            1,
            0,
        ),
        (
            "escapes",
            r#"{"t\u0079pe":"\u0041","records":["10.0.0\u002e12"]}"#,
            1,
            0,
        ),
        (
            "blanks around",
            " \n{\"type\":\"A\",\"records\":[\"10.0.0.12\"]}\n ",
            1,
            0,
        ),
    ] {
        let service = service(body.as_bytes()).unwrap_or_else(|error| panic!("case {case}: {error}"));
        assert_eq!(
            (service.records.len(), service.ttl),
            (records, ttl),
            "case {case}"
        );
    }
}

#[test]
fn bad_bodies_are_refused_with_the_place_and_what_was_expected() {
    let many: Vec<String> = (0..65).map(|number| format!("\"10.0.0.{number}\"")).collect();
    let many = format!(r#"{{"type":"A","records":[{}]}}"#, many.join(","));
    let ipv4 = "expected an IPv4 address such as \"10.0.0.12\"";
    for (case, body, want) in [
        (
            "no JSON",
            "nonsense",
            "the body: expected ident at line 1 column 2",
        ),
        (
            "nothing",
            "",
            "the body: EOF while parsing a value at line 1 column 0",
        ),
        (
            "a list",
            "[]",
            "the body: invalid type: sequence, expected a JSON object at line 1 column 0",
        ),
        (
            "a string",
            "\"A\"",
            "the body: invalid type: string \"A\", expected a JSON object at line 1 column 3",
        ),
        (
            "trailing text",
            "{} x",
            "the body: trailing characters at line 1 column 4",
        ),
        (
            "two objects",
            "{}{}",
            "the body: trailing characters at line 1 column 3",
        ),
        (
            "no type",
            r#"{"records":["10.0.0.1"]}"#,
            "type: missing, expected \"A\"",
        ),
        (
            "other type",
            r#"{"type":"AAAA","records":["::1"]}"#,
            "type: expected \"A\", got \"AAAA\"",
        ),
        (
            "type in lower case",
            r#"{"type":"a","records":["10.0.0.1"]}"#,
            "type: expected \"A\", got \"a\"",
        ),
        (
            "type twice",
            r#"{"type":"A","type":"A"}"#,
            "type: expected it once, got it again",
        ),
        (
            "no records",
            r#"{"type":"A"}"#,
            "records: missing, expected a list of one or more IPv4 addresses",
        ),
        (
            "no list",
            r#"{"type":"A","records":"10.0.0.1"}"#,
            "records: expected a list of one or more IPv4 addresses, got \"10.0.0.1\"",
        ),
        (
            "empty list",
            r#"{"type":"A","records":[]}"#,
            "records: expected a list of one or more IPv4 addresses, got []",
        ),
        (
            "no address",
            r#"{"type":"A","records":["10.0.0.1","x"]}"#,
            &format!("records[1]: {ipv4}, got \"x\""),
        ),
        (
            "IPv6",
            r#"{"type":"A","records":["::1"]}"#,
            &format!("records[0]: {ipv4}, got \"::1\""),
        ),
        (
            "blanks",
            r#"{"type":"A","records":[" 10.0.0.1"]}"#,
            &format!("records[0]: {ipv4}, got \" 10.0.0.1\""),
        ),
        (
            "leading nought",
            r#"{"type":"A","records":["010.0.0.1"]}"#,
            &format!("records[0]: {ipv4}, got \"010.0.0.1\""),
        ),
        (
            "a number",
            r#"{"type":"A","records":[1]}"#,
            &format!("records[0]: {ipv4}, got 1"),
        ),
        (
            "line breaks",
            "{\"type\":\"A\",\"records\":[\"a\\nb\"]}",
            &format!("records[0]: {ipv4}, got \"a\\\\nb\""),
        ),
        (
            "65 records",
            &many,
            "records: expected at most 64 addresses for a service, got 65 or more",
        ),
        (
            "negative ttl",
            r#"{"type":"A","records":["10.0.0.1"],"ttl":-1}"#,
            "ttl: expected a whole number from 0 to 2147483647, got -1",
        ),
        (
            "large ttl",
            r#"{"type":"A","records":["10.0.0.1"],"ttl":2147483648}"#,
            "ttl: expected a whole number from 0 to 2147483647, got 2147483648",
        ),
        (
            "fraction",
            r#"{"type":"A","records":["10.0.0.1"],"ttl":1.5}"#,
            "ttl: expected a whole number from 0 to 2147483647, got 1.5",
        ),
        (
            "ttl in quotes",
            r#"{"type":"A","records":["10.0.0.1"],"ttl":"5"}"#,
            "ttl: expected a whole number from 0 to 2147483647, got \"5\"",
        ),
    ] {
        assert_eq!(
            service(body.as_bytes()).unwrap_err().to_string(),
            want,
            "case {case}"
        );
    }
    let body = b"{\"type\":\"A\",\"records\":[\"10.0.0.1\"],\"x\":\"\xff\"}";
    assert_eq!(
        service(body).unwrap_err().to_string(),
        "the body: expected UTF-8, got something else at byte 40"
    );
}

#[test]
fn nesting_without_end_is_refused() {
    for open in ["[", "{\"a\":"] {
        let body = format!("{{\"x\":{}", open.repeat(100_000));
        assert!(service(body.as_bytes()).is_err());
    }
}

#[test]
fn states_are_read_whole_or_not_at_all() {
    let read = state(
        br#"{"services":{"b":{"type":"A","records":["10.0.0.1"]},"A.service.local.":{"type":"A","records":["10.0.0.2"],"ttl":9}}}"#,
        &zones(),
    );
    let names: Vec<_> = read
        .unwrap()
        .into_iter()
        .map(|(name, service)| (name.fqdn(), service.ttl))
        .collect();
    assert_eq!(
        names,
        [
            ("b.service.local".to_owned(), 0),
            ("a.service.local".to_owned(), 9)
        ]
    );
    assert_eq!(state(br#"{"services":{}}"#, &zones()), Ok(Vec::new()));
    for (case, body, want) in [
        (
            "no services",
            "{}",
            "services: missing, expected an object with a service for each name",
        ),
        (
            "a list",
            r#"{"services":[]}"#,
            "services: invalid type: sequence, expected a JSON object at line 1 column 0",
        ),
        (
            "a bad name",
            r#"{"services":{"a_b":{"type":"A","records":["10.0.0.1"]}}}"#,
            "services.a_b: expected a name of labels with 1 to 63 letters, digits or hyphens, none of them with a hyphen \
          at its edge",
        ),
        (
            "no object",
            r#"{"services":{"a":1}}"#,
            "services.a: invalid type: integer `1`, expected a JSON object at line 1 column 1",
        ),
        (
            "a bad record",
            r#"{"services":{"a":{"type":"A","records":["x"]}}}"#,
            "services.a.records[0]: expected an IPv4 address such as \"10.0.0.12\", got \"x\"",
        ),
        (
            "a bad ttl",
            r#"{"services":{"a":{"type":"A","records":["10.0.0.1"],"ttl":-1}}}"#,
            "services.a.ttl: expected a whole number from 0 to 2147483647, got -1",
        ),
        (
            "one name twice",
            r#"{"services":{"a":{"type":"A","records":["10.0.0.1"]},"a.service.local":{"type":"A","records":["10.0.0.1"]}}}"#,
            "services.a.service.local: expected each service once, got it again",
        ),
    ] {
        assert_eq!(
            state(body.as_bytes(), &zones()).unwrap_err().to_string(),
            want,
            "case {case}"
        );
    }
}

#[test]
fn a_file_of_another_version_is_refused() {
    assert_eq!(
        kept(br#"{"services":{}}"#, &zones()).unwrap_err().to_string(),
        "version: expected 1"
    );
    assert_eq!(
        kept(br#"{"version":2,"services":{}}"#, &zones())
            .unwrap_err()
            .to_string(),
        "version: expected 1"
    );
    assert_eq!(
        kept(br#"{"version":1,"serial":4294967295,"services":{}}"#, &zones())
            .unwrap()
            .serial,
        u32::MAX
    );
}
