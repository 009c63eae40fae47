//! Queries over HTTP/1.1, for servers of DNS over HTTPS that have nothing newer: one at a time on a connection.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::{End, Queries, Stage};
use crate::error::{Failure, Fault};
use crate::http::{Http, MAX_HEAD};
use crate::multiplex::{self, Streams};

/// Fields in a response's head.
const MAX_FIELDS: usize = 100;

/// Serves queries until the connection ends.
pub(crate) async fn speak<S, Q>(
    stream: S,
    local: Option<SocketAddr>,
    http: &Http,
    queries: &mut Q,
) -> Result<End, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
    Q: Queries,
{
    let (sender, connection) = Builder::new()
        .max_buf_size(MAX_HEAD as usize)
        .max_headers(MAX_FIELDS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| fault(&error))?;
    queries.one_at_a_time(true);
    queries.reached(Stage::Open, local);
    let streams = Http1 {
        connection,
        sender,
        http,
    };
    Ok(multiplex::exchange(streams, queries).await)
}

struct Http1<'h, S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<TokioIo<S>, Full<Bytes>>,
    sender: SendRequest<Full<Bytes>>,
    http: &'h Http,
}

impl<'h, S: AsyncRead + AsyncWrite + Unpin> Streams for Http1<'h, S> {
    type Stream = Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>> + Send + 'h>>;

    fn zeroes_ids(&self) -> bool {
        self.http.zeroes_ids()
    }

    fn poll_open(&mut self, context: &mut Context<'_>, message: &[u8]) -> Poll<Result<Self::Stream, Fault>> {
        // It is ready when nothing is in flight.
        ready!(self.sender.poll_ready(context)).map_err(|error| fault(&error))?;
        let (request, body) = self.http.request(message);
        let request = in_origin_form(request).map(|()| Full::new(body.unwrap_or_default()));
        let response = self.sender.send_request(request);
        Poll::Ready(Ok(Box::pin(answer(response, self.http))))
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<End> {
        Pin::new(&mut self.connection).poll(context).map(|end| match end {
            Ok(()) => End::Closed,
            Err(error) => End::Broken(fault(&error)),
        })
    }
}

/// The server's name moves from the address of what is asked for to a field (RFC 9112, section 3.2).
fn in_origin_form(mut request: Request<()>) -> Request<()> {
    let uri = std::mem::take(request.uri_mut());
    let host = uri
        .authority()
        .map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(host)) = host {
        request.headers_mut().insert(HOST, host);
    }
    if let Some(path) = uri.path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    request
}

/// Waits for a response, and for its body as far as that may be an answer.
async fn answer(
    response: impl Future<Output = hyper::Result<Response<Incoming>>>,
    http: &Http,
) -> Result<Vec<u8>, Failure> {
    let response = response.await.map_err(|error| failure(&error))?;
    http.check_head(response.status(), response.headers())?;
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| failure(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if body.len() + data.len() > http.limit() {
            return Err(Failure::Oversized);
        }
        body.extend_from_slice(data);
    }
    http.finish(body, None)
}

/// A query that the connection took with it when it ended is lost, and may be asked again: it changes nothing.
fn failure(error: &hyper::Error) -> Failure {
    let ended = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let fault = fault(error);
    if ended || io_error(error).is_some() {
        Failure::Lost(fault)
    } else {
        Failure::Fault(fault)
    }
}

fn fault(error: &hyper::Error) -> Fault {
    match io_error(error) {
        Some(error) => Fault::io("http", error),
        None => Fault::new("http", error.to_string()),
    }
}

fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Content;
    use crate::target::Method;

    #[test]
    fn a_request_names_its_server_in_a_field() {
        let http = Http::new(Content::Doh(Method::Get), "https", "dns.example.org:8443");
        let request = in_origin_form(http.request(b"\0\0\xff\xfe").0);
        assert_eq!(request.uri(), "/dns-query?dns=AAD__g");
        assert_eq!(request.headers()[HOST], "dns.example.org:8443");
    }
}
