//! What is known of a stretch of a query's way.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use catena_core::message::Rcode;

/// The name of a query's own span; those of plugins have the plugin's name.
pub(crate) const QUERY: &str = "servedns";

/// The name of the span in which another server is asked.
pub(crate) const ASK: &str = "connect";

/// A finished stretch of a query's way.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// Of the whole query: what its spans have in common.
    pub(crate) trace: u128,
    pub(crate) id: u64,
    /// The span around this one.
    pub(crate) parent: Option<u64>,
    pub(crate) name: &'static str,
    pub(crate) start: SystemTime,
    pub(crate) duration: Duration,
    pub(crate) about: About,
}

/// What else is known of it.
#[derive(Clone, Debug)]
pub(crate) enum About {
    /// A plugin was at work.
    Plugin,
    /// This server was asked.
    Ask(SocketAddr),
    /// The whole query.
    Query(Box<Query>),
}

/// What is known of a query at its end.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// In lower case, with its last dot.
    pub(crate) name: String,
    pub(crate) qtype: String,
    /// `udp` or `tcp`.
    pub(crate) proto: &'static str,
    /// The client.
    pub(crate) remote: IpAddr,
    pub(crate) rcode: String,
    pub(crate) error: Option<String>,
    /// The client's span and this one are the same.
    pub(crate) shared: bool,
}

impl Query {
    /// The five things that are told of each query, with the part of their label that all kinds of collectors have.
    pub(crate) fn tags(&self) -> [(&'static str, String); 5] {
        [
            ("name", self.name.clone()),
            ("type", self.qtype.clone()),
            ("rcode", self.rcode.clone()),
            ("proto", self.proto.to_owned()),
            ("remote", self.remote.to_string()),
        ]
    }
}

/// An RCODE as CoreDNS tells it to collectors.
pub(crate) fn rcode_text(rcode: Rcode) -> String {
    rcode
        .name()
        .map_or_else(|| format!("RCODE{rcode}"), str::to_owned)
}
