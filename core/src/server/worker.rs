//! A worker: one thread, one runtime, its own sockets, its own waiting queries.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::endpoint::{Active, Endpoint};
use super::tcp::Connection;
use super::udp::UdpPort;
use crate::counters::{Counters, Event};

/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Turns of tasks until the runtime asks the system for news, if there are always tasks to run.
///
/// A connection or socket with more to read wakes itself again. With the runtime's own 61 a client that never stops
/// sending would keep what others have sent waiting for as many of its turns.
const EVENT_INTERVAL: u32 = 8;

/// What a worker is told.
pub(crate) enum Command {
    /// Serve this UDP socket.
    Udp(UdpSocket, Arc<Endpoint>, Active),
    /// Accept connections of this listener.
    Tcp(TcpListener, Arc<Endpoint>, Active),
}

/// A running worker thread. It ends when this is dropped and its sockets have ended.
pub(crate) struct WorkerThread {
    commands: UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

/// What all workers of a server share.
#[derive(Clone)]
pub(crate) struct WorkerContext {
    pub(crate) counters: Arc<Counters>,
    pub(crate) log: tracing::Dispatch,
    /// Open TCP connections of all workers, and how many there may be.
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) max_connections: usize,
}

impl WorkerThread {
    pub(crate) fn spawn(index: usize, context: WorkerContext) -> io::Result<Self> {
        let (commands, receiver) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(EVENT_INTERVAL)
            .build()?;
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                crate::worker::enter(index);
                let _log = tracing::dispatcher::set_default(&context.log);
                runtime.block_on(run(receiver, &context));
                // What still runs belongs to no listener any more.
                runtime.shutdown_background();
            })?;
        Ok(Self { commands, thread })
    }

    pub(crate) fn send(&self, command: Command) {
        // A worker lives as long as its handle.
        let _ = self.commands.send(command);
    }

    /// Ends the thread. To be called when all endpoints have ended.
    pub(crate) fn join(self) {
        drop(self.commands);
        // A worker that panicked has said so itself.
        let _ = self.thread.join();
    }
}

async fn run(mut commands: UnboundedReceiver<Command>, context: &WorkerContext) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Udp(socket, endpoint, active) => {
                match UdpPort::new(socket, endpoint, active, Arc::clone(&context.counters)) {
                    Ok(port) => drop(tokio::spawn(port)),
                    Err(error) => tracing::error!(target: "catena", "a UDP socket cannot be served: {error}"),
                }
            }
            Command::Tcp(listener, endpoint, active) => {
                let accepting = accept(listener, endpoint, active, context.clone());
                tokio::spawn(async move {
                    if let Err(error) = accepting.await {
                        tracing::error!(target: "catena", "a TCP listener cannot be served: {error}");
                    }
                });
            }
        }
    }
}

async fn accept(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    active: Active,
    context: WorkerContext,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let closed = endpoint.closed.notified();
        if endpoint.is_closing() {
            break;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed => break,
        };
        match accepted {
            Ok((stream, peer)) => serve(stream, peer, &endpoint, &context),
            Err(error) if is_exhaustion(&error) => {
                tracing::warn!(target: "catena", "accepting connections pauses: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // The client has given up meanwhile.
            Err(_) => {}
        }
    }
    // Connections that the kernel has completed already are not refused.
    while let Some(Ok((stream, peer))) = poll_accept(&listener).await {
        serve(stream, peer, &endpoint, &context);
    }
    drop(active);
    Ok(())
}

/// Accepts a connection if one is there already.
async fn poll_accept(
    listener: &tokio::net::TcpListener,
) -> Option<io::Result<(tokio::net::TcpStream, std::net::SocketAddr)>> {
    std::future::poll_fn(|context| match listener.poll_accept(context) {
        std::task::Poll::Ready(accepted) => std::task::Poll::Ready(Some(accepted)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

fn serve(
    stream: tokio::net::TcpStream,
    peer: std::net::SocketAddr,
    endpoint: &Arc<Endpoint>,
    context: &WorkerContext,
) {
    let Some(slot) = Slot::take(&context.connections, context.max_connections) else {
        context.counters.inc(Event::TcpRefused);
        return;
    };
    context.counters.inc(Event::TcpAccepted);
    let active = endpoint.enter();
    let counters = Arc::clone(&context.counters);
    if let Ok(connection) = Connection::new(stream, peer, Arc::clone(endpoint), active, counters) {
        tokio::spawn(async move {
            connection.await;
            drop(slot);
        });
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// A place among the connections that there may be.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(open: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        if open.fetch_add(1, Ordering::Relaxed) >= limit {
            open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(Arc::clone(open)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
