//! Single queries on a socket of their own: health checks, and lookups of host names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{Instant, timeout_at};

use crate::error::Protocol;
use crate::group::{ProbeOptions, Target};
use crate::random;
use crate::wire::{self, Verdict};

/// How long a probe waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Datagrams that are none of the answer, before a probe gives up.
const FOREIGN_LIMIT: u32 = 64;

/// Asks an upstream whether it is there. Whatever it answers, it is.
pub(crate) async fn check(target: &Target, options: &ProbeOptions, source: Option<IpAddr>) -> io::Result<()> {
    let query = query(&options.name, TYPE_NS, options.recursion_desired);
    let protocol = if options.over_tcp {
        Protocol::Tcp
    } else {
        Protocol::Udp
    };
    ask(target.address, source, protocol, query, PROBE_TIMEOUT)
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
    server: SocketAddr,
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
            Protocol::Udp => ask_udp(server, source, &query).await,
            Protocol::Tcp => ask_tcp(server, source, &query).await,
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

async fn ask_tcp(server: SocketAddr, source: Option<IpAddr>, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = tcp_socket(server, source)?.connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(query);
    stream.write_all(&frame).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if is_reply(query, &answer) {
        Ok(answer)
    } else {
        Err(io::ErrorKind::InvalidData.into())
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
