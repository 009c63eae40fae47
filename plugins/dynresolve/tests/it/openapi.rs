//! The description of the API, against what the API does.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::{Http, Reply};
use crate::serve;

const METHODS: [&str; 6] = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"];
const SERVICE: &str = r#"{"type":"A","records":["10.0.0.1","10.0.0.2"]}"#;
const STATE: &str = r#"{"services":{"valkey":{"type":"A","records":["10.0.0.1"]}}}"#;

/// Requests in their order: operation, path, body, status.
const REQUESTS: [(&str, &str, &str, u16); 25] = [
    ("getDescription", "/v1/openapi.json", "", 200),
    ("listServices", "/v1/services", "", 200),
    ("getService", "/v1/services/valkey", "", 404),
    ("getService", "/v1/services/-", "", 400),
    ("putService", "/v1/services/valkey", SERVICE, 200),
    ("putService", "/v1/services/-", SERVICE, 400),
    ("putService", "/v1/services/valkey", "{}", 400),
    ("putService", "/v1/services/valkey", "LARGE", 413),
    ("getService", "/v1/services/valkey", "", 200),
    ("listServices", "/v1/services", "", 200),
    ("addRecords", "/v1/services/valkey/records", SERVICE, 200),
    ("addRecords", "/v1/services/valkey/records", "{}", 400),
    ("addRecords", "/v1/services/valkey/records", "LARGE", 413),
    (
        "removeRecords",
        "/v1/services/valkey/records",
        r#"{"records":["10.0.0.1"]}"#,
        200,
    ),
    (
        "removeRecords",
        "/v1/services/valkey/records",
        r#"{"records":["10.0.0.2"]}"#,
        204,
    ),
    (
        "removeRecords",
        "/v1/services/valkey/records",
        r#"{"records":["10.0.0.2"]}"#,
        404,
    ),
    ("removeRecords", "/v1/services/valkey/records", "{}", 400),
    ("removeRecords", "/v1/services/valkey/records", "LARGE", 413),
    ("putState", "/v1/state", STATE, 200),
    ("putState", "/v1/state", "{}", 400),
    ("putState", "/v1/state", "LARGE", 413),
    ("deleteService", "/v1/services/valkey", "", 204),
    ("deleteService", "/v1/services/valkey", "", 404),
    ("deleteService", "/v1/services/-", "", 400),
    ("listServices", "/v1/services", "", 200),
];

#[test]
fn what_is_described_is_what_there_is() {
    let server = serve("api rate-limit 100000", "");
    let http = Http::of(&server);
    let document: Value =
        serde_json::from_str(&http.with_token(None).get("/v1/openapi.json").expect(200).body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    check_methods(&document, &http);
    let large = "x".repeat(11 << 20);
    let mut seen = BTreeSet::new();
    for (id, path, body, status) in REQUESTS {
        let (method, operation) = operation(&document, id);
        let body = if body == "LARGE" { large.as_str() } else { body };
        let reply = http.send(&method, path, body);
        reply.expect(status);
        check_body(&document, operation, &reply, &format!("{id} {status}"));
        seen.insert((id.to_owned(), status.to_string()));
        if operation["security"]
            .as_array()
            .is_none_or(|needed| !needed.is_empty())
        {
            let reply = http.with_token(None).send(&method, path, "");
            check_body(&document, operation, reply.expect(401), &format!("{id} 401"));
            seen.insert((id.to_owned(), "401".to_owned()));
        }
    }
    // Other tests have those: clients of other networks, slow bodies, and the rate.
    let elsewhere = ["403", "408", "429"];
    let described: BTreeSet<_> = operations(&document)
        .flat_map(|(_, _, operation)| {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            operation["responses"]
                .as_object()
                .unwrap()
                .keys()
                .map(move |status| (id.clone(), status.clone()))
        })
        .filter(|(_, status)| !elsewhere.contains(&status.as_str()))
        .collect();
    assert_eq!(described, seen);
}

#[test]
fn the_other_refusals_are_described_too() {
    let document: Value = {
        let server = serve("", "");
        serde_json::from_str(&Http::of(&server).get("/v1/openapi.json").body).unwrap()
    };
    let forbidden = serve("api allow 192.0.2.0/24", "");
    let limited = serve("api rate-limit 1", "");
    let http = Http::of(&limited);
    for (path, method, operation) in operations(&document) {
        let path = path.replace("{name}", "valkey");
        check_body(
            &document,
            operation,
            Http::of(&forbidden).send(&method, &path, "").expect(403),
            &path,
        );
        if method != "GET" {
            let refused = catena_testkit::eventually("a refusal", || {
                let reply = http.send(&method, &path, "");
                (reply.status == 429).then_some(reply)
            });
            check_body(&document, operation, &refused, &path);
        }
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (String, String, &Value)> {
    document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item
                .as_object()
                .unwrap()
                .iter()
                .filter(|(key, _)| *key != "parameters");
            methods.map(move |(method, operation)| (path.clone(), method.to_uppercase(), operation))
        })
}

fn operation<'a>(document: &'a Value, id: &str) -> (String, &'a Value) {
    let found = operations(document).find(|(_, _, operation)| operation["operationId"] == id);
    let (_, method, operation) = found.unwrap_or_else(|| panic!("{id} is not described"));
    (method, operation)
}

