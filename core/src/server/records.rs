//! HTTP/2 responses in TLS records of their own.
//!
//! Some clients read a record, take the one response that they expect in it, and wait for the socket before they look at
//! what else it held. So each response ends a record, while all records that are ready still leave in one call of the
//! system.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A frame's head: length, type, flags, stream (RFC 9113, section 4.1).
const HEAD_LEN: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// Writes frames so that each write ends with a response at the latest.
#[derive(Debug)]
pub(super) struct Records<S> {
    stream: S,
    frames: Frames,
}

impl<S> Records<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            frames: Frames::default(),
        }
    }
}

/// Where in a frame the next byte belongs.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    head: [u8; HEAD_LEN],
    /// Bytes of the head that have passed.
    seen: usize,
    /// Bytes of the payload that are still to come, once the head has passed.
    left: usize,
}

impl Frames {
    /// Passes over bytes up to the end of the first response in them; gives how many these are.
    fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.seen < HEAD_LEN {
                let count = (HEAD_LEN - self.seen).min(bytes.len() - at);
                self.head[self.seen..self.seen + count].copy_from_slice(&bytes[at..at + count]);
                self.seen += count;
                at += count;
                if self.seen < HEAD_LEN {
                    break;
                }
                let [a, b, c, ..] = self.head;
                self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            }
            let count = self.left.min(bytes.len() - at);
            self.left -= count;
            at += count;
            if self.left == 0 {
                self.seen = 0;
                let [_, _, _, kind, flags, ..] = self.head;
                if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                    break;
                }
            }
        }
        at
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Records<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Records<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut frames = self.frames;
        let end = frames.advance(bytes);
        let polled = Pin::new(&mut self.stream).poll_write(context, &bytes[..end]);
        if let Poll::Ready(Ok(count)) = polled {
            if count == end {
                self.frames = frames;
            } else {
                self.frames.advance(&bytes[..count]);
            }
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0, (length >> 8) as u8, length as u8, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD_LEN + length, 7);
        frame
    }

    /// The lengths of the writes that bytes lead to, when they come in pieces of so many.
    fn writes(bytes: &[u8], piece: usize) -> Vec<usize> {
        let mut frames = Frames::default();
        let mut ends = Vec::new();
        let mut passed = 0;
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let count = frames.advance(piece);
                passed += count;
                piece = &piece[count..];
                if frames.seen == 0
                    && frames.head[4] & END_STREAM != 0
                    && matches!(frames.head[3], DATA | HEADERS)
                {
                    ends.push(passed);
                }
            }
        }
        ends
    }

    #[test]
    fn each_response_ends_a_write() {
        let parts = [
            frame(4, 1, 0),
            frame(HEADERS, 4, 30),
            frame(DATA, END_STREAM, 49),
            frame(HEADERS, 4 | END_STREAM, 300),
            frame(DATA, 0, 5),
            frame(DATA, END_STREAM, 0),
        ];
        let bytes = parts.concat();
        let want = [9 + 39 + 58, 106 + 309, 415 + 14 + 9];
        for piece in [1, 2, 8, 9, 10, 57, bytes.len()] {
            assert_eq!(writes(&bytes, piece), want, "pieces of {piece}");
        }
        assert_eq!(Frames::default().advance(&bytes), want[0]);
    }
}
