//! The first bytes of a connection, before TLS and HTTP: what a proxy says, and the handshake.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use super::tcp::unmapped;
use crate::message::TlsSession;
use crate::net::tls::ListenerTls;
use crate::plugin::{ProxiedConnection, ProxyHeader};

/// The longest header of a proxy that is waited for: PROXY protocol's version 2 with room for extensions.
const MAX_HEADER: usize = 4096;

/// Answers that TLS may hold for a client that does not read, in bytes.
const TLS_BUFFER: usize = 16 << 10;

/// Bytes that gather before they are written in any case.
const MAX_GATHERED: usize = 16 << 10;

/// A buffer that grew beyond this is not kept: most connections wait most of the time.
const KEPT_CAPACITY: usize = 1024;

/// The two ends of a connection, and how it is encrypted between them.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) tls: Option<Arc<TlsSession>>,
}

/// A client's stream with what was read of it already.
pub(super) struct Greeted {
    stream: TcpStream,
    /// Bytes that were read with a proxy's header and come behind it.
    ahead: Vec<u8>,
    used: usize,
    /// What is written gathers until it is flushed. Not so during a handshake, whose last word may be why it failed.
    gathers: bool,
    /// Bytes that wait to be flushed, from `written` on.
    gathered: Vec<u8>,
    written: usize,
}

/// Reads what a proxy has put before the client's bytes, if there may be something.
///
/// # Errors
///
/// A header that is refused, too long or broken off.
pub(super) async fn greet(
    mut stream: TcpStream,
    mut ends: Ends,
    proxy: Option<Arc<dyn ProxyHeader>>,
) -> io::Result<(Greeted, Ends)> {
    let mut ahead = Vec::new();
    let mut used = 0;
    if let Some(proxy) = proxy {
        loop {
            match proxy.connection(&ahead, ends.peer) {
                ProxiedConnection::More if ahead.len() < MAX_HEADER => {
                    if stream.read_buf(&mut ahead).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                ProxiedConnection::Begins { header, ends: told } => {
                    if let Some((client, asked)) = told {
                        ends = Ends {
                            peer: unmapped(client),
                            local: unmapped(asked),
                            tls: None,
                        };
                    }
                    used = header.min(ahead.len());
                    break;
                }
                ProxiedConnection::More | ProxiedConnection::Refused => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
    }
    let greeted = Greeted {
        stream,
        ahead,
        used,
        gathers: false,
        gathered: Vec::new(),
        written: 0,
    };
    Ok((greeted, ends))
}

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Greeted {
    /// Whether the client speaks HTTP/2, where nothing has been negotiated: its first bytes tell.
    ///
    /// # Errors
    ///
    /// The connection ends before.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<bool> {
        loop {
            let begun = &self.ahead[self.used..];
            let length = begun.len().min(PREFACE.len());
            if begun[..length] != PREFACE[..length] {
                return Ok(false);
            }
            if length == PREFACE.len() {
                return Ok(true);
            }
            if self.stream.read_buf(&mut self.ahead).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Negotiates TLS; the client's server name chooses the certificate.
///
/// # Errors
///
/// What keeps the two from agreeing.
pub(super) async fn handshake(stream: Greeted, tls: &ListenerTls) -> io::Result<TlsStream<Greeted>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let config = tls
        .config(hello.client_hello().server_name())
        .map_err(io::Error::other)?;
    let mut stream = hello.into_stream(config).await?;
    let (below, session) = stream.get_mut();
    below.gathers = true;
    session.set_buffer_limit(Some(TLS_BUFFER));
    Ok(stream)
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.used < self.ahead.len() {
            let rest = &self.ahead[self.used..];
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..count]);
            self.used += count;
            if self.used == self.ahead.len() {
                self.ahead = Vec::new();
                self.used = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Greeted {
    /// Writes what has gathered.
    fn poll_gathered(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            match Pin::new(&mut self.stream).poll_write(context, &self.gathered[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.written = 0;
        self.gathered.clear();
        if self.gathered.capacity() > KEPT_CAPACITY {
            self.gathered = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// Behind the handshake, what is written gathers until it is flushed, so that several TLS records take one call of the
/// system.
impl AsyncWrite for Greeted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.gathers {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        if self.gathered.len() >= MAX_GATHERED {
            ready!(self.poll_gathered(context))?;
        }
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_gathered(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_gathered(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
