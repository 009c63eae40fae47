//! Accepting connections: bounds, what comes before the first message, and the transport that takes over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use super::endpoint::{Active, Endpoint};
use super::greet::{self, Ends, Greeted};
use super::places::{ClientPlace, Clients, Place, Places};
use super::tcp::{Connection, READ_TIMEOUT, unmapped};
use super::worker::WorkerContext;
use super::{grpc, https};
use crate::corefile::Scheme;
use crate::counters::Event;
use crate::message::{TlsSession, Transport};

/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Handshakes in progress of all listeners together. One costs the server some 100 microseconds; more of them than this
/// could not be finished within the read timeout.
pub(super) const MAX_HANDSHAKES: usize = 4096;

/// Connections at a time on a listener of HTTPS or gRPC where no plugin says otherwise, as in CoreDNS.
pub(super) const MAX_HTTP_CONNECTIONS: usize = 200;

/// Connections of one client, all listeners together; those of the machine itself are not bounded by it.
pub(super) const MAX_CLIENT_CONNECTIONS: usize = 4096;

/// Clients and their connections, of all listeners and workers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guests {
    connections: Arc<Places>,
    handshakes: Arc<Places>,
    clients: Arc<Clients>,
}

/// A connection's places: they become free when it ends.
pub(super) struct Seat {
    _connection: Place,
    _client: Option<ClientPlace>,
    pub(super) on_listener: Option<Place>,
}

impl Guests {
    /// Places for a connection of this client, if there are any.
    pub(super) fn seat(&self, client: SocketAddr, context: &WorkerContext) -> Option<Seat> {
        let Some(connection) = self.connections.try_take(context.max_connections) else {
            context.counters.inc(Event::TcpRefused);
            return None;
        };
        let ip = client.ip().to_canonical();
        let mut place = None;
        if !ip.is_loopback() {
            place = self.clients.try_enter(ip, MAX_CLIENT_CONNECTIONS);
            if place.is_none() {
                context.counters.inc(Event::ClientRefused);
                return None;
            }
        }
        Some(Seat {
            _connection: connection,
            _client: place,
            on_listener: None,
        })
    }

    /// Handshakes in progress.
    pub(super) fn handshakes(&self) -> usize {
        self.handshakes.taken()
    }

    /// A place for a handshake, if there is any.
    pub(super) fn begin_handshake(&self, context: &WorkerContext) -> Option<Place> {
        let place = self.handshakes.try_take(MAX_HANDSHAKES);
        if place.is_none() {
            context.counters.inc(Event::HandshakeRefused);
        }
        place
    }
}

