//! The upstream over TLS, HTTP, QUIC, and as a gRPC server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf, Bytes};
use catena_core::message::Transport;
use quinn::crypto::rustls::QuicServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{HandshakeKind, ServerConfig};

use super::behaviour::Step;
use super::http1;
use super::serve::{Play, note, pause, serve_connection};
use super::{Session, State};

/// What an upstream that is not asked in plain DNS listens with.
#[derive(Clone)]
pub(super) struct Secure {
    pub(super) transport: Transport,
    /// `None` for gRPC in the clear.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

impl Secure {
    pub(super) fn is_quic(&self) -> bool {
        matches!(self.transport, Transport::Quic | Transport::Https3)
    }
}

pub(super) async fn serve_streams(listener: TcpListener, secure: Secure, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, peer)) = listener.accept().await {
            connections.spawn(begin(stream, peer, secure.clone(), Arc::clone(&state)));
        }
    }
}

async fn begin(stream: TcpStream, peer: SocketAddr, secure: Secure, state: Arc<State>) {
    let Some(tls) = secure.tls else {
        state.begin(Session { peer, resumed: false });
        return serve_http2(stream, peer, secure.transport, state).await;
    };
    let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else {
        return;
    };
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    state.begin(Session { peer, resumed });
    let newest = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    match secure.transport {
        Transport::Tls => serve_connection(stream, Transport::Tls, peer, state).await,
        Transport::Https if !newest => http1::serve(stream, peer, state).await,
        other => serve_http2(stream, peer, other, state).await,
    }
}

async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    transport: Transport,
    state: Arc<State>,
) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    let (close, mut closed) = mpsc::channel::<()>(1);
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            _ = closed.recv() => return,
        };
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        tasks.spawn(answer_http2(
            request,
            respond,
            peer,
            transport,
            Arc::clone(&state),
            close.clone(),
        ));
    }
}

async fn answer_http2(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    peer: SocketAddr,
    transport: Transport,
    state: Arc<State>,
    close: mpsc::Sender<()>,
) {
    let in_path = in_path(request.uri());
    let mut stream = request.into_body();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = stream.data().await {
        body.extend_from_slice(&chunk);
    }
    let wire = match (transport, in_path) {
        (Transport::Grpc, _) => body.get(5..).map(from_protobuf).unwrap_or_default(),
        (_, Some(query)) => query,
        (_, None) => body,
    };
    let Play { steps, mut released } = note(&state, transport, peer, wire);
    for step in steps {
        let (wire, raw) = match step {
            Step::Send(wire) | Step::SendFromElsewhere(wire) => (wire, false),
            Step::SendRaw(wire) => (wire, true),
            Step::Close => {
                let _ = close.send(()).await;
                return;
            }
            step => {
                pause(&step, &mut released).await;
                continue;
            }
        };
        let grpc = transport == Transport::Grpc;
        let response = http::Response::builder().header(
            "content-type",
            if grpc {
                "application/grpc"
            } else {
                "application/dns-message"
            },
        );
        let Ok(response) = response.body(()) else { return };
        let Ok(mut body) = respond.send_response(response, false) else {
            continue;
        };
        let wire = if grpc && !raw { to_grpc(&wire) } else { wire };
        // Whether the client is still there is its business.
        let _ = body.send_data(wire.into(), !grpc);
        if grpc {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let _ = body.send_trailers(trailers);
        }
    }
    // Without an answer the stream stays open.
    std::future::pending::<()>().await;
}

/// The query in `dns` of a path.
pub(super) fn in_path(uri: &http::Uri) -> Option<Vec<u8>> {
    let query = uri.query()?.strip_prefix("dns=")?;
    URL_SAFE_NO_PAD.decode(query).ok()
}

/// The message in field 1; tests send no other.
fn from_protobuf(field: &[u8]) -> Vec<u8> {
    let length = field.iter().skip(1).take_while(|&&byte| byte & 0x80 != 0).count() + 1;
    field.get(1 + length..).unwrap_or_default().to_vec()
}

