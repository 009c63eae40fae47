//! A client that asks over any transport, and says what comes back in place of an answer.

mod http;
mod streams;
mod trust;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::answer::Answer;
use crate::over::Over;
use crate::query::{PATIENCE, Query};
use crate::wait::block_on;

pub use trust::Trust;

use http::{Http1, Http2, Http3};
use streams::{Datagrams, Doq, Frames};

/// A connection to a server, over any transport.
///
/// It is kept open until this is dropped. Clones are the same connection, and threads may ask over it at the same time:
/// over QUIC and HTTP/2 all at once, over others one after the other.
///
/// ```
/// use catena_testkit::{Over, RECORDS, TestServer};
///
/// let server = TestServer::start([RECORDS], "
///     grpc://example.org:@PORT@ {
///         records {
///             a.example.org. 60 IN A 192.0.2.1
///         }
///     }");
/// // Without a certificate, calls go in the clear.
/// let client = server.client(Over::Grpc);
/// client.ask("a.example.org. A").assert_answer(["a.example.org. 60 IN A 192.0.2.1"]);
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    over: Over,
    way: Way,
    session: Session,
}

enum Way {
    Datagrams(Datagrams),
    Frames(Frames),
    Http1(Http1),
    Http2(Http2),
    Http3(Http3),
    Doq(Doq),
}

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// A DNS message.
    Message(Vec<u8>),
    /// Nothing, in the time that the client had for it.
    Silence,
    /// The end of the connection, or of the stream.
    Closed,
    /// The end of a QUIC connection with this code.
    QuicClosed(u64),
    /// The end of a stream of QUIC or HTTP with this code.
    Reset(u64),
    /// HTTP's status, where it is not 200.
    HttpStatus(u16),
    /// gRPC's status, where it is not 0.
    GrpcStatus(u32),
}

impl Reply {
    /// The message, if it is one.
    #[must_use]
    pub fn message(&self) -> Option<&[u8]> {
        match self {
            Self::Message(wire) => Some(wire),
            _ => None,
        }
    }
}

/// What a client knows of its connection.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Session {
    /// TLS is spoken.
    pub encrypted: bool,
    /// An earlier session was gone on with. Not told of QUIC.
    pub resumed: bool,
    /// The protocol that was negotiated.
    pub application_protocol: Option<Vec<u8>>,
    /// The server's own certificate, in DER form.
    pub certificate: Option<Vec<u8>>,
    /// Whether the server took early data; nothing if none was offered, which only QUIC does.
    pub early_data_accepted: Option<bool>,
    /// What the server has sent until the handshake was done, in bytes. Told of QUIC alone, where nothing else shows whether
    /// a session was resumed.
    pub handshake_bytes: Option<u64>,
    /// The client's own address.
    pub local: Option<SocketAddr>,
}

/// How a [`Client`] connects.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    address: SocketAddr,
    over: Over,
    trust: Option<Trust>,
    source: IpAddr,
}

impl ClientBuilder {
    /// Speaks TLS, with this trust. Without it, what may go in the clear does.
    #[must_use]
    pub fn trusting(mut self, trust: &Trust) -> Self {
        self.trust = Some(trust.clone());
        self
    }

    /// Comes from this address.
    #[must_use]
    pub fn from_address(mut self, source: IpAddr) -> Self {
        self.source = source;
        self
    }

    /// Connects.
    ///
    /// # Panics
    ///
    /// The connection does not come about.
    #[track_caller]
    #[must_use]
    pub fn open(self) -> Client {
        let over = self.over;
        self.try_open()
            .unwrap_or_else(|error| panic!("no connection over {}: {error}", over.word()))
    }

    /// Connects, or says why there is no connection.
    ///
    /// # Errors
    ///
    /// What the system or the server says about it, in words.
    pub fn try_open(self) -> Result<Client, String> {
        on_runtime(async move {
            tokio::time::timeout(PATIENCE, self.connect())
                .await
                .unwrap_or_else(|_| Err("not within a minute".to_owned()))
        })
    }

    async fn connect(self) -> Result<Client, String> {
        let (address, over) = (self.address, self.over);
        let mut session = Session::default();
        let way = match over {
            Over::Udp => Way::Datagrams(Datagrams::open(address, self.source, &mut session).await?),
            Over::Quic | Over::Https3 | Over::Https3Get => {
                let trust = self.trust.ok_or_else(|| format!("{} needs TLS", over.word()))?;
                let (endpoint, connection) =
                    streams::connect_quic(address, self.source, over, &trust, &mut session).await?;
                if over == Over::Quic {
                    Way::Doq(Doq::new(endpoint, connection))
                } else {
                    Way::Http3(Http3::open(endpoint, connection, over, &trust).await?)
                }
            }
            _ => {
                let stream =
                    streams::connect_tcp(address, self.source, over, self.trust.as_ref(), &mut session)
                        .await?;
                match over {
                    Over::Tcp | Over::Tls => Way::Frames(Frames::new(stream)),
                    Over::Http1 | Over::Http1Get => Way::Http1(Http1::new(stream, over)),
                    _ => Way::Http2(Http2::open(stream, over, self.trust.is_some()).await?),
                }
            }
        };
        let inner = Arc::new(Inner { over, way, session });
        Ok(Client { inner })
    }
}

