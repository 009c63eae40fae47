//! JSON that goes out.

use std::fmt::Write;
use std::net::Ipv4Addr;

use crate::body::VERSION;
use crate::names::{ServiceName, Zones};
use crate::service::Service;
use crate::store::Snapshot;

/// One service, with the TTL that its answers have.
pub(crate) fn service(zones: &Zones, name: &ServiceName, service: &Service, default_ttl: u32) -> String {
    let ttl = if service.ttl == 0 {
        default_ttl
    } else {
        service.ttl
    };
    let (short, fqdn) = (quoted(zones.short(&name.fqdn)), quoted(&name.fqdn));
    let mut out = format!("{{\"name\":{short},\"fqdn\":{fqdn},");
    fields(&mut out, &service.records, ttl);
    out.push('}');
    out
}

/// All services, with the TTLs that their answers have.
pub(crate) fn services(zones: &Zones, snapshot: &Snapshot, default_ttl: u32) -> String {
    let mut out = format!("{{\"zone\":{},\"services\":", quoted(zones.first_shown()));
    list(&mut out, zones, snapshot, default_ttl);
    out.push('}');
    out
}

/// The file with the state: what a `PUT` of all services takes, with the TTLs as they were given.
pub(crate) fn kept(zones: &Zones, snapshot: &Snapshot) -> String {
    let zone = quoted(zones.first_shown());
    let mut out = format!(
        "{{\"version\":{VERSION},\"zone\":{zone},\"serial\":{},\"services\":",
        snapshot.serial
    );
    list(&mut out, zones, snapshot, 0);
    out.push_str("}\n");
    out
}

/// Any error.
pub(crate) fn error(message: &str) -> String {
    format!("{{\"error\":{}}}", quoted(message))
}

/// The answer to a replacement of all services.
pub(crate) fn count(zones: &Zones, count: usize) -> String {
    format!("{{\"zone\":{},\"count\":{count}}}", quoted(zones.first_shown()))
}

fn list(out: &mut String, zones: &Zones, snapshot: &Snapshot, default_ttl: u32) {
    out.push('{');
    for (place, (fqdn, service)) in snapshot.services.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(&quoted(zones.short(fqdn)));
        out.push_str(":{");
        fields(
            out,
            &service.records,
            if service.ttl == 0 {
                default_ttl
            } else {
                service.ttl
            },
        );
        out.push('}');
    }
    out.push('}');
}

fn fields(out: &mut String, records: &[Ipv4Addr], ttl: u32) {
    out.push_str("\"type\":\"A\",\"records\":[");
    for (place, record) in records.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(out, "{comma}\"{record}\"");
    }
    let _ = write!(out, "],\"ttl\":{ttl}");
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
