//! The task that serves one TCP connection: connects, writes what waits, reads answers.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::health::Shared;
use crate::local::Local;
use crate::probe::tcp_socket;

/// Which connection of which upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) upstream: usize,
    pub(crate) index: u32,
    pub(crate) key: u32,
}

/// How a connection ended.
pub(crate) enum End {
    /// It never came about.
    Dial(io::Error),
    /// The upstream closed it.
    Closed,
    /// Reading or writing failed.
    Broken(io::Error),
}

/// Serves a connection to its end. The task is aborted when the connection is closed from this side.
pub(crate) async fn serve(local: Arc<Mutex<Local>>, shared: Arc<Shared>, place: Place) {
    let target = shared.upstreams[place.upstream].target.address;
    let dialled = match tcp_socket(target, shared.options.source) {
        Ok(socket) => socket.connect(target).await,
        Err(error) => Err(error),
    };
    let end = match dialled {
        Ok(stream) => {
            local.lock().tcp_connected(place, stream.local_addr().ok());
            let mut duplex = Duplex {
                local: &local,
                place,
                stream,
                reading: Vec::new(),
                writing: Vec::new(),
                written: 0,
            };
            poll_fn(|context| duplex.poll(context)).await
        }
        Err(error) => End::Dial(error),
    };
    let mut woken = Vec::new();
    Local::tcp_ended(&local, place, &end, &mut woken);
    wake(&mut woken);
}

/// Wakes tasks where no lock is held: a waker may be the last that holds a task, and its end may want the lock.
pub(crate) fn wake(woken: &mut Vec<Waker>) {
    for waker in woken.drain(..) {
        waker.wake();
    }
}

struct Duplex<'a> {
    local: &'a Arc<Mutex<Local>>,
    place: Place,
    stream: TcpStream,
    reading: Vec<u8>,
    writing: Vec<u8>,
    written: usize,
}

impl Duplex<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            if !self
                .local
                .lock()
                .tcp_take(self.place, &mut self.writing, context.waker())
            {
                return Poll::Ready(End::Closed);
            }
            let mut progress = false;
            match self.write(context) {
                Ok(more) => progress |= more,
                Err(error) => return Poll::Ready(End::Broken(error)),
            }
            match self.read(context) {
                Ok(Read::Nothing) => {}
                Ok(Read::Some) => progress = true,
                Ok(Read::End) => return Poll::Ready(End::Closed),
                Err(error) => return Poll::Ready(End::Broken(error)),
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Writes until all is written or the system takes no more.
    fn write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        while self.written < self.writing.len() {
            match self.stream.poll_write_ready(context) {
                Poll::Pending => return Ok(progress),
                Poll::Ready(ready) => ready?,
            }
            match self.stream.try_write(&self.writing[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    progress = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.writing.clear();
        self.written = 0;
        Ok(progress)
    }

    /// Reads once, and hands over all messages that are whole.
    fn read(&mut self, context: &mut Context<'_>) -> io::Result<Read> {
        loop {
            match self.stream.poll_read_ready(context) {
                Poll::Pending => return Ok(Read::Nothing),
                Poll::Ready(ready) => ready?,
            }
            self.reading.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut self.reading) {
                Ok(0) => return Ok(Read::End),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let mut woken = Vec::new();
        let goes_on = self.deliver(&mut woken);
        wake(&mut woken);
        Ok(if goes_on { Read::Some } else { Read::End })
    }

    fn deliver(&mut self, woken: &mut Vec<Waker>) -> bool {
        let mut at = 0;
        let now = Instant::now();
        let mut local = self.local.lock();
        while let Some((length, rest)) = self.reading[at..].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(message) = rest.get(..length) else { break };
            if !local.tcp_message(self.place, message, now, woken) {
                return false;
            }
            at += 2 + length;
        }
        drop(local);
        self.reading.drain(..at);
        true
    }
}

enum Read {
    Nothing,
    Some,
    End,
}

/// Room for this many bytes at each read.
const READ_BYTES: usize = 8 << 10;
