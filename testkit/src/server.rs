//! A server in the process of the test.

mod builder;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catena_core::counters::Counters;
use catena_core::message::Transport;
use catena_core::plugin::{Control, Shared};

use crate::answer::Answer;
use crate::case::Ask;
#[cfg(feature = "encrypted")]
use crate::client::{Client, Reply, Trust};
use crate::connection::Connection;
use crate::logs::Logs;
use crate::metrics::Metrics;
#[cfg(feature = "encrypted")]
use crate::over::Over;
#[cfg(feature = "encrypted")]
use crate::pki::Pki;
use crate::plugins::Plugins;
use crate::query::Query;
use crate::wait::{block_on, eventually};

pub use builder::TestServerBuilder;
use builder::{Handles, Places};

/// Answers that a UDP socket takes: the largest datagram.
const DATAGRAM: usize = 65_535;

/// A server that runs a Corefile in threads of this process, on ports of its own. It ends with this value.
///
/// The methods block, so they fit tests with and without a runtime.
///
/// ```
/// use catena_testkit::{RECORDS, TestServer};
///
/// let server = TestServer::start([RECORDS], "
///     example.org:@PORT@ {
///         records {
///             a.example.org. 60 IN A 192.0.2.1
///         }
///     }");
/// server.ask("a.example.org. A").assert_answer(["a.example.org. 60 IN A 192.0.2.1"]);
/// server.ask("a.example.org. A +tcp").assert_flags("aa rd");
/// ```
#[derive(Debug)]
pub struct TestServer {
    handles: Handles,
    thread: Option<JoinHandle<i32>>,
    logs: Logs,
    places: Places,
}

impl TestServer {
    /// Starts a Corefile with these plugins. In its text, `@PORT@` and `@P1@` to `@P9@` are free ports, and `@DIR@` is
    /// the folder of the Corefile. Keys without a port are served on `@PORT@`.
    ///
    /// # Panics
    ///
    /// It does not start.
    #[track_caller]
    #[must_use]
    pub fn start(plugins: impl Plugins, corefile: &str) -> Self {
        Self::builder(plugins, corefile).start()
    }

    /// What to start, with more to say about it.
    #[must_use]
    pub fn builder(plugins: impl Plugins, corefile: &str) -> TestServerBuilder {
        TestServerBuilder::new(plugins.registry(), corefile)
    }

    /// Asks on `@PORT@` and waits for the answer.
    ///
    /// # Panics
    ///
    /// There is none in time, or it is malformed.
    #[track_caller]
    pub fn ask(&self, query: impl Into<Query>) -> Answer {
        self.ask_on(self.port(), query)
    }

    /// Asks on another port.
    ///
    /// # Panics
    ///
    /// As [`TestServer::ask`].
    #[track_caller]
    pub fn ask_on(&self, port: u16, query: impl Into<Query>) -> Answer {
        self.ask_at(self.address_of(port), query)
    }

    /// Asks another address and port, as for a server that listens on several.
    ///
    /// # Panics
    ///
    /// As [`TestServer::ask`].
    #[track_caller]
    pub fn ask_at(&self, address: SocketAddr, query: impl Into<Query>) -> Answer {
        let query = query.into();
        self.exchange(address, &query).unwrap_or_else(|| {
            let log = self.logs.lines().join("\n");
            panic!(
                "no answer to {} ({}); the log:\n{log}",
                query.question(),
                query.transport()
            )
        })
    }

    /// Asks, and gives nothing when no answer comes within the query's timeout or the connection is closed.
    #[track_caller]
    pub fn try_ask(&self, query: impl Into<Query>) -> Option<Answer> {
        self.exchange(self.address(), &query.into())
    }

    #[track_caller]
    fn exchange(&self, address: SocketAddr, query: &Query) -> Option<Answer> {
        #[cfg(feature = "encrypted")]
        if !matches!(query.transport(), Transport::Udp | Transport::Tcp) {
            return self.exchange_over(address, query);
        }
        let wire = if query.transport() == Transport::Udp {
            let socket = udp_to(address, query.source());
            socket.send(&query.to_wire()).expect("a datagram to the server");
            receive(&socket, query.patience())?
        } else {
            let mut connection = Connection::open(address);
            connection.send(query);
            connection.receive_frame(query.patience())?
        };
        let answer = Answer::from_wire(wire.clone());
        Some(answer.unwrap_or_else(|error| panic!("a malformed answer ({error}): {wire:02x?}")))
    }

    #[cfg(feature = "encrypted")]
    #[track_caller]
    fn exchange_over(&self, address: SocketAddr, query: &Query) -> Option<Answer> {
        let mut client = Client::builder(address, query.way()).from_address(query.source());
        if let Some((_, trust)) = &self.places.encrypted {
            client = client.trusting(trust);
        }
        let client = client.open();
        let wire = client.wire_of(query);
        match client.send_within(&wire, query.patience()) {
            Reply::Message(wire) => Some(Answer::from_wire(wire).expect("a well-formed answer")),
            Reply::Silence | Reply::Closed => None,
            other => panic!("{other:?} to {}", query.question()),
        }
    }

    /// A connection to `@PORT@`, over any transport; over TLS if the server was made [`TestServerBuilder::encrypted`].
    ///
    /// # Panics
    ///
    /// The connection does not come about.
    #[cfg(feature = "encrypted")]
    #[track_caller]
    #[must_use]
    pub fn client(&self, over: Over) -> Client {
        self.client_on(self.port(), over)
    }

