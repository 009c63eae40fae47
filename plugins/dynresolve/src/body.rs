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
mod tests;
