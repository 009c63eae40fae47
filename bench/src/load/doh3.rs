//! DNS over HTTP/3.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;

use super::doq::connect;
use super::http::{Requests, check};
use super::streams::{Exchange, StreamsLoad};
use crate::query::{Expect, Queries};
use crate::tls::Trust;

/// Opens so many connections, each from a port of its own, for so many requests in flight on each, all `POST`.
///
/// # Errors
///
/// A connection does not come about.
pub fn doh3(
    server: SocketAddr,
    trust: &Trust,
    queries: &Queries,
    expect: Expect,
    (connections, window): (usize, usize),
) -> io::Result<StreamsLoad> {
    let requests = Requests::new(&trust.name, queries, false)?;
    let config = trust.over_quic(b"h3")?;
    StreamsLoad::new(queries, expect, (connections, window), || {
        let (config, name, requests) = (config.clone(), trust.name.clone(), requests.clone());
        async move {
            let (endpoint, connection) = connect(server, config, &name).await?;
            let made = h3::client::new(h3_quinn::Connection::new(connection)).await;
            let (mut driver, sender) = made.map_err(io::Error::other)?;
            tokio::spawn(async move {
                // Requests that are under way tell how it ended.
                let _ = std::future::poll_fn(|context| driver.poll_close(context)).await;
                drop(endpoint);
            });
            Ok(Doh3 { sender, requests })
        }
    })
}

#[derive(Clone)]
struct Doh3 {
    sender: SendRequest<OpenStreams, Bytes>,
    requests: Requests,
}

impl Exchange for Doh3 {
    async fn exchange(&mut self, query: usize) -> io::Result<Vec<u8>> {
        let (request, body) = self.requests.get(query);
        let mut stream = self
            .sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        if let Some(body) = body {
            stream.send_data(body).await.map_err(io::Error::other)?;
        }
        stream.finish().await.map_err(io::Error::other)?;
        check(&stream.recv_response().await.map_err(io::Error::other)?)?;
        let mut answer = Vec::new();
        while let Some(mut chunk) = stream.recv_data().await.map_err(io::Error::other)? {
            while chunk.has_remaining() {
                let part = chunk.chunk();
                answer.extend_from_slice(part);
                let length = part.len();
                chunk.advance(length);
            }
        }
        Ok(answer)
    }
}