    /// A connection to another port.
    ///
    /// # Panics
    ///
    /// The connection does not come about.
    #[cfg(feature = "encrypted")]
    #[track_caller]
    #[must_use]
    pub fn client_on(&self, port: u16, over: Over) -> Client {
        let client = Client::builder(self.address_of(port), over);
        match &self.places.encrypted {
            Some((_, trust)) => client.trusting(trust).open(),
            None => client.open(),
        }
    }

    /// The authority of a server that is [`TestServerBuilder::encrypted`], and clients' trust in it.
    ///
    /// # Panics
    ///
    /// The server is another.
    #[cfg(feature = "encrypted")]
    #[track_caller]
    #[must_use]
    pub fn authority(&self) -> (&Pki, &Trust) {
        let (pki, trust) = self.places.encrypted.as_ref().expect("an encrypted server");
        (pki, trust)
    }

    /// Sends bytes as a datagram to which no answer is expected, and fails if one comes.
    ///
    /// No time is waited for: a second query behind it is answered, which the server takes in their order.
    ///
    /// # Panics
    ///
    /// There is an answer to the first, or none to the second.
    #[track_caller]
    pub fn assert_silent(&self, query: impl Into<Query>) {
        let socket = udp_to(self.address(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        socket
            .send(&query.into().to_wire())
            .expect("a datagram to the server");
        // The opcode STATUS is answered at once, whatever the Corefile says.
        let marker = Query::new(".", "NS").with(|message| message.opcode(2));
        socket.send(&marker.to_wire()).expect("a datagram to the server");
        let first = receive(&socket, marker.patience()).expect("an answer to the query behind");
        assert_eq!(
            first.get(..2),
            marker.to_wire().get(..2),
            "an answer where silence is expected: {first:02x?}"
        );
    }

    /// A UDP socket that is connected to the server.
    #[must_use]
    pub fn udp_socket(&self) -> UdpSocket {
        udp_to(self.address(), IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// A TCP connection to `@PORT@`.
    #[must_use]
    pub fn connect(&self) -> Connection {
        self.connect_to(self.port())
    }

    /// A TCP connection to another port.
    #[must_use]
    pub fn connect_to(&self, port: u16) -> Connection {
        Connection::open(self.address_of(port))
    }

    /// What `@PORT@` stands for.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port_of(0)
    }

    /// What `@P1@` to `@P9@` stand for; 0 is `@PORT@`.
    ///
    /// # Panics
    ///
    /// There is no such placeholder.
    #[must_use]
    pub fn port_of(&self, number: usize) -> u16 {
        self.places.ports[number].number()
    }

    /// Where the server is asked: 127.0.0.1 with `@PORT@`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address_of(self.port())
    }

    fn address_of(&self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Takes over another Corefile, as SIGUSR1 would; returns when it serves.
    ///
    /// # Errors
    ///
    /// What the server says about it; the old Corefile goes on then.
    pub fn reload(&self, corefile: &str) -> Result<(), String> {
        self.write("Corefile", corefile);
        block_on(self.handles.control.reload())
    }

    /// Replaces a file in the Corefile's folder in one go; placeholders are filled in.
    pub fn write(&self, name: &str, content: &str) {
        self.places.folder.write(name, self.places.fill(content));
    }

    /// Removes a file from the Corefile's folder.
    pub fn remove(&self, name: &str) {
        self.places.folder.remove(name);
    }

    /// The path of a file in the Corefile's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.places.folder.file(name)
    }

    /// Fills placeholders in, as in the Corefile.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        self.places.fill(text)
    }

    /// What the server logs.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The metrics as they are now.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.shared().of::<catena_metrics::Registry>())
    }

    /// Waits until a metric has at least this value; see [`Metrics::value`].
    ///
    /// # Panics
    ///
    /// It has not after a minute.
    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], at_least: f64) -> f64 {
        eventually(&format!("{name} {labels:?} of {at_least}"), || {
            self.metrics()
                .value(name, labels)
                .filter(|value| *value >= at_least)
        })
    }

    /// What the server itself counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.handles.counters
    }

    /// Values that outlive reloads.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.handles.shared
    }

    /// The handle by which plugins steer the server.
    #[must_use]
    pub fn control(&self) -> Control {
        self.handles.control.clone()
    }

    /// Stops the server as SIGTERM would, waits for its end, and gives the exit status and what it logged.
    ///
    /// # Panics
    ///
    /// The server panicked.
    pub fn stop(mut self) -> (i32, Vec<String>) {
        self.handles.control.stop(0);
        let status = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(status)) => status,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => 0,
        };
        (status, self.logs.lines())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.handles.control.stop(0);
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) && !std::thread::panicking() {
            panic!("the server's thread panicked");
        }
    }
}

impl Ask for TestServer {
    fn try_ask(&self, query: &Query) -> Option<Answer> {
        self.exchange(self.address(), query)
    }
}

/// A UDP socket that is connected to an address, of which it has the family.
fn udp_to(address: SocketAddr, source: IpAddr) -> UdpSocket {
    let source = if address.is_ipv6() == source.is_ipv6() {
        source
    } else {
        IpAddr::V6(Ipv6Addr::LOCALHOST)
    };
    let socket = UdpSocket::bind((source, 0)).expect("a UDP socket");
    socket.connect(address).expect("a way to the server");
    socket
}

/// The next datagram.
pub(crate) fn receive(socket: &UdpSocket, patience: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // A time of nought would be none.
        let limit = left.max(Duration::from_millis(1));
        socket.set_read_timeout(Some(limit)).expect("a timeout");
        match socket.recv(&mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                return Some(buffer);
            }
            // A read with a time limit ends so when the process was held for a moment.
            Err(error) if error.kind() == ErrorKind::Interrupted && !left.is_zero() => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests;
