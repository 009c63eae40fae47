//! HTTP/2 connections (RFC 9113) whose requests are answered in one turn.
//!
//! All requests that have come are begun before anything is written, so that answers which are ready leave together, in
//! one TLS record where that is large enough. A request that waits becomes a task.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::endpoint::Endpoint;
use super::within::within;
use crate::counters::{Counters, Event};

/// Streams that a client has reset before or while they were served, until the connection ends: CVE-2023-44487 (rapid
/// reset), CVE-2025-8671 (resets that the client makes the server send).
const MAX_RESETS: usize = 100;

/// Answers that are held for streams whose client does not read, in bytes, before more has to wait.
const SEND_BUFFER: usize = 64 << 10;

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Requests at a time.
    pub(super) streams: u32,
    /// Bytes of a request's head.
    pub(super) head: u32,
    /// For the first request to come.
    pub(super) read: Duration,
    /// Between requests.
    pub(super) idle: Duration,
}

/// A request's way to its answer.
pub(super) type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves a connection to its end.
pub(super) async fn serve<S>(
    stream: S,
    limits: Limits,
    endpoint: &Endpoint,
    counters: &Counters,
    begin: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Answering,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.head)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(Some(MAX_RESETS))
        .max_send_buffer_size(SEND_BUFFER);
    let Ok(Ok(connection)) = timeout(limits.read, builder.handshake(stream)).await else {
        return;
    };
    let mut serving = Serving {
        connection,
        in_flight: Arc::default(),
        counters,
        due: Instant::now() + limits.read,
        deadline: Box::pin(sleep_until(Instant::now() + limits.read)),
        begun: Vec::new(),
    };
    tokio::select! {
        () = poll_fn(|context| serving.poll(context, limits, &begin)) => return,
        () = endpoint.wait_for_close() => {}
    }
    // What has come is answered; the client hears that it must not send more.
    serving.connection.graceful_shutdown();
    poll_fn(|context| serving.poll(context, limits, &begin)).await;
}

struct Serving<'a, S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<S, Bytes>,
    in_flight: Arc<Flights>,
    counters: &'a Counters,
    due: Instant,
    deadline: Pin<Box<Sleep>>,
    /// Requests of this turn; empty between turns.
    begun: Vec<Answering>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Serving<'_, S> {
    /// One turn; `Ready` at the connection's end.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        limits: Limits,
        begin: &impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Answering,
    ) -> Poll<()> {
        loop {
            // This writes what is ready, too.
            let full = self.in_flight.are_many(limits.streams as usize, context);
            if full {
                // A client that resets its streams has more of them than are open (CVE-2023-44487).
                self.counters.inc(Event::HttpInFlight);
            }
            let ended = loop {
                if full || self.begun.len() >= limits.streams as usize {
                    break self.connection.poll_closed(context).map(Result::err);
                }
                match self.connection.poll_accept(context) {
                    Poll::Ready(Some(Ok((request, respond)))) => self.begun.push(begin(request, respond)),
                    Poll::Ready(Some(Err(error))) => break Poll::Ready(Some(error)),
                    Poll::Ready(None) => break Poll::Ready(None),
                    Poll::Pending => break Poll::Pending,
                }
            };
            if let Poll::Ready(error) = ended {
                // A client that breaks off or breaks the protocol is no news.
                if error.is_some_and(|error| is_timeout(&error)) {
                    self.counters.inc(Event::TcpSlowReader);
                }
                return Poll::Ready(());
            }
            if self.begun.is_empty() {
                return self.poll_deadline(context, limits);
            }
            self.due = Instant::now() + limits.idle;
            for answering in self.begun.drain(..) {
                run(answering, &self.in_flight);
            }
        }
    }

    /// `Ready` when nothing has happened for too long. The timer is only set anew when it goes off.
    fn poll_deadline(&mut self, context: &mut Context<'_>, limits: Limits) -> Poll<()> {
        while self.deadline.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if self.in_flight.count.load(Ordering::Relaxed) > 0 {
                // It waits for us, not we for it.
                self.due = now + limits.idle;
            } else if self.due <= now {
                self.counters.inc(Event::TcpIdle);
                return Poll::Ready(());
            }
            let due = self.due;
            self.deadline.as_mut().reset(due);
        }
        if self.due < self.deadline.deadline() {
            let due = self.due;
            self.deadline.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// Polls once in place, and makes a task of what waits.
fn run(mut answering: Answering, in_flight: &Arc<Flights>) {
    if answering
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
    {
        return;
    }
    in_flight.count.fetch_add(1, Ordering::AcqRel);
    let leaving = InFlight(Arc::clone(in_flight));
    tokio::spawn(async move {
        answering.await;
        drop(leaving);
    });
}

/// Requests of a connection that became tasks.
#[derive(Default)]
struct Flights {
    count: AtomicUsize,
    /// The connection, where it waits for there being fewer.
    waker: Mutex<Option<Waker>>,
}

impl Flights {
    /// Whether there are so many. Where there are, the connection is woken when there are fewer.
    fn are_many(&self, limit: usize, context: &Context<'_>) -> bool {
        if self.count.load(Ordering::Acquire) < limit {
            return false;
        }
        *self.waker.lock() = Some(context.waker().clone());
        // One may have ended in between.
        self.count.load(Ordering::Acquire) >= limit
    }
}

/// Counts a request out, however its task ends.
struct InFlight(Arc<Flights>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        if let Some(waker) = self.0.waker.lock().take() {
            waker.wake();
        }
    }
}

