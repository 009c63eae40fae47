//! What happens to one query.

use std::net::IpAddr;

use catena_core::message::name::MAX_NAME_LEN;
use catena_core::message::{Owner, RdataWriter, Request, Response};
use catena_core::plugin::{AtOnce, Plugin};
use hickory_proto::rr::RecordType;

/// Clients change ports, so nobody should keep an answer.
const TTL: u32 = 0;

/// Answers with the client's address, port and transport.
#[derive(Debug)]
pub(crate) struct Whoami;

impl Plugin for Whoami {
    fn name(&self) -> &'static str {
        "whoami"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        AtOnce::Answer(answer(request).into())
    }
}

fn answer(request: &mut Request) -> Response {
    let mut reply = request.reply();
    reply.authoritative(true);
    let class = request.qclass_code();
    // Where IPv6 sockets take IPv4 clients as well, those come as mapped addresses.
    match request.peer().ip().to_canonical() {
        IpAddr::V4(ip) => reply.additional(Owner::Question, RecordType::A, class, TTL, ip),
        IpAddr::V6(ip) => reply.additional(Owner::Question, RecordType::AAAA, class, TTL, ip),
    };
    let mut buffer = [0; MAX_NAME_LEN];
    if let Some(owner) = below(
        request.qname_as_asked(),
        request.transport().protocol(),
        &mut buffer,
    ) {
        let port = request.peer().port();
        let service = |rdata: &mut RdataWriter<'_>| {
            rdata.bytes(&[0; 4]);
            rdata.u16(port);
            rdata.u8(0);
        };
        reply.additional(owner, RecordType::SRV, class, TTL, service);
    }
    reply.finish()
}

/// The name `_PROTOCOL` below `name`; none if `name` is too long for that.
fn below<'b>(name: &[u8], protocol: &str, buffer: &'b mut [u8; MAX_NAME_LEN]) -> Option<&'b [u8]> {
    let label = protocol.len() + 1;
    let wire = buffer.get_mut(..1 + label + name.len())?;
    wire[0] = label as u8;
    wire[1] = b'_';
    wire[2..=label].copy_from_slice(protocol.as_bytes());
    wire[1 + label..].copy_from_slice(name);
    Some(wire)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Instant;

    use catena_core::message::{CLASS_CH, ListenerContext, QueryBuilder, Transport, fit};
    use catena_core::plugin::testing::set_up;
    use hickory_proto::op::Message;

    use super::*;

    /// Asks as `peer` would; gives the additional section as text.
    async fn ask(query: &QueryBuilder, peer: &str, transport: Transport) -> Vec<String> {
        let mut request = Request::new();
        let context = ListenerContext {
            transport,
            peer: peer.parse::<SocketAddr>().unwrap(),
            local: "127.0.0.1:53".parse().unwrap(),
            server: &Arc::from("dns://:53"),
            received: Instant::now(),
        };
        request.reset(&query.to_wire(), &context).unwrap();
        let block = set_up(&[crate::PLUGIN], "whoami").unwrap();
        let response = block.reply(&mut request).await;
        assert!(response.aa());
        assert_eq!((response.answer_count(), response.authority_count()), (0, 0));
        let message = Message::from_vec(&fit(response, &request)).unwrap();
        message.additionals.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn tells_address_port_and_transport() {
        for (name, peer, transport, want) in [
            (
                "Example.org.",
                "192.0.2.5:4711",
                Transport::Udp,
                [
                    "Example.org. 0 IN A 192.0.2.5",
                    "_udp.Example.org. 0 IN SRV 0 0 4711 .",
                ],
            ),
            (
                "a.example.org.",
                "[2001:db8::1]:1",
                Transport::Tcp,
                [
                    "a.example.org. 0 IN AAAA 2001:db8::1",
                    "_tcp.a.example.org. 0 IN SRV 0 0 1 .",
                ],
            ),
            (
                "a.",
                "[::ffff:192.0.2.6]:2",
                Transport::Tls,
                ["a. 0 IN A 192.0.2.6", "_tcp.a. 0 IN SRV 0 0 2 ."],
            ),
            (
                "a.",
                "192.0.2.6:2",
                Transport::Quic,
                ["a. 0 IN A 192.0.2.6", "_udp.a. 0 IN SRV 0 0 2 ."],
            ),
            (
                ".",
                "192.0.2.6:65535",
                Transport::Udp,
                [". 0 IN A 192.0.2.6", "_udp. 0 IN SRV 0 0 65535 ."],
            ),
        ] {
            let query = QueryBuilder::new(name, RecordType::A).unwrap();
            assert_eq!(ask(&query, peer, transport).await, want, "{name} from {peer}");
        }
    }

    #[tokio::test]
    async fn records_have_the_class_that_was_asked_for() {
        let query = QueryBuilder::new("a.", RecordType::TXT).unwrap().class(CLASS_CH);
        let records = ask(&query, "192.0.2.6:2", Transport::Udp).await;
        assert_eq!(records, ["a. 0 CH A 192.0.2.6", "_udp.a. 0 CH SRV 0 0 2 ."]);
    }

    #[tokio::test]
    async fn a_name_that_leaves_no_room_for_the_label_gets_the_address_alone() {
        let label = "a".repeat(61);
        for (last, records) in [("a".repeat(62), 2), ("a".repeat(63), 1)] {
            let name = format!("{label}.{label}.{label}.{last}.");
            let query = QueryBuilder::new(&name, RecordType::A).unwrap().edns(1232, false);
            let shown = ask(&query, "192.0.2.6:2", Transport::Udp).await;
            assert_eq!(shown.len(), records, "{}", last.len());
        }
    }
}
