//! A collector that keeps what it gets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

/// Generous, since machines that run tests may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request.
#[derive(Debug)]
pub(crate) struct Received {
    /// Method and path.
    pub(crate) line: String,
    /// In lower case, with a blank behind the colon.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// Listens in a thread of its own, and answers each request with the same status.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    status: Arc<AtomicU16>,
    received: Receiver<Received>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("an address");
        let status = Arc::new(AtomicU16::new(202));
        let (sender, received) = channel();
        let shared = Arc::clone(&status);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, status) = (sender.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream, &sender, &status));
            }
        });
        Self {
            address,
            status,
            received,
        }
    }

    /// Answers with this status from now on.
    pub(crate) fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// The next request.
    pub(crate) fn next(&self) -> Received {
        self.received.recv_timeout(PATIENCE).expect("a request")
    }

    /// The spans of the next requests of the kind zipkin, until there are so many.
    pub(crate) fn spans(&self, count: usize) -> Vec<Value> {
        let mut spans = Vec::new();
        while spans.len() < count {
            spans.extend(self.next().json().as_array().expect("a list").clone());
        }
        assert_eq!(spans.len(), count, "{spans:?}");
        spans
    }

    /// Whether nothing has come that was not asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.received.try_recv().is_err()
    }
}

fn serve(stream: TcpStream, sender: &Sender<Received>, status: &AtomicU16) {
    let mut writer = stream.try_clone().expect("a descriptor");
    let mut reader = BufReader::new(stream);
    while let Some(received) = read(&mut reader) {
        let status = status.load(Ordering::Relaxed);
        let answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: 2\r\n\r\n{{}}");
        // The test may be over.
        let _ = sender.send(received);
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned()).filter(|line| !line.is_empty())
    };
    let first = line()?;
    let mut headers = Vec::new();
    while let Some(header) = line() {
        headers.push(header.to_ascii_lowercase());
    }
    let length = headers
        .iter()
        .find_map(|header| header.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Received {
        line: first,
        headers,
        body,
    })
}
