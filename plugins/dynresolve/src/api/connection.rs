//! Connections: how many there may be, and how long each may take for what.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::EXPECT;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Api;
use super::refusal::Refusal;
use super::rest;
use super::router::{Client, router};

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time from networks that are allowed.
    pub(crate) connections: usize,
    /// Connections at a time from other networks, which get nothing but refusals.
    pub(crate) strangers: usize,
    /// For a TLS handshake, and for the header of a request.
    pub(crate) header: Duration,
    /// For the body of a request.
    pub(crate) body: Duration,
    /// Between two requests, the reading of a response included.
    pub(crate) idle: Duration,
    /// For requests under way when the server stops.
    pub(crate) grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            strangers: 32,
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            grace: Duration::from_secs(2),
        }
    }
}

/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 32;

/// Streams that a client may have reset without our having seen to them (CVE-2023-44487).
const MAX_RESETS: usize = 32;

/// Largest header, in bytes.
const MAX_HEADER: usize = 16 << 10;

/// Pause when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is told to stop, and gives requests under way their time.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    api: Arc<Api>,
    mut stop: watch::Receiver<bool>,
) {
    let limits = api.limits;
    let friends = Arc::new(Semaphore::new(limits.connections));
    let strangers = Arc::new(Semaphore::new(limits.strangers));
    let router = router(&api);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = admit(&listener, &api, &friends, &strangers) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(Some((stream, client, permit))) => {
                let connection = Connection {
                    client,
                    router: router.clone(),
                    api: Arc::clone(&api),
                    stop: stop.clone(),
                };
                connections.spawn(connection.run(stream, tls.clone(), permit));
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(target: "plugin/dynresolve", "Cannot accept a connection to the API: {error}");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(limits.grace, ended).await;
}

/// Takes the next connection once there is room for it. Strangers for whom there is none are turned away.
async fn admit(
    listener: &TcpListener,
    api: &Api,
    friends: &Arc<Semaphore>,
    strangers: &Arc<Semaphore>,
) -> io::Result<Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)>> {
    let (stream, client) = listener.accept().await?;
    let permit = if api.access.allows(client.ip()) {
        Arc::clone(friends).acquire_owned().await.ok()
    } else {
        Arc::clone(strangers).try_acquire_owned().ok()
    };
    Ok(permit.map(|permit| (stream, client, permit)))
}

struct Connection {
    client: SocketAddr,
    router: Router,
    api: Arc<Api>,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>, _permit: OwnedSemaphorePermit) {
        // Answers are small and complete: waiting for more of them helps nobody.
        let _ = stream.set_nodelay(true);
        match tls {
            None => self.serve(stream).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(self.api.limits.header, tls.accept(stream)).await {
                    self.serve(stream).await;
                }
            }
        }
    }

    async fn serve(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let limits = self.api.limits;
        let activity = Arc::new(Activity::new());
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header)
            .max_buf_size(MAX_HEADER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_RESETS)
            .max_header_list_size(MAX_HEADER as u32)
            .keep_alive_interval(limits.idle / 2)
            .keep_alive_timeout(limits.header);
        let (router, api, client) = (self.router, self.api, self.client);
        let seen = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| {
            answer(router.clone(), Arc::clone(&api), request, client, seen.begin())
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let stopped = tokio::select! {
            _ = connection.as_mut() => return,
            () = activity.idle(limits) => false,
            _ = self.stop.wait_for(|stop| *stop) => true,
        };
        if stopped {
            // A client that has just connected is about to ask.
            tokio::select! {
                _ = connection.as_mut() => return,
                () = activity.first() => {}
                () = sleep(limits.grace / 4) => {}
            }
        }
        connection.as_mut().graceful_shutdown();
        // Requests under way are answered; what says nothing is cut off.
        let rest = if activity.is_busy() {
            limits.grace / 2
        } else {
            limits.grace / 10
        };
        let _ = timeout(rest, connection).await;
    }
}

/// Answers one request in a task of its own: a panic becomes a response, and a client that goes away leaves no write
/// half done.
async fn answer(
    router: Router,
    api: Arc<Api>,
    request: Request<Incoming>,
    client: SocketAddr,
    busy: Busy,
) -> Result<Response<Body>, Infallible> {
    let waits = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let (body, rest) = rest::lend(body, waits);
    let mut request = Request::from_parts(parts, Body::new(body));
    request.extensions_mut().insert(Client(client));
    let answered = tokio::spawn(async move {
        let _busy = busy;
        TowerToHyperService::new(router).call(request).await
    });
    let answered = answered.await;
    if rest.comes() {
        tokio::spawn(rest.discard());
    }
    match answered {
        Ok(answered) => answered,
        Err(error) => {
            if error.is_panic() {
                api.instance.metrics.panics.inc();
                tracing::error!(target: "plugin/dynresolve", "Recovered from panic in the API: {error}");
            }
            Ok(Refusal::internal().into_response())
        }
    }
}

/// What happens on a connection.
#[derive(Debug)]
struct Activity {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    /// Requests under way.
    busy: usize,
    /// Whether there was one.
    any: bool,
    since: Instant,
}

/// A request under way.
struct Busy(Arc<Activity>);

impl Activity {
    fn new() -> Self {
        let state = State {
            busy: 0,
            any: false,
            since: Instant::now(),
        };
        Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        }
    }

    fn begin(self: &Arc<Self>) -> Busy {
        let mut state = self.state.lock();
        state.busy += 1;
        state.any = true;
        drop(state);
        self.changed.send_replace(());
        Busy(Arc::clone(self))
    }

    fn is_busy(&self) -> bool {
        self.state.lock().busy > 0
    }

    /// Returns when there was a request.
    async fn first(&self) {
        let mut changed = self.changed.subscribe();
        while !self.state.lock().any {
            let _ = changed.changed().await;
        }
    }

    /// Returns when nothing has been under way for too long.
    async fn idle(&self, limits: Limits) {
        let mut changed = self.changed.subscribe();
        loop {
            let left = {
                let state = self.state.lock();
                let limit = if state.any { limits.idle } else { limits.header };
                (state.busy == 0).then(|| limit.saturating_sub(state.since.elapsed()))
            };
            match left {
                Some(Duration::ZERO) => return,
                Some(left) => {
                    // A request begins another span of time.
                    let _ = timeout(left, changed.changed()).await;
                }
                None => {
                    let _ = changed.changed().await;
                }
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.busy -= 1;
        state.since = Instant::now();
        drop(state);
        self.0.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests;
