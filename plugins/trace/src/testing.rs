//! What tests of several parts need.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use crate::span::{About, Query, Span};

/// A query as it is told of.
pub(crate) fn query() -> Query {
    Query {
        name: "a.example.org.".to_owned(),
        qtype: "A".to_owned(),
        proto: "udp",
        remote: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)),
        rcode: "NOERROR".to_owned(),
        error: None,
        shared: false,
    }
}

/// A span of 1.5 ms that began a second after 1970.
pub(crate) fn span(name: &'static str, about: About) -> Span {
    Span {
        trace: 0x1f,
        id: 0x2f,
        parent: Some(0x3f),
        name,
        start: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        duration: Duration::from_micros(1500),
        about,
    }
}
