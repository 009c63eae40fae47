//! The zones of an instance, and the names of services in them.

use std::fmt;

use catena_core::message::name::presentation;
use catena_core::message::{QName, Zone};

/// Longest name as text, without the dot at its end.
const MAX_NAME_LEN: usize = 253;

/// Longest label.
const MAX_LABEL_LEN: usize = 63;

/// The zones of a server block, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zones {
    zones: Vec<Zone>,
}

/// The full name of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName {
    /// The name in wire form. There can be very many, so it takes no more room than it needs.
    wire: Box<[u8]>,
    /// The place of its zone among the instance's.
    pub(crate) zone: usize,
}

impl ServiceName {
    /// The name in wire form.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The name as the server's other parts know names.
    pub(crate) fn qname(&self) -> QName {
        // It was put together of whole labels.
        QName::from_wire(&self.wire).unwrap_or_default()
    }

    /// The name as text, without the dot at its end.
    pub(crate) fn fqdn(&self) -> String {
        shown(&self.wire)
    }
}

/// A name in wire form as text, without the dot at its end.
pub(crate) fn shown(wire: &[u8]) -> String {
    let mut text = presentation(wire).to_string();
    text.pop();
    text
}

/// Why a text is no name of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameProblem {
    #[error(
        "expected a name of labels with 1 to 63 letters, digits or hyphens, none of them with a hyphen at its edge"
    )]
    Label,
    #[error("expected a name of at most 253 characters with its zone")]
    Long,
    #[error("expected a name below the zone: its apex cannot be a service")]
    Apex,
}

impl Zones {
    /// The zones of a block; one that is there twice, as on two ports, counts once.
    pub(crate) fn new(given: &[Zone]) -> Self {
        let mut zones: Vec<Zone> = Vec::with_capacity(given.len());
        for zone in given {
            if !zones.contains(zone) {
                zones.push(zone.clone());
            }
        }
        if zones.is_empty() {
            zones.push(Zone::root());
        }
        Self { zones }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter()
    }

    /// The zone at a place.
    pub(crate) fn get(&self, place: usize) -> &Zone {
        self.zones.get(place).unwrap_or(&self.zones[0])
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.zones.len()
    }

    /// The place of the longest zone that a lower-case name in wire form lies in.
    #[inline]
    pub(crate) fn find(&self, wire: &[u8]) -> Option<usize> {
        let containing = self
            .zones
            .iter()
            .enumerate()
            .filter(|(_, zone)| zone.contains(wire));
        containing
            .max_by_key(|(_, zone)| zone.as_wire().len())
            .map(|(place, _)| place)
    }

    /// The first zone, without the dot at its end, as the API shows it.
    pub(crate) fn first_shown(&self) -> &str {
        match self.zones[0].as_str() {
            "." => ".",
            text => text.strip_suffix('.').unwrap_or(text),
        }
    }

    /// Reads a short or full name.
    pub(crate) fn read(&self, text: &str) -> Result<ServiceName, NameProblem> {
        let mut name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if self.fitting(&name).is_none() {
            name.push('.');
            name.push_str(suffix(&self.zones[0]));
        }
        let zone = self.fitting(&name).ok_or(NameProblem::Label)?;
        let (apex, zone_wire) = (suffix(&self.zones[zone]), self.zones[zone].as_wire());
        if name == apex && !apex.is_empty() {
            return Err(NameProblem::Apex);
        }
        let below = if apex.is_empty() {
            &name[..]
        } else {
            &name[..name.len() - apex.len() - 1]
        };
        let mut wire = Vec::with_capacity(below.len() + 1 + zone_wire.len());
        for label in below.split('.') {
            if !is_label(label) {
                return Err(NameProblem::Label);
            }
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.extend_from_slice(zone_wire);
        // The text has a byte less than the wire form before the root, and escapes in the zone's own labels.
        if name.len() > MAX_NAME_LEN || wire.len() > MAX_NAME_LEN + 2 {
            return Err(NameProblem::Long);
        }
        let wire = wire.into_boxed_slice();
        Ok(ServiceName { wire, zone })
    }

    /// The shortest form of a full name that [`Zones::read`] takes for it.
    pub(crate) fn short<'a>(&self, fqdn: &'a str) -> &'a str {
        let first = suffix(&self.zones[0]);
        let short = fqdn.strip_suffix(first).and_then(|rest| rest.strip_suffix('.'));
        match short {
            Some(short) if !first.is_empty() && self.fitting(short).is_none() => short,
            _ => fqdn,
        }
    }

    /// The place of the longest zone whose suffix a text has.
    fn fitting(&self, text: &str) -> Option<usize> {
        let fits = |zone: &Zone| {
            let suffix = suffix(zone);
            suffix.is_empty()
                || text
                    .strip_suffix(suffix)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let fitting = self.zones.iter().enumerate().filter(|(_, zone)| fits(zone));
        fitting
            .max_by_key(|(_, zone)| zone.as_wire().len())
            .map(|(place, _)| place)
    }
}

