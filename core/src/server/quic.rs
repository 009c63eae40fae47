//! DNS over QUIC (RFC 9250), and the QUIC connections that HTTP/3 runs on.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Incoming, RecvStream, Runtime, SendStream, ServerConfig, TokioRuntime, VarInt};
use rustls_pki_types::CertificateDer;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::accept::Seat;
use super::endpoint::{Active, Endpoint};
use super::exchange::{Exchange, Reply};
use super::greet::Ends;
use super::https3;
use super::places::Place;
use super::quic_proxy::ProxiedSocket;
use super::quic_settings::Settings;
use super::readers::GRACE;
use super::tcp::{READ_TIMEOUT, WRITE_TIMEOUT, unmapped};
use super::within::within;
use super::worker::WorkerContext;
use crate::corefile::Scheme;
use crate::counters::{Counters, Event};
use crate::message::{MAX_MESSAGE_LEN, TlsSession, Transport, fit};

/// Streams at a time on all connections of a listener, where no plugin says otherwise, as in CoreDNS.
pub(super) const MAX_ALL_STREAMS: usize = 1024;

/// Requests at a time on all connections of a listener of HTTP/3.
pub(super) const MAX_ALL_REQUESTS: usize = 8192;

/// Connections at a time on a listener of HTTP/3, where no plugin says otherwise, as in CoreDNS.
pub(super) const MAX_HTTP3_CONNECTIONS: usize = 200;

/// Clients whose addresses are not validated are asked to come again when so many handshakes are in progress: what is sent
/// under a false address then costs next to nothing (RFC 9000, section 8.1).
const MANY_HANDSHAKES: usize = 64;

/// Error codes (RFC 9250, section 4.3; RFC 9114, section 8.1).
const NO_ERROR: VarInt = VarInt::from_u32(0);
const INTERNAL_ERROR: VarInt = VarInt::from_u32(1);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
const HTTP3_EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);

/// Serves a socket until its endpoint closes.
pub(super) async fn listen(
    socket: UdpSocket,
    endpoint: Arc<Endpoint>,
    active: Active,
    context: WorkerContext,
) -> io::Result<()> {
    let local = socket.local_addr()?;
    let mut settings = Settings::of(&endpoint)?;
    let socket = ProxiedSocket::new(TokioRuntime.wrap_udp_socket(socket)?, Arc::clone(&endpoint))?;
    let quic = quinn::Endpoint::new_with_abstract_socket(
        quinn::EndpointConfig::default(),
        Some(settings.at_start()),
        Arc::new(socket),
        Arc::new(TokioRuntime),
    )?;
    loop {
        let closed = endpoint.closed.notified();
        if endpoint.is_closing() {
            break;
        }
        tokio::select! {
            incoming = quic.accept() => match incoming {
                Some(incoming) => begin(incoming, settings.now(&endpoint), local, &endpoint, &context),
                None => break,
            },
            () = closed => break,
        }
    }
    quic.set_server_config(None);
    // The connections end by themselves, when what they began is answered.
    quic.wait_idle().await;
    drop(active);
    Ok(())
}

/// Finds places for a connection, and serves it as a task.
fn begin(
    incoming: Incoming,
    config: &Arc<ServerConfig>,
    local: SocketAddr,
    endpoint: &Arc<Endpoint>,
    context: &WorkerContext,
) {
    let Some(handshake) = context.guests.begin_handshake(context) else {
        return incoming.refuse();
    };
    if context.guests.handshakes() > MANY_HANDSHAKES && incoming.may_retry() {
        // It fails only where the client was asked already.
        let _ = incoming.retry();
        return;
    }
    let Some(mut seat) = context.guests.seat(incoming.remote_address(), context) else {
        return incoming.refuse();
    };
    let limit = endpoint.table().bounds().connections;
    let limit = match endpoint.scheme() {
        Scheme::Https3 => Some(limit.unwrap_or(MAX_HTTP3_CONNECTIONS)),
        _ => limit,
    };
    if let Some(limit) = limit {
        seat.on_listener = endpoint.connections.try_take(limit);
        if seat.on_listener.is_none() {
            context.counters.inc(Event::ListenerFull);
            return turn_away(incoming, config);
        }
    }
    let guest = Guest {
        local,
        endpoint: Arc::clone(endpoint),
        active: endpoint.enter(),
        counters: Arc::clone(&context.counters),
        seat,
    };
    tokio::spawn(guest.serve(incoming, Arc::clone(config), handshake));
}

/// Closes a connection while it shakes hands, so that the client knows why.
fn turn_away(incoming: Incoming, config: &Arc<ServerConfig>) {
    let accepted = incoming.accept_with(Arc::clone(config));
    if let Ok(Ok((connection, _))) = accepted.map(quinn::Connecting::into_0rtt) {
        connection.close(HTTP3_EXCESSIVE_LOAD, b"too many connections");
    }
}

/// A connection and its places.
struct Guest {
    local: SocketAddr,
    endpoint: Arc<Endpoint>,
    active: Active,
    counters: Arc<Counters>,
    seat: Seat,
}

