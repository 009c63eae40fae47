//! A server to forward to, which does what the test says.

mod behaviour;
#[cfg(feature = "encrypted")]
mod http1;
#[cfg(feature = "encrypted")]
mod secure;
mod serve;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use catena_core::message::{Request, Transport};
use tokio::sync::{mpsc, watch};

use crate::ports::Port;
use crate::query::PATIENCE;
use crate::record::Record;
use crate::wait::Watched;
use crate::zone::ZoneData;

pub use behaviour::{Behaviour, Lie, Step};

/// A server on 127.0.0.1, over UDP and TCP or over one of the encrypted transports, that answers from records and misbehaves as a test wants it to.
///
/// It answers as a resolver that knows these records and no others: RA without AA, RD and CD as asked, CNAME chains
/// followed, NXDOMAIN for names that it does not know, TC when a UDP answer does not fit. It ends with this value.
///
/// ```
/// use catena_testkit::{Behaviour, Upstream};
///
/// let upstream = Upstream::start("a.example.org. 60 IN A 192.0.2.1");
/// upstream.ask("a.example.org. A").assert_answer(["a.example.org. 60 IN A 192.0.2.1"]);
///
/// upstream.behave(Behaviour::honest().rcode("REFUSED"));
/// assert_eq!(upstream.ask("a.example.org. A").rcode().to_string(), "REFUSED");
/// assert_eq!(upstream.count(), 2);
/// assert_eq!(upstream.seen()[1].question(), "a.example.org. IN A");
/// ```
pub struct Upstream {
    shared: Arc<State>,
    commands: mpsc::UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread that serves and the test have in common.
struct State {
    port: Port,
    seen: Watched<Vec<Seen>>,
    script: Watched<Script>,
    /// Counts the releases; held answers wait for the next one.
    released: watch::Sender<u64>,
    #[cfg(feature = "encrypted")]
    secure: Option<secure::Secure>,
    sessions: Watched<Vec<Session>>,
}

#[cfg(feature = "encrypted")]
impl State {
    fn begin(&self, session: Session) {
        self.sessions.change(|all| all.push(session));
    }
}

/// A connection to an upstream that is asked over TLS, HTTP, QUIC or gRPC.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Session {
    /// Where it came from.
    pub peer: SocketAddr,
    /// Both sides knew the TLS session already. Not told of QUIC.
    pub resumed: bool,
}

/// What the upstream knows and does.
#[derive(Default)]
struct Script {
    zone: ZoneData,
    udp: Behaviour,
    tcp: Behaviour,
}

/// What the thread is told; it answers when that is done.
enum Command {
    Stop(std::sync::mpsc::Sender<()>),
    Revive(std::sync::mpsc::Sender<()>),
}

/// A query that came.
#[derive(Clone, Debug)]
pub struct Seen {
    transport: Transport,
    peer: SocketAddr,
    wire: Vec<u8>,
}

impl Seen {
    /// How it came.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Where it came from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Its bytes.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.wire
            .first_chunk::<2>()
            .map_or(0, |id| u16::from_be_bytes(*id))
    }

    /// The question with its letters, as in `www.Example.org. IN A`.
    ///
    /// # Panics
    ///
    /// It is no query.
    #[must_use]
    pub fn question(&self) -> String {
        let request = self.request();
        let class = crate::record::class_text(request.qclass_code());
        format!("{} {class} {}", request.name_display(), request.qtype())
    }

    /// A view on it.
    ///
    /// # Panics
    ///
    /// It is no query.
    #[must_use]
    pub fn request(&self) -> Request {
        Request::from_wire_over(&self.wire, self.transport).expect("a query to the upstream")
    }
}

impl Upstream {
    /// Starts a server of these records, one a line.
    ///
    /// # Panics
    ///
    /// A line is no record, or there is no free port.
    #[track_caller]
    #[must_use]
    pub fn start(zone: &str) -> Self {
        Self::start_with(
            zone,
            #[cfg(feature = "encrypted")]
            None,
        )
    }

    /// Starts a server of these records that is asked over TLS, HTTP/2, HTTP/3, QUIC or in gRPC calls. `tls` may be
    /// missing for gRPC only. Over [`Transport::Https`] it speaks HTTP/1.1 where `tls` has no protocol `h2`, and others.
    ///
    /// # Panics
    ///
    /// A line is no record, there is no free port, or the transport is none of these.
    #[cfg(feature = "encrypted")]
    #[track_caller]
    #[must_use]
    pub fn start_over(
        transport: Transport,
        zone: &str,
        tls: Option<tokio_rustls::rustls::ServerConfig>,
    ) -> Self {
        let alpn: &[u8] = match transport {
            Transport::Https | Transport::Grpc => b"h2",
            Transport::Https3 => b"h3",
            Transport::Quic => b"doq",
            Transport::Tls => b"dot",
            other => panic!("an upstream over {other:?} is a plain one"),
        };
        assert!(
            tls.is_some() || transport == Transport::Grpc,
            "{transport:?} needs TLS"
        );
        let tls = tls.map(|mut config| {
            if config.alpn_protocols.is_empty() && transport != Transport::Tls {
                config.alpn_protocols = vec![alpn.to_vec()];
            }
            Arc::new(config)
        });
        Self::start_with(zone, Some(secure::Secure { transport, tls }))
    }

