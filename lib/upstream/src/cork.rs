//! A stream that holds back what is written to it, so that many small writes become one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets that are held back at most.
const HELD: usize = 64 << 10;

/// Holds back while the cork is in.
#[derive(Debug)]
pub(crate) struct Corked<S> {
    stream: S,
    cork: Cork,
    held: Vec<u8>,
    /// How much of it has been passed on.
    passed: usize,
}

/// Says whether a stream holds back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cork(Arc<AtomicBool>);

impl Cork {
    pub(crate) fn put(&self, in_place: bool) {
        self.0.store(in_place, Ordering::Relaxed);
    }

    fn is_in(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Corked<S> {
    pub(crate) fn new(stream: S) -> (Self, Cork) {
        let cork = Cork::default();
        let corked = Self {
            stream,
            cork: cork.clone(),
            held: Vec::new(),
            passed: 0,
        };
        (corked, cork)
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    /// Passes on everything that is held.
    fn poll_pass(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.passed < self.held.len() {
            let rest = &self.held[self.passed..];
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.passed += count;
        }
        self.held.clear();
        self.passed = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.held.len() >= HELD {
            ready!(self.poll_pass(context))?;
        }
        let taken = &bytes[..bytes.len().min(HELD)];
        self.held.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.cork.is_in() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_pass(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pass(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_is_held_comes_in_one_piece_when_the_cork_is_out() {
        let (here, mut there) = tokio::io::duplex(1 << 20);
        let (mut corked, cork) = Corked::new(here);
        cork.put(true);
        for _ in 0..3 {
            corked.write_all(b"abc").await.unwrap();
            corked.flush().await.unwrap();
        }
        let mut buffer = [0; 64];
        let nothing = tokio::time::timeout(std::time::Duration::from_millis(1), there.read(&mut buffer));
        assert!(nothing.await.is_err());
        cork.put(false);
        corked.flush().await.unwrap();
        assert_eq!(there.read(&mut buffer).await.unwrap(), 9);
    }

    #[tokio::test]
    async fn no_more_is_held_than_the_bound() {
        let (here, mut there) = tokio::io::duplex(16);
        let (mut corked, cork) = Corked::new(here);
        cork.put(true);
        let writer = tokio::spawn(async move {
            corked.write_all(&vec![7; 3 * HELD]).await.unwrap();
            assert!(corked.held.len() <= 2 * HELD);
            cork.put(false);
            corked.shutdown().await.unwrap();
        });
        let mut read = Vec::new();
        there.read_to_end(&mut read).await.unwrap();
        writer.await.unwrap();
        assert_eq!(read.len(), 3 * HELD);
    }
}
