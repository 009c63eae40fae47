//! Queries over HTTP/2: DNS over HTTPS and gRPC calls.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::{End, Queries, Stage, connect, connect_unix, handshake};
use crate::cork::{Cork, Corked};
use crate::error::{Failure, Fault};
use crate::http::{Content, Http, MAX_HEAD};
use crate::http1;
use crate::multiplex::{self, Streams};
use crate::target::{Secured, Target};

/// Octets that may be under way to this side on all streams together.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// The same on each: no answer is longer.
const STREAM_WINDOW: u32 = 96 << 10;

/// Streams that this side gave up and the other may not know of yet.
const RESET_STREAMS: usize = 256;

/// Connects and serves queries until the connection ends.
pub(crate) async fn run<Q: Queries>(
    target: &Target,
    source: Option<IpAddr>,
    secured: Option<&Secured>,
    http: &Http,
    queries: &mut Q,
) -> Result<End, Fault> {
    match &target.unix {
        Some(path) => {
            let stream = connect_unix(path).await?;
            secure(stream, None, secured, http, queries).await
        }
        None => {
            let stream = connect(target.address, source).await?;
            let local = stream.local_addr().ok();
            secure(stream, local, secured, http, queries).await
        }
    }
}

async fn secure<S, Q>(
    stream: S,
    local: Option<std::net::SocketAddr>,
    secured: Option<&Secured>,
    http: &Http,
    queries: &mut Q,
) -> Result<End, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
    Q: Queries,
{
    let Some(secured) = secured else {
        return speak(stream, local, http, queries).await;
    };
    let stream = handshake(stream, local, secured, queries).await?;
    // RFC 9113, section 3.2: without `h2` in the handshake the other side speaks something else.
    match (stream.get_ref().1.alpn_protocol(), http.content()) {
        (Some(b"h2"), _) => speak(stream, local, http, queries).await,
        (_, Content::Doh(_)) => Box::pin(http1::speak(stream, local, http, queries)).await,
        (_, Content::Grpc) => Err(Fault::new("tls", "the upstream does not speak HTTP/2")),
    }
}

async fn speak<S, Q>(
    stream: S,
    local: Option<std::net::SocketAddr>,
    http: &Http,
    queries: &mut Q,
) -> Result<End, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
    Q: Queries,
{
    let (stream, cork) = Corked::new(stream);
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_HEAD)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(RESET_STREAMS)
        .handshake(stream)
        .await
        .map_err(|error| fault(&error))?;
    queries.one_at_a_time(false);
    queries.reached(Stage::Open, local);
    let streams = Http2 {
        connection,
        sender,
        http,
        cork,
        end: None,
    };
    Ok(multiplex::exchange(streams, queries).await)
}

struct Http2<'h, S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<Corked<S>, Bytes>,
    sender: SendRequest<Bytes>,
    http: &'h Http,
    cork: Cork,
    /// How the connection ended, when that was seen too early.
    end: Option<End>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http2<'_, S> {
    fn poll_connection(&mut self, context: &mut Context<'_>) -> Poll<End> {
        Pin::new(&mut self.connection).poll(context).map(|end| match end {
            Ok(()) => End::Closed,
            Err(error) if error.is_go_away() && error.reason() == Some(Reason::NO_ERROR) => End::Closed,
            Err(error) => End::Broken(fault(&error)),
        })
    }
}

impl<'h, S: AsyncRead + AsyncWrite + Unpin> Streams for Http2<'h, S> {
    type Stream = Stream<'h>;

    fn zeroes_ids(&self) -> bool {
        self.http.zeroes_ids()
    }

    fn poll_open(&mut self, context: &mut Context<'_>, message: &[u8]) -> Poll<Result<Stream<'h>, Fault>> {
        ready!(self.sender.poll_ready(context)).map_err(|error| fault(&error))?;
        let (request, body) = self.http.request(message);
        let sent = self
            .sender
            .send_request(request, body.is_none())
            .and_then(|(response, mut stream)| {
                if let Some(body) = body {
                    stream.send_data(body, true)?;
                }
                Ok(response)
            });
        // The library would send the heads of all requests before the first body, which not all servers take. So each
        // request is given out by itself, and held back until the last one of those that wait.
        self.cork.put(true);
        if self.end.is_none()
            && let Poll::Ready(end) = self.poll_connection(context)
        {
            self.end = Some(end);
        }
        Poll::Ready(match sent {
            Ok(response) => Ok(Stream {
                http: self.http,
                state: State::Head(response),
                body: Vec::new(),
            }),
            Err(error) => Err(fault(&error)),
        })
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.cork.put(false);
        match self.end.take() {
            Some(end) => Poll::Ready(end),
            None => self.poll_connection(context),
        }
    }
}

/// A request whose response is awaited.
struct Stream<'h> {
    http: &'h Http,
    state: State,
    body: Vec<u8>,
}

enum State {
    Head(ResponseFuture),
    Body(RecvStream),
}

impl Future for Stream<'_> {
    type Output = Result<Vec<u8>, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Head(response) => {
                    let response =
                        ready!(Pin::new(response).poll(context)).map_err(|error| failure(&error))?;
                    this.http.check_head(response.status(), response.headers())?;
                    this.state = State::Body(response.into_body());
                }
                State::Body(stream) => {
                    if let Some(chunk) = ready!(stream.poll_data(context)) {
                        let chunk = chunk.map_err(|error| failure(&error))?;
                        if this.body.len() + chunk.len() > this.http.limit() {
                            return Poll::Ready(Err(Failure::Oversized));
                        }
                        this.body.extend_from_slice(&chunk);
                        // It fails only for a stream that is over.
                        let _ = stream.flow_control().release_capacity(chunk.len());
                        continue;
                    }
                    let trailers = if this.http.has_trailers() {
                        ready!(stream.poll_trailers(context)).map_err(|error| failure(&error))?
                    } else {
                        None
                    };
                    let body = std::mem::take(&mut this.body);
                    return Poll::Ready(this.http.finish(body, trailers.as_ref()));
                }
            }
        }
    }
}

/// RFC 9113, section 8.7: a refused stream was not looked at, nor one beyond the last that GOAWAY names. Servers that end
/// cancel what they have not answered.
fn failure(error: &h2::Error) -> Failure {
    let given_up = matches!(error.reason(), Some(Reason::REFUSED_STREAM | Reason::CANCEL));
    let lost = error.is_io() || error.is_go_away() || given_up;
    let fault = fault(error);
    if lost {
        Failure::Lost(fault)
    } else {
        Failure::Fault(fault)
    }
}

fn fault(error: &h2::Error) -> Fault {
    match error.get_io() {
        Some(error) => Fault::io("http2", error),
        None => Fault::new("http2", error.to_string()),
    }
}
