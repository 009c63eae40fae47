//! Queries on a stream of octets, TCP or TLS: each message with its length before it (RFC 7766, RFC 7858).
//!
//! All frames that wait go out in one write, which is one TLS record. All that came in one read are handed over at once.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::connection::{End, Outgoing, Queries};
use crate::error::Fault;

/// Sends and receives until the connection ends.
pub(crate) async fn exchange<S, Q>(stream: S, queries: &mut Q) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
    Q: Queries,
{
    let mut duplex = Duplex {
        queries,
        stream,
        reading: Vec::new(),
        outgoing: Outgoing::default(),
        written: 0,
        unflushed: false,
    };
    poll_fn(|context| duplex.poll(context)).await
}

struct Duplex<'q, S, Q> {
    queries: &'q mut Q,
    stream: S,
    reading: Vec<u8>,
    outgoing: Outgoing,
    written: usize,
    /// The stream may hold back what it took.
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin, Q: Queries> Duplex<'_, S, Q> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            if !self.queries.take(&mut self.outgoing, context.waker()) {
                return Poll::Ready(End::Closed);
            }
            // Answers come in any order, and those that are not waited for are known by their ids.
            self.outgoing.given_up.clear();
            let mut progress = false;
            match self.write(context) {
                Ok(more) => progress |= more,
                Err(error) => return Poll::Ready(End::Broken(Fault::io("write", &error))),
            }
            match self.read(context) {
                Ok(Read::Nothing) => {}
                Ok(Read::Some) => progress = true,
                Ok(Read::End) => return Poll::Ready(End::Closed),
                Err(error) => return Poll::Ready(End::Broken(Fault::io("read", &error))),
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Writes until all is written or the stream takes no more.
    fn write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        while self.written < self.outgoing.frames.len() {
            let rest = &self.outgoing.frames[self.written..];
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Pending => return Ok(progress),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => self.written += count?,
            }
            self.unflushed = true;
            progress = true;
        }
        self.outgoing.frames.clear();
        self.written = 0;
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(progress)
    }

    /// Reads once, and hands over all messages that are whole.
    fn read(&mut self, context: &mut Context<'_>) -> io::Result<Read> {
        self.reading.reserve(READ_BYTES);
        let read = pin!(self.stream.read_buf(&mut self.reading)).poll(context);
        match read {
            Poll::Pending => return Ok(Read::Nothing),
            // Some servers close TLS without saying so; what was cut off shows in what is missing.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Read::End),
            Poll::Ready(count) => {
                if count? == 0 {
                    return Ok(Read::End);
                }
            }
        }
        let Some(whole) = self.queries.deliver(&self.reading) else {
            return Ok(Read::End);
        };
        self.reading.drain(..whole);
        if self.reading.is_empty() && self.reading.capacity() > KEPT_BYTES {
            self.reading = Vec::new();
        }
        Ok(Read::Some)
    }
}

enum Read {
    Nothing,
    Some,
    End,
}

/// Room for this many bytes at each read.
const READ_BYTES: usize = 8 << 10;

/// A buffer that grew beyond this for a long answer is given back.
const KEPT_BYTES: usize = 16 << 10;
