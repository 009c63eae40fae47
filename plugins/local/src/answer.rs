//! The answers. None has AA, as in CoreDNS.

use std::net::{Ipv4Addr, Ipv6Addr};

use catena_core::message::{CLASS_IN, Owner, Rcode, Rdata, RdataWriter, ReplyBuilder, Request, Response};
use hickory_proto::rr::RecordType;

use crate::names::{LOCALHOST, Local, ROOT_LOCALHOST};

/// A week: nothing here ever changes.
const TTL: u32 = 604_800;

/// Answers a query for a local name.
pub(crate) fn answer(request: &mut Request, name: Local) -> Response {
    let mut reply = request.reply();
    let qtype = request.qtype();
    match (name, qtype) {
        (Local::Localhost | Local::Special, RecordType::A) => add(&mut reply, qtype, Ipv4Addr::LOCALHOST),
        (Local::Localhost | Local::Special, RecordType::AAAA) => add(&mut reply, qtype, Ipv6Addr::LOCALHOST),
        (Local::Localhost | Local::ReverseApex, RecordType::SOA) => add(&mut reply, qtype, soa),
        (Local::Localhost | Local::ReverseApex, RecordType::NS)
        | (Local::LoopbackPtr { .. }, RecordType::PTR) => add(&mut reply, qtype, localhost),
        (Local::Localhost | Local::Special | Local::ReverseApex, _) => deny(&mut reply, Owner::Question),
        (Local::LoopbackPtr { zone_len }, _) => deny(&mut reply, zone(request, zone_len)),
        (Local::Missing { zone_len }, _) => {
            deny(&mut reply, zone(request, zone_len));
            reply.rcode(Rcode::NXDOMAIN);
        }
    }
    reply.finish()
}

fn add(reply: &mut ReplyBuilder, record_type: RecordType, rdata: impl Rdata) {
    reply.answer(Owner::Question, record_type, CLASS_IN, TTL, rdata);
}

fn deny(reply: &mut ReplyBuilder, apex: Owner<'_>) {
    reply.authority(apex, RecordType::SOA, CLASS_IN, TTL, soa);
}

/// The last `len` bytes of the name that was asked for, with the client's letters.
fn zone(request: &Request, len: usize) -> Owner<'_> {
    let name = request.qname_as_asked();
    Owner::Name(&name[name.len().saturating_sub(len)..])
}

fn localhost(rdata: &mut RdataWriter<'_>) {
    rdata.name(LOCALHOST);
}

fn soa(rdata: &mut RdataWriter<'_>) {
    rdata.name(LOCALHOST);
    rdata.name(ROOT_LOCALHOST);
    for number in [1, 0, 0, 0, TTL] {
        rdata.u32(number);
    }
}
