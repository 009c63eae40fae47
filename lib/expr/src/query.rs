//! What an expression can ask of a query.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;

use catena_core::log::{ClassName, TypeName};
use catena_core::message::{MAX_MESSAGE_LEN, MIN_UDP_SIZE, Request};
use catena_facts::Surroundings;

use crate::eval::Stop;
use crate::kind::Type;
use crate::value::Value;

/// A function without arguments that tells something of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Bufsize,
    Class,
    ClientIp,
    DnssecOk,
    Id,
    Name,
    Opcode,
    Port,
    Protocol,
    ServerIp,
    ServerPort,
    Size,
    Type,
}

/// The functions by name.
pub(crate) const FIELDS: &[(&str, Field, Type)] = &[
    ("bufsize", Field::Bufsize, Type::Int),
    ("class", Field::Class, Type::Str),
    ("client_ip", Field::ClientIp, Type::Str),
    ("do", Field::DnssecOk, Type::Bool),
    ("id", Field::Id, Type::Int),
    ("name", Field::Name, Type::Str),
    ("opcode", Field::Opcode, Type::Int),
    ("port", Field::Port, Type::Str),
    ("proto", Field::Protocol, Type::Str),
    ("server_ip", Field::ServerIp, Type::Str),
    ("server_port", Field::ServerPort, Type::Str),
    ("size", Field::Size, Type::Int),
    ("type", Field::Type, Type::Str),
];

/// A query under evaluation; its name is turned into text once.
pub(crate) struct Query<'a> {
    pub(crate) request: &'a Request,
    surroundings: &'a Surroundings,
    name: OnceCell<String>,
    /// How much may still be done.
    budget: Cell<usize>,
}

/// How much may be done for one query: a step is an item that is asked about, made or compared, or 16 bytes of text.
const BUDGET: usize = 1_000_000;

impl<'a> Query<'a> {
    pub(crate) fn new(request: &'a Request, surroundings: &'a Surroundings) -> Self {
        Self {
            request,
            surroundings,
            name: OnceCell::new(),
            budget: Cell::new(BUDGET),
        }
    }

    /// Takes so many steps, if that is not too much.
    pub(crate) fn spend(&self, steps: usize) -> Result<(), Stop> {
        let left = self.budget.get().checked_sub(steps).ok_or(Stop::NoValue)?;
        self.budget.set(left);
        Ok(())
    }

    pub(crate) fn metadata(&self, label: &str) -> String {
        self.surroundings
            .metadata(self.request, label)
            .unwrap_or_default()
    }

    pub(crate) fn tell(&self, field: Field) -> Value<'_> {
        let request = self.request;
        let text = |text: String| Value::Str(Cow::Owned(text));
        match field {
            Field::Bufsize => Value::Int(bufsize(request) as i64),
            Field::Class => text(ClassName(request.qclass_code()).to_string()),
            Field::ClientIp => text(ip(request.peer())),
            Field::DnssecOk => Value::Bool(request.dnssec_ok()),
            Field::Id => Value::Int(request.id().into()),
            Field::Name => Value::Str(Cow::Borrowed(
                self.name.get_or_init(|| request.qname().to_presentation()),
            )),
            Field::Opcode => Value::Int(request.opcode().into()),
            Field::Port => text(request.peer().port().to_string()),
            Field::Protocol => Value::Str(Cow::Borrowed(request.transport().protocol())),
            Field::ServerIp => text(ip(request.local())),
            Field::ServerPort => text(request.local().port().to_string()),
            Field::Size => Value::Int(request.wire().len() as i64),
            Field::Type => match TypeName(request.qtype_code()).known() {
                Some(name) => Value::Str(Cow::Borrowed(name)),
                None => text(TypeName(request.qtype_code()).to_string()),
            },
        }
    }
}

fn ip(address: SocketAddr) -> String {
    address.ip().to_canonical().to_string()
}

/// As CoreDNS has it: what the client announces, at least 512 bytes, and all that fits on streams.
fn bufsize(request: &Request) -> usize {
    if !request.transport().is_datagram() {
        return MAX_MESSAGE_LEN;
    }
    request
        .edns()
        .map_or(MIN_UDP_SIZE, |edns| usize::from(edns.udp_size).max(MIN_UDP_SIZE))
}
