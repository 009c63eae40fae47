//! The floor of forwarding: two sockets, and a table of ids between them.
//!
//! Nothing that makes a forwarder usable: ids are counted up, answers are not checked, nothing is asked twice.

use std::io;
use std::net::SocketAddr;

use catena_core::net::mmsg::{DEFAULT_SLOTS, Family, RecvBatch, SendBatch};
use catena_core::net::sockets;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Forwards queries from `address` to `upstream`, for ever.
///
/// # Errors
///
/// An address cannot be used, or a socket fails.
pub fn udp(address: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let clients = UdpSocket::from_std(sockets::udp(address).map_err(io::Error::other)?)?;
        let any_port = SocketAddr::new(address.ip(), 0);
        let servers = UdpSocket::from_std(sockets::udp(any_port).map_err(io::Error::other)?)?;
        servers.connect(upstream).await?;
        Forwarder {
            clients,
            servers,
            received: RecvBatch::new(DEFAULT_SLOTS),
            queries: SendBatch::connected(DEFAULT_SLOTS),
            answers: SendBatch::new(DEFAULT_SLOTS, Family::of(&address)),
            waiting: vec![None; 1 << 16],
            next: 0,
            buffer: Vec::with_capacity(4096),
        }
        .run()
        .await
    })
}

struct Forwarder {
    clients: UdpSocket,
    servers: UdpSocket,
    received: RecvBatch,
    queries: SendBatch,
    answers: SendBatch,
    /// By the id that the upstream sees: who asked, and with which id.
    waiting: Vec<Option<(SocketAddr, [u8; 2])>>,
    next: u16,
    buffer: Vec<u8>,
}

impl Forwarder {
    async fn run(mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                ready = self.clients.readable() => { ready?; self.ask()?; }
                ready = self.servers.readable() => { ready?; self.answer()?; }
            }
        }
    }

    fn ask(&mut self) -> io::Result<()> {
        if !receive(&self.clients, &mut self.received)? {
            return Ok(());
        }
        for datagram in self.received.iter() {
            let (Some(id), Some(peer)) = (datagram.bytes.first_chunk::<2>(), datagram.source) else {
                continue;
            };
            self.next = self.next.wrapping_add(1);
            self.waiting[usize::from(self.next)] = Some((peer, *id));
            replace_id(&mut self.buffer, datagram.bytes, self.next.to_be_bytes());
            self.queries.push_connected(&self.buffer);
        }
        let _ = self.queries.send(&self.servers);
        self.queries.clear();
        Ok(())
    }

    fn answer(&mut self) -> io::Result<()> {
        if !receive(&self.servers, &mut self.received)? {
            return Ok(());
        }
        for datagram in self.received.iter() {
            let Some(id) = datagram.bytes.first_chunk::<2>() else {
                continue;
            };
            let Some((peer, id)) = self.waiting[usize::from(u16::from_be_bytes(*id))].take() else {
                continue;
            };
            replace_id(&mut self.buffer, datagram.bytes, id);
            self.answers.push(&self.buffer, peer, None);
        }
        let _ = self.answers.send(&self.clients);
        self.answers.clear();
        Ok(())
    }
}

/// Takes a batch; false when there was nothing after all.
fn receive(socket: &UdpSocket, batch: &mut RecvBatch) -> io::Result<bool> {
    match socket.try_io(Interest::READABLE, || batch.recv(socket)) {
        Ok(_) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn replace_id(buffer: &mut Vec<u8>, message: &[u8], id: [u8; 2]) {
    buffer.clear();
    buffer.extend_from_slice(&id);
    buffer.extend_from_slice(message.get(2..).unwrap_or_default());
}