impl Guest {
    async fn serve(self, incoming: Incoming, config: Arc<ServerConfig>, handshake: Place) {
        let patience = self.endpoint.table().timeouts().read.unwrap_or(READ_TIMEOUT);
        let Ok(connecting) = incoming.accept_with(config) else {
            return self.counters.inc(Event::HandshakeFailed);
        };
        let connection = match timeout(patience, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                self.counters.inc(Event::HandshakeFailed);
                tracing::debug!(target: "catena", "a handshake over QUIC failed: {error}");
                return;
            }
            Err(_) => return self.counters.inc(Event::HandshakeSlow),
        };
        drop(handshake);
        self.counters.inc(Event::HandshakeDone);
        let mut local = self.local;
        if let Some(ip) = connection.local_ip() {
            local.set_ip(ip);
        }
        let ends = Ends {
            peer: unmapped(connection.remote_address()),
            local: unmapped(local),
            tls: Some(Arc::new(session(&connection))),
        };
        let transport = match self.endpoint.scheme() {
            Scheme::Https3 => Transport::Https3,
            _ => Transport::Quic,
        };
        let exchange = Exchange::new(Arc::clone(&self.endpoint), self.counters, transport, ends);
        let exchange = Arc::new(exchange);
        match transport {
            Transport::Https3 => https3::serve(connection, exchange).await,
            _ => serve_streams(connection, exchange).await,
        }
        drop((self.active, self.seat));
    }
}

/// What the handshake has settled. QUIC has TLS 1.3 (RFC 9001, section 4.2).
fn session(connection: &Connection) -> TlsSession {
    let data = connection.handshake_data();
    let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
    let chain = connection.peer_identity();
    let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    TlsSession::new(
        "1.3",
        data.as_ref().and_then(|data| data.server_name.as_deref()),
        chain.as_ref().and_then(|chain| chain.first()).map(AsRef::as_ref),
    )
}

/// Serves the streams of a connection of DNS over QUIC.
async fn serve_streams(connection: Connection, exchange: Arc<Exchange>) {
    // quinn counts its handles under a lock; these are counted without.
    let connection = Arc::new(connection);
    let streams = Streams::default();
    let endpoint = Arc::clone(&exchange.endpoint);
    loop {
        let (send, recv) = tokio::select! {
            // At the end, what has come is answered.
            biased;
            opened = connection.accept_bi() => match opened {
                Ok(opened) => opened,
                // Whoever closed it knows.
                Err(_) => return,
            },
            () = endpoint.wait_for_close() => break,
        };
        let Some(place) = place(&exchange, &connection).await else {
            return;
        };
        let answering = answer(Arc::clone(&exchange), Arc::clone(&connection), send, recv, place);
        streams.run(Box::pin(answering));
    }
    streams.ended().await;
    finish(&connection).await;
    connection.close(NO_ERROR, b"");
}

/// A place for a stream; it is waited for where there is none, and streams that are slow to bring their query make room.
/// None at the connection's end.
pub(super) async fn place(exchange: &Exchange, connection: &Connection) -> Option<Place> {
    let endpoint = &exchange.endpoint;
    let limit = || {
        let default = match exchange.transport {
            Transport::Https3 => MAX_ALL_REQUESTS,
            _ => MAX_ALL_STREAMS,
        };
        endpoint.table().bounds().all_streams.unwrap_or(default)
    };
    if let Some(place) = endpoint.streams.try_take(limit()) {
        return Some(place);
    }
    exchange.counters.inc(Event::StreamFull);
    loop {
        endpoint.readers.dismiss_oldest();
        tokio::select! {
            place = endpoint.streams.take(limit) => return Some(place),
            () = tokio::time::sleep(GRACE) => {}
            _ = connection.closed() => return None,
        }
    }
}

/// Gives the last answers time to arrive. QUIC drops what is on its way when a connection is closed.
pub(super) async fn finish(connection: &Connection) {
    let wait = connection.rtt() * 3 + Duration::from_millis(20);
    tokio::select! {
        _ = connection.closed() => {}
        () = tokio::time::sleep(wait.min(Duration::from_secs(1))) => {}
    }
}

/// The streams of a connection that became tasks.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<StreamCount>);

#[derive(Default)]
struct StreamCount {
    running: AtomicUsize,
    ended: Notify,
}

impl Streams {
    /// Polls once in place, and makes a task of what waits.
    pub(super) fn run(&self, mut answering: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let polled = answering.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if polled == Poll::Ready(()) {
            return;
        }
        self.0.running.fetch_add(1, Ordering::AcqRel);
        let leaving = Leaving(Arc::clone(&self.0));
        tokio::spawn(async move {
            answering.await;
            drop(leaving);
        });
    }

