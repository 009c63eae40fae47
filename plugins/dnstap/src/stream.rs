//! A connection with a collector, whoever opened it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::frames;
use crate::message::Frame;
use crate::metrics::Metrics;

/// Time to connect, for greetings, and for a collector to take what is written.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(4);

/// Time to say goodbye: a reload or a stop waits for it.
pub(crate) const GOODBYE: Duration = Duration::from_secs(1);

/// Messages that are written at one time.
pub(crate) const BATCH: usize = 256;

/// A buffer beyond this is not kept.
const KEPT_CAPACITY: usize = 256 << 10;

/// Bytes in both directions, over whatever there is.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Bytes for T {}

/// A connection behind its greetings.
pub(crate) struct Stream {
    bytes: Box<dyn Bytes>,
    buffer: Vec<u8>,
}

impl Stream {
    /// Greets a collector that is to read.
    ///
    /// # Errors
    ///
    /// There is no dnstap collector at the other end.
    pub(crate) async fn open(mut bytes: Box<dyn Bytes>) -> io::Result<Self> {
        frames::open(&mut bytes).await?;
        Ok(Self {
            bytes,
            buffer: Vec::new(),
        })
    }

    /// Writes these messages and counts them, as written or as lost.
    ///
    /// # Errors
    ///
    /// The collector is gone, or too slow.
    pub(crate) async fn write(&mut self, batch: &mut Vec<Frame>, metrics: &Metrics) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_CAPACITY);
        let count = batch.len();
        for frame in batch.drain(..) {
            self.buffer.extend_from_slice(&frame);
        }
        let (bytes, buffer) = (&mut self.bytes, &self.buffer);
        let writing = async {
            bytes.write_all(buffer).await?;
            bytes.flush().await
        };
        let written = within(TIMEOUT, writing).await;
        match written {
            Ok(()) => metrics.wrote(count),
            Err(_) => metrics.lost(count),
        }
        written
    }

    /// Returns when the collector has left. What it says meanwhile says nothing.
    pub(crate) async fn gone(&mut self) {
        let mut bytes = [0; 256];
        while let Ok(1..) = self.bytes.read(&mut bytes).await {}
    }

    /// Ends the stream in order, if the collector is still there.
    pub(crate) async fn close(mut self) {
        let _ = within(GOODBYE, frames::close(&mut self.bytes)).await;
    }
}

/// Bounds the time that something takes.
pub(crate) async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(time, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "i/o timeout")))
}

/// Returns when the tap is to stop.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    // A tap that is gone wants nothing more either.
    let _ = stop.wait_for(|stop| *stop).await;
}
