//! Queries from outside.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use catena_testkit::{Answer, Connection, Query};

use super::PATIENCE;

/// A UDP socket that is connected to a server.
pub fn udp_client(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    };
    let socket = UdpSocket::bind(any).expect("a socket");
    socket.connect(server).expect("connect");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Sends bytes over UDP and gives the answer, if one comes in time.
pub fn exchange(socket: &UdpSocket, message: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + patience;
    socket.send(message).ok()?;
    let mut answer = vec![0; 65_535];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // A time of nought would be none.
        socket
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .expect("a timeout");
        match socket.recv(&mut answer) {
            Ok(length) => {
                answer.truncate(length);
                return Some(answer);
            }
            // A read with a time limit ends so when the process was held for a moment.
            Err(error) if error.kind() == ErrorKind::Interrupted && !left.is_zero() => {}
            Err(_) => return None,
        }
    }
}

/// Asks over UDP, or over TCP with `+tcp`. The answer must be to this query.
#[track_caller]
pub fn ask(server: SocketAddr, text: &str) -> Answer {
    let query = Query::from(text);
    let wire = query.to_wire();
    let answer = if text.contains("+tcp") {
        Connection::open(server).send(&query).receive()
    } else {
        let answer = exchange(&udp_client(server), &wire, PATIENCE);
        Answer::from_wire(answer.expect("an answer over UDP")).expect("a well-formed answer")
    };
    assert_eq!(answer.id().to_be_bytes(), wire[..2], "the id");
    answer
}
