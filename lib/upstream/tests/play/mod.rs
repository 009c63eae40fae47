//! Plays upstreams.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests, of which each file uses a part"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinHandle;

pub struct Upstream {
    pub address: SocketAddr,
    counts: Arc<Counts>,
    seen: mpsc::UnboundedReceiver<(SocketAddr, Vec<u8>)>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    queries: AtomicUsize,
    connections: AtomicUsize,
    closed: AtomicUsize,
    changed: Notify,
}

impl Upstream {
    /// Answers each datagram with those that the function gives.
    pub async fn udp(mut respond: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        Self::udp_delayed(Duration::ZERO, move |message| (respond(message), Vec::new())).await
    }

    /// As `udp`; of the two lists, the second goes out after a delay.
    pub async fn udp_delayed(
        delay: Duration,
        respond: impl FnMut(&[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (upstream, sender) = Self::new(address);
        let counts = Arc::clone(&upstream.counts);
        upstream.with(serve_udp(socket, delay, respond, counts, sender))
    }

    /// Collects so many datagrams and then answers them, the last one first.
    pub async fn udp_reversing(batch: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (upstream, _) = Self::new(socket.local_addr().unwrap());
        let counts = Arc::clone(&upstream.counts);
        upstream.with(async move {
            let mut buffer = vec![0; 65_535];
            let mut kept = Vec::new();
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                    continue;
                };
                counts.queries.fetch_add(1, Ordering::Relaxed);
                kept.push((answer(&buffer[..length]), from));
                if kept.len() == batch {
                    for (message, from) in kept.drain(..).rev() {
                        let _ = socket.send_to(&message, from).await;
                    }
                }
            }
        })
    }

    /// Answers each message on each connection with those that the function gives.
    pub async fn tcp(respond: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        Self::tcp_closing_after(usize::MAX, respond).await
    }

    /// The same, and closes each connection behind so many messages, at the next one.
    pub async fn tcp_closing_after(
        messages: usize,
        respond: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (upstream, _) = Self::new(listener.local_addr().unwrap());
        let counts = Arc::clone(&upstream.counts);
        upstream.with(serve_tcp(listener, messages, respond, counts))
    }

    pub async fn both(
        mut by_udp: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
        by_tcp: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // The port may be taken for TCP alone.
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let (upstream, sender) = Self::new(listener.local_addr().unwrap());
        let respond = move |message: &[u8]| (by_udp(message), Vec::new());
        let counts = Arc::clone(&upstream.counts);
        let datagrams = serve_udp(socket, Duration::ZERO, respond, Arc::clone(&counts), sender);
        upstream
            .with(datagrams)
            .with(serve_tcp(listener, usize::MAX, by_tcp, counts))
    }

    pub fn count(&self) -> usize {
        self.counts.queries.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    pub fn take_seen(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }

    /// Waits until so many connections have been closed.
    pub async fn closed(&self, connections: usize) {
        while self.counts.closed.load(Ordering::Relaxed) < connections {
            self.counts.changed.notified().await;
        }
    }

    fn new(address: SocketAddr) -> (Self, mpsc::UnboundedSender<(SocketAddr, Vec<u8>)>) {
        let (sender, seen) = mpsc::unbounded_channel();
        (
            Self {
                address,
                counts: Arc::default(),
                seen,
                tasks: Vec::new(),
            },
            sender,
        )
    }

    fn with(mut self, task: impl Future<Output = ()> + Send + 'static) -> Self {
        self.tasks.push(tokio::spawn(task));
        self
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn serve_udp(
    socket: UdpSocket,
    delay: Duration,
    mut respond: impl FnMut(&[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) + Send + 'static,
    counts: Arc<Counts>,
    seen: mpsc::UnboundedSender<(SocketAddr, Vec<u8>)>,
) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; 65_535];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let message = &buffer[..length];
        counts.queries.fetch_add(1, Ordering::Relaxed);
        let _ = seen.send((from, message.to_vec()));
        let (now, later) = respond(message);
        for message in now {
            let _ = socket.send_to(&message, from).await;
        }
        if !later.is_empty() {
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                for message in later {
                    let _ = socket.send_to(&message, from).await;
                }
            });
        }
    }
}

async fn serve_tcp(
    listener: TcpListener,
    messages: usize,
    respond: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    counts: Arc<Counts>,
) {
    let respond = Arc::new(Mutex::new(respond));
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            continue;
        };
        counts.connections.fetch_add(1, Ordering::Relaxed);
        let (respond, counts) = (Arc::clone(&respond), Arc::clone(&counts));
        tokio::spawn(async move {
            let mut left = messages;
            while let Ok(length) = stream.read_u16().await {
                let mut message = vec![0; usize::from(length)];
                if stream.read_exact(&mut message).await.is_err() || left == 0 {
                    break;
                }
                left -= 1;
                counts.queries.fetch_add(1, Ordering::Relaxed);
                let answers = (respond.lock().await)(&message);
                for answer in answers {
                    let mut frame = u16::try_from(answer.len()).unwrap().to_be_bytes().to_vec();
                    frame.extend_from_slice(&answer);
                    if stream.write_all(&frame).await.is_err() {
                        break;
                    }
                }
            }
            drop(stream);
            counts.closed.fetch_add(1, Ordering::Relaxed);
            counts.changed.notify_one();
        });
    }
}

/// An A query with id 0 and RD set.
pub fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}

/// The answer to a query without EDNS: one A record.
pub fn answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    if answer[11] > 0 {
        // Leaves the OPT record out.
        answer.truncate(answer.len() - 11);
        answer[11] = 0;
    }
    answer[2] |= 0x80;
    answer[7] = 1;
    answer.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
    answer
}

pub fn with_id(message: &[u8], id: u16) -> Vec<u8> {
    let mut message = message.to_vec();
    message[..2].copy_from_slice(&id.to_be_bytes());
    message
}