/// Whether the other side of a stream took nothing for too long.
pub(super) fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(cause) = error {
        if let Some(cause) = cause.downcast_ref::<io::Error>()
            && cause.kind() == io::ErrorKind::TimedOut
        {
            return true;
        }
        error = cause.source();
    }
    false
}

/// Sends a response whose body is there as a whole. A client that gives no room for it within `patience` loses its stream.
pub(super) async fn send(
    mut respond: SendResponse<Bytes>,
    response: Response<Bytes>,
    patience: Duration,
    counters: &Counters,
) {
    let (head, body) = response.into_parts();
    let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), body.is_empty()) else {
        return;
    };
    if !body.is_empty() {
        send_body(&mut stream, body, true, patience, counters).await;
    }
}

/// Sends a body as far as the client takes it, in parts if need be. False where it does not take all within `patience`,
/// which ends the stream, or is gone.
pub(super) async fn send_body(
    stream: &mut SendStream<Bytes>,
    mut body: Bytes,
    is_last: bool,
    patience: Duration,
    counters: &Counters,
) -> bool {
    stream.reserve_capacity(body.len());
    if stream.capacity() >= body.len() {
        return stream.send_data(body, is_last).is_ok();
    }
    let sending = async {
        while !body.is_empty() {
            stream.reserve_capacity(body.len());
            let room = poll_fn(|context| match stream.capacity() {
                0 => stream.poll_capacity(context),
                room => Poll::Ready(Some(Ok(room))),
            });
            match room.await {
                Some(Ok(0)) => continue,
                Some(Ok(room)) => {
                    let part = body.split_to(room.min(body.len()));
                    if stream.send_data(part, is_last && body.is_empty()).is_err() {
                        return false;
                    }
                }
                _ => return false,
            }
        }
        true
    };
    if let Ok(sent) = timeout(patience, sending).await {
        return sent;
    }
    counters.inc(Event::StreamSlowReader);
    stream.send_reset(Reason::CANCEL);
    false
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is longer than allowed.
    TooLong,
    /// It did not come in time.
    TooSlow,
    /// The client broke off.
    Broken,
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(mut body: RecvStream, limit: usize, patience: Duration) -> Result<Bytes, BodyError> {
    let reading = async {
        let mut whole = Bytes::new();
        let mut parts = Vec::new();
        while let Some(part) = body.data().await {
            let part = part.map_err(|_| BodyError::Broken)?;
            // What is read makes room for as much.
            let _ = body.flow_control().release_capacity(part.len());
            if whole.len() + parts.len() + part.len() > limit {
                return Err(BodyError::TooLong);
            }
            if whole.is_empty() && parts.is_empty() {
                whole = part;
            } else {
                parts.extend_from_slice(&std::mem::take(&mut whole));
                parts.extend_from_slice(&part);
            }
        }
        Ok(if parts.is_empty() { whole } else { parts.into() })
    };
    within(patience, reading).await.unwrap_or(Err(BodyError::TooSlow))
}
