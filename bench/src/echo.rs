//! The kernel's floor: servers that do nothing but send back what they got, with the QR bit set.

use std::io;
use std::net::SocketAddr;

use catena_core::net::mmsg::{DEFAULT_SLOTS, Family, RecvBatch, SendBatch};
use catena_core::net::sockets;

/// Echoes datagrams in batches, for ever.
///
/// # Errors
///
/// The address cannot be bound, or the socket fails.
pub fn udp(address: SocketAddr) -> io::Result<()> {
    let socket = sockets::udp(address).map_err(io::Error::other)?;
    socket.set_nonblocking(false)?;
    let mut received = RecvBatch::new(DEFAULT_SLOTS);
    let mut answers = SendBatch::new(DEFAULT_SLOTS, Family::of(&address));
    let mut spare = Vec::with_capacity(512);
    loop {
        received.recv_wait(&socket)?;
        for datagram in received.iter() {
            let Some(peer) = datagram.source else { continue };
            spare.extend_from_slice(datagram.bytes);
            mark(&mut spare);
            spare = answers
                .push_owned(spare, peer, datagram.local)
                .unwrap_or_default();
        }
        // What the socket does not take at once is lost: an echo keeps no queue.
        let _ = answers.send(&socket);
        answers.clear();
    }
}

/// Echoes frames on all connections, for ever: one read and one write at each wake-up.
///
/// # Errors
///
/// The address cannot be bound, or the event queue fails.
pub fn tcp(address: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(sockets::tcp(address).map_err(io::Error::other)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(echo_connection(stream));
        }
    })
}

async fn echo_connection(stream: tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = stream;
    let mut buffer = vec![0; 64 * 1024];
    let mut have = 0;
    loop {
        let Ok(count @ 1..) = stream.read(&mut buffer[have..]).await else {
            return;
        };
        have += count;
        let whole = mark_frames(&mut buffer[..have]);
        if stream.write_all(&buffer[..whole]).await.is_err() {
            return;
        }
        buffer.copy_within(whole..have, 0);
        have -= whole;
    }
}

/// Marks all whole frames as answers; returns where the last one ends.
fn mark_frames(buffer: &mut [u8]) -> usize {
    let mut at = 0;
    while let Some(length) = buffer.get(at..at + 2) {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let Some(frame) = buffer.get_mut(at + 2..at + 2 + length) else {
            break;
        };
        mark(frame);
        at += 2 + length;
    }
    at
}

fn mark(message: &mut [u8]) {
    if let Some(flags) = message.get_mut(2) {
        *flags |= 0x80;
    }
}
