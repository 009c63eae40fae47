//! DNS over TCP (RFC 7766) and over TLS (RFC 7858): many frames from one read, all answers that are ready in one write, answers in the order
//! in which they come about.
//!
//! A connection that waits holds a few hundred bytes: bytes are read into a buffer of the worker, and only a frame
//! that is not whole yet is kept.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::endpoint::{Active, Endpoint, WorkerTable};
use super::greet::Ends;
use super::inbox::Inbox;
use super::query::{self, Arrival, Done, Polled, Waiting};
use crate::counters::{Counters, Event};
use crate::message::{Request, TlsSession, Transport, fit};
use crate::plugin::{ProxiedConnection, ProxyHeader, TransferStream};

/// Time for the first query of a connection to arrive.
pub const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for a client to take an answer.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two queries of a connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Queries of one connection in flight at a time; more are read when some of these are answered.
pub const MAX_IN_FLIGHT: usize = 128;
/// Bytes of answers that a client may leave unread before no more of its queries are read.
pub const MAX_UNREAD: usize = 16 << 10;
/// What is read at one time.
const READ_SIZE: usize = 16 << 10;
/// Reads in a row before others have their turn.
const READS_IN_A_ROW: usize = 4;

thread_local! {
    /// Each worker reads all its connections into one buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
}

/// Answers of a connection's queries that became tasks.
#[derive(Default)]
struct Outbox {
    state: Mutex<OutboxState>,
    /// Told when answers were taken, for transfers that wait for room.
    room: Notify,
}

#[derive(Default)]
struct OutboxState {
    /// Answers with their lengths before them.
    frames: Vec<u8>,
    in_flight: usize,
    waker: Option<Waker>,
    /// The client is gone; nobody will take more.
    closed: bool,
    /// A transfer failed; what is there goes out, then the connection ends.
    broken: bool,
}

impl Outbox {
    fn push(&self, wire: &[u8]) {
        let mut state = self.state.lock();
        push_frame(&mut state.frames, wire);
        wake(&mut state);
    }

    /// Waits until a transfer may go on. False when nobody takes it.
    async fn wait_for_room(&self) -> bool {
        loop {
            let room = self.room.notified();
            {
                let state = self.state.lock();
                if state.closed {
                    return false;
                }
                if state.frames.len() < MAX_UNREAD {
                    return true;
                }
            }
            room.await;
        }
    }
}

fn wake(state: &mut OutboxState) {
    if let Some(waker) = state.waker.take() {
        waker.wake();
    }
}

/// Counts a query of a connection out, however its task ends.
struct InFlight(Arc<Outbox>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        wake(&mut state);
    }
}

fn push_frame(frames: &mut Vec<u8>, wire: &[u8]) {
    // What is fitted to a stream never exceeds 65535 bytes.
    let Ok(length) = u16::try_from(wire.len()) else {
        return;
    };
    frames.extend_from_slice(&length.to_be_bytes());
    frames.extend_from_slice(wire);
}

/// One connection of a client.
pub(super) struct Connection<S> {
    stream: S,
    transport: Transport,
    tls: Option<Arc<TlsSession>>,
    peer: SocketAddr,
    local: SocketAddr,
    endpoint: Arc<Endpoint>,
    counters: Arc<Counters>,
    inbox: Arc<Inbox>,
    outbox: Arc<Outbox>,
    /// There until it has read what stands before the first frame.
    proxy: Option<Arc<dyn ProxyHeader>>,
    /// The beginning of a frame that is not whole yet.
    partial: Vec<u8>,
    /// Answers that the system has not taken yet, from `written` on.
    out: Vec<u8>,
    written: usize,
    queries: usize,
    /// The client will send no more, or is to send no more.
    no_more: bool,
    deadline: Pin<Box<Sleep>>,
    due: Instant,
    _active: Active,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection whose first bytes are frames, or what `proxy` reads before them.
    pub(super) fn new(
        (stream, transport): (S, Transport),
        ends: Ends,
        proxy: Option<Arc<dyn ProxyHeader>>,
        endpoint: Arc<Endpoint>,
        active: Active,
        counters: Arc<Counters>,
    ) -> Self {
        let inbox = Arc::new(Inbox::default());
        endpoint.register(&inbox);
        let table = endpoint.table();
        let due = Instant::now() + table.timeouts().read.unwrap_or(READ_TIMEOUT);
        Self {
            stream,
            transport,
            tls: ends.tls,
            peer: ends.peer,
            local: ends.local,
            endpoint,
            counters,
            inbox,
            outbox: Arc::default(),
            proxy,
            partial: Vec::new(),
            out: Vec::new(),
            written: 0,
            queries: 0,
            no_more: false,
            deadline: Box::pin(tokio::time::sleep_until(due)),
            due,
            _active: active,
        }
    }

