//! A connection over TLS whose reads and writes never wait for more than one side of it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind};

use super::connect;
use crate::tls::Trust;

/// TLS on a socket, for either side. What is written before the handshake is over is sent behind it.
pub struct TlsStream {
    tls: Connection,
    socket: TcpStream,
    /// The socket had less than was asked for, so it need not be asked again at once.
    drained: bool,
    waits: bool,
}

impl TlsStream {
    /// Connects as client number `number`; the handshake is done by what is read and written.
    ///
    /// # Errors
    ///
    /// The connection does not come about.
    pub fn connect(
        server: SocketAddr,
        number: usize,
        config: &Arc<ClientConfig>,
        trust: &Trust,
    ) -> io::Result<Self> {
        let socket = connect(server, number)?;
        let tls =
            ClientConnection::new(Arc::clone(config), trust.server_name()?).map_err(io::Error::other)?;
        Ok(Self::new(tls, socket))
    }

    /// A connection whose handshake is to come.
    pub fn new(tls: impl Into<Connection>, socket: TcpStream) -> Self {
        Self {
            tls: tls.into(),
            socket,
            drained: false,
            waits: true,
        }
    }

    /// Waits until the handshake is over.
    ///
    /// # Errors
    ///
    /// It fails, or takes too long.
    pub fn finish_handshake(&mut self) -> io::Result<()> {
        self.socket.set_read_timeout(Some(PATIENCE))?;
        while self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.socket)?;
        }
        Ok(())
    }

    /// From now on, reads and writes do not wait.
    ///
    /// # Errors
    ///
    /// The socket does not take it.
    pub fn set_nonblocking(&mut self) -> io::Result<()> {
        self.waits = false;
        self.socket.set_nonblocking(true)
    }

    /// Whether the handshake is over and resumed a session.
    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Says that nothing more comes.
    pub fn close(&mut self) {
        self.tls.send_close_notify();
        // Whether the other side is there to hear it does not matter.
        let _ = self.send();
    }

    fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if std::mem::take(&mut self.drained) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = self.tls.read_tls(&mut self.socket)?;
            let state = self.tls.process_new_packets().map_err(io::Error::other);
            // Messages of the handshake, or why it fails.
            let sent = self.send();
            if count == 0 && state?.plaintext_bytes_to_read() == 0 {
                return Ok(0);
            }
            match sent {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {
                    let short = (1..READ_BYTES).contains(&count);
                    self.drained = short && !self.waits && !self.tls.is_handshaking();
                }
            }
        }
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.tls.writer().write(bytes)?;
        match self.send() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ if count == 0 && !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

/// What the TLS library asks a socket for.
const READ_BYTES: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(10);
