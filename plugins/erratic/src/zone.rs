//! The small zone that a transfer gives.

use std::net::Ipv6Addr;

use catena_core::message::name::MAX_NAME_LEN;
use catena_core::message::{CLASS_IN, Owner, RdataWriter, ReplyBuilder, Request};
use hickory_proto::rr::RecordType;

const TTL: u32 = 0;

const PRIMARY: &[u8] = b"\x03sns\x03dns\x05icann\x03org\0";
const MAILBOX: &[u8] = b"\x03noc\x03dns\x05icann\x03org\0";

/// Serial, refresh, retry, expire, minimum.
const SOA_NUMBERS: [u32; 5] = [2_018_050_825, 7200, 3600, 1_209_600, 3600];

const A_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xbd8, 0, 0, 0, 0, 0, 0x53);
const B_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0x500, 0, 0, 0, 0, 0, 0x54);

/// Adds the records of a zone with the name that was asked for; without the SOA record at the end if it is `truncated`.
/// Gives false, and adds nothing, if the name leaves no room for a label in front.
pub(crate) fn write(reply: &mut ReplyBuilder, request: &Request, truncated: bool) -> bool {
    let apex = request.qname_as_asked();
    let (Some(a), Some(b)) = (below(b'a', apex), below(b'b', apex)) else {
        return false;
    };
    add_soa(reply);
    for host in [&b, &a] {
        let name = |rdata: &mut RdataWriter<'_>| rdata.name(host);
        reply.answer(Owner::Question, RecordType::NS, CLASS_IN, TTL, name);
    }
    reply.answer(a.as_slice(), RecordType::AAAA, CLASS_IN, TTL, A_ADDRESS);
    reply.answer(b.as_slice(), RecordType::AAAA, CLASS_IN, TTL, B_ADDRESS);
    if !truncated {
        add_soa(reply);
    }
    true
}

fn add_soa(reply: &mut ReplyBuilder) {
    let soa = |rdata: &mut RdataWriter<'_>| {
        rdata.name(PRIMARY);
        rdata.name(MAILBOX);
        for number in SOA_NUMBERS {
            rdata.u32(number);
        }
    };
    reply.answer(Owner::Question, RecordType::SOA, CLASS_IN, TTL, soa);
}

/// The name of a host with this letter in the zone.
fn below(letter: u8, apex: &[u8]) -> Option<Vec<u8>> {
    let name = [&[1, letter], apex].concat();
    (name.len() <= MAX_NAME_LEN).then_some(name)
}
