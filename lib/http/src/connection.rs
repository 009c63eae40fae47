//! Accepting connections and serving one of them.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use catena_core::net::Timed;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, server};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::endpoint::{Endpoint, TlsSource};
use crate::{MAX_CONNECTIONS, TIMEOUT};

/// How long requests that are under way may take at the end.
const GRACE: Duration = Duration::from_secs(2);

/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The longest head of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 8;

/// HTTP/2 has no timer of its own for idle connections; a client that comes back later connects again.
const HTTP2_LIFE: Duration = Duration::from_secs(60);

/// Accepts connections until the endpoint closes, and lets those that it has end.
pub(crate) async fn accept(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    mut closed: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&listener, &slots) => accepted,
            _ = closed.wait_for(|closed| *closed) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, slot)) => {
                let serving = serve(stream, Arc::clone(&endpoint), closed.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(slot);
                });
            }
            // The client has given up meanwhile, or there are no descriptors left; neither is for ever.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    // What takes longer is cut off with the set.
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

/// Waits for a place first: who comes when there is none waits in the kernel's queue.
async fn accept_one(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn serve(stream: TcpStream, endpoint: Arc<Endpoint>, closed: watch::Receiver<bool>) {
    // Answers leave whole, so nothing is gained by holding segments back.
    let _ = stream.set_nodelay(true);
    let stream = Timed::new(stream, TIMEOUT);
    let Some(tls) = endpoint.tls() else {
        return http1(stream, &endpoint, closed).await;
    };
    let stream = match timeout(TIMEOUT, handshake(stream, tls)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(target: "catena", "a TLS handshake for HTTP failed: {error}");
            return;
        }
        Err(_) => return,
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(stream, &endpoint, closed).await;
    } else {
        http1(stream, &endpoint, closed).await;
    }
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    tls: Arc<dyn TlsSource>,
) -> io::Result<tokio_rustls::server::TlsStream<S>> {
    let config = tokio::task::spawn_blocking(move || tls.server_config())
        .await
        .map_err(io::Error::other)?;
    let config = config.inspect_err(|error| tracing::error!(target: "catena", "no TLS for HTTP: {error}"))?;
    TlsAcceptor::from(config).accept(stream).await
}

async fn http1<S>(stream: S, endpoint: &Endpoint, mut closed: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES);
    let service = service_fn(|request| answer(endpoint, request));
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A client that breaks off or breaks the protocol is no news.
        _ = serving.as_mut() => return,
        _ = closed.wait_for(|closed| *closed) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}

async fn http2<S>(stream: S, endpoint: &Arc<Endpoint>, mut closed: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .keep_alive_interval(TIMEOUT)
        .keep_alive_timeout(TIMEOUT);
    let endpoint = Arc::clone(endpoint);
    let service = service_fn(move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { answer(&endpoint, request).await }
    });
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = closed.wait_for(|closed| *closed) => {}
        () = tokio::time::sleep(HTTP2_LIFE) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(TIMEOUT, serving).await;
}

async fn answer(
    endpoint: &Endpoint,
    request: Request<Incoming>,
) -> Result<Response<http_body_util::Full<hyper::body::Bytes>>, Infallible> {
    let (head, _) = request.into_parts();
    Ok(endpoint.answer(&head).await)
}
