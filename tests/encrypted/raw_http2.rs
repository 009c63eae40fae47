//! HTTP/2 frame by frame (RFC 9113), as no well-behaved client sends them.

#![allow(unreachable_pub, reason = "a module of a test binary, as those beside it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// RFC 9113, section 7.
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const INITIAL_WINDOW: u16 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub payload: Vec<u8>,
}

/// A connection in the clear.
pub struct Http2 {
    stream: TcpStream,
    received: Vec<u8>,
    /// How long a read waits.
    pub patience: Duration,
}

impl Http2 {
    /// Connects and says what every client says.
    pub fn open(server: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(server).expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        let mut this = Self {
            stream,
            received: Vec::new(),
            patience: crate::common::PATIENCE,
        };
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat();
        assert!(this.write(&bytes), "an open connection");
        this
    }

    /// Sends bytes; false if the server has closed.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream
            .set_write_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        self.stream.write_all(bytes).is_ok()
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.write(&frame(kind, flags, stream, payload))
    }

    /// The next frame but those of the connection's own care; none at its end.
    pub fn receive(&mut self) -> Option<Frame> {
        loop {
            let frame = self.receive_any()?;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    self.send(SETTINGS, ACK, 0, &[]);
                }
                SETTINGS => {}
                WINDOW_UPDATE => {}
                PING if frame.flags & ACK == 0 => {
                    self.send(PING, ACK, 0, &frame.payload);
                }
                _ => return Some(frame),
            }
        }
    }

    fn receive_any(&mut self) -> Option<Frame> {
        let end = Instant::now() + self.patience;
        loop {
            if let Some(frame) = take_frame(&mut self.received) {
                return Some(frame);
            }
            let left = end.checked_duration_since(Instant::now())?;
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("a timeout");
            let mut bytes = [0; 16 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(length) => self.received.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Waits until the server has done all that was sent before; false at the connection's end.
    pub fn ping(&mut self) -> bool {
        if !self.send(PING, 0, 0, &[7; 8]) {
            return false;
        }
        loop {
            match self.receive() {
                Some(frame) if frame.kind == PING => return true,
                Some(frame) if frame.kind == GOAWAY => return false,
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// Reads to the end, and gives the code of GOAWAY, if there is one.
    pub fn goaway(&mut self) -> Option<u32> {
        while let Some(frame) = self.receive() {
            if frame.kind == GOAWAY {
                return frame.payload[4..8].try_into().ok().map(u32::from_be_bytes);
            }
        }
        None
    }
}

fn take_frame(received: &mut Vec<u8>) -> Option<Frame> {
    let head: [u8; 9] = received.get(..9)?.try_into().ok()?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let payload = received.get(9..9 + length)?.to_vec();
    received.drain(..9 + length);
    Some(Frame {
        kind: head[3],
        flags: head[4],
        payload,
    })
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block of headers without compression (RFC 7541, section 6.2.2).
pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let mut length = text.len();
            if length < 127 {
                block.push(length as u8);
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push(length as u8 | 128);
                    length >>= 7;
                }
                block.push(length as u8);
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The headers of a request.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    headers(&[
        (":method", method),
        (":scheme", "http"),
        (":authority", "dns.test"),
        (":path", path),
    ])
}
