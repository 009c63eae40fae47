//! DNS over HTTP/3 (RFC 8484 on RFC 9114).

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use h3::error::StreamError;
use h3::server::RequestStream;
use h3_quinn::BidiStream;
use http::{Request, Response};
use quinn::Connection;
use tokio::time::timeout;

use super::exchange::Exchange;
use super::http::{self as doh, Asked};
use super::quic::{self, Streams};
use super::tcp::WRITE_TIMEOUT;
use super::within::within;
use crate::counters::Event;
use crate::message::MAX_MESSAGE_LEN;

type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// Serves a connection to its end.
pub(super) async fn serve(connection: Connection, exchange: Arc<Exchange>) {
    let mut builder = h3::server::builder();
    builder.max_field_section_size(doh::MAX_HEAD_LEN as u64);
    let quic = h3_quinn::Connection::new(connection.clone());
    // A client that breaks off or breaks the protocol is no news.
    let Ok(Ok(mut requests)) = timeout(exchange.read_timeout(), builder.build::<_, Bytes>(quic)).await else {
        return;
    };
    let streams = Streams::default();
    let endpoint = Arc::clone(&exchange.endpoint);
    loop {
        let resolver = tokio::select! {
            // At the end, what has come is answered.
            biased;
            accepted = requests.accept() => match accepted {
                Ok(Some(resolver)) => resolver,
                Ok(None) => break,
                Err(_) => return,
            },
            () = endpoint.wait_for_close() => {
                streams.ended().await;
                // It tells the client to send no more.
                let _ = requests.shutdown(0).await;
                break;
            }
        };
        let Some(place) = quic::place(&exchange, &connection).await else {
            return;
        };
        exchange.set_peer(connection.remote_address());
        let exchange = Arc::clone(&exchange);
        streams.run(Box::pin(async move {
            match quic::in_time(&exchange, resolver.resolve_request()).await {
                // Apart, so that streams without a head hold no room for what comes behind it.
                Some(Ok((request, stream))) => Box::pin(answer(&exchange, request, stream)).await,
                // It was answered with an error.
                Some(Err(StreamError::HeaderTooBig { .. })) => exchange.counters.inc(Event::HttpTooLarge),
                // A client that breaks off or breaks the protocol is no news.
                Some(Err(_)) => {}
                None => exchange.counters.inc(Event::StreamSlow),
            }
            drop(place);
        }));
    }
    quic::finish(&connection).await;
}

async fn answer(exchange: &Exchange, request: Request<()>, mut stream: Stream) {
    let response = match doh::read_head(request.method(), request.uri()) {
        Asked::Message(message) => doh::respond(exchange, request.headers(), &message).await,
        Asked::InBody => match within(exchange.read_timeout(), read(&mut stream)).await {
            Some(Some(message)) => doh::respond(exchange, request.headers(), &message).await,
            Some(None) => {
                exchange.counters.inc(Event::HttpTooLarge);
                doh::invalid(exchange)
            }
            None => {
                exchange.counters.inc(Event::HttpSlow);
                doh::invalid(exchange)
            }
        },
        Asked::NotFound => doh::not_found(exchange),
        Asked::TooLong => {
            exchange.counters.inc(Event::HttpTooLarge);
            doh::invalid(exchange)
        }
        Asked::Invalid => doh::invalid(exchange),
    };
    let response = doh::for_method(request.method(), response);
    let patience = exchange.table().timeouts().write.unwrap_or(WRITE_TIMEOUT);
    // A client that does not take it loses its stream.
    if within(patience, send(stream, response)).await.is_none() {
        exchange.counters.inc(Event::StreamSlowReader);
    }
}

async fn send(mut stream: Stream, response: Response<Bytes>) -> Result<(), StreamError> {
    let (head, body) = response.into_parts();
    stream.send_response(Response::from_parts(head, ())).await?;
    if !body.is_empty() {
        stream.send_data(body).await?;
    }
    stream.finish().await
}

/// Reads a body; `None` if it is too long or broken off.
async fn read(stream: &mut Stream) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(mut part) = stream.recv_data().await.ok()? {
        if body.len() + part.remaining() > MAX_MESSAGE_LEN {
            return None;
        }
        while part.has_remaining() {
            let chunk = part.chunk();
            body.extend_from_slice(chunk);
            let length = chunk.len();
            part.advance(length);
        }
    }
    Some(body.freeze())
}
