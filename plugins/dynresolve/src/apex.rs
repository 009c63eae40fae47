//! The SOA and NS records that are made for a zone: what names are denied with.

use std::net::IpAddr;

use catena_core::message::{
    CLASS_IN, Owner, Rcode, RdataWriter, ReplyBuilder, Request, Response, Section, Zone,
};

const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const AAAA: u16 = 28;

/// How often a secondary would look for changes, try again and give up, in seconds; nobody transfers these zones.
const REFRESH: u32 = 7200;
const RETRY: u32 = 1800;
const EXPIRE: u32 = 86_400;

/// The name of the server below its zone, and that of its mailbox.
const SERVER: &[u8] = b"\x02ns\x03dns";
const SERVER_LABEL_LEN: usize = 3;
const MAILBOX: &[u8] = b"\x0ahostmaster";

/// Longest name in wire form.
const MAX_NAME_LEN: usize = 255;

/// The apex of one zone.
#[derive(Debug)]
pub(crate) struct Apex {
    zone: Zone,
    server: Box<[u8]>,
    mailbox: Box<[u8]>,
}

impl Apex {
    /// The apex of a zone.
    pub(crate) fn new(zone: &Zone) -> Self {
        let below = |label: &[u8]| -> Box<[u8]> {
            let name = [label, zone.as_wire()].concat();
            // A zone whose name leaves no room speaks for itself.
            if name.len() > MAX_NAME_LEN {
                zone.as_wire().into()
            } else {
                name.into()
            }
        };
        Self {
            zone: zone.clone(),
            server: below(SERVER),
            mailbox: below(MAILBOX),
        }
    }

    /// Denies the name or the type: no records, and the SOA record, for as long as `ttl` says (RFC 2308, section 5).
    pub(crate) fn deny(&self, request: &mut Request, rcode: Rcode, serial: u32, ttl: u32) -> Response {
        let mut reply = request.reply();
        reply.authoritative(true).rcode(rcode);
        reply.authority(&self.zone, SOA, CLASS_IN, ttl, self.soa(serial, ttl));
        reply.finish()
    }

    /// The SOA or NS record, if one of them is asked for.
    pub(crate) fn answer(&self, request: &mut Request, serial: u32, ttl: u32) -> Option<Response> {
        let (qtype, local) = (request.qtype_code(), request.local().ip().to_canonical());
        let mut reply = request.reply();
        reply.authoritative(true);
        match qtype {
            SOA => reply.answer(Owner::Question, SOA, CLASS_IN, ttl, self.soa(serial, ttl)),
            NS => reply.answer(Owner::Question, NS, CLASS_IN, ttl, |out: &mut RdataWriter<'_>| {
                out.name(&self.server)
            }),
            _ => return None,
        };
        if qtype == NS {
            self.server_address(&mut reply, Section::Additional, local, ttl);
        }
        Some(reply.finish())
    }

    /// What there is at the server's own name, if the query is for that: whoever follows the NS record asks for it.
    pub(crate) fn answer_server(&self, request: &mut Request, serial: u32, ttl: u32) -> Option<Response> {
        let name = request.qname().as_wire();
        // Between the server and its zone there is a name that has nothing itself.
        let between = self.server.get(SERVER_LABEL_LEN..);
        // A zone whose name leaves no room for it is its own server.
        if *self.server == *self.zone.as_wire() || (name != &*self.server && Some(name) != between) {
            return None;
        }
        if Some(name) == between {
            return Some(self.deny(request, Rcode::NOERROR, serial, ttl));
        }
        let (qtype, local) = (request.qtype_code(), request.local().ip().to_canonical());
        let of_type = match qtype {
            A => local.is_ipv4(),
            AAAA => local.is_ipv6(),
            _ => false,
        };
        if !of_type || local.is_unspecified() {
            return Some(self.deny(request, Rcode::NOERROR, serial, ttl));
        }
        let mut reply = request.reply();
        reply.authoritative(true);
        self.server_address(&mut reply, Section::Answer, local, ttl);
        Some(reply.finish())
    }

    /// The server is known by its address only, which is the one that was asked.
    fn server_address(&self, reply: &mut ReplyBuilder, section: Section, local: IpAddr, ttl: u32) {
        let owner = Owner::Name(&self.server);
        match local {
            _ if local.is_unspecified() => {}
            IpAddr::V4(address) => drop(reply.record(section, owner, A, CLASS_IN, ttl, address)),
            IpAddr::V6(address) => drop(reply.record(section, owner, AAAA, CLASS_IN, ttl, address)),
        }
    }

    fn soa(&self, serial: u32, ttl: u32) -> impl FnOnce(&mut RdataWriter<'_>) {
        move |out| {
            out.name(&self.server);
            out.name(&self.mailbox);
            [serial, REFRESH, RETRY, EXPIRE, ttl]
                .into_iter()
                .for_each(|number| out.u32(number));
        }
    }
}
