//! The task that serves one connection: connects, sends what waits, hands over what comes.
//!
//! What a connection has to do with queries is a [`Queries`]: those of a worker, or the single one of a probe. The
//! transports know nothing else of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::HandshakeKind;

use crate::error::{Failure, Fault};
use crate::health::Shared;
use crate::local::Local;
use crate::probe::tcp_socket;
use crate::target::{Kind, Secured, Target};
use crate::{http2, http3, quic, stream};

/// Which connection of which upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) upstream: usize,
    pub(crate) index: u32,
    pub(crate) key: u32,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It never came about.
    Dial(Fault),
    /// The upstream closed it.
    Closed,
    /// Reading or writing failed.
    Broken(Fault),
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The system connects.
    Dialling,
    /// The layers above introduce themselves.
    Handshake,
    /// Queries travel.
    Open,
}

/// What a connection is to send.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Messages, each with its length before it as over TCP.
    pub(crate) frames: Vec<u8>,
    /// Ids of queries whose answers nobody waits for any more.
    pub(crate) given_up: Vec<u16>,
}

/// Those who ask over a connection.
pub(crate) trait Queries: Send {
    /// Adds what waits to be sent if `outgoing` has no frames, and keeps the waker for when there is more. False if the
    /// connection is to end.
    fn take(&mut self, outgoing: &mut Outgoing, waker: &Waker) -> bool;

    /// The connection ends, and these frames have not been sent.
    fn give_back(&mut self, unsent: &[u8]);

    /// The connection has come so far.
    fn reached(&mut self, stage: Stage, local: Option<SocketAddr>);

    /// Whether the connection takes one query after the other.
    fn one_at_a_time(&mut self, is_serial: bool);

    /// A TLS session began, a resumed one or a new one.
    fn secured(&mut self, resumed: bool);

    /// Hands over received frames. Gives back how many octets were whole frames; `None` if the connection is to end.
    fn deliver(&mut self, frames: &[u8]) -> Option<usize>;

    /// These queries failed, and the connection goes on.
    fn fail(&mut self, failed: &mut Vec<(u16, Failure)>);
}

/// Connects to an upstream and serves queries until the connection ends.
pub(crate) async fn run<Q: Queries>(target: &Target, source: Option<IpAddr>, queries: &mut Q) -> End {
    let ended = match &target.kind {
        Kind::Plain => plain(target, source, queries).await,
        Kind::Tls(secured) => over_tls(target, source, secured, queries).await,
        Kind::Http2(secured, http) => {
            Box::pin(http2::run(target, source, secured.as_ref(), http, queries)).await
        }
        Kind::Quic(quic) => Box::pin(quic::run(target.address, source, quic, queries)).await,
        Kind::Http3(quic, http) => Box::pin(http3::run(target.address, source, quic, http, queries)).await,
    };
    ended.unwrap_or_else(End::Dial)
}

async fn plain<Q: Queries>(target: &Target, source: Option<IpAddr>, queries: &mut Q) -> Result<End, Fault> {
    let stream = connect(target.address, source).await?;
    queries.reached(Stage::Open, stream.local_addr().ok());
    Ok(stream::exchange(stream, queries).await)
}

async fn over_tls<Q: Queries>(
    target: &Target,
    source: Option<IpAddr>,
    secured: &Secured,
    queries: &mut Q,
) -> Result<End, Fault> {
    let stream = connect(target.address, source).await?;
    let local = stream.local_addr().ok();
    let stream = handshake(stream, local, secured, queries).await?;
    queries.reached(Stage::Open, local);
    Ok(stream::exchange(stream, queries).await)
}

pub(crate) async fn connect(address: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream, Fault> {
    let connecting = async { tcp_socket(address, source)?.connect(address).await };
    connecting.await.map_err(|error| Fault::io("connect", &error))
}

pub(crate) async fn connect_unix(path: &std::path::Path) -> Result<UnixStream, Fault> {
    let connected = UnixStream::connect(path).await;
    connected.map_err(|error| Fault::io("connect", &error))
}

pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin, Q: Queries>(
    stream: S,
    local: Option<SocketAddr>,
    secured: &Secured,
    queries: &mut Q,
) -> Result<TlsStream<S>, Fault> {
    queries.reached(Stage::Handshake, local);
    let connected = secured.connector.connect(secured.name.clone(), stream).await;
    let stream = connected.map_err(|error| Fault::io("tls handshake", &error))?;
    queries.secured(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed));
    Ok(stream)
}

/// Serves a worker's connection to its end. The task is aborted when the connection is closed from this side.
pub(crate) async fn serve(local: Arc<Mutex<Local>>, shared: Arc<Shared>, place: Place) {
    let target = &shared.upstreams[place.upstream].target;
    let mut queries = OfWorker {
        local: &local,
        shared: &shared,
        place,
        woken: Vec::new(),
    };
    let end = run(target, shared.options.source, &mut queries).await;
    let mut woken = Vec::new();
    Local::connection_ended(&local, place, &end, &mut woken);
    wake(&mut woken);
}

/// Wakes tasks where no lock is held: a waker may be the last that holds a task, and its end may want the lock.
pub(crate) fn wake(woken: &mut Vec<Waker>) {
    for waker in woken.drain(..) {
        waker.wake();
    }
}

/// The queries of a worker that were given to one connection.
struct OfWorker<'a> {
    local: &'a Arc<Mutex<Local>>,
    shared: &'a Shared,
    place: Place,
    woken: Vec<Waker>,
}

impl Queries for OfWorker<'_> {
    fn take(&mut self, outgoing: &mut Outgoing, waker: &Waker) -> bool {
        self.local.lock().take_outgoing(self.place, outgoing, waker)
    }

    fn give_back(&mut self, unsent: &[u8]) {
        let mut local = self.local.lock();
        local.give_back(self.place, unsent);
    }

    fn reached(&mut self, stage: Stage, local: Option<SocketAddr>) {
        self.local.lock().connection_stage(self.place, stage, local);
    }

    fn one_at_a_time(&mut self, is_serial: bool) {
        let mut local = self.local.lock();
        local.connection_is_serial(self.place, is_serial);
    }

    fn secured(&mut self, resumed: bool) {
        self.shared.observer.handshake(self.place.upstream, resumed);
    }

    fn deliver(&mut self, frames: &[u8]) -> Option<usize> {
        let mut at = 0;
        let mut goes_on = true;
        let now = Instant::now();
        let mut local = self.local.lock();
        while let Some((length, rest)) = frames[at..].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(message) = rest.get(..length) else { break };
            if !local.message(self.place, message, now, &mut self.woken) {
                goes_on = false;
                break;
            }
            at += 2 + length;
        }
        drop(local);
        wake(&mut self.woken);
        goes_on.then_some(at)
    }

    fn fail(&mut self, failed: &mut Vec<(u16, Failure)>) {
        let mut local = self.local.lock();
        for (id, failure) in failed.drain(..) {
            local.query_failed(self.local, self.place, id, failure, &mut self.woken);
        }
        drop(local);
        wake(&mut self.woken);
    }
}
