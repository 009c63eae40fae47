//! Two servers behind one port (SO_REUSEPORT), restarted one after the other as an upgrade does it: nothing is lost.

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catena_testkit::{Connection, Query, eventually};
use common::{Folder, Process, alone, get};

/// Queries a second over UDP.
const RATE: usize = 5_000;

/// How often each server is restarted.
const RESTARTS: usize = 3;

/// How long a server goes on once it is told to stop.
const LAMEDUCK: Duration = Duration::from_secs(1);

/// Sockets that they come from: the kernel chooses a server by the client's port.
const SOCKETS: usize = 64;

/// One of the two servers: number 0 or 1, with its own ports for readiness and health.
fn corefile(number: usize, bind: &str) -> String {
    format!(
        ".:@PORT@ {{
    {bind}
    errors
    health 127.0.0.1:@P{health}@ {{
        lameduck 1s
    }}
    ready 127.0.0.1:@P{ready}@
    cache
    whoami
}}
",
        health = 1 + number,
        ready = 3 + number
    )
}

fn start(folder: &Folder, number: usize, bind: &str) -> Process {
    let file = format!("Corefile{number}");
    folder.write(&file, &corefile(number, bind));
    let server = folder.spawn(&["-conf", &file], None);
    eventually("readiness", || is_ready(folder, number).then_some(()));
    server
}

fn is_ready(folder: &Folder, number: usize) -> bool {
    get(folder.address_of(3 + number), "/ready").is_ok_and(|(status, _)| status == 200)
}

/// Stops a server as an orchestrator does, and looks at what it does meanwhile.
fn stop(folder: &Folder, number: usize, mut server: Process) {
    server.signal("TERM");
    let began = Instant::now();
    eventually("the end of readiness", || {
        get(folder.address_of(3 + number), "/ready").err()
    });
    // It goes off first: the lame duck still says that it lives, and answers.
    let (status, body) = get(folder.address_of(1 + number), "/health").expect("a lame duck");
    assert_eq!((status, body.as_str()), (200, "OK"));
    assert_eq!(server.wait_exit(), 0);
    assert!(began.elapsed() >= LAMEDUCK, "{:?}", began.elapsed());
}

/// Queries over UDP at a steady rate, each with an id of its own on its socket.
struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<usize>,
    receivers: Vec<JoinHandle<usize>>,
}

impl Stream {
    fn start(server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicUsize::new(0));
        let sockets: Vec<UdpSocket> = (0..SOCKETS)
            .map(|_| {
                // Not one that shares its port: the system might give one port to two of them.
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
                socket.connect(server).expect("a socket");
                socket
                    .set_read_timeout(Some(Duration::from_millis(200)))
                    .expect("a timeout");
                socket
            })
            .collect();
        let receivers = sockets
            .iter()
            .map(|socket| {
                let (socket, stop) = (socket.try_clone().expect("a socket"), Arc::clone(&stop));
                std::thread::spawn(move || receive(&socket, &stop))
            })
            .collect();
        let ends = Arc::clone(&stop);
        let sender = std::thread::spawn(move || {
            send(&sockets, &ends, &sent);
            sent.load(Ordering::Relaxed)
        });
        Self {
            stop,
            sender,
            receivers,
        }
    }

    /// How many were sent, and how many of these were answered.
    fn finish(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("the sender");
        let answered = self
            .receivers
            .into_iter()
            .map(|receiver| receiver.join().expect("a receiver"));
        (sent, answered.sum())
    }
}

fn send(sockets: &[UdpSocket], stop: &AtomicBool, sent: &AtomicUsize) {
    let mut query = Query::from("www.example.org. A").to_wire();
    let began = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * RATE as f64) as usize;
        for number in sent.load(Ordering::Relaxed)..due {
            query[..2].copy_from_slice(&((number / SOCKETS) as u16).to_be_bytes());
            // A refused datagram is no answer, and counts as lost.
            let _ = sockets[number % SOCKETS].send(&query);
            sent.store(number + 1, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Counts answers with different ids until none has come for a while behind the end.
fn receive(socket: &UdpSocket, stop: &AtomicBool) -> usize {
    let mut seen = vec![false; 1 << 16];
    let (mut count, mut silent) = (0, 0);
    let mut buffer = [0; 512];
    while silent < 5 {
        match socket.recv(&mut buffer) {
            Ok(_) => {
                let id = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
                count += usize::from(!std::mem::replace(&mut seen[id], true));
                silent = 0;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                silent += usize::from(stop.load(Ordering::Relaxed));
            }
            Err(_) => {}
        }
    }
    count
}

#[test]
fn a_rolling_restart_of_two_servers_behind_one_port_loses_nothing() {
    let _alone = alone();
    for bind in ["bind 127.0.0.1", "# all addresses"] {
        let folder = Folder::new();
        let mut servers = [start(&folder, 0, bind), start(&folder, 1, bind)];
        let stream = Stream::start(folder.address_of(0));
        for _ in 0..RESTARTS {
            for number in [0, 1] {
                let fresh = |old: Process| {
                    stop(&folder, number, old);
                    start(&folder, number, bind)
                };
                let [first, second] = servers;
                servers = if number == 0 {
                    [fresh(first), second]
                } else {
                    [first, fresh(second)]
                };
            }
            // New connections find a server at any time.
            let mut connection = Connection::open(folder.address_of(0));
            connection.send("www.example.org. A").receive();
        }
        let (sent, answered) = stream.finish();
        assert!(sent > RESTARTS * RATE, "only {sent} queries");
        assert_eq!(answered, sent, "{bind}: {} of {sent} were lost", sent - answered);
        drop(servers);
    }
}
