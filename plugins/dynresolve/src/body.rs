//! JSON that comes in: bodies of requests, and the file with the state.
//!
//! Objects are read as lists of their fields with the text of the values, one level after the other. So an error can
//! say which field it is about, a field or service that is named twice is seen, and no tree of a large body is made.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::net::Ipv4Addr;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::names::{ServiceName, Zones};
use crate::service::{MAX_TTL, Service};

/// Why a body cannot be used: what was expected, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BodyError(String);

/// The body of a `PUT` of one service.
pub(crate) fn service(body: &[u8]) -> Result<Service, BodyError> {
    read_service(&Object::read(utf8(body)?, "the body")?, "")
}

/// The body with records to add or to remove.
pub(crate) fn records(body: &[u8]) -> Result<Service, BodyError> {
    read_records(&Object::read(utf8(body)?, "the body")?, "")
}

/// The body of a `PUT` of all services.
pub(crate) fn state(body: &[u8], zones: &Zones) -> Result<Vec<(ServiceName, Service)>, BodyError> {
    read_state(&Object::read(utf8(body)?, "the body")?, zones)
}

/// What the file with the state says.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) serial: u32,
    pub(crate) services: Vec<(ServiceName, Service)>,
}

/// The version of the file's form.
pub(crate) const VERSION: u32 = 1;

/// The content of the file with the state.
pub(crate) fn kept(text: &[u8], zones: &Zones) -> Result<Kept, BodyError> {
    let object = Object::read(utf8(text)?, "the file")?;
    if number(&object, "version", "version")? != VERSION {
        return Err(BodyError(format!("version: expected {VERSION}")));
    }
    Ok(Kept {
        serial: number(&object, "serial", "serial")?,
        services: read_state(&object, zones)?,
    })
}

fn read_state(object: &Object<'_>, zones: &Zones) -> Result<Vec<(ServiceName, Service)>, BodyError> {
    let Some(services) = object.get("services")? else {
        return Err(BodyError(
            "services: missing, expected an object with a service for each name".to_owned(),
        ));
    };
    let services = Object::read(services.get(), "services")?;
    let mut read = Vec::with_capacity(services.0.len());
    for (key, value) in &services.0 {
        let name = zones
            .read(key)
            .map_err(|problem| BodyError(format!("services.{}: {problem}", shown(key))))?;
        let service = Object::read(value.get(), "").and_then(|service| read_service(&service, ""));
        // Most services are good: the place is put together for the others.
        let service = match service {
            Ok(service) => service,
            Err(_) => {
                let place = format!("services.{}", shown(key));
                read_service(&Object::read(value.get(), &place)?, &format!("{place}."))?
            }
        };
        read.push((name, service));
    }
    once_each(&read)?;
    Ok(read)
}

/// Short and full names can be the same.
fn once_each(services: &[(ServiceName, Service)]) -> Result<(), BodyError> {
    let mut known = HashSet::with_capacity_and_hasher(services.len(), ahash::RandomState::new());
    match services.iter().find(|(name, _)| !known.insert(name.wire())) {
        None => Ok(()),
        Some((name, _)) => {
            let fqdn = name.fqdn();
            Err(BodyError(format!(
                "services.{fqdn}: expected each service once, got it again"
            )))
        }
    }
}

fn read_service(object: &Object<'_>, place: &str) -> Result<Service, BodyError> {
    match object.get("type")? {
        Some(value) if string(value).as_deref() == Some("A") => read_records(object, place),
        Some(value) => Err(expected(&format!("{place}type"), "\"A\"", value)),
        None => Err(BodyError(format!("{place}type: missing, expected \"A\""))),
    }
}

fn read_records(object: &Object<'_>, place: &str) -> Result<Service, BodyError> {
    let at = format!("{place}records");
    let what = "a list of one or more IPv4 addresses";
    let Some(value) = object.get("records")? else {
        return Err(BodyError(format!("{at}: missing, expected {what}")));
    };
    let items: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| expected(&at, what, value))?;
    if items.is_empty() {
        return Err(expected(&at, what, value));
    }
    let mut service = Service::default();
    for (index, item) in items.iter().enumerate() {
        let address: Option<Ipv4Addr> = string(item).and_then(|text| text.parse().ok());
        let address = address.ok_or_else(|| {
            expected(
                &format!("{at}[{index}]"),
                "an IPv4 address such as \"10.0.0.12\"",
                item,
            )
        })?;
        service
            .add(&[address], 0)
            .map_err(|error| BodyError(format!("{at}: {error} or more")))?;
    }
    service.ttl = number(object, "ttl", &format!("{place}ttl"))?;
    Ok(service)
}

/// A TTL or another number of its range; nought where it is missing or null.
fn number(object: &Object<'_>, field: &str, place: &str) -> Result<u32, BodyError> {
    let Some(value) = object.get(field)?.filter(|value| value.get() != "null") else {
        return Ok(0);
    };
    let most = if field == "serial" { u32::MAX } else { MAX_TTL };
    let number = value.get().parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| expected(place, &format!("a whole number from 0 to {most}"), value))
}

fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    // A borrowed string has no escapes; others are written anew.
    serde_json::from_str::<&str>(value.get())
        .map(Cow::Borrowed)
        .or_else(|_| serde_json::from_str::<String>(value.get()).map(Cow::Owned))
        .ok()
}

fn utf8(body: &[u8]) -> Result<&str, BodyError> {
    std::str::from_utf8(body).map_err(|error| {
        BodyError(format!(
            "the body: expected UTF-8, got something else at byte {}",
            error.valid_up_to()
        ))
    })
}

fn expected(place: &str, what: &str, value: &RawValue) -> BodyError {
    BodyError(format!("{place}: expected {what}, got {}", shown(value.get())))
}

/// The beginning of a client's text, on one line.
fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_default).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    // Quotes are part of JSON; only what does not print needs its escape.
    shown.replace("\\\"", "\"").replace("\\'", "'")
}

/// An object's fields in their order.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    fn read(text: &'a str, place: &str) -> Result<Self, BodyError> {
        serde_json::from_str(text).map_err(|error| BodyError(format!("{place}: {error}")))
    }

    /// The value of a field.
    fn get(&self, name: &str) -> Result<Option<&'a RawValue>, BodyError> {
        let mut values = self
            .0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| *value);
        let first = values.next();
        match values.next() {
            Some(_) => Err(BodyError(format!("{name}: expected it once, got it again"))),
            None => Ok(first),
        }
    }
}

impl<'a> Deserialize<'a> for Object<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'a> Visitor<'a> for Fields {
            type Value = Object<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry::<Key<'a>, &'a RawValue>()? {
                    fields.push((entry.0.0, entry.1));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A field's name, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'a> Deserialize<'a> for Key<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'a> Visitor<'a> for Text {
            type Value = Key<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
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
}
