//! Queries over HTTP/3 (RFC 8484 on RFC 9114).

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use h3::client::{Connection, SendRequest};
use h3::error::{ConnectionError, StreamError};
use h3_quinn::OpenStreams;

use crate::connection::{End, Queries};
use crate::error::{Failure, Fault};
use crate::http::{Http, MAX_HEAD};
use crate::multiplex::{self, Streams};
use crate::quic::{self, Asked};
use crate::target::OverQuic;

/// Connects and serves queries until the connection ends.
pub(crate) async fn run<Q: Queries>(
    address: SocketAddr,
    source: Option<IpAddr>,
    over: &OverQuic,
    http: &Http,
    queries: &mut Q,
) -> Result<End, Fault> {
    let (_endpoint, connection) = quic::connect(address, source, over, queries).await?;
    let made = h3::client::builder()
        .max_field_section_size(u64::from(MAX_HEAD))
        .build(h3_quinn::Connection::new(connection))
        .await;
    let (driver, sender) = made.map_err(|error| fault(&error))?;
    let streams = Http3 {
        driver,
        sender,
        http: http.clone(),
    };
    Ok(multiplex::exchange(streams, queries).await)
}

struct Http3 {
    driver: Connection<h3_quinn::Connection, Bytes>,
    sender: SendRequest<OpenStreams, Bytes>,
    http: Http,
}

impl Streams for Http3 {
    type Stream = Asked;

    fn zeroes_ids(&self) -> bool {
        self.http.zeroes_ids()
    }

    fn poll_open(&mut self, _: &mut Context<'_>, message: &[u8]) -> Poll<Result<Asked, Fault>> {
        let (request, body) = self.http.request(message);
        let asked = ask(self.sender.clone(), self.http.clone(), request, body);
        Poll::Ready(Ok(Box::pin(asked)))
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.driver.poll_close(context).map(|error| {
            if error.is_h3_no_error() {
                End::Closed
            } else {
                End::Broken(fault(&error))
            }
        })
    }
}

async fn ask(
    mut sender: SendRequest<OpenStreams, Bytes>,
    http: Http,
    request: http::Request<()>,
    body: Option<Bytes>,
) -> Result<Vec<u8>, Failure> {
    let mut stream = sender
        .send_request(request)
        .await
        .map_err(|error| failure(&error))?;
    if let Some(body) = body {
        stream.send_data(body).await.map_err(|error| failure(&error))?;
    }
    stream.finish().await.map_err(|error| failure(&error))?;
    let response = stream.recv_response().await.map_err(|error| failure(&error))?;
    http.check_head(response.status(), response.headers())?;
    let mut message = Vec::new();
    while let Some(mut chunk) = stream.recv_data().await.map_err(|error| failure(&error))? {
        if message.len() + chunk.remaining() > http.limit() {
            return Err(Failure::Oversized);
        }
        while chunk.has_remaining() {
            let part = chunk.chunk();
            message.extend_from_slice(part);
            let length = part.len();
            chunk.advance(length);
        }
    }
    http.finish(message, None)
}

fn failure(error: &StreamError) -> Failure {
    let fault = Fault::new("http3", error.to_string());
    match error {
        StreamError::ConnectionError { .. } | StreamError::RemoteClosing { .. } => Failure::Lost(fault),
        StreamError::HeaderTooBig { .. } => Failure::Oversized,
        _ => Failure::Fault(fault),
    }
}

fn fault(error: &ConnectionError) -> Fault {
    Fault::new("http3", error.to_string())
}
