//! A TCP connection, message by message or byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::answer::Answer;
use crate::query::{PATIENCE, Query};

/// A TCP connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    ///
    /// The connection does not come about.
    #[must_use]
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a TCP connection");
        stream.set_nodelay(true).expect("a TCP connection");
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Sends a query with its length before it.
    ///
    /// # Panics
    ///
    /// The connection is closed.
    pub fn send(&mut self, query: impl Into<Query>) -> &mut Self {
        let wire = query.into().to_wire();
        self.send_bytes(frame(&wire))
    }

    /// Sends several queries in one write.
    ///
    /// # Panics
    ///
    /// The connection is closed.
    pub fn send_all(&mut self, queries: impl IntoIterator<Item = Query>) -> &mut Self {
        let bytes: Vec<u8> = queries
            .into_iter()
            .flat_map(|query| frame(&query.to_wire()))
            .collect();
        self.send_bytes(bytes)
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// The connection is closed.
    pub fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("an open connection");
        self
    }

    /// Says that no more queries come; answers still do.
    ///
    /// # Panics
    ///
    /// The connection is closed.
    pub fn half_close(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).expect("an open connection");
        self
    }

    /// The next answer.
    ///
    /// # Panics
    ///
    /// None comes within a minute, or it is malformed.
    #[track_caller]
    pub fn receive(&mut self) -> Answer {
        let wire = self.receive_frame(PATIENCE).expect("an answer on the connection");
        Answer::from_wire(wire).expect("a well-formed answer")
    }

    /// The next message's bytes; none if the connection is closed, or nothing comes in time.
    pub fn receive_frame(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + patience;
        loop {
            if let Some((length, rest)) = self.received.split_first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                if rest.len() >= length {
                    let message = rest[..length].to_vec();
                    self.received.drain(..2 + length);
                    return Some(message);
                }
            }
            if !self.read_more(end)? {
                return None;
            }
        }
    }

    /// Waits for the server to close the connection; gives what it sent before that and was not received yet.
    ///
    /// # Panics
    ///
    /// It is open after a minute.
    #[track_caller]
    pub fn assert_closed(mut self) -> Vec<u8> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.read_more(end) {
                Some(true) => {}
                Some(false) => return self.received,
                None => panic!("the connection is still open"),
            }
        }
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads once: false at the end, none when time is up.
    fn read_more(&mut self, end: Instant) -> Option<bool> {
        let left = end.checked_duration_since(Instant::now())?;
        self.stream
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .ok()?;
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => Some(false),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Some(true)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Some(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Some(false),
            Err(_) => None,
        }
    }
}

/// A message with its length before it.
fn frame(wire: &[u8]) -> Vec<u8> {
    let length = u16::try_from(wire.len()).expect("a message of at most 65535 bytes");
    [&length.to_be_bytes(), wire].concat()
}