/// Accepts connections until the endpoint closes.
pub(super) async fn accept(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    active: Active,
    context: WorkerContext,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let closed = endpoint.closed.notified();
        if endpoint.is_closing() {
            break;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed => break,
        };
        match accepted {
            Ok((stream, peer)) => serve(stream, peer, &endpoint, &context).await,
            Err(error) if is_exhaustion(&error) => {
                tracing::warn!(target: "catena", "accepting connections pauses: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // The client has given up meanwhile.
            Err(_) => {}
        }
    }
    // Connections that the kernel has completed already are not refused.
    while let Some(Ok((stream, peer))) = poll_accept(&listener).await {
        serve(stream, peer, &endpoint, &context).await;
    }
    drop(active);
    Ok(())
}

/// Accepts a connection if one is there already.
async fn poll_accept(listener: &tokio::net::TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    std::future::poll_fn(|context| match listener.poll_accept(context) {
        std::task::Poll::Ready(accepted) => std::task::Poll::Ready(Some(accepted)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

/// Finds a place for a connection and lets its transport have it. Where the listener has a bound of its own and it is
/// reached, this waits, and those who come next do so in the kernel's queue.
async fn serve(stream: TcpStream, peer: SocketAddr, endpoint: &Arc<Endpoint>, context: &WorkerContext) {
    let Some(mut seat) = context.guests.seat(peer, context) else {
        return;
    };
    context.counters.inc(Event::TcpAccepted);
    let active = endpoint.enter();
    let Ok(ends) = prepare(&stream, peer) else { return };
    if endpoint.scheme() == Scheme::Dns {
        let proxy = endpoint.table().proxy().cloned();
        let counters = Arc::clone(&context.counters);
        let stream = (stream, Transport::Tcp);
        let connection = Connection::new(stream, ends, proxy, Arc::clone(endpoint), active, counters);
        tokio::spawn(async move {
            connection.await;
            drop(seat);
        });
        return;
    }
    if let Some(limit) = listener_limit(endpoint) {
        seat.on_listener = endpoint.connections.try_take(limit);
        if seat.on_listener.is_none() {
            context.counters.inc(Event::ListenerFull);
            let closed = endpoint.closed.notified();
            tokio::select! {
                place = endpoint.connections.take(|| listener_limit(endpoint).unwrap_or(usize::MAX)) => {
                    seat.on_listener = Some(place);
                }
                () = closed => return,
            }
        }
    }
    let (endpoint, context) = (Arc::clone(endpoint), context.clone());
    tokio::spawn(async move {
        serve_other(stream, ends, endpoint, active, &context).await;
        drop(seat);
    });
}

fn prepare(stream: &TcpStream, peer: SocketAddr) -> io::Result<Ends> {
    stream.set_nodelay(true)?;
    Ok(Ends {
        peer: unmapped(peer),
        local: unmapped(stream.local_addr()?),
        tls: None,
    })
}

/// The listener's own bound on connections.
fn listener_limit(endpoint: &Endpoint) -> Option<usize> {
    let set = endpoint.table().bounds().connections;
    match endpoint.scheme() {
        Scheme::Https | Scheme::Grpc => Some(set.unwrap_or(MAX_HTTP_CONNECTIONS)),
        _ => set,
    }
}

/// Serves what is not plain DNS. The parts are boxed so that a connection, which lives long, does not hold room for its
/// handshake and for transports that are not its own.
async fn serve_other(
    stream: TcpStream,
    ends: Ends,
    endpoint: Arc<Endpoint>,
    active: Active,
    context: &WorkerContext,
) {
    let Some((stream, ends)) = Box::pin(begin(stream, ends, &endpoint, context)).await else {
        return;
    };
    match stream {
        Stream::Plain(stream, is_http2) => hand_over(stream, is_http2, ends, endpoint, active, context).await,
        Stream::Tls(stream) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            hand_over(stream, is_http2, ends, endpoint, active, context).await;
        }
    }
}

/// Sees a connection to its first message: behind a proxy's header, and behind the handshake.
async fn begin(
    stream: TcpStream,
    ends: Ends,
    endpoint: &Endpoint,
    context: &WorkerContext,
) -> Option<(Stream, Ends)> {
    let _place = context.guests.begin_handshake(context)?;
    let counters = &context.counters;
    let table = endpoint.table();
    let patience = table.timeouts().read.unwrap_or(READ_TIMEOUT);
    let (proxy, tls) = (table.proxy().cloned(), table.tls().cloned());
    drop(table);
    let peer = ends.peer;
    let begin = async {
        let (mut stream, ends) = greet::greet(stream, ends, proxy).await?;
        match tls {
            None => {
                let is_http2 = endpoint.scheme() == Scheme::Https && stream.speaks_http2().await?;
                Ok((Stream::Plain(stream, is_http2), ends))
            }
            Some(tls) => {
                let stream = greet::handshake(stream, &tls).await?;
                Ok::<_, io::Error>((Stream::Tls(Box::new(stream)), ends))
            }
        }
    };
    let (stream, mut ends) = match timeout(patience, begin).await {
        Ok(Ok(begun)) => begun,
        Ok(Err(error)) => {
            counters.inc(Event::HandshakeFailed);
            tracing::debug!(target: "catena", "a handshake with {peer} failed: {error}");
            return None;
        }
        Err(_) => {
            counters.inc(Event::HandshakeSlow);
            return None;
        }
    };
    if let Stream::Tls(stream) = &stream {
        ends.tls = Some(Arc::new(session(stream.get_ref().1)));
        counters.inc(Event::HandshakeDone);
        if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
            counters.inc(Event::HandshakeResumed);
        }
    }
    Some((stream, ends))
}

/// What the handshake has settled.
fn session(connection: &ServerConnection) -> TlsSession {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    };
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    TlsSession::new(version, connection.server_name(), certificate.map(AsRef::as_ref))
}

/// A stream behind its first bytes, and whether it speaks HTTP/2 where that is not negotiated.
enum Stream {
    Plain(Greeted, bool),
    Tls(Box<tokio_rustls::server::TlsStream<Greeted>>),
}

/// Gives the stream to its transport.
async fn hand_over<S>(
    stream: S,
    is_http2: bool,
    ends: Ends,
    endpoint: Arc<Endpoint>,
    active: Active,
    context: &WorkerContext,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let counters = Arc::clone(&context.counters);
    match endpoint.scheme() {
        Scheme::Https => {
            Box::pin(https::serve(stream, is_http2, ends, &endpoint, counters)).await;
            drop(active);
        }
        Scheme::Grpc => {
            Box::pin(grpc::serve(stream, ends, &endpoint, counters)).await;
            drop(active);
        }
        _ => {
            let stream = (stream, Transport::Tls);
            Connection::new(stream, ends, None, endpoint, active, counters).await;
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;

    fn context(max_connections: usize) -> WorkerContext {
        WorkerContext {
            counters: Arc::new(Counters::new(1)),
            log: tracing::Dispatch::none(),
            max_connections,
            guests: Guests::default(),
        }
    }

    fn seat(context: &WorkerContext, client: &str) -> Option<Seat> {
        let client = SocketAddr::new(client.parse().unwrap(), 1);
        context.guests.seat(client, context)
    }

    #[test]
    fn all_clients_together_have_so_many_connections() {
        let context = context(2);
        let (first, second) = (seat(&context, "127.0.0.1"), seat(&context, "192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(seat(&context, "192.0.2.2").is_none());
        assert_eq!(context.counters.get(Event::TcpRefused), 1);
        drop(first);
        assert!(seat(&context, "192.0.2.2").is_some());
    }

    #[test]
    fn one_client_has_no_more_than_its_share_and_the_machine_itself_is_not_bounded() {
        let context = context(usize::MAX);
        let mut seats: Vec<Seat> = (0..MAX_CLIENT_CONNECTIONS)
            .map(|_| seat(&context, "2001:db8::1").unwrap())
            .collect();
        assert!(seat(&context, "2001:db8::2").is_none(), "the same network");
        assert_eq!(context.counters.get(Event::ClientRefused), 1);
        assert!(seat(&context, "2001:db8:0:1::1").is_some());
        seats.pop();
        assert!(seat(&context, "2001:db8::2").is_some());
        let local: Vec<_> = (0..=MAX_CLIENT_CONNECTIONS)
            .map(|_| seat(&context, "127.0.0.1"))
            .collect();
        assert!(local.iter().all(Option::is_some));
        // A refused client takes no place of all clients'.
        assert_eq!(context.guests.connections.taken(), seats.len() + local.len());
    }

    #[test]
    fn handshakes_in_progress_are_so_many() {
        let context = context(usize::MAX);
        let mut places: Vec<_> = (0..MAX_HANDSHAKES)
            .map(|_| context.guests.begin_handshake(&context).unwrap())
            .collect();
        assert!(context.guests.begin_handshake(&context).is_none());
        assert_eq!(context.counters.get(Event::HandshakeRefused), 1);
        places.pop();
        assert!(context.guests.begin_handshake(&context).is_some());
    }
}
