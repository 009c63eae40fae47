//! JSON that goes out.

use std::fmt::Write;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::body::VERSION;
use crate::names::{ServiceName, Zones, shown};
use crate::service::Service;
use crate::store::Snapshot;
use crate::table::Entry;

/// One service, with the TTL that its answers have.
pub(crate) fn service(zones: &Zones, name: &ServiceName, service: &Service, default_ttl: u32) -> String {
    let ttl = if service.ttl == 0 {
        default_ttl
    } else {
        service.ttl
    };
    let fqdn = name.fqdn();
    let (short, fqdn) = (quoted(zones.short(&fqdn)), quoted(&fqdn));
    let mut out = format!("{{\"name\":{short},\"fqdn\":{fqdn},");
    fields(&mut out, service.records.iter().copied(), ttl);
    out.push('}');
    out
}

/// All services, sorted by what they are called, with the TTLs that their answers have.
pub(crate) fn services(zones: &Zones, snapshot: &Snapshot, default_ttl: u32) -> String {
    let named = |entry: &Arc<Entry>| {
        let fqdn = shown(entry.name());
        (zones.short(&fqdn).to_owned().into_boxed_str(), Arc::clone(entry))
    };
    let mut services: Vec<_> = snapshot.services.iter().map(named).collect();
    services.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let mut out = format!("{{\"zone\":{},\"services\":{{", quoted(zones.first_shown()));
    for (place, (name, entry)) in services.iter().enumerate() {
        member(&mut out, place, name, entry, default_ttl);
    }
    out.push_str("}}");
    out
}

/// The file with the state: what a `PUT` of all services takes, with the TTLs as they were given.
pub(crate) fn kept(out: &mut impl io::Write, zones: &Zones, snapshot: &Snapshot) -> io::Result<()> {
    let (zone, serial) = (quoted(zones.first_shown()), snapshot.serial);
    write!(
        out,
        "{{\"version\":{VERSION},\"zone\":{zone},\"serial\":{serial},\"services\":{{"
    )?;
    let mut text = String::new();
    for (place, entry) in snapshot.services.iter().enumerate() {
        text.clear();
        member(&mut text, place, zones.short(&shown(entry.name())), entry, 0);
        out.write_all(text.as_bytes())?;
    }
    out.write_all(b"}}\n")
}

/// Any error.
pub(crate) fn error(message: &str) -> String {
    format!("{{\"error\":{}}}", quoted(message))
}

/// The answer to a replacement of all services.
pub(crate) fn count(zones: &Zones, count: usize) -> String {
    format!("{{\"zone\":{},\"count\":{count}}}", quoted(zones.first_shown()))
}

/// One service among others.
fn member(out: &mut String, place: usize, name: &str, entry: &Entry, default_ttl: u32) {
    if place > 0 {
        out.push(',');
    }
    out.push_str(&quoted(name));
    out.push_str(":{");
    let ttl = if entry.ttl() == 0 {
        default_ttl
    } else {
        entry.ttl()
    };
    fields(out, entry.records().map(Ipv4Addr::from), ttl);
    out.push('}');
}

fn fields(out: &mut String, records: impl Iterator<Item = Ipv4Addr>, ttl: u32) {
    out.push_str("\"type\":\"A\",\"records\":[");
    for (place, record) in records.enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(out, "{comma}\"{record}\"");
    }
    let _ = write!(out, "],\"ttl\":{ttl}");
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
