//! Queries on a connection that has a stream for each: HTTP/2, HTTP/3, QUIC.
//!
//! All streams of a connection are polled by its one task. When it is woken it looks at each of them, of which there are
//! at most [`STREAMS`]: that costs less than a task or a queue entry for each query.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::connection::{End, Outgoing, Queries};
use crate::error::{Failure, Fault};

/// Queries in flight on one connection. The other side may allow fewer; the rest waits.
pub(crate) const STREAMS: usize = 128;

/// A connection with streams.
pub(crate) trait Streams {
    /// A query on its way.
    type Stream: Future<Output = Result<Vec<u8>, Failure>> + Unpin;

    /// Whether messages have the id 0 on the way.
    fn zeroes_ids(&self) -> bool;

    /// Asks on a new stream; pending while the other side allows no more.
    fn poll_open(&mut self, context: &mut Context<'_>, message: &[u8]) -> Poll<Result<Self::Stream, Fault>>;

    /// Moves the connection on; ready when it has ended.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<End>;
}

/// Sends and receives until the connection ends.
pub(crate) async fn exchange<S: Streams, Q: Queries>(streams: S, queries: &mut Q) -> End {
    let mut multiplexer = Multiplexer {
        queries,
        streams,
        open: Vec::new(),
        outgoing: Outgoing::default(),
        at: 0,
        answers: Vec::new(),
        failed: Vec::new(),
    };
    let end = poll_fn(|context| multiplexer.poll(context)).await;
    multiplexer.give_back();
    end
}

struct Multiplexer<'q, S: Streams, Q> {
    queries: &'q mut Q,
    streams: S,
    open: Vec<(u16, S::Stream)>,
    outgoing: Outgoing,
    /// How far the frames have been sent.
    at: usize,
    /// Frames of answers that came, and queries that failed.
    answers: Vec<u8>,
    failed: Vec<(u16, Failure)>,
}

impl<S: Streams, Q: Queries> Multiplexer<'_, S, Q> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            if !self.queries.take(&mut self.outgoing, context.waker()) {
                return Poll::Ready(End::Closed);
            }
            for id in self.outgoing.given_up.drain(..) {
                if let Some(place) = self.open.iter().position(|(known, _)| *known == id) {
                    // Dropping it tells the other side.
                    drop(self.open.swap_remove(place));
                }
            }
            let opened = self.open_all(context);
            let end = self.streams.poll_end(context);
            let finished = self.collect(context);
            if end.is_ready() || opened.is_err() {
                // They are asked again with all others that are on the connection.
                self.failed
                    .retain(|(_, failure)| !matches!(failure, Failure::Lost(_)));
            }
            if !self.hand_over() {
                return Poll::Ready(End::Closed);
            }
            if end.is_ready() {
                return end;
            }
            // Without new streams it has ended: what is still in flight is asked again on another connection.
            let Ok(opened) = opened else {
                return Poll::Ready(End::Closed);
            };
            if !opened && !finished {
                return Poll::Pending;
            }
        }
    }

    /// What was never asked is not lost.
    fn give_back(&mut self) {
        self.queries.give_back(&self.outgoing.frames[self.at..]);
    }

    /// Asks what waits, as far as there may be streams. Says whether there was anything.
    fn open_all(&mut self, context: &mut Context<'_>) -> Result<bool, Fault> {
        let mut opened = false;
        while self.open.len() < STREAMS
            && let Some((length, rest)) = self.outgoing.frames[self.at..].split_first_chunk_mut::<2>()
        {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(message) = rest.get_mut(..length) else {
                break;
            };
            let Some(&[high, low]) = message.first_chunk::<2>() else {
                self.at += 2 + length;
                continue;
            };
            if self.streams.zeroes_ids() {
                message[..2].fill(0);
            }
            let stream = self.streams.poll_open(context, message);
            // Until it is sent, the frame is as it came.
            message[..2].copy_from_slice(&[high, low]);
            match stream {
                Poll::Pending => break,
                Poll::Ready(stream) => self.open.push((u16::from_be_bytes([high, low]), stream?)),
            }
            self.at += 2 + length;
            opened = true;
        }
        if self.at == self.outgoing.frames.len() {
            self.outgoing.frames.clear();
            self.at = 0;
        }
        Ok(opened)
    }

    /// Takes what came on all streams.
    fn collect(&mut self, context: &mut Context<'_>) -> bool {
        let mut place = 0;
        while let Some((id, stream)) = self.open.get_mut(place) {
            let Poll::Ready(result) = Pin::new(stream).poll(context) else {
                place += 1;
                continue;
            };
            let id = *id;
            drop(self.open.swap_remove(place));
            match result {
                Ok(message) => self.put(id, &message),
                Err(failure) => self.failed.push((id, failure)),
            }
        }
        !self.answers.is_empty() || !self.failed.is_empty()
    }

    /// Makes a frame of an answer. The stream says which query it is for, whatever id it has.
    fn put(&mut self, id: u16, message: &[u8]) {
        match (u16::try_from(message.len()), message.get(2..)) {
            (Ok(length), Some(rest)) => {
                self.answers.extend_from_slice(&length.to_be_bytes());
                self.answers.extend_from_slice(&id.to_be_bytes());
                self.answers.extend_from_slice(rest);
            }
            (Ok(_), None) => self.failed.push((id, Failure::Unreadable)),
            (Err(_), _) => self.failed.push((id, Failure::Oversized)),
        }
    }

    fn hand_over(&mut self) -> bool {
        if !self.failed.is_empty() {
            self.queries.fail(&mut self.failed);
        }
        if self.answers.is_empty() {
            return true;
        }
        let goes_on = self.queries.deliver(&self.answers).is_some();
        self.answers.clear();
        goes_on
    }
}
