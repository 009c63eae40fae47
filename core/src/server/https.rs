//! DNS over HTTPS (RFC 8484), with HTTP/2 and HTTP/1.1; in the clear where the block has no certificate.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

use super::endpoint::Endpoint;
use super::exchange::Exchange;
use super::greet::Ends;
use super::http::{self as doh, Asked};
use super::http2::{self, BodyError, Limits};
use super::records::Records;
use super::tcp::{IDLE_TIMEOUT, WRITE_TIMEOUT};
use crate::counters::{Counters, Event};
use crate::message::{MAX_MESSAGE_LEN, Transport};
use crate::net::Timed;

/// Requests at a time on one HTTP/2 connection, where no plugin says otherwise.
pub(super) const MAX_STREAMS: u32 = 250;

/// Serves a connection to its end.
pub(super) async fn serve<S>(
    stream: S,
    is_http2: bool,
    ends: Ends,
    endpoint: &Arc<Endpoint>,
    counters: Arc<Counters>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = Exchange::new(Arc::clone(endpoint), counters, Transport::Https, ends);
    let exchange = Arc::new(exchange);
    let times = Times::of(&exchange);
    let stream = Timed::new(stream, times.write);
    if is_http2 {
        let limits = Limits {
            streams: MAX_STREAMS,
            head: doh::MAX_HEAD_LEN as u32,
            read: times.read,
            idle: times.idle,
        };
        let begin = |request, respond| -> http2::Answering {
            Box::pin(answer2(Arc::clone(&exchange), times, request, respond))
        };
        http2::serve(Records::new(stream), limits, endpoint, &exchange.counters, begin).await;
    } else {
        serve_http1(stream, &exchange, times, endpoint).await;
    }
}

#[derive(Clone, Copy, Debug)]
struct Times {
    read: Duration,
    write: Duration,
    idle: Duration,
}

impl Times {
    fn of(exchange: &Exchange) -> Self {
        let table = exchange.table();
        Self {
            read: exchange.read_timeout(),
            write: table.timeouts().write.unwrap_or(WRITE_TIMEOUT),
            idle: table.timeouts().idle.unwrap_or(IDLE_TIMEOUT),
        }
    }
}

async fn answer2(
    exchange: Arc<Exchange>,
    times: Times,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let (head, body) = request.into_parts();
    let response = match doh::read_head(&head.method, &head.uri) {
        Asked::Message(message) => doh::respond(&exchange, &head.headers, &message).await,
        Asked::InBody => match http2::read(body, MAX_MESSAGE_LEN, times.read).await {
            Ok(message) => doh::respond(&exchange, &head.headers, &message).await,
            Err(error) => failed(&exchange, error),
        },
        Asked::NotFound => doh::not_found(&exchange),
        Asked::TooLong => failed(&exchange, BodyError::TooLong),
        Asked::Invalid => doh::invalid(&exchange),
    };
    let response = doh::for_method(&head.method, response);
    http2::send(respond, response, times.write, &exchange.counters).await;
}

fn failed(exchange: &Exchange, error: BodyError) -> Response<Bytes> {
    match error {
        BodyError::TooLong => exchange.counters.inc(Event::HttpTooLarge),
        BodyError::TooSlow => exchange.counters.inc(Event::HttpSlow),
        BodyError::Broken => {}
    }
    doh::invalid(exchange)
}

async fn serve_http1<S>(stream: S, exchange: &Exchange, times: Times, endpoint: &Endpoint)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(times.idle)
        .max_buf_size(doh::MAX_HEAD_LEN);
    let first = parking_lot::Mutex::new(Some(Instant::now() + times.read));
    let service = service_fn(|request| {
        *first.lock() = None;
        async move { Ok::<_, Infallible>(answer1(exchange, times, request).await.map(Full::new)) }
    });
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let due = *first.lock();
    let silent = async {
        sleep_until(due.unwrap_or_else(Instant::now)).await;
        if first.lock().is_none() {
            // The client has asked; hyper's own timer watches it from now on.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = serving.as_mut() => return count_end(ended, &exchange.counters),
        () = endpoint.wait_for_close() => {}
        () = silent => return exchange.counters.inc(Event::TcpIdle),
    }
    serving.as_mut().graceful_shutdown();
    count_end(serving.await, &exchange.counters);
}

/// Counts the end of a connection that came to a bound. A client that breaks off or breaks the protocol is no news.
fn count_end(ended: hyper::Result<()>, counters: &Counters) {
    match ended {
        Err(error) if error.is_parse_too_large() => counters.inc(Event::HttpTooLarge),
        Err(error) if error.is_timeout() => counters.inc(Event::TcpIdle),
        Err(error) if http2::is_timeout(&error) => counters.inc(Event::TcpSlowReader),
        _ => {}
    }
}

async fn answer1(exchange: &Exchange, times: Times, request: Request<Incoming>) -> Response<Bytes> {
    let (head, body) = request.into_parts();
    match doh::read_head(&head.method, &head.uri) {
        Asked::Message(message) => doh::respond(exchange, &head.headers, &message).await,
        Asked::InBody => {
            let reading = Limited::new(body, MAX_MESSAGE_LEN).collect();
            match timeout(times.read, reading).await {
                Ok(Ok(message)) => doh::respond(exchange, &head.headers, &message.to_bytes()).await,
                Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                    failed(exchange, BodyError::TooLong)
                }
                Ok(Err(_)) => failed(exchange, BodyError::Broken),
                Err(_) => failed(exchange, BodyError::TooSlow),
            }
        }
        Asked::NotFound => doh::not_found(exchange),
        Asked::TooLong => failed(exchange, BodyError::TooLong),
        Asked::Invalid => doh::invalid(exchange),
    }
}
