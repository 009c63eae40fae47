//! HTTP/2 connections (RFC 9113) whose requests are answered in one turn.
//!
//! All requests that have come are begun before anything is written, so that answers which are ready leave together, in
//! one TLS record where that is large enough. A request that waits becomes a task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::endpoint::Endpoint;

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

struct Serving<S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<S, Bytes>,
    in_flight: Arc<AtomicUsize>,
    due: Instant,
    deadline: Pin<Box<Sleep>>,
    /// Requests of this turn; empty between turns.
    begun: Vec<Answering>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Serving<S> {
    /// One turn; `Ready` at the connection's end.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        limits: Limits,
        begin: &impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Answering,
    ) -> Poll<()> {
        loop {
            // This writes what is ready, too.
            let ended = loop {
                match self.connection.poll_accept(context) {
                    Poll::Ready(Some(Ok((request, respond)))) => self.begun.push(begin(request, respond)),
                    // A client that breaks off or breaks the protocol is no news.
                    Poll::Ready(Some(Err(_)) | None) => break true,
                    Poll::Pending => break false,
                }
            };
            if ended {
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
            if self.in_flight.load(Ordering::Relaxed) > 0 {
                // It waits for us, not we for it.
                self.due = now + limits.idle;
            } else if self.due <= now {
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
fn run(mut answering: Answering, in_flight: &Arc<AtomicUsize>) {
    if answering
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
    {
        return;
    }
    in_flight.fetch_add(1, Ordering::Relaxed);
    let leaving = InFlight(Arc::clone(in_flight));
    tokio::spawn(async move {
        answering.await;
        drop(leaving);
    });
}

/// Counts a request out, however its task ends.
struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends a response whose body is there as a whole. A client that gives no room for it within `patience` loses its stream.
pub(super) async fn send(mut respond: SendResponse<Bytes>, response: Response<Bytes>, patience: Duration) {
    let (head, body) = response.into_parts();
    let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), body.is_empty()) else {
        return;
    };
    if body.is_empty() {
        return;
    }
    if !wait_for_room(&mut stream, body.len(), patience).await {
        return stream.send_reset(Reason::CANCEL);
    }
    // A client that has gone meanwhile needs nothing.
    let _ = stream.send_data(body, true);
}

/// Waits until the client takes so many bytes; false if it does not within `patience`.
pub(super) async fn wait_for_room(stream: &mut SendStream<Bytes>, length: usize, patience: Duration) -> bool {
    stream.reserve_capacity(length);
    if stream.capacity() >= length {
        return true;
    }
    let room = poll_fn(|context| {
        while stream.capacity() < length {
            match stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(true)
    });
    timeout(patience, room).await.unwrap_or(false)
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
    timeout(patience, reading)
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}
