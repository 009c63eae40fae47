//! A steady load, and what became of each query.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catena::message::QueryBuilder;
use catena::net::sockets;

/// UDP sockets, and as many TCP connections: the kernel spreads them over the server's workers.
const CLIENTS: usize = 6;

/// How long the last answers may take.
const LAST: Duration = Duration::from_secs(20);

/// Queries of a socket that may be without an answer before the sender waits. A machine that stands still for a moment
/// must not make a burst out of the steady load, which the kernel would have to drop.
const WINDOW: usize = 40;

/// A load that runs until it is finished.
pub struct Load {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<()>,
    receivers: Vec<JoinHandle<Tally>>,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: usize,
    pub answered: usize,
    /// Answers that came twice or that nobody asked for.
    pub surplus: usize,
    /// The end of a connection, or a refused datagram.
    pub broken: usize,
    /// Answers by RCODE and their last byte, which is that of an A record.
    pub answers: BTreeMap<(u8, u8), usize>,
}

/// What the sender of a socket tells its receiver.
#[derive(Default)]
struct Progress {
    sent: AtomicUsize,
    answered: AtomicUsize,
    failed: AtomicUsize,
    done: AtomicBool,
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Load {
    /// Asks for the A record of `name` so many times a second, one half over UDP, one half over kept TCP connections.
    pub fn start(server: SocketAddr, name: &str, rate: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writing = Vec::new();
        let mut receivers = Vec::new();
        for number in 0..2 * CLIENTS {
            let progress = Arc::new(Progress::default());
            let socket = Socket::open(server, number % 2 == 0);
            writing.push((socket.copy(), Arc::clone(&progress)));
            receivers.push(std::thread::spawn(move || receive(socket, &progress)));
        }
        let query = QueryBuilder::new(name, 1u16).expect("a name").to_wire();
        let ends = Arc::clone(&stop);
        let sender = std::thread::spawn(move || send(&mut writing, query, rate, &ends));
        Self {
            stop,
            sender,
            receivers,
        }
    }

    /// Sends no more, waits for the last answers, and counts.
    pub fn finish(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().expect("the sender");
        let mut all = Tally::default();
        for receiver in self.receivers {
            all.add(receiver.join().expect("a receiver"));
        }
        all
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.surplus += other.surplus;
        self.broken += other.broken;
        for (outcome, count) in other.answers {
            *self.answers.entry(outcome).or_default() += count;
        }
    }
}

impl Socket {
    fn open(server: SocketAddr, udp: bool) -> Self {
        let patience = Some(Duration::from_millis(100));
        if udp {
            // With the large buffer of a server: what the test is slow to read must not look lost.
            let socket = sockets::udp("127.0.0.1:0".parse().expect("an address")).expect("a socket");
            socket.set_nonblocking(false).expect("a socket");
            socket.connect(server).expect("a socket");
            socket.set_read_timeout(patience).expect("a timeout");
            Self::Udp(socket)
        } else {
            let stream = TcpStream::connect(server).expect("a connection");
            stream.set_nodelay(true).expect("a connection");
            stream.set_read_timeout(patience).expect("a timeout");
            Self::Tcp(stream)
        }
    }

    fn copy(&self) -> Self {
        match self {
            Self::Udp(socket) => Self::Udp(socket.try_clone().expect("a socket")),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().expect("a connection")),
        }
    }

    fn write(&mut self, query: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(query).map(drop),
            Self::Tcp(stream) => {
                let frame = [&(query.len() as u16).to_be_bytes(), query].concat();
                stream.write_all(&frame)
            }
        }
    }
}

fn send(sockets: &mut [(Socket, Arc<Progress>)], mut query: Vec<u8>, rate: usize, stop: &AtomicBool) {
    let began = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as usize;
        while sent < due {
            let (socket, progress) = &mut sockets[sent % (2 * CLIENTS)];
            let id = progress.sent.load(Ordering::Relaxed);
            if id - progress.answered.load(Ordering::Relaxed) >= WINDOW {
                break;
            }
            query[..2].copy_from_slice(&(id as u16).to_be_bytes());
            progress.sent.store(id + 1, Ordering::Release);
            if socket.write(&query).is_err() {
                progress.failed.fetch_add(1, Ordering::Relaxed);
            }
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    for (_, progress) in sockets {
        progress.done.store(true, Ordering::Release);
    }
}

fn receive(mut socket: Socket, progress: &Progress) -> Tally {
    let mut tally = Tally::default();
    let mut seen = vec![false; 1 << 16];
    let mut buffer = Vec::new();
    let mut last = Instant::now();
    loop {
        let done = progress.done.load(Ordering::Acquire);
        tally.sent = progress.sent.load(Ordering::Acquire);
        if done && (tally.answered == tally.sent || last.elapsed() > LAST) {
            tally.broken += progress.failed.load(Ordering::Relaxed);
            return tally;
        }
        match socket.read(&mut buffer) {
            Ok(messages) => {
                messages
                    .iter()
                    .for_each(|message| tally.count(message, &mut seen));
                progress.answered.store(tally.answered, Ordering::Relaxed);
                last = Instant::now();
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => {
                tally.broken += 1;
                if matches!(socket, Socket::Tcp(_)) {
                    last = Instant::now() - LAST;
                    while !progress.done.load(Ordering::Acquire) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            }
        }
    }
}

impl Tally {
    fn count(&mut self, message: &[u8], seen: &mut [bool]) {
        let id = usize::from(u16::from_be_bytes([message[0], message[1]]));
        if std::mem::replace(&mut seen[id], true) {
            self.surplus += 1;
            return;
        }
        self.answered += 1;
        let last = message.last().copied().unwrap_or_default();
        *self.answers.entry((message[3] & 0xf, last)).or_default() += 1;
    }
}

impl Socket {
    /// Reads once, and gives the whole messages; what is left stays in `buffer`.
    fn read(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<Vec<Vec<u8>>> {
        let mut bytes = [0; 16 << 10];
        match self {
            Self::Udp(socket) => socket
                .recv(&mut bytes)
                .map(|length| vec![bytes[..length].to_vec()]),
            Self::Tcp(stream) => {
                let length = stream.read(&mut bytes)?;
                if length == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                buffer.extend_from_slice(&bytes[..length]);
                Ok(whole_frames(buffer))
            }
        }
    }
}

fn whole_frames(buffer: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = buffer.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(message) = rest.get(..length) else { break };
        messages.push(message.to_vec());
        buffer.drain(..2 + length);
    }
    messages
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
