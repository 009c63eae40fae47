//! HTTP in its three versions, and gRPC.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf, Bytes};
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, watch};

use super::streams::{Stream, ended, read_to_end};
use super::{Reply, Trust};
use crate::over::Over;

const PATH: &str = "/dns-query";
const GRPC_PATH: &str = "/coredns.dns.DnsService/Query";
const MEDIA_TYPE: &str = "application/dns-message";

/// The name in requests where there is no TLS.
const HOST: &str = "dns.test";

/// The request that carries a message, with its body.
fn request(over: Over, scheme: &str, host: &str, wire: &[u8]) -> (Request<()>, Bytes) {
    let grpc = over == Over::Grpc;
    let (path, body) = match over {
        Over::Grpc => (GRPC_PATH.to_owned(), packet(wire)),
        over if over.is_get() => (path_of(wire), Vec::new()),
        _ => (PATH.to_owned(), wire.to_vec()),
    };
    let mut builder = Request::builder()
        .method(if over.is_get() { Method::GET } else { Method::POST })
        .uri(format!("{scheme}://{host}{path}"));
    if grpc {
        builder = builder
            .header("content-type", "application/grpc")
            .header("te", "trailers");
    } else if over.is_get() {
        builder = builder.header("accept", MEDIA_TYPE);
    } else {
        builder = builder
            .header("content-type", MEDIA_TYPE)
            .header("content-length", body.len());
    }
    (builder.body(()).expect("a request"), body.into())
}

fn path_of(wire: &[u8]) -> String {
    format!("{PATH}?dns={}", URL_SAFE_NO_PAD.encode(wire))
}

/// A gRPC message with these bytes as its field 1.
fn packet(wire: &[u8]) -> Vec<u8> {
    let mut field = vec![0x0a];
    let mut rest = wire.len();
    while rest >= 0x80 {
        field.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    field.push(rest as u8);
    field.extend_from_slice(wire);
    let length = u32::try_from(field.len()).expect("a short message");
    [&[0][..], &length.to_be_bytes(), &field].concat()
}

/// The bytes in field 1, which is the only one.
fn field_of(packet: &[u8]) -> Option<Vec<u8>> {
    let field = packet.get(5..)?;
    let length = field.iter().skip(1).position(|byte| byte & 0x80 == 0)? + 1;
    field.get(1 + length..).map(<[u8]>::to_vec)
}

/// One request after the other on a connection of HTTP/1.1.
pub(super) struct Http1 {
    stream: Mutex<Box<dyn Stream>>,
    over: Over,
}

impl Http1 {
    pub(super) fn new(stream: Box<dyn Stream>, over: Over) -> Self {
        Self {
            stream: Mutex::new(stream),
            over,
        }
    }

    pub(super) async fn exchange(&self, wire: &[u8]) -> Reply {
        let mut stream = self.stream.lock().await;
        let mut head = String::new();
        let body = if self.over.is_get() {
            let _ = write!(head, "GET {} HTTP/1.1\r\nhost: {HOST}\r\n\r\n", path_of(wire));
            &[]
        } else {
            let length = wire.len();
            let _ = write!(
                head,
                "POST {PATH} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {length}\r\n\r\n"
            );
            wire
        };
        let sent = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await?;
            stream.flush().await?;
            read_response(&mut stream).await
        };
        sent.await.unwrap_or(Reply::Closed)
    }

    pub(super) async fn closed(&self) {
        read_to_end(&mut *self.stream.lock().await).await;
    }
}

async fn read_response(stream: &mut Box<dyn Stream>) -> std::io::Result<Reply> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let status: u16 = head
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(match status {
        200 => Reply::Message(body),
        status => Reply::HttpStatus(status),
    })
}

/// A connection of HTTP/2, also for gRPC.
pub(super) struct Http2 {
    sender: SendRequest<Bytes>,
    over: Over,
    scheme: &'static str,
    ended: watch::Receiver<bool>,
}

impl Http2 {
    pub(super) async fn open(stream: Box<dyn Stream>, over: Over, encrypted: bool) -> Result<Self, String> {
        let (sender, connection) = h2::client::handshake(stream)
            .await
            .map_err(|error| error.to_string())?;
        let (end, ended) = watch::channel(false);
        tokio::spawn(async move {
            // The end of it shows in what is under way.
            let _ = connection.await;
            let _ = end.send(true);
        });
        Ok(Self {
            sender,
            over,
            scheme: if encrypted { "https" } else { "http" },
            ended,
        })
    }

    pub(super) async fn exchange(&self, wire: &[u8]) -> Reply {
        self.try_exchange(wire).await.unwrap_or_else(|error| {
            if error.is_reset() {
                Reply::Reset(u64::from(error.reason().map_or(0, u32::from)))
            } else {
                Reply::Closed
            }
        })
    }

    async fn try_exchange(&self, wire: &[u8]) -> Result<Reply, h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        let (request, body) = request(self.over, self.scheme, HOST, wire);
        let (response, mut stream) = sender.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(body, true)?;
        }
        let (head, mut body) = response.await?.into_parts();
        let mut message = Vec::new();
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            message.extend_from_slice(&part);
        }
        if head.status != StatusCode::OK {
            return Ok(Reply::HttpStatus(head.status.as_u16()));
        }
        if self.over != Over::Grpc {
            return Ok(Reply::Message(message));
        }
        let trailers = body.trailers().await?;
        let status = grpc_status(&head.headers).or_else(|| trailers.as_ref().and_then(grpc_status));
        Ok(match status {
            Some(0) => field_of(&message).map_or(Reply::Closed, Reply::Message),
            Some(status) => Reply::GrpcStatus(status),
            None => Reply::Closed,
        })
    }

    pub(super) async fn closed(&self) {
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// A connection of HTTP/3.
pub(super) struct Http3 {
    _endpoint: quinn::Endpoint,
    connection: quinn::Connection,
    sender: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    over: Over,
    host: String,
}

impl Http3 {
    pub(super) async fn open(
        endpoint: quinn::Endpoint,
        connection: quinn::Connection,
        over: Over,
        trust: &Trust,
    ) -> Result<Self, String> {
        let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection.clone()))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            // The end of it shows in what is under way.
            let _ = std::future::poll_fn(|context| driver.poll_close(context)).await;
        });
        Ok(Self {
            _endpoint: endpoint,
            connection,
            sender,
            over,
            host: trust.name().to_owned(),
        })
    }

    pub(super) async fn exchange(&self, wire: &[u8]) -> Reply {
        match self.try_exchange(wire).await {
            Ok(reply) => reply,
            Err(h3::error::StreamError::RemoteTerminate { code, .. }) => Reply::Reset(code.value()),
            Err(_) => match self.connection.close_reason() {
                Some(error) => ended(&error),
                None => Reply::Closed,
            },
        }
    }

    async fn try_exchange(&self, wire: &[u8]) -> Result<Reply, h3::error::StreamError> {
        let (request, body) = request(self.over, "https", &self.host, wire);
        let mut stream = self.sender.clone().send_request(request).await?;
        if !body.is_empty() {
            stream.send_data(body).await?;
        }
        stream.finish().await?;
        let status = stream.recv_response().await?.status();
        let mut message = Vec::new();
        while let Some(mut part) = stream.recv_data().await? {
            message.extend_from_slice(&part.copy_to_bytes(part.remaining()));
        }
        Ok(if status == StatusCode::OK {
            Reply::Message(message)
        } else {
            Reply::HttpStatus(status.as_u16())
        })
    }

    pub(super) async fn closed(&self) {
        self.connection.closed().await;
    }
}