    /// Sends what is ready. `Ready(Ok)` when all of it left.
    fn send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        {
            let mut state = self.outbox.state.lock();
            if self.out.is_empty() {
                std::mem::swap(&mut self.out, &mut state.frames);
            } else if self.out.len() - self.written < MAX_UNREAD {
                self.out.append(&mut state.frames);
            }
            if !state
                .waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(context.waker()))
            {
                state.waker = Some(context.waker().clone());
            }
        }
        while self.written < self.out.len() {
            match Pin::new(&mut self.stream).poll_write(context, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.extend_deadline();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.out.is_empty() {
            // TLS may hold a record back that the system had no room for.
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
        }
        if !self.out.is_empty() {
            self.out.clear();
            self.written = 0;
            if self.out.capacity() > 4096 {
                self.out = Vec::new();
            }
            self.outbox.room.notify_waiters();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and begins the queries that came. `Ready(Ok(false))` at the end of the stream.
    fn receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        SCRATCH.with_borrow_mut(|scratch| {
            // A frame that began earlier is completed in the scratch buffer.
            let kept = self.partial.len();
            if kept >= scratch.len() {
                // A frame that is longer than one read is finished in its own buffer.
                return self.receive_large(context);
            }
            scratch[..kept].copy_from_slice(&self.partial);
            let mut buffer = ReadBuf::new(&mut scratch[kept..]);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            let count = buffer.filled().len();
            read.map_ok(|()| {
                if count == 0 {
                    return false;
                }
                let used = self.take_frames(&scratch[..kept + count]);
                self.keep(&scratch[used..kept + count]);
                true
            })
        })
    }

    fn receive_large(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut more = [0; 4096];
        let mut buffer = ReadBuf::new(&mut more);
        let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
        read.map_ok(|()| {
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(buffer.filled());
            let used = self.take_frames(&bytes);
            self.keep(&bytes[used..]);
            !buffer.filled().is_empty()
        })
    }

    /// Begins the queries in the whole frames of `bytes`, and says how many bytes they take.
    fn take_frames(&mut self, bytes: &[u8]) -> usize {
        let mut used = match self.proxy.take() {
            None => 0,
            Some(proxy) => match self.read_header(proxy, bytes) {
                Some(header) => header,
                None => return 0,
            },
        };
        let table = WorkerTable::new(&self.endpoint);
        while let Some(frame) = frame(&bytes[used..]) {
            if self.is_full() || self.no_more {
                break;
            }
            used += 2 + frame.len();
            self.queries += 1;
            self.begin(frame, &table);
            if table
                .timeouts()
                .max_queries
                .is_some_and(|limit| self.queries >= limit)
            {
                self.counters.inc(Event::TcpQueryLimit);
                self.no_more = true;
            }
        }
        if used > 0 {
            let idle = table.timeouts().idle.unwrap_or(IDLE_TIMEOUT);
            self.due = Instant::now() + idle;
        }
        used
    }

    /// Reads what a proxy has put before the first frame and says how long it is; `None` while it is not whole.
    #[cold]
    fn read_header(&mut self, proxy: Arc<dyn ProxyHeader>, bytes: &[u8]) -> Option<usize> {
        match proxy.connection(bytes, self.peer) {
            ProxiedConnection::More => {
                self.proxy = Some(proxy);
                None
            }
            ProxiedConnection::Begins { header, ends } => {
                if let Some((client, asked)) = ends {
                    (self.peer, self.local) = (unmapped(client), unmapped(asked));
                }
                Some(header.min(bytes.len()))
            }
            ProxiedConnection::Refused => {
                self.no_more = true;
                Some(bytes.len())
            }
        }
    }

    fn begin(&mut self, frame: &[u8], table: &Arc<WorkerTable>) {
        let received = std::time::Instant::now();
        let (peer, local) = (self.peer, self.local);
        let arrival = Arrival {
            bytes: frame,
            transport: self.transport,
            tls: self.tls.as_ref(),
            peer,
            local,
            received,
            headers: None,
        };
        match query::begin(&arrival, table, &self.counters) {
            Polled::Answer(request, wire) | Polled::Refused(request, wire, _) => {
                push_frame(&mut self.out, &wire);
                query::recycle(request, wire);
            }
            Polled::Waiting(waiting) => {
                self.outbox.state.lock().in_flight += 1;
                let in_flight = InFlight(Arc::clone(&self.outbox));
                tokio::spawn(wait(waiting, in_flight));
            }
            Polled::Ignored | Polled::Silent => {}
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        self.partial.clear();
        self.partial.extend_from_slice(rest);
        if rest.is_empty() && self.partial.capacity() > 0 {
            self.partial = Vec::new();
        }
    }

    /// Whether no more queries are read for now.
    fn is_full(&self) -> bool {
        let state = self.outbox.state.lock();
        state.in_flight >= MAX_IN_FLIGHT || state.frames.len() + self.out.len() - self.written >= MAX_UNREAD
    }

    fn in_flight(&self) -> usize {
        self.outbox.state.lock().in_flight
    }

    fn is_idle(&self) -> bool {
        let state = self.outbox.state.lock();
        state.in_flight == 0 && state.frames.is_empty() && self.out.is_empty()
    }

    /// The client does something: it has its time from now on.
    fn extend_deadline(&mut self) {
        let table = self.endpoint.table();
        let idle = table.timeouts().idle.unwrap_or(IDLE_TIMEOUT);
        let write = table.timeouts().write.unwrap_or(WRITE_TIMEOUT);
        self.due = Instant::now()
            + if self.written < self.out.len() {
                write
            } else {
                idle
            };
    }

    /// Whether the connection's time is over. The timer is only set anew when it goes off.
    fn is_overdue(&mut self, context: &mut Context<'_>) -> bool {
        if self.due < self.deadline.deadline() {
            let due = self.due;
            self.deadline.as_mut().reset(due);
        }
        loop {
            if self.deadline.as_mut().poll(context).is_pending() {
                return false;
            }
            let now = Instant::now();
            if self.due <= now {
                if self.out.is_empty() && self.in_flight() > 0 {
                    // It waits for us, not we for it.
                    self.due = now + self.endpoint.table().timeouts().idle.unwrap_or(IDLE_TIMEOUT);
                } else {
                    return true;
                }
            }
            let due = self.due;
            self.deadline.as_mut().reset(due);
        }
    }

    /// Frames that were read but not begun, because the connection was full.
    fn resume(&mut self) {
        if frame(&self.partial).is_some() && !self.is_full() && !self.no_more {
            let bytes = std::mem::take(&mut self.partial);
            let used = self.take_frames(&bytes);
            self.keep(&bytes[used..]);
        }
    }

    /// One turn: take answers, send, read. `Ready` when the connection is at its end.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.inbox.take(&mut Vec::new(), context);
        if self.endpoint.is_closing() {
            // What has come is answered, a connection without queries ends at once.
            self.no_more = true;
        }
        for _ in 0..READS_IN_A_ROW {
            match self.send(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
            self.resume();
            if self.outbox.state.lock().broken || (self.no_more && self.is_idle()) {
                return Poll::Ready(());
            }
            if self.no_more {
                return Poll::Pending;
            }
            if self.is_full() {
                self.counters.inc(Event::TcpInFlight);
                if self.out.is_empty() {
                    return Poll::Pending;
                }
                continue;
            }
            match self.receive(context) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => self.no_more = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending if self.out.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.turn(context).is_ready() {
            // A last word, such as TLS's, is worth one try.
            let _ = Pin::new(&mut self.stream).poll_shutdown(context);
            return Poll::Ready(());
        }
        if self.is_overdue(context) {
            let slow = !self.out.is_empty();
            self.counters.inc(if slow {
                Event::TcpSlowReader
            } else {
                Event::TcpIdle
            });
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.outbox.state.lock().closed = true;
        self.outbox.room.notify_waiters();
    }
}

/// The first frame of `bytes`, if it is whole.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// Sees a waiting query to its end.
async fn wait(waiting: Waiting, in_flight: InFlight) {
    let (mut request, done) = waiting.await;
    match done {
        Done::Answer(wire) => {
            in_flight.0.push(&wire);
            query::recycle(request, wire);
        }
        Done::Transfer(stream) => transfer(&mut request, stream, &in_flight.0).await,
        Done::Nothing => query::recycle(request, Vec::new()),
    }
}

/// Sends the messages of a transfer, no faster than the client reads them.
async fn transfer(request: &mut Request, mut stream: TransferStream, outbox: &Outbox) {
    let mut first = true;
    while let Some(message) = stream.next().await {
        if !outbox.wait_for_room().await {
            return;
        }
        match message {
            Ok(response) => outbox.push(&fit(response, request)),
            Err(error) if first => outbox.push(&query::refuse(request, &error)),
            Err(_) => {
                // A transfer that ends in the middle must not look whole.
                let mut state = outbox.state.lock();
                state.broken = true;
                wake(&mut state);
                return;
            }
        }
        first = false;
    }
}

/// IPv4 in its own form, also on a dual-stack socket.
pub(super) fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
