//! DNS over HTTPS with HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;

use super::http::{Requests, check};
use super::streams::{Exchange, StreamsLoad};
use super::{SOURCES, source};
use crate::query::{Expect, Queries};
use crate::tls::Trust;

/// Opens so many connections, for so many streams in flight on each; `get` puts queries into paths.
///
/// # Errors
///
/// A connection does not come about.
pub fn doh(
    server: SocketAddr,
    trust: &Trust,
    queries: &Queries,
    expect: Expect,
    (connections, window): (usize, usize),
    get: bool,
) -> io::Result<StreamsLoad> {
    let (requests, config) = (Requests::new(&trust.name, queries, get)?, config(trust)?);
    let mut number = 0;
    StreamsLoad::new(queries, expect, (connections, window), || {
        number += 1;
        let (requests, config, trust) = (requests.clone(), Arc::clone(&config), trust.clone());
        async move {
            let (sender, _) = open(server, number, &config, &trust).await?;
            Ok(Doh { sender, requests })
        }
    })
}

pub(super) fn config(trust: &Trust) -> io::Result<Arc<ClientConfig>> {
    trust.over_tcp(Some(b"h2"), Resumption::disabled())
}

/// A connection and the task that drives it, which ends with the connection.
pub(super) async fn open(
    server: SocketAddr,
    number: usize,
    config: &Arc<ClientConfig>,
    trust: &Trust,
) -> io::Result<(SendRequest<Bytes>, JoinHandle<()>)> {
    let socket = match server {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = source(server, number % SOURCES) {
        socket.bind(source)?;
    }
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::clone(config));
    let stream = connector.connect(trust.server_name()?, stream).await?;
    let made = h2::client::Builder::new()
        .enable_push(false)
        .initial_connection_window_size(WINDOW)
        .handshake(stream)
        .await;
    let (sender, connection) = made.map_err(io::Error::other)?;
    let driver = tokio::spawn(async move {
        // Requests that are under way tell how it ended.
        let _ = connection.await;
    });
    Ok((sender, driver))
}

#[derive(Clone)]
struct Doh {
    sender: SendRequest<Bytes>,
    requests: Requests,
}

impl Exchange for Doh {
    async fn exchange(&mut self, query: usize) -> io::Result<Vec<u8>> {
        let (request, body) = self.requests.get(query);
        exchange(&mut self.sender, request, body)
            .await
            .map_err(io::Error::other)?
    }
}

/// Sends a request whole and returns the body of its response.
pub(super) async fn exchange(
    sender: &mut SendRequest<Bytes>,
    request: http::Request<()>,
    body: Option<Bytes>,
) -> Result<io::Result<Vec<u8>>, h2::Error> {
    std::future::poll_fn(|context| sender.poll_ready(context)).await?;
    let (response, mut stream) = sender.send_request(request, body.is_none())?;
    if let Some(body) = body {
        stream.send_data(body, true)?;
    }
    let response = response.await?;
    if let Err(error) = check(&response) {
        return Ok(Err(error));
    }
    let (mut received, mut answer) = (response.into_body(), Vec::new());
    while let Some(chunk) = received.data().await {
        let chunk = chunk?;
        answer.extend_from_slice(&chunk);
        // It fails only for a stream that is over.
        let _ = received.flow_control().release_capacity(chunk.len());
    }
    Ok(Ok(answer))
}

/// Bytes under way on all streams of a connection.
const WINDOW: u32 = 1 << 20;
