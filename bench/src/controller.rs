//! A controller that registers services with `dynresolve`: plain HTTP/1.1 over one kept connection.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What the API wants to be shown.
pub const TOKEN: &str = "bench";

/// A connection to the API.
pub struct Controller {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Controller {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn connect(api: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(api)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Puts all services in one go, with so many `others` of a name and an address each, and waits until they are there.
    ///
    /// # Errors
    ///
    /// The connection fails, or the state is refused.
    pub fn put_state(&mut self, hosts: &[(String, String)], others: usize) -> io::Result<()> {
        let others = (0..others).map(|number| {
            let address = Ipv4Addr::from_bits(FIRST_OTHER.to_bits().wrapping_add(number as u32));
            (format!("other-{number}"), address.to_string())
        });
        let services: Vec<_> = hosts
            .iter()
            .cloned()
            .chain(others)
            .map(|(name, address)| format!("\"{name}\":{}", service(&address)))
            .collect();
        let body = format!("{{\"services\":{{{}}}}}", services.join(","));
        let mut request = Vec::new();
        put(&mut request, "/v1/state", &body);
        self.stream.write_all(&request)?;
        while !self.next_answer()? {
            self.receive()?;
        }
        Ok(())
    }

    /// Goes on with `rate` writes a second, one service after the other.
    ///
    /// # Errors
    ///
    /// The connection cannot be made to not wait.
    pub fn writing(self, hosts: &[(String, String)], rate: u32) -> io::Result<Writer<'_>> {
        self.stream.set_nonblocking(true)?;
        Ok(Writer {
            controller: self,
            hosts,
            pause: Duration::from_secs(1) / rate.max(1),
            next: Instant::now(),
            sent: 0,
            accepted: 0,
            in_flight: 0,
            outgoing: Vec::new(),
        })
    }

    /// Takes what has come.
    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::Error::other("the API closed the connection")),
            length => {
                self.received.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }

    /// Takes an answer that is whole; false when there is none. One that refuses is an error.
    fn next_answer(&mut self) -> io::Result<bool> {
        let Some((status, length)) = answer(&self.received) else {
            return Ok(false);
        };
        if status != "200" {
            let text = String::from_utf8_lossy(&self.received[..length]);
            let said = text.lines().last().unwrap_or_default();
            return Err(io::Error::other(format!("the API answers {status}: {said}")));
        }
        self.received.drain(..length);
        Ok(true)
    }
}

/// A controller that never waits: it is driven by [`step`](Self::step), like the load.
pub struct Writer<'a> {
    controller: Controller,
    hosts: &'a [(String, String)],
    pause: Duration,
    next: Instant,
    sent: usize,
    accepted: u64,
    in_flight: usize,
    outgoing: Vec<u8>,
}