    fn start_with(zone: &str, #[cfg(feature = "encrypted")] secure: Option<secure::Secure>) -> Self {
        let records = Record::parse_all(zone).unwrap_or_else(|error| panic!("{error}"));
        let script = Watched::default();
        script.change(|script: &mut Script| script.zone = ZoneData::new(records));
        let shared = Arc::new(State {
            port: Port::any(),
            seen: Watched::default(),
            script,
            released: watch::Sender::new(0),
            #[cfg(feature = "encrypted")]
            secure,
            sessions: Watched::default(),
        });
        let (commands, receiver) = mpsc::unbounded_channel();
        let state = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || serve::run(&state, receiver))
            .expect("a thread");
        let upstream = Self {
            shared,
            commands,
            thread: Some(thread),
        };
        upstream.revive();
        upstream
    }

    /// Where it listens. In a Corefile this is what stands for it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.shared.port.number()))
    }

    /// Behaves so from now on, over UDP and TCP.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.script.change(|script| {
            script.udp = behaviour.clone();
            script.tcp = behaviour;
        });
    }

    /// Behaves so from now on over one transport.
    pub fn behave_over(&self, transport: Transport, behaviour: Behaviour) {
        self.shared.script.change(|script| match transport {
            Transport::Udp => script.udp = behaviour,
            _ => script.tcp = behaviour,
        });
    }

    /// Knows these records from now on, and no others.
    ///
    /// # Panics
    ///
    /// A line is no record.
    #[track_caller]
    pub fn set_zone(&self, zone: &str) {
        let records = Record::parse_all(zone).unwrap_or_else(|error| panic!("{error}"));
        self.shared
            .script
            .change(|script| script.zone = ZoneData::new(records));
    }

    /// Sends the answers that [`Behaviour::held`] holds.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
    }

    /// Dies: closes its sockets and connections.
    pub fn stop(&self) {
        self.command(Command::Stop);
    }

    /// Comes back on the same port.
    pub fn revive(&self) {
        self.command(Command::Revive);
    }

    fn command(&self, command: impl FnOnce(std::sync::mpsc::Sender<()>) -> Command) {
        let (done, wait) = std::sync::mpsc::channel();
        let sent = self.commands.send(command(done));
        assert!(
            sent.is_ok() && wait.recv().is_ok(),
            "the upstream's thread has ended"
        );
    }

    /// How many queries came, answered or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.seen.read(Vec::len)
    }

    /// How many queries came over one transport.
    #[must_use]
    pub fn count_over(&self, transport: Transport) -> usize {
        let over = |seen: &Vec<Seen>| seen.iter().filter(|seen| seen.transport == transport).count();
        self.shared.seen.read(over)
    }

    /// The queries that came, the oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.read(Vec::clone)
    }

    /// The connections that came, the oldest first; none to an upstream that is asked in plain DNS.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.shared.sessions.read(Vec::clone)
    }

    /// Waits until so many queries have come, and gives all.
    ///
    /// # Panics
    ///
    /// Fewer have come after a minute.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        let enough = |seen: &Vec<Seen>| (seen.len() >= count).then(|| seen.clone());
        let seen = self.shared.seen.wait(PATIENCE, enough);
        seen.unwrap_or_else(|| panic!("waited in vain for {count} queries, {} came", self.count()))
    }

    /// Asks it directly.
    ///
    /// # Panics
    ///
    /// There is no answer in time, or it is malformed.
    #[track_caller]
    pub fn ask(&self, query: impl Into<crate::Query>) -> crate::Answer {
        let query = query.into();
        let wire = if query.transport() == Transport::Udp {
            let socket = std::net::UdpSocket::bind((query.source(), 0)).expect("a UDP socket");
            socket.connect(self.address()).expect("a way to the upstream");
            socket.send(&query.to_wire()).expect("a datagram to the upstream");
            crate::server::receive(&socket, query.patience())
        } else {
            let mut connection = crate::Connection::open(self.address());
            connection.send(&query);
            connection.receive_frame(query.patience())
        };
        let wire = wire.unwrap_or_else(|| panic!("no answer to {} from the upstream", query.question()));
        crate::Answer::from_wire(wire).expect("a well-formed answer")
    }
}

impl fmt::Display for Upstream {
    /// Its address, as Corefiles name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({self}, {} queries)", self.count())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // Its thread ends when nobody can tell it anything any more.
        let (closed, _) = mpsc::unbounded_channel();
        self.commands = closed;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests;
