//! Single queries on a socket of their own: health checks, and lookups of host names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use std::task::Waker;

use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{Instant, timeout_at};

use crate::connection::{self, End, Outgoing, Queries, Stage};
use crate::error::{Failure, Protocol};
use crate::group::ProbeOptions;
use crate::random;
use crate::target::Target;
use crate::wire::{self, Verdict};

/// How long a probe waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Datagrams that are none of the answer, before a probe gives up.
const FOREIGN_LIMIT: u32 = 64;

/// Asks an upstream whether it is there, in the way in which it is asked otherwise. Whatever it answers, it is.
pub(crate) async fn check(target: &Target, options: &ProbeOptions, source: Option<IpAddr>) -> io::Result<()> {
    let query = query(&options.name, TYPE_NS, options.recursion_desired);
    let protocol = match target.protocol() {
        Some(protocol) => protocol,
        None if options.over_tcp => Protocol::Tcp,
        None => Protocol::Udp,
    };
    ask(target, source, protocol, query, PROBE_TIMEOUT)
        .await
        .map(|_| ())
}

/// A query for a name in wire format.
pub(crate) fn query(name: &[u8], qtype: u16, recursion_desired: bool) -> Vec<u8> {
    let mut query = vec![0, 0, u8::from(recursion_desired), 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(name);
    query.extend_from_slice(&qtype.to_be_bytes());
    query.extend_from_slice(&CLASS_IN.to_be_bytes());
    query
}

/// Sends a query with a fresh id from a fresh port, and gives back the answer.
pub(crate) async fn ask(
    target: &Target,
    source: Option<IpAddr>,
    protocol: Protocol,
    mut query: Vec<u8>,
    timeout: Duration,
) -> io::Result<Vec<u8>> {
    let id = random::bits16().map_err(io::Error::other)?;
    query[..2].copy_from_slice(&id.to_be_bytes());
    let deadline = Instant::now() + timeout;
    let asked = async {
        match protocol {
            Protocol::Udp => ask_udp(target.address, source, &query).await,
            _ => ask_on_connection(target, source, &query).await,
        }
    };
    timeout_at(deadline, asked)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn ask_udp(server: SocketAddr, source: Option<IpAddr>, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind(local_address(server, source)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 65_535];
    for _ in 0..FOREIGN_LIMIT {
        let length = socket.recv(&mut buffer).await?;
        if is_reply(query, &buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

async fn ask_on_connection(target: &Target, source: Option<IpAddr>, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut single = Single::new(query)?;
    let end = connection::run(target, source, &mut single).await;
    if let Some(answer) = single.answer {
        return Ok(answer);
    }
    Err(match end {
        End::Dial(fault) | End::Broken(fault) => io::Error::other(fault.cause),
        End::Closed => single
            .failure
            .unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()),
    })
}

/// One query that has a connection for itself.
struct Single<'q> {
    query: &'q [u8],
    frame: Vec<u8>,
    answer: Option<Vec<u8>>,
    failure: Option<io::Error>,
}

impl<'q> Single<'q> {
    fn new(query: &'q [u8]) -> io::Result<Self> {
        let length = u16::try_from(query.len()).map_err(io::Error::other)?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend_from_slice(query);
        Ok(Self {
            query,
            frame,
            answer: None,
            failure: None,
        })
    }
}

impl Queries for Single<'_> {
    fn take(&mut self, outgoing: &mut Outgoing, _: &Waker) -> bool {
        if outgoing.frames.is_empty() {
            std::mem::swap(&mut outgoing.frames, &mut self.frame);
        }
        self.failure.is_none()
    }

    fn give_back(&mut self, _: &[u8]) {}

    fn reached(&mut self, _: Stage, _: Option<SocketAddr>) {}

    fn one_at_a_time(&mut self, _: bool) {}

    fn secured(&mut self, _: bool) {}

    fn deliver(&mut self, frames: &[u8]) -> Option<usize> {
        let (length, rest) = frames
            .split_first_chunk::<2>()
            .map_or((0, frames), |(length, rest)| {
                (usize::from(u16::from_be_bytes(*length)), rest)
            });
        let Some(message) = rest.get(..length).filter(|message| !message.is_empty()) else {
            return Some(0);
        };
        if is_reply(self.query, message) {
            self.answer = Some(message.to_vec());
        } else {
            self.failure = Some(io::ErrorKind::InvalidData.into());
        }
        None
    }

    fn fail(&mut self, failed: &mut Vec<(u16, Failure)>) {
        failed.clear();
        self.failure = Some(io::ErrorKind::InvalidData.into());
    }
}

fn is_reply(query: &[u8], message: &[u8]) -> bool {
    let question_end = query.len();
    wire::response_id(message).is_some_and(|id| id.to_be_bytes() == query[..2])
        && wire::judge(query, question_end, message) != Verdict::Foreign
}

/// A TCP socket for a connection to `server`.
pub(crate) fn tcp_socket(server: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpSocket> {
    let socket = if server.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    if source.is_some() {
        socket.bind(local_address(server, source))?;
    }
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Where a socket is bound that speaks to `server`. Port 0 lets the system choose one at random among those that the
/// administrator lets it use.
pub(crate) fn local_address(server: SocketAddr, source: Option<IpAddr>) -> SocketAddr {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(source.unwrap_or(any), 0)
}

const TYPE_NS: u16 = 2;
const CLASS_IN: u16 = 1;