impl fmt::Display for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, zone) in self.zones.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{zone}")?;
        }
        Ok(())
    }
}

/// The zone as text without the dot at its end; nothing for the root.
fn suffix(zone: &Zone) -> &str {
    zone.as_str().strip_suffix('.').unwrap_or(zone.as_str())
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL_LEN).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(text: &str) -> Zones {
        let zones: Vec<Zone> = text.split(' ').map(|zone| zone.parse().unwrap()).collect();
        Zones::new(&zones)
    }

    #[test]
    fn short_and_full_names_are_read_and_shown() {
        let one = zones("service.local");
        let two = zones("service.local example.org");
        let nested = zones("service.local a.service.local");
        let root = zones(".");
        for (case, zones, text, fqdn, zone, short) in [
            ("short", &one, "valkey", "valkey.service.local", 0, "valkey"),
            (
                "full",
                &one,
                "valkey.service.local",
                "valkey.service.local",
                0,
                "valkey",
            ),
            (
                "with a dot",
                &one,
                "valkey.service.local.",
                "valkey.service.local",
                0,
                "valkey",
            ),
            (
                "short with a dot",
                &one,
                "valkey.",
                "valkey.service.local",
                0,
                "valkey",
            ),
            (
                "capitals",
                &one,
                "Valkey.Service.LOCAL",
                "valkey.service.local",
                0,
                "valkey",
            ),
            ("two labels", &one, "a.b", "a.b.service.local", 0, "a.b"),
            (
                "no border of labels",
                &one,
                "xservice.local",
                "xservice.local.service.local",
                0,
                "xservice.local",
            ),
            (
                "outside",
                &one,
                "valkey.example.net",
                "valkey.example.net.service.local",
                0,
                "valkey.example.net",
            ),
            (
                "the second zone",
                &two,
                "www.example.org",
                "www.example.org",
                1,
                "www.example.org",
            ),
            (
                "short goes to the first",
                &two,
                "www",
                "www.service.local",
                0,
                "www",
            ),
            ("nested", &nested, "x.a", "x.a.service.local", 1, "x.a"),
            (
                "repeated",
                &one,
                "x.service.local.service.local",
                "x.service.local.service.local",
                0,
                "x.service.local.service.local",
            ),
            ("the root", &root, "valkey", "valkey", 0, "valkey"),
        ] {
            let name = zones
                .read(text)
                .unwrap_or_else(|problem| panic!("case {case}: {problem}"));
            assert_eq!((name.fqdn().as_str(), name.zone), (fqdn, zone), "case {case}");
            assert_eq!(name.qname().to_string(), format!("{fqdn}."), "case {case}");
            assert_eq!(zones.short(fqdn), short, "case {case}");
            assert_eq!(zones.read(short).unwrap(), name, "case {case}");
        }
    }

    #[test]
    fn bad_names_are_refused() {
        let zones = zones("service.local a.service.local");
        let label63 = "a".repeat(63);
        let long = [label63.as_str(); 4].join(".");
        let label64 = "a".repeat(64);
        let fits = format!("{label63}.{label63}.{label63}.{}", "a".repeat(253 - 3 * 64 - 14));
        let beyond = format!("{fits}a");
        assert_eq!(zones.read(&fits).unwrap().fqdn().len(), 253);
        for (text, problem) in [
            ("", NameProblem::Label),
            (".", NameProblem::Label),
            ("a..b", NameProblem::Label),
            ("a..", NameProblem::Label),
            (".a", NameProblem::Label),
            ("-a", NameProblem::Label),
            ("a-", NameProblem::Label),
            ("a.b-.c", NameProblem::Label),
            ("a_b", NameProblem::Label),
            ("*", NameProblem::Label),
            ("a b", NameProblem::Label),
            ("é", NameProblem::Label),
            ("a/b", NameProblem::Label),
            ("a\n", NameProblem::Label),
            (&label64, NameProblem::Label),
            (&long, NameProblem::Long),
            (&beyond, NameProblem::Long),
            ("service.local", NameProblem::Apex),
            ("SERVICE.local.", NameProblem::Apex),
            ("a", NameProblem::Apex),
            ("a.service.local", NameProblem::Apex),
            (".service.local", NameProblem::Label),
        ] {
            assert_eq!(zones.read(text), Err(problem), "{text:?}");
        }
    }
}