impl Writer<'_> {
    /// Sends the writes that are due, and takes the answers that are there.
    ///
    /// # Errors
    ///
    /// The connection fails, or a write is refused.
    pub fn step(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while self.next <= now && self.in_flight < MOST_IN_FLIGHT {
            self.next += self.pause;
            self.push();
        }
        self.send()?;
        if self.in_flight == 0 {
            return Ok(());
        }
        match self.controller.receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            received => received?,
        }
        while self.controller.next_answer()? {
            self.accepted += 1;
            self.in_flight -= 1;
        }
        Ok(())
    }

    /// How many writes were accepted since the last call. What is overdue by now is not made up for.
    pub fn take_accepted(&mut self) -> u64 {
        self.next = self.next.max(Instant::now());
        std::mem::take(&mut self.accepted)
    }

    /// The next service's address is exchanged for its neighbour's, by turns, so that each write changes something.
    fn push(&mut self) {
        let count = self.hosts.len().max(1);
        let (at, turn) = (self.sent % count, self.sent / count);
        let neighbour = (at + (turn + 1) % 2) % count;
        if let (Some((name, _)), Some((_, address))) = (self.hosts.get(at), self.hosts.get(neighbour)) {
            let path = format!("/v1/services/{name}");
            put(&mut self.outgoing, &path, &service(address));
            self.in_flight += 1;
        }
        self.sent += 1;
    }

    fn send(&mut self) -> io::Result<()> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        match self.controller.stream.write(&self.outgoing) {
            Ok(length) => {
                self.outgoing.drain(..length);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn service(address: &str) -> String {
    format!("{{\"type\":\"A\",\"records\":[\"{address}\"]}}")
}

fn put(request: &mut Vec<u8>, path: &str, body: &str) {
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    request.extend_from_slice(head.as_bytes());
    request.extend_from_slice(body.as_bytes());
}

/// The status and the length of the answer that `received` begins with, when it is whole.
fn answer(received: &[u8]) -> Option<(String, usize)> {
    let head_length = received.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&received[..head_length]);
    let status = head.split_whitespace().nth(1).unwrap_or("nothing").to_owned();
    let body_length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    let length = head_length.checked_add(body_length)?;
    (received.len() >= length).then_some((status, length))
}

/// Where the addresses of other services begin.
const FIRST_OTHER: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 0);
/// How long a state may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Writes that are sent before the answer to the first one is there: a server that cannot keep up is not buried.
const MOST_IN_FLIGHT: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    const REFUSED: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 5\r\n\r\nlater";

    /// An API that says `reply` to each of `count` requests, and returns what it got.
    fn api(count: usize, reply: &'static [u8]) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut text, mut answered) = (String::new(), 0);
            while answered < count {
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).unwrap();
                text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
                while answered < text.matches("]}").count().min(count) {
                    stream.write_all(reply).unwrap();
                    answered += 1;
                }
            }
            text
        });
        (address, thread)
    }

    fn hosts() -> Vec<(String, String)> {
        [("a.example.org", "10.0.0.1"), ("b.example.org", "10.0.0.2")]
            .map(|(name, address)| (name.to_owned(), address.to_owned()))
            .to_vec()
    }

    #[test]
    fn answers_are_taken_whole_and_one_by_one() {
        let two = [OK, REFUSED].concat();
        for cut in 0..OK.len() {
            assert_eq!(answer(&two[..cut]), None, "cut at {cut}");
        }
        assert_eq!(answer(&two), Some(("200".to_owned(), OK.len())));
        assert_eq!(answer(&two[OK.len()..]), Some(("429".to_owned(), REFUSED.len())));
    }

    #[test]
    fn a_state_holds_all_services() {
        let (address, thread) = api(1, OK);
        Controller::connect(address)
            .unwrap()
            .put_state(&hosts(), 1)
            .unwrap();
        let text = thread.join().unwrap();
        assert!(text.starts_with("PUT /v1/state HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("Authorization: Bearer bench\r\n"), "{text}");
        let body = "{\"services\":{\"a.example.org\":{\"type\":\"A\",\"records\":[\"10.0.0.1\"]},\"b.example.org\":{\"type\":\"A\",\
                    \"records\":[\"10.0.0.2\"]},\"other-0\":{\"type\":\"A\",\"records\":[\"10.128.0.0\"]}}}";
        assert!(text.ends_with(body), "{text}");
    }

    #[test]
    fn a_refused_state_is_an_error_that_says_why() {
        let (address, _) = api(1, REFUSED);
        let error = Controller::connect(address)
            .unwrap()
            .put_state(&hosts(), 0)
            .unwrap_err();
        assert_eq!(error.to_string(), "the API answers 429: later");
    }

    #[test]
    fn each_write_changes_what_the_one_before_it_left() {
        let (hosts, (address, thread)) = (hosts(), api(4, OK));
        let mut writer = Controller::connect(address)
            .unwrap()
            .writing(&hosts, 1_000)
            .unwrap();
        let mut accepted = 0;
        while accepted < 4 {
            // The API goes when it has answered four; a fifth write may find nobody.
            let stepped = writer.step();
            accepted += writer.take_accepted();
            assert!(stepped.is_ok() || accepted >= 4, "{stepped:?}");
        }
        let text = thread.join().unwrap();
        let bodies: Vec<&str> = text
            .split("\"records\":[\"")
            .skip(1)
            .map(|rest| &rest[..8])
            .collect();
        assert_eq!(bodies[..4], ["10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.2"]);
    }
}