    /// Waits until all have ended.
    pub(super) async fn ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.0.running.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

struct Leaving(Arc<StreamCount>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

/// Reads the query of a stream, and answers it there (RFC 9250, section 4.2).
async fn answer(
    exchange: Arc<Exchange>,
    connection: Arc<Connection>,
    mut send: SendStream,
    mut recv: RecvStream,
    place: Place,
) {
    let query = match in_time(&exchange, read(&mut recv)).await {
        Some(Read::Message(query)) => query,
        Some(Read::Fault) => return break_off(&exchange, &connection),
        Some(Read::Gone) => return,
        None => {
            // This stream alone has had its time.
            exchange.counters.inc(Event::StreamSlow);
            let _ = recv.stop(REQUEST_CANCELLED);
            let _ = send.reset(REQUEST_CANCELLED);
            return;
        }
    };
    exchange.set_peer(connection.remote_address());
    match exchange.ask(&query, None).await {
        Reply::Answer(wire) => {
            if write(&exchange, &mut send, &wire).await {
                exchange.responded(u64::from(NO_ERROR));
                // The only error is that the client does not want it any more.
                let _ = send.finish();
            }
        }
        Reply::Transfer(mut request, mut stream) => {
            let mut first = true;
            while let Some(message) = stream.next().await {
                let wire = match message {
                    Ok(response) => fit(response, &request),
                    Err(error) if first => super::query::refuse(&mut request, &error),
                    Err(_) => {
                        // A transfer that ends in the middle must not look whole.
                        let _ = send.reset(INTERNAL_ERROR);
                        return;
                    }
                };
                first = false;
                if !write(&exchange, &mut send, &wire).await {
                    return;
                }
            }
            exchange.responded(u64::from(NO_ERROR));
            let _ = send.finish();
        }
        Reply::Fault => break_off(&exchange, &connection),
        Reply::Silence => {
            let _ = send.reset(REQUEST_CANCELLED);
        }
    }
    drop(place);
}

/// A message that no client sends ends its connection (RFC 9250, section 4.3.3).
fn break_off(exchange: &Exchange, connection: &Connection) {
    if connection.close_reason().is_none() {
        exchange.responded(u64::from(PROTOCOL_ERROR));
        connection.close(PROTOCOL_ERROR, b"");
    }
}

/// Sends a message with its length before it. False when the client does not take it in time.
async fn write(exchange: &Exchange, send: &mut SendStream, wire: &[u8]) -> bool {
    let Ok(length) = u16::try_from(wire.len()) else {
        return false;
    };
    let mut frame = BytesMut::with_capacity(2 + wire.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(wire);
    let patience = exchange.table().timeouts().write.unwrap_or(WRITE_TIMEOUT);
    let written = within(patience, send.write_chunk(frame.freeze())).await;
    if written.is_none() {
        exchange.counters.inc(Event::StreamSlowReader);
        let _ = send.reset(REQUEST_CANCELLED);
    }
    matches!(written, Some(Ok(())))
}

/// What a stream brought.
enum Read {
    Message(Bytes),
    /// Something that no client sends.
    Fault,
    /// The client has given up.
    Gone,
}

/// Reads what a stream brings; nothing if that takes too long, or somewhat long while others wait.
pub(super) async fn in_time<T>(exchange: &Exchange, reading: impl Future<Output = T>) -> Option<T> {
    let mut reading = pin!(reading);
    // Mostly it is there as a whole.
    if let Poll::Ready(read) = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
        return Some(read);
    }
    let reader = exchange.endpoint.readers.enter();
    tokio::select! {
        read = reading => Some(read),
        () = reader.dismissed() => None,
        () = tokio::time::sleep(exchange.read_timeout()) => None,
    }
}

/// Reads a message and the length before it. The end of the stream is not waited for, as in CoreDNS.
async fn read(recv: &mut RecvStream) -> Read {
    let mut bytes = BytesMut::new();
    loop {
        match recv.read_chunk(MAX_MESSAGE_LEN + 2 - bytes.len(), true).await {
            Ok(Some(chunk)) if bytes.is_empty() => match whole(&chunk.bytes) {
                Whole::Message => return Read::Message(chunk.bytes.slice(2..2 + length_of(&chunk.bytes))),
                Whole::Empty => return Read::Fault,
                Whole::Part => bytes.extend_from_slice(&chunk.bytes),
            },
            Ok(Some(chunk)) => {
                bytes.extend_from_slice(&chunk.bytes);
                match whole(&bytes) {
                    Whole::Message => {
                        let length = length_of(&bytes);
                        return Read::Message(bytes.freeze().slice(2..2 + length));
                    }
                    Whole::Empty => return Read::Fault,
                    Whole::Part => {}
                }
            }
            Ok(None) => return Read::Fault,
            Err(_) => return Read::Gone,
        }
    }
}

enum Whole {
    Message,
    Empty,
    Part,
}

fn length_of(bytes: &[u8]) -> usize {
    match bytes {
        [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    }
}

fn whole(bytes: &[u8]) -> Whole {
    if bytes.len() < 2 {
        return Whole::Part;
    }
    match length_of(bytes) {
        0 => Whole::Empty,
        length if bytes.len() >= 2 + length => Whole::Message,
        _ => Whole::Part,
    }
}
