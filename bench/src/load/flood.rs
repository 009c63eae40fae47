//! A flood: so many queries a second, whatever comes back.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use catena_core::net::mmsg::{SendBatch, set_segment_size};

use super::udp::server_side;
use crate::query::Queries;

/// What a flood did.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Flood {
    /// Datagrams that left.
    pub sent: u64,
    /// How long it took.
    pub took: Duration,
}

/// Sends `rate` queries a second for `duration`, as far as this core can, and reads no answer. Calls `watch` every
/// 100 ms.
///
/// # Errors
///
/// The socket cannot be made.
pub fn flood(
    server: SocketAddr,
    queries: &Queries,
    rate: u64,
    duration: Duration,
    mut watch: impl FnMut(),
) -> io::Result<Flood> {
    let socket = UdpSocket::bind((server_side(server), 0))?;
    socket.connect(server)?;
    // Queries of one length leave many at a time, or one core could not send that many.
    let length = queries.get(0).len();
    let equal = (0..queries.len()).all(|index| queries.get(index).len() == length);
    let segments = if equal && set_segment_size(&socket, length as u16).is_ok() {
        SEGMENTS
    } else {
        1
    };
    let mut batch = SendBatch::connected(BATCH / segments);
    let mut block = Vec::with_capacity(64 * 1024);
    let start = Instant::now();
    let (mut sent, mut number, mut watched) = (0_u64, 0_usize, start);
    loop {
        let now = Instant::now();
        let passed = now.duration_since(start);
        if passed >= duration {
            return Ok(Flood { sent, took: passed });
        }
        if now.duration_since(watched) >= WATCH_EVERY {
            watched = now;
            watch();
        }
        if sent as f64 >= rate as f64 * passed.as_secs_f64() {
            std::hint::spin_loop();
            continue;
        }
        while !batch.is_full() {
            block.clear();
            for _ in 0..segments {
                number = number.wrapping_add(1);
                block.extend_from_slice(&(number as u16).to_be_bytes());
                block.extend_from_slice(&queries.get(number)[2..]);
            }
            batch.push_connected(&block);
        }
        match batch.send(&socket) {
            Ok(count) => sent += (count * segments) as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

const BATCH: usize = 64;
const SEGMENTS: usize = 32;
const WATCH_EVERY: Duration = Duration::from_millis(100);
