//! Queries over QUIC (RFC 9250): a stream for each, with the id 0.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::{
    Connection, ConnectionError, Endpoint, EndpointConfig, ReadError, ReadExactError, RecvStream, SendStream,
    TokioRuntime, TransportConfig, VarInt, WriteError,
};

use crate::connection::{End, Queries, Stage};
use crate::error::{Failure, Fault};
use crate::multiplex::{self, Streams};
use crate::probe::local_address;
use crate::target::OverQuic;
use crate::tls;

/// RFC 9250, section 8.4.
const DOQ_NO_ERROR: VarInt = VarInt::from_u32(0);
const DOQ_PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const DOQ_REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);

/// Octets that may be under way to this side on all streams together, and on each.
const CONNECTION_WINDOW: VarInt = VarInt::from_u32(1 << 20);
const STREAM_WINDOW: VarInt = VarInt::from_u32(96 << 10);

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(30);

/// A query on its way. The libraries of QUIC and HTTP/3 have futures that cannot be named.
pub(crate) type Asked = Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>> + Send>>;

/// How connections are kept. The other side may open so many streams, all of them for itself.
pub(crate) fn transport(their_streams: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(0u32.into())
        .max_concurrent_uni_streams(their_streams.into())
        .receive_window(CONNECTION_WINDOW)
        .stream_receive_window(STREAM_WINDOW)
        .max_idle_timeout(IDLE.try_into().ok())
        .datagram_receive_buffer_size(None);
    transport
}

/// Connects and serves queries until the connection ends.
pub(crate) async fn run<Q: Queries>(
    address: SocketAddr,
    source: Option<IpAddr>,
    quic: &OverQuic,
    queries: &mut Q,
) -> Result<End, Fault> {
    let (_endpoint, connection) = connect(address, source, quic, queries).await?;
    let closed = {
        let connection = connection.clone();
        Box::pin(async move { connection.closed().await })
    };
    let streams = Doq {
        connection: Closing(connection),
        closed,
    };
    Ok(multiplex::exchange(streams, queries).await)
}

/// A connection on a socket, hence port, of its own. It lives as long as the endpoint.
pub(crate) async fn connect<Q: Queries>(
    address: SocketAddr,
    source: Option<IpAddr>,
    quic: &OverQuic,
    queries: &mut Q,
) -> Result<(Endpoint, Connection), Fault> {
    let open = || {
        let socket = std::net::UdpSocket::bind(local_address(address, source))?;
        Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
    };
    let endpoint = open().map_err(|error| Fault::io("bind", &error))?;
    queries.reached(Stage::Handshake, None);
    let connecting = endpoint
        .connect_with(quic.config.clone(), address, &quic.name)
        .map_err(|error| Fault::new("connect", error.to_string()))?;
    let connection = connecting.await.map_err(|error| fault(&error))?;
    let port = endpoint.local_addr().map(|local| local.port());
    let local = connection.local_ip().zip(port.ok());
    queries.reached(
        Stage::Open,
        local.map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port)),
    );
    Ok((endpoint, connection))
}

/// Closes the connection when nobody uses it any more.
struct Closing(Connection);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close(DOQ_NO_ERROR, b"");
    }
}

struct Doq<C> {
    connection: Closing,
    closed: Pin<Box<C>>,
}

impl<C: Future<Output = ConnectionError>> Streams for Doq<C> {
    type Stream = Asked;

    fn zeroes_ids(&self) -> bool {
        true
    }

    fn poll_open(&mut self, _: &mut Context<'_>, message: &[u8]) -> Poll<Result<Asked, Fault>> {
        let mut frame = Vec::with_capacity(2 + message.len());
        // Frames have passed a length of 16 bits already.
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(message);
        Poll::Ready(Ok(Box::pin(ask(self.connection.0.clone(), frame))))
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.closed.as_mut().poll(context).map(|error| end(&error))
    }
}

/// RFC 9250, section 4.2: the query with its length, the end of this side's stream, and the answer with its length.
async fn ask(connection: Connection, frame: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let opened = connection.open_bi().await;
    let (send, recv) = opened.map_err(|error| Failure::Lost(fault(&error)))?;
    let mut stream = Cancelling {
        send,
        recv,
        done: false,
    };
    stream.send.write_all(&frame).await.map_err(written)?;
    // It fails only for a stream that was reset, which shows below.
    let _ = stream.send.finish();
    let mut length = [0; 2];
    stream.recv.read_exact(&mut length).await.map_err(read)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.recv.read_exact(&mut message).await.map_err(read)?;
    stream.done = true;
    // RFC 9250, section 4.3.3: another id is an error of the whole connection.
    if message.first_chunk::<2>() != Some(&[0, 0]) {
        connection.close(DOQ_PROTOCOL_ERROR, b"the id is not 0");
        return Err(Failure::Unreadable);
    }
    Ok(message)
}

/// Tells the other side when nobody waits for the answer any more.
struct Cancelling {
    send: SendStream,
    recv: RecvStream,
    done: bool,
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        if !self.done {
            // Both fail for streams that are over.
            let _ = self.recv.stop(DOQ_REQUEST_CANCELLED);
            let _ = self.send.reset(DOQ_REQUEST_CANCELLED);
        }
    }
}

fn written(error: WriteError) -> Failure {
    match error {
        WriteError::ConnectionLost(error) => Failure::Lost(fault(&error)),
        error => Failure::Fault(Fault::new("quic", error.to_string())),
    }
}

fn read(error: ReadExactError) -> Failure {
    match error {
        ReadExactError::FinishedEarly(_) => Failure::Unreadable,
        ReadExactError::ReadError(ReadError::ConnectionLost(error)) => Failure::Lost(fault(&error)),
        ReadExactError::ReadError(error) => Failure::Fault(Fault::new("quic", error.to_string())),
    }
}

/// How a connection ended that had come about.
pub(crate) fn end(error: &ConnectionError) -> End {
    match error {
        ConnectionError::ApplicationClosed(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::LocallyClosed
        | ConnectionError::Reset
        | ConnectionError::TimedOut => End::Closed,
        error => End::Broken(fault(error)),
    }
}

pub(crate) fn fault(error: &ConnectionError) -> Fault {
    match error {
        ConnectionError::TransportError(error) => Fault::new("tls", tls::unwrapped(&error.reason)),
        ConnectionError::TimedOut => Fault::new("quic", "i/o timeout"),
        error => Fault::new("quic", error.to_string()),
    }
}
