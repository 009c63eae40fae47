//! A worker: one thread, one runtime, its own sockets, its own waiting queries.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::accept::{Guests, accept};
use super::endpoint::{Active, Endpoint};
use super::quic;
use super::udp::UdpPort;
use crate::corefile::Scheme;
use crate::counters::Counters;

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
    /// Connections that there may be, of all workers.
    pub(crate) max_connections: usize,
    /// Those that there are.
    pub(crate) guests: Guests,
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
            Command::Udp(socket, endpoint, active) if endpoint.scheme() != Scheme::Dns => {
                let listening = quic::listen(socket, endpoint, active, context.clone());
                tokio::spawn(async move {
                    if let Err(error) = listening.await {
                        tracing::error!(target: "catena", "a QUIC socket cannot be served: {error}");
                    }
                });
            }
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