fn to_grpc(wire: &[u8]) -> Vec<u8> {
    let mut field = vec![0x0a];
    let mut rest = wire.len();
    while rest >= 0x80 {
        field.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    field.push(rest as u8);
    field.extend_from_slice(wire);
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(&field);
    body
}

pub(super) fn open_quic(socket: std::net::UdpSocket, secure: &Secure) -> quinn::Endpoint {
    let tls = secure.tls.clone().expect("QUIC has TLS");
    let config = QuicServerConfig::try_from(tls).expect("a configuration for QUIC");
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    quinn::Endpoint::new(
        quinn::EndpointConfig::default(),
        Some(config),
        socket,
        Arc::new(quinn::TokioRuntime),
    )
    .expect("an endpoint of QUIC")
}

/// Gives the port back, which a task of the library's else keeps for as long as connections could have lost packets.
pub(super) async fn leave_port(endpoint: &quinn::Endpoint) {
    endpoint.close(0u32.into(), b"");
    let _ = tokio::time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
    // The library keeps the last port beside the new one.
    for _ in 0..2 {
        let elsewhere = std::net::UdpSocket::bind("127.0.0.1:0").expect("another port");
        endpoint.rebind(elsewhere).expect("a change of ports");
    }
    // Its tasks have to take notice.
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

pub(super) async fn serve_quic(endpoint: quinn::Endpoint, secure: Secure, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let (state, transport) = (Arc::clone(&state), secure.transport);
        connections.spawn(async move {
            let Ok(connection) = incoming.await else { return };
            let peer = connection.remote_address();
            state.begin(Session { peer, resumed: false });
            match transport {
                Transport::Https3 => serve_http3(connection, peer, state).await,
                _ => serve_doq(connection, peer, state).await,
            }
        });
    }
}

/// Ends a connection at once when the upstream dies.
struct Dying(quinn::Connection);

impl Drop for Dying {
    fn drop(&mut self) {
        self.0.close(0u32.into(), b"");
    }
}

async fn serve_doq(connection: quinn::Connection, peer: SocketAddr, state: Arc<State>) {
    let connection = Dying(connection);
    let mut tasks = JoinSet::new();
    while let Ok((send, recv)) = connection.0.accept_bi().await {
        tasks.spawn(answer_doq(
            send,
            recv,
            connection.0.clone(),
            peer,
            Arc::clone(&state),
        ));
    }
}

async fn answer_doq(
    mut send: quinn::SendStream,
    mut recv: quinn::RecvStream,
    connection: quinn::Connection,
    peer: SocketAddr,
    state: Arc<State>,
) {
    let Ok(frame) = recv.read_to_end(70_000).await else {
        return;
    };
    let wire = frame.get(2..).unwrap_or_default().to_vec();
    let Play { steps, mut released } = note(&state, Transport::Quic, peer, wire);
    for step in steps {
        match step {
            Step::Send(wire) | Step::SendFromElsewhere(wire) => {
                let length = u16::try_from(wire.len()).unwrap_or(u16::MAX).to_be_bytes();
                let _ = send.write_all(&[&length, wire.as_slice()].concat()).await;
            }
            Step::SendRaw(wire) => drop(send.write_all(&wire).await),
            Step::Close => connection.close(0u32.into(), b""),
            step => pause(&step, &mut released).await,
        }
    }
    let _ = send.finish();
    let _ = send.stopped().await;
}

async fn serve_http3(connection: quinn::Connection, peer: SocketAddr, state: Arc<State>) {
    let dying = Dying(connection.clone());
    let made = h3::server::builder()
        .build(h3_quinn::Connection::new(connection))
        .await;
    let Ok(mut connection) = made else { return };
    let mut tasks = JoinSet::new();
    while let Ok(Some(resolver)) = connection.accept().await {
        let (state, connection) = (Arc::clone(&state), dying.0.clone());
        tasks.spawn(async move {
            let Ok((request, mut stream)) = resolver.resolve_request().await else {
                return;
            };
            let mut wire = in_path(request.uri()).unwrap_or_default();
            while let Ok(Some(mut chunk)) = stream.recv_data().await {
                wire.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
            }
            let Play { steps, mut released } = note(&state, Transport::Https3, peer, wire);
            for step in steps {
                match step {
                    Step::Send(wire) | Step::SendFromElsewhere(wire) | Step::SendRaw(wire) => {
                        let _ = stream.send_response(http::Response::new(())).await;
                        let _ = stream.send_data(Bytes::from(wire)).await;
                        let _ = stream.finish().await;
                    }
                    Step::Close => connection.close(0u32.into(), b""),
                    step => pause(&step, &mut released).await,
                }
            }
            // Without an answer the stream stays open.
            std::future::pending::<()>().await;
        });
    }
}