impl Client {
    /// A client of this server.
    #[must_use]
    pub fn builder(address: SocketAddr, over: Over) -> ClientBuilder {
        ClientBuilder {
            address,
            over,
            trust: None,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Panics
    ///
    /// Something else comes back, nothing comes within a minute, or it is malformed.
    #[track_caller]
    pub fn ask(&self, query: impl Into<Query>) -> Answer {
        let query = query.into();
        match self.send(&self.wire_of(&query)) {
            Reply::Message(wire) => Answer::from_wire(wire).expect("a well-formed answer"),
            other => panic!(
                "{other:?} to {} over {}",
                query.question(),
                self.inner.over.word()
            ),
        }
    }

    /// The query's bytes; over QUIC with the id 0, as RFC 9250 demands.
    pub(crate) fn wire_of(&self, query: &Query) -> Vec<u8> {
        let mut wire = query.to_wire();
        if self.inner.over == Over::Quic && !query.is_raw() {
            wire[..2].fill(0);
        }
        wire
    }

    /// Sends a message, whatever it is, and gives what comes back within a minute.
    #[must_use]
    pub fn send(&self, wire: &[u8]) -> Reply {
        self.send_within(wire, PATIENCE)
    }

    /// Sends a message, and gives what comes back within this time.
    #[must_use]
    pub fn send_within(&self, wire: &[u8], patience: Duration) -> Reply {
        let (this, wire) = (self.clone(), wire.to_vec());
        on_runtime(async move {
            tokio::time::timeout(patience, this.exchange(&wire))
                .await
                .unwrap_or(Reply::Silence)
        })
    }

    /// Sends a message and does not wait, in datagrams, over TCP or TLS; what comes back is in the way of later answers.
    ///
    /// # Panics
    ///
    /// The transport is another, or the connection is closed.
    #[track_caller]
    pub fn send_ahead(&self, wire: &[u8]) {
        let (this, wire) = (self.clone(), wire.to_vec());
        let sent = on_runtime(async move {
            match &this.inner.way {
                Way::Datagrams(way) => way.send(&wire).await,
                Way::Frames(way) => way.send(&wire).await,
                _ => panic!("{this:?} sends nothing ahead"),
            }
        });
        sent.expect("an open connection");
    }

    /// Sends messages at the same time, and gives what comes back, in their order. Over transports that do one after the
    /// other, so does this.
    #[must_use]
    pub fn send_all(&self, messages: &[Vec<u8>]) -> Vec<Reply> {
        let this = self.clone();
        let messages = messages.to_vec();
        on_runtime(async move {
            let tasks: Vec<_> = messages
                .into_iter()
                .map(|wire| {
                    let this = this.clone();
                    tokio::spawn(async move {
                        tokio::time::timeout(PATIENCE, this.exchange(&wire))
                            .await
                            .unwrap_or(Reply::Silence)
                    })
                })
                .collect();
            let mut replies = Vec::new();
            for task in tasks {
                replies.push(task.await.expect("a task that does not panic"));
            }
            replies
        })
    }

    async fn exchange(&self, wire: &[u8]) -> Reply {
        match &self.inner.way {
            Way::Datagrams(way) => way.exchange(wire).await,
            Way::Frames(way) => way.exchange(wire).await,
            Way::Http1(way) => way.exchange(wire).await,
            Way::Http2(way) => way.exchange(wire).await,
            Way::Http3(way) => way.exchange(wire).await,
            Way::Doq(way) => way.exchange(wire).await,
        }
    }

    /// What the client knows of its connection.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.inner.session
    }

    /// Waits until the server has closed the connection.
    ///
    /// # Panics
    ///
    /// It is open after a minute, or it is none that the server can close.
    #[track_caller]
    pub fn assert_closed(&self) {
        let this = self.clone();
        let closed = on_runtime(async move {
            let closed = async {
                match &this.inner.way {
                    Way::Datagrams(_) => panic!("datagrams have no connection"),
                    Way::Frames(way) => way.closed().await,
                    Way::Http1(way) => way.closed().await,
                    Way::Http2(way) => way.closed().await,
                    Way::Http3(way) => way.closed().await,
                    Way::Doq(way) => way.closed().await,
                }
            };
            tokio::time::timeout(PATIENCE, closed).await.is_ok()
        });
        assert!(closed, "the connection is still open");
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.inner.over.word())
    }
}

/// The runtime of all clients, on a thread of its own: connections live on while no test thread waits.
fn runtime() -> &'static Handle {
    static RUNTIME: OnceLock<Handle> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("clients".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .expect("a thread");
        handle
    })
}

fn on_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match block_on(runtime().spawn(work)) {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests;
