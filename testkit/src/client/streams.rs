//! Datagrams, TCP, TLS and QUIC.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig};
use quinn::{ConnectionError, ReadExactError, WriteError};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::HandshakeKind;

use super::{Reply, Session, Trust};
use crate::over::Over;

/// A stream of bytes, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(super) async fn connect_tcp(
    address: SocketAddr,
    source: IpAddr,
    over: Over,
    trust: Option<&Trust>,
    session: &mut Session,
) -> Result<Box<dyn Stream>, String> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
    .map_err(text)?;
    if source.is_ipv4() == address.is_ipv4() {
        socket.bind(SocketAddr::new(source, 0)).map_err(text)?;
    }
    let stream = socket.connect(address).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    session.local = stream.local_addr().ok();
    let Some(trust) = trust.filter(|_| over != Over::Tcp) else {
        return Ok(Box::new(stream));
    };
    let config = Arc::new(trust.config(over.application_protocols()));
    let stream = TlsConnector::from(config)
        .connect(trust.server_name()?, stream)
        .await
        .map_err(text)?;
    let connection = stream.get_ref().1;
    session.encrypted = true;
    session.resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    session.application_protocol = connection.alpn_protocol().map(<[u8]>::to_vec);
    session.certificate = first(connection.peer_certificates());
    Ok(Box::new(stream))
}

fn first(certificates: Option<&[CertificateDer<'_>]>) -> Option<Vec<u8>> {
    Some(certificates?.first()?.to_vec())
}

pub(super) async fn connect_quic(
    address: SocketAddr,
    source: IpAddr,
    over: Over,
    trust: &Trust,
    session: &mut Session,
) -> Result<(quinn::Endpoint, quinn::Connection), String> {
    let config = QuicClientConfig::try_from(trust.config(over.application_protocols())).map_err(text)?;
    let config = quinn::ClientConfig::new(Arc::new(config));
    let local = if source.is_ipv4() == address.is_ipv4() {
        SocketAddr::new(source, 0)
    } else {
        SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0))
    };
    let endpoint = quinn::Endpoint::client(local).map_err(text)?;
    session.local = endpoint.local_addr().ok();
    let connecting = endpoint
        .connect_with(config, address, trust.name())
        .map_err(text)?;
    let connection = match connecting.into_0rtt() {
        Ok((connection, accepted)) => {
            session.early_data_accepted = Some(accepted.await);
            // A handshake that failed counts as early data that was not taken, too.
            if let Some(error) = connection.close_reason() {
                return Err(text(error));
            }
            connection
        }
        Err(connecting) => connecting.await.map_err(text)?,
    };
    session.encrypted = true;
    session.handshake_bytes = Some(connection.stats().udp_rx.bytes);
    session.application_protocol = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol);
    session.certificate = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .and_then(|chain| first(Some(&chain)));
    Ok((endpoint, connection))
}

/// A UDP socket.
pub(super) struct Datagrams(Mutex<UdpSocket>);

impl Datagrams {
    pub(super) async fn open(
        address: SocketAddr,
        source: IpAddr,
        session: &mut Session,
    ) -> Result<Self, String> {
        let source = if source.is_ipv4() == address.is_ipv4() {
            source
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        let socket = UdpSocket::bind((source, 0)).await.map_err(text)?;
        socket.connect(address).await.map_err(text)?;
        session.local = socket.local_addr().ok();
        Ok(Self(Mutex::new(socket)))
    }

    pub(super) async fn send(&self, wire: &[u8]) -> std::io::Result<()> {
        self.0.lock().await.send(wire).await.map(drop)
    }

    pub(super) async fn exchange(&self, wire: &[u8]) -> Reply {
        let socket = self.0.lock().await;
        if socket.send(wire).await.is_err() {
            return Reply::Closed;
        }
        let mut answer = vec![0; 65_535];
        match socket.recv(&mut answer).await {
            Ok(length) => {
                answer.truncate(length);
                Reply::Message(answer)
            }
            Err(_) => Reply::Closed,
        }
    }
}

/// Messages with their lengths before them, on TCP or TLS.
pub(super) struct Frames(Mutex<Box<dyn Stream>>);

impl Frames {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self(Mutex::new(stream))
    }

    pub(super) async fn send(&self, wire: &[u8]) -> std::io::Result<()> {
        let mut stream = self.0.lock().await;
        stream.write_all(&frame(wire)).await?;
        stream.flush().await
    }

    pub(super) async fn exchange(&self, wire: &[u8]) -> Reply {
        let mut stream = self.0.lock().await;
        let sent = async {
            stream.write_all(&frame(wire)).await?;
            stream.flush().await?;
            let length = stream.read_u16().await?;
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        sent.await.map_or(Reply::Closed, Reply::Message)
    }

    pub(super) async fn closed(&self) {
        read_to_end(&mut *self.0.lock().await).await;
    }
}

pub(super) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest).await {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
        }
    }
}

fn frame(wire: &[u8]) -> Vec<u8> {
    let length = u16::try_from(wire.len()).expect("a message of at most 65535 bytes");
    [&length.to_be_bytes(), wire].concat()
}

/// A connection of DNS over QUIC; each message has a stream of its own.
pub(super) struct Doq {
    _endpoint: quinn::Endpoint,
    connection: quinn::Connection,
}

impl Doq {
    pub(super) fn new(endpoint: quinn::Endpoint, connection: quinn::Connection) -> Self {
        Self {
            _endpoint: endpoint,
            connection,
        }
    }

    pub(super) async fn exchange(&self, wire: &[u8]) -> Reply {
        let (mut send, mut recv) = match self.connection.open_bi().await {
            Ok(opened) => opened,
            Err(error) => return ended(&error),
        };
        match send.write_all(&frame(wire)).await {
            Ok(()) => drop(send.finish()),
            // The answer may be there all the same.
            Err(WriteError::Stopped(_)) => {}
            Err(WriteError::ConnectionLost(error)) => return ended(&error),
            Err(_) => return Reply::Closed,
        }
        let mut length = [0; 2];
        if let Err(error) = recv.read_exact(&mut length).await {
            return broken(error);
        }
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        match recv.read_exact(&mut answer).await {
            Ok(()) => Reply::Message(answer),
            Err(error) => broken(error),
        }
    }

    pub(super) async fn closed(&self) {
        self.connection.closed().await;
    }
}

fn broken(error: ReadExactError) -> Reply {
    match error {
        ReadExactError::ReadError(quinn::ReadError::Reset(code)) => Reply::Reset(code.into_inner()),
        ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => ended(&error),
        _ => Reply::Closed,
    }
}

pub(super) fn ended(error: &ConnectionError) -> Reply {
    match error {
        ConnectionError::ApplicationClosed(close) => Reply::QuicClosed(close.error_code.into_inner()),
        _ => Reply::Closed,
    }
}
