//! The field `extra`: a text with placeholders for what is known of the query.

use std::fmt::{self, Write};
use std::net::IpAddr;

use catena_core::log::{ClassName, TypeName};
use catena_core::message::{MAX_MESSAGE_LEN, MIN_UDP_SIZE, Request};
use catena_facts::Surroundings;

/// What stands where nothing is known.
const EMPTY: &str = "-";

/// A text, split once into what stays and what is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extra(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
    /// A fact that another plugin gives.
    Label(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Bufsize,
    Class,
    Do,
    Id,
    Local,
    Name,
    Opcode,
    Port,
    Proto,
    Remote,
    Size,
    Type,
    /// Known only to those who see the answer; dnstap messages are made of queries too.
    OfAnswer,
}

impl Field {
    fn from_placeholder(text: &str) -> Option<Self> {
        Some(match text {
            "{>bufsize}" => Self::Bufsize,
            "{>do}" => Self::Do,
            "{>id}" => Self::Id,
            "{>opcode}" => Self::Opcode,
            "{class}" => Self::Class,
            "{local}" => Self::Local,
            "{name}" => Self::Name,
            "{port}" => Self::Port,
            "{proto}" => Self::Proto,
            "{remote}" => Self::Remote,
            "{size}" => Self::Size,
            "{type}" => Self::Type,
            "{>rflags}" | "{duration}" | "{rcode}" | "{rsize}" => Self::OfAnswer,
            _ => return None,
        })
    }

    fn write(self, text: &mut String, request: &Request) -> fmt::Result {
        match self {
            Self::Bufsize => write!(text, "{}", bufsize(request)),
            Self::Class => write!(text, "{}", ClassName(request.qclass_code())),
            Self::Do => write!(text, "{}", request.dnssec_ok()),
            Self::Id => write!(text, "{}", request.id()),
            Self::Local => write_ip(text, request.local().ip()),
            Self::Name => write!(text, "{}", request.qname()),
            Self::Opcode => write!(text, "{}", request.opcode()),
            Self::Port => write!(text, "{}", request.peer().port()),
            Self::Proto => text.write_str(request.transport().protocol()),
            Self::Remote => write_ip(text, request.peer().ip()),
            Self::Size => write!(text, "{}", request.wire().len()),
            Self::Type => write!(text, "{}", TypeName(request.qtype_code())),
            Self::OfAnswer => text.write_str(EMPTY),
        }
    }
}

impl Extra {
    /// Splits a text. A placeholder is what stands between a closing brace and the nearest opening one before it.
    pub(crate) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(close) = rest.find('}') {
            let (before, behind) = rest.split_at(close + 1);
            rest = behind;
            let (text, placeholder) = before.split_at(before.rfind('{').unwrap_or(before.len()));
            let part = if let Some(field) = Field::from_placeholder(placeholder) {
                Part::Field(field)
            } else if let Some(label) = placeholder.strip_prefix("{/") {
                Part::Label(label[..label.len() - 1].to_owned())
            } else {
                push_text(&mut parts, before);
                continue;
            };
            push_text(&mut parts, text);
            parts.push(part);
        }
        push_text(&mut parts, rest);
        Self(parts)
    }

    /// The text for this query.
    pub(crate) fn fill(&self, request: &Request, surroundings: &Surroundings) -> String {
        let mut text = String::new();
        for part in &self.0 {
            // Writing to a string cannot fail.
            let _ = match part {
                Part::Text(known) => text.write_str(known),
                Part::Field(field) => field.write(&mut text, request),
                Part::Label(label) => {
                    let value = surroundings.metadata(request, label);
                    text.write_str(value.as_deref().unwrap_or(EMPTY))
                }
            };
        }
        text
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(before)) => before.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

fn bufsize(request: &Request) -> usize {
    match request.transport().is_datagram() {
        true => request
            .edns()
            .map_or(0, |edns| usize::from(edns.udp_size))
            .max(MIN_UDP_SIZE),
        false => MAX_MESSAGE_LEN,
    }
}

fn write_ip(text: &mut String, ip: IpAddr) -> fmt::Result {
    match ip.to_canonical() {
        IpAddr::V4(ip) => write!(text, "{ip}"),
        IpAddr::V6(ip) => write!(text, "[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catena_core::message::QueryBuilder;
    use catena_core::plugin::{MetadataProvider, MetadataSink, Services};
    use catena_facts::MetadataZones;

    use super::*;

    struct Chosen;

    impl MetadataProvider for Chosen {
        fn provide(&self, _: &Request, sink: &mut dyn MetadataSink) {
            sink.add("forward/upstream", "192.0.2.53:53");
        }
    }

    #[test]
    fn placeholders_are_filled_and_the_rest_stays() {
        let request = QueryBuilder::new("A.example.org.", 28_u16)
            .unwrap()
            .to_request()
            .unwrap();
        let mut services = Services::default();
        services.offer::<dyn MetadataProvider>(Arc::new(Chosen));
        services.offer(Arc::new(MetadataZones(vec!["example.org".parse().unwrap()])));
        let surroundings = Surroundings::of("dnstap");
        surroundings.set(Arc::new(services));
        for (text, want) in [
            ("plain", "plain"),
            ("", ""),
            ("upstream: {/forward/upstream}", "upstream: 192.0.2.53:53"),
            ("{/other/label}.", "-."),
            ("{name} {type} {class}", "a.example.org. AAAA IN"),
            ("{proto} {remote} {port}", "udp 192.0.2.53 5353"),
            ("{>do} {>bufsize} {>opcode} {size}", "false 512 0 31"),
            ("{rcode}{rsize}{duration}{>rflags}", "----"),
            ("{ {type} } {x} }", "{ AAAA } {x} }"),
            ("{type", "{type"),
        ] {
            assert_eq!(Extra::parse(text).fill(&request, &surroundings), want, "{text}");
        }
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        let mut text = String::new();
        write_ip(&mut text, "2001:db8::1".parse().unwrap()).unwrap();
        write_ip(&mut text, "::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(text, "[2001:db8::1]192.0.2.1");
    }
}