/// The methods of each path are those that are described.
fn check_methods(document: &Value, http: &Http) {
    for path in document["paths"].as_object().unwrap().keys() {
        let described: BTreeSet<String> = operations(document)
            .filter(|(known, _, _)| known == path)
            .map(|(_, method, _)| method)
            .collect();
        for method in METHODS.iter().filter(|method| !described.contains(**method)) {
            let reply = http.send(method, &path.replace("{name}", "valkey"), "");
            let allowed: BTreeSet<String> = reply
                .expect(405)
                .header("allow")
                .unwrap()
                .split(", ")
                .filter(|method| *method != "HEAD")
                .map(str::to_owned)
                .collect();
            assert_eq!(allowed, described, "{path}");
        }
    }
}

/// The body of a response is as described for its status.
fn check_body(document: &Value, operation: &Value, reply: &Reply, what: &str) {
    let described = resolve(document, &operation["responses"][reply.status.to_string()]);
    assert!(
        described.is_object(),
        "{what}: the status {} is not described",
        reply.status
    );
    for header in described["headers"]
        .as_object()
        .into_iter()
        .flat_map(|headers| headers.keys())
    {
        assert!(
            reply.header(header).is_some(),
            "{what}: no {header} in\n{}",
            reply.head
        );
    }
    match described["content"].as_object() {
        None => assert_eq!(reply.body, "", "{what}"),
        Some(content) => {
            assert_eq!(
                reply.header("content-type"),
                content.keys().next().map(String::as_str),
                "{what}"
            );
            let body: Value = serde_json::from_str(&reply.body).unwrap();
            check(document, &content["application/json"]["schema"], &body, what);
        }
    }
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference}")),
        None => value,
    }
}

/// As much of JSON Schema as the description uses.
fn check(document: &Value, schema: &Value, value: &Value, what: &str) {
    let schema = resolve(document, schema);
    if let Some(only) = schema.get("const") {
        assert_eq!(value, only, "{what}");
    }
    match schema["type"].as_str() {
        Some("object") => {
            let fields = value
                .as_object()
                .unwrap_or_else(|| panic!("{what}: {value} is no object"));
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    fields.contains_key(required.as_str().unwrap()),
                    "{what}: no {required} in {value}"
                );
            }
            for (name, field) in fields {
                match schema["properties"].get(name) {
                    Some(schema) => check(document, schema, field, &format!("{what} {name}")),
                    None if schema["additionalProperties"].is_object() => {
                        check(
                            document,
                            &schema["additionalProperties"],
                            field,
                            &format!("{what} {name}"),
                        );
                    }
                    None => assert!(schema["properties"].is_null(), "{what}: {name} is not described"),
                }
            }
        }
        Some("array") => {
            let items = value
                .as_array()
                .unwrap_or_else(|| panic!("{what}: {value} is no list"));
            assert!(
                items.len() as u64 >= schema["minItems"].as_u64().unwrap_or(0),
                "{what}"
            );
            items
                .iter()
                .for_each(|item| check(document, &schema["items"], item, what));
        }
        Some("integer") => assert!(value.is_u64(), "{what}: {value}"),
        Some("string") => assert!(value.is_string(), "{what}: {value}"),
        _ => {}
    }
}
