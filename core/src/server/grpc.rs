//! DNS in gRPC calls: `/coredns.dns.DnsService/Query` takes and gives a message with the bytes of a DNS message as its
//! field 1, and `/coredns.dns.DnsService/Watch` is not served, as in CoreDNS.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Response, Status};

use super::endpoint::Endpoint;
use super::exchange::{Exchange, Reply};
use super::greet::Ends;
use super::http2::{self, BodyError, Limits};
use super::tcp::{IDLE_TIMEOUT, WRITE_TIMEOUT};
use crate::counters::{Counters, Event};
use crate::message::{MAX_MESSAGE_LEN, Transport};
use crate::net::Timed;

/// The method that answers queries.
const QUERY: &str = "/coredns.dns.DnsService/Query";

/// Calls at a time on one connection, where no plugin says otherwise, as in CoreDNS.
pub(super) const MAX_STREAMS: usize = 256;

/// Bytes of a call's head.
const MAX_HEAD_LEN: u32 = 16 << 10;

/// Bytes of a gRPC message: those of a DNS message, with the field's tag and length before them.
const MAX_PACKET_LEN: usize = MAX_MESSAGE_LEN + 4;

/// Serves a connection to its end.
pub(super) async fn serve<S>(stream: S, ends: Ends, endpoint: &Arc<Endpoint>, counters: Arc<Counters>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = Exchange::new(Arc::clone(endpoint), counters, Transport::Grpc, ends);
    let exchange = Arc::new(exchange);
    let table = exchange.table();
    let (read, write) = (
        exchange.read_timeout(),
        table.timeouts().write.unwrap_or(WRITE_TIMEOUT),
    );
    let limits = Limits {
        streams: u32::try_from(table.bounds().streams.unwrap_or(MAX_STREAMS)).unwrap_or(u32::MAX),
        head: MAX_HEAD_LEN,
        read,
        idle: table.timeouts().idle.unwrap_or(IDLE_TIMEOUT),
    };
    drop(table);
    http2::serve(
        Timed::new(stream, write),
        limits,
        endpoint,
        &exchange.counters,
        |request, respond| Box::pin(answer(Arc::clone(&exchange), (read, write), request, respond)),
    )
    .await;
}

async fn answer(
    exchange: Arc<Exchange>,
    (read, write): (Duration, Duration),
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let (head, body) = request.into_parts();
    let counters = Arc::clone(&exchange.counters);
    let response = match http2::read(body, MAX_PACKET_LEN + PREFIX_LEN, read).await {
        Ok(_) if head.uri.path() != QUERY => {
            Status::unimplemented("there is no method but coredns.dns.DnsService/Query").into_http()
        }
        Ok(body) => {
            let mut grpc = Grpc::new(Packets)
                .max_decoding_message_size(MAX_PACKET_LEN)
                .max_encoding_message_size(MAX_PACKET_LEN);
            let request = Request::from_parts(head, Full::new(body));
            grpc.unary(Query(exchange), request).await
        }
        Err(BodyError::TooLong) => {
            exchange.counters.inc(Event::HttpTooLarge);
            Status::resource_exhausted(format!("a message may have {MAX_PACKET_LEN} bytes")).into_http()
        }
        Err(BodyError::TooSlow) => {
            exchange.counters.inc(Event::HttpSlow);
            Status::deadline_exceeded("the call did not come in time").into_http()
        }
        Err(BodyError::Broken) => return,
    };
    send(respond, response, write, &counters).await;
}

/// Sends head, message and trailers.
async fn send(
    mut respond: SendResponse<Bytes>,
    response: http::Response<tonic::body::Body>,
    patience: Duration,
    counters: &Counters,
) {
    let (head, mut body) = response.into_parts();
    let Ok(mut stream) = respond.send_response(http::Response::from_parts(head, ()), body.is_end_stream())
    else {
        return;
    };
    while let Some(frame) = body.frame().await {
        // What tonic makes of values in memory does not fail.
        let Ok(frame) = frame else {
            return stream.send_reset(Reason::INTERNAL_ERROR);
        };
        let sent = match frame.into_data() {
            Ok(data) => {
                if !http2::send_body(&mut stream, data, false, patience, counters).await {
                    return;
                }
                Ok(())
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => stream.send_trailers(trailers),
                Err(_) => Ok(()),
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The one method.
struct Query(Arc<Exchange>);

impl UnaryService<Packet> for Query {
    type Response = Packet;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Packet>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Packet>) -> Self::Future {
        let exchange = Arc::clone(&self.0);
        Box::pin(async move {
            match exchange.ask_for_one(&request.into_inner().0, None).await {
                Reply::Answer(wire) => Ok(Response::new(Packet(wire.into()))),
                Reply::Fault => Err(Status::unknown("dns request rejected")),
                Reply::Silence | Reply::Transfer(..) => Err(Status::aborted("no response")),
            }
        })
    }
}

/// `message DnsPacket { bytes msg = 1; }`
#[derive(Debug, Default)]
struct Packet(Bytes);

/// How [`Packet`]s are written.
#[derive(Clone, Copy, Debug, Default)]
struct Packets;

/// Field 1, of the kind that has a length before it.
const TAG: u8 = 0x0a;

/// A compression flag and a length come before each message.
const PREFIX_LEN: usize = 5;

impl Codec for Packets {
    type Encode = Packet;
    type Decode = Packet;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Packets {
    type Item = Packet;
    type Error = Status;

    fn encode(&mut self, packet: Packet, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        if packet.0.is_empty() {
            return Ok(());
        }
        out.put_u8(TAG);
        let mut length = packet.0.len();
        while length >= 0x80 {
            out.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.put_u8(length as u8);
        out.put_slice(&packet.0);
        Ok(())
    }
}

impl Decoder for Packets {
    type Item = Packet;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Packet>, Status> {
        let mut bytes = bytes.copy_to_bytes(bytes.remaining());
        let broken = || Status::internal("the call's message is no DnsPacket");
        let mut packet = Packet::default();
        while bytes.has_remaining() {
            let tag = varint(&mut bytes).ok_or_else(broken)?;
            // Fields that are not known are skipped, as protocol buffers have it.
            match tag & 7 {
                0 => drop(varint(&mut bytes).ok_or_else(broken)?),
                kind @ (1 | 5) => {
                    let length = if kind == 1 { 8 } else { 4 };
                    take(&mut bytes, length).ok_or_else(broken)?;
                }
                2 => {
                    let length = varint(&mut bytes).ok_or_else(broken)?;
                    let field = take(&mut bytes, length).ok_or_else(broken)?;
                    if tag >> 3 == 1 {
                        packet = Packet(field);
                    }
                }
                _ => return Err(broken()),
            }
        }
        Ok(Some(packet))
    }
}

/// A number in groups of seven bits, the lowest first.
fn varint(bytes: &mut Bytes) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.has_remaining().then(|| bytes.get_u8())?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take(bytes: &mut Bytes, length: u64) -> Option<Bytes> {
    let length = usize::try_from(length).ok()?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}
