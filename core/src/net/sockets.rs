//! Listening sockets, with the options that a DNS server wants.
//!
//! Each worker makes its own socket for an address and the kernel spreads the load over them (`SO_REUSEPORT`).
//! All sockets are non-blocking and closed on `exec`.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::mmsg::{Switch, force_receive_buffer};

/// What a UDP socket asks for as its receive buffer; the system may grant less.
///
/// The kernel's usual 208 KiB hold some 250 queries: a burst that a worker would clear in a millisecond.
pub const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Connections that may wait to be accepted; the system may grant less (`net.core.somaxconn`).
pub const TCP_BACKLOG: i32 = 1024;

/// Answers that wait in the kernel for a connection's client until it takes no more of them.
///
/// Left alone the kernel takes megabytes of answers for a client that reads none. What is on its way does not count, so
/// that this bounds memory and not the speed of transfers.
pub const TCP_UNSENT_BYTES: u32 = 64 * 1024;

/// A socket that could not be made.
///
/// It reads as operators of CoreDNS know it: `listen udp 127.0.0.1:53: bind: address already in use`.
#[derive(Debug, thiserror::Error)]
#[error("listen {network} {}: {step}: {}", Shown(*.address), lower_case(.cause))]
#[non_exhaustive]
pub struct ListenError {
    /// `udp` or `tcp`.
    pub network: &'static str,
    /// Where it should have listened.
    pub address: SocketAddr,
    /// The system call that failed.
    pub step: &'static str,
    /// What the system said.
    pub cause: io::Error,
}

/// Makes a UDP socket bound to `address`.
///
/// The wildcard `[::]` means all addresses, IPv4 as well; on a system without IPv6 it becomes `0.0.0.0`. Sockets on a
/// wildcard tell to which address a datagram was sent, so that the answer can leave from there.
///
/// # Errors
///
/// The address is in use or not of this machine, the port is privileged, or the system is out of descriptors.
pub fn udp(address: SocketAddr) -> Result<UdpSocket, ListenError> {
    let fail = |step, cause| ListenError {
        network: "udp",
        address,
        step,
        cause,
    };
    let (socket, address) =
        open(address, Type::DGRAM, Protocol::UDP).map_err(|cause| fail("socket", cause))?;
    // Not SO_REUSEADDR: for UDP it would let any program of this machine take datagrams over.
    socket
        .set_reuse_port(true)
        .map_err(|cause| fail("setsockopt", cause))?;
    if address.ip().is_unspecified() {
        packet_info(&socket, address).map_err(|cause| fail("setsockopt", cause))?;
    }
    tune(&socket, address);
    socket
        .bind(&SockAddr::from(address))
        .map_err(|cause| fail("bind", cause))?;
    Ok(socket.into())
}

/// Takes a UDP socket out of those among which the kernel spreads what comes to their address: from here on the others get
/// it, of this process or of another. What the socket holds can still be read, and answers can leave from it.
///
/// # Errors
///
/// The system cannot do it; then the socket gets datagrams until it is closed.
pub fn leave(socket: &UdpSocket) -> io::Result<()> {
    let mut nobody = socket.local_addr()?;
    if nobody.ip().is_unspecified() {
        nobody.set_ip(match nobody {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    // A connected socket gets what comes from its peer alone, and it is its own peer.
    socket.connect(nobody)
}

/// Makes a TCP socket that listens on `address`; wildcards are as for [`udp`].
///
/// # Errors
///
/// As for [`udp`].
pub fn tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let fail = |step, cause| ListenError {
        network: "tcp",
        address,
        step,
        cause,
    };
    let (socket, address) =
        open(address, Type::STREAM, Protocol::TCP).map_err(|cause| fail("socket", cause))?;
    // Connections inherit it. Without it they work as well, and hold more.
    let _ = socket.set_tcp_notsent_lowat(TCP_UNSENT_BYTES);
    // Connections of a server that was stopped a moment ago must not keep the next one from starting.
    socket
        .set_reuse_address(true)
        .map_err(|cause| fail("setsockopt", cause))?;
    socket
        .set_reuse_port(true)
        .map_err(|cause| fail("setsockopt", cause))?;
    socket
        .bind(&SockAddr::from(address))
        .map_err(|cause| fail("bind", cause))?;
    socket
        .listen(TCP_BACKLOG)
        .map_err(|cause| fail("listen", cause))?;
    Ok(socket.into())
}

/// The addresses of the interface `name`, with `port`; none if there is no such interface.
///
/// # Errors
///
/// The system does not tell its interfaces.
pub fn interface_addresses(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let found = interfaces.into_iter().filter(|interface| interface.name == name);
    Ok(found
        .map(|interface| {
            let mut address = SocketAddr::new(interface.ip(), port);
            // A link-local address means nothing without its link.
            if let SocketAddr::V6(v6) = &mut address
                && v6.ip().is_unicast_link_local()
            {
                v6.set_scope_id(interface.index.unwrap_or(0));
            }
            address
        })
        .collect())
}

/// Opens a socket; a wildcard may come back as that of IPv4.
fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<(Socket, SocketAddr)> {
    let wildcard = address.is_ipv6() && address.ip().is_unspecified();
    let opened = Socket::new(Domain::for_address(address), kind, Some(protocol)).and_then(|socket| {
        if address.is_ipv6() {
            socket.set_only_v6(!wildcard)?;
        }
        if wildcard && !has_ipv6() {
            return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
        }
        Ok((socket, address))
    });
    let (socket, address) = match opened {
        Err(_) if wildcard => {
            let fallback = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            (Socket::new(Domain::IPV4, kind, Some(protocol))?, fallback)
        }
        other => other?,
    };
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// Whether IPv6 works at all: with `ipv6.disable=1` sockets cannot be made, with `disable_ipv6=1` on all interfaces
/// they can be made but not bound.
fn has_ipv6() -> bool {
    let probe = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))
        .and_then(|socket| socket.bind(&SockAddr::from(probe)))
        .is_ok()
}

fn packet_info(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        Switch::PacketInfoV6.set(socket)
    } else {
        Switch::PacketInfoV4.set(socket)
    }
}

/// Options that make a socket better, and without which it works all the same.
fn tune(socket: &Socket, address: SocketAddr) {
    if force_receive_buffer(socket, RECEIVE_BUFFER_BYTES).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    }
    // A forged "fragmentation needed" must not make answers fragment, which helps cache poisoning.
    let _ = Switch::OmitPathMtuV4.set(socket);
    if address.is_ipv6() {
        let _ = Switch::OmitPathMtuV6.set(socket);
    }
    let _ = Switch::CountOverflows.set(socket);
}

/// An address as Go prints it: the wildcard of both families is nothing but a port.
struct Shown(SocketAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => write!(f, ":{}", v6.port()),
            other => write!(f, "{other}"),
        }
    }
}

/// The system's words for an error, as Go prints them: "address already in use".
fn lower_case(cause: &io::Error) -> String {
    let text = cause.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        // Abbreviations keep their capitals.
        Some(first) if !chars.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn an_address_in_use_is_told_as_go_tells_it() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = udp(address).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("listen udp {address}: bind: address already in use")
        );

        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = tcp(address).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("listen tcp {address}: bind: address already in use")
        );
    }

    #[test]
    fn a_foreign_address_is_told_as_go_tells_it() {
        let error = udp("192.0.2.77:5353".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(
            error,
            "listen udp 192.0.2.77:5353: bind: cannot assign requested address"
        );
    }

    #[test]
    fn the_wildcard_is_shown_as_its_port() {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 53));
        let cause = io::Error::from_raw_os_error(libc::EACCES);
        let error = ListenError {
            network: "tcp",
            address,
            step: "bind",
            cause,
        };
        assert_eq!(error.to_string(), "listen tcp :53: bind: permission denied");
    }

    #[test]
    fn workers_share_an_address() {
        let first = udp("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = udp(first.local_addr().unwrap()).unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
        let first = tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = tcp(first.local_addr().unwrap()).unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
    }

    #[test]
    fn a_socket_that_leaves_gets_nothing_more_and_answers_what_it_has() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let first = udp(address.parse().unwrap()).unwrap();
            let at = first.local_addr().unwrap();
            let target = SocketAddr::from((Ipv4Addr::LOCALHOST, at.port()));
            let client = || {
                let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                client.send_to(b"query", target).unwrap();
                client
            };
            let early = client();
            let second = udp(at).unwrap();
            leave(&first).unwrap();
            let mut buffer = [0; 16];
            for _ in 0..32 {
                client();
                assert_eq!(second.recv(&mut buffer).unwrap(), 5, "{address}");
            }
            let (length, peer) = first.recv_from(&mut buffer).unwrap();
            assert_eq!(length, 5);
            first.send_to(b"answer", peer).unwrap();
            assert_eq!(early.recv(&mut buffer).unwrap(), 6, "{address}");
            assert!(first.recv(&mut buffer).is_err(), "{address}");
        }
    }

    #[test]
    fn the_wildcard_takes_connections_of_both_families() {
        let listener = tcp("[::]:0".parse().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let port = listener.local_addr().unwrap().port();
        for target in both_families() {
            let _client = std::net::TcpStream::connect((target, port)).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip().to_canonical(), target);
        }
    }

    #[test]
    fn one_ipv6_address_leaves_ipv4_alone() {
        if !has_ipv6() {
            return;
        }
        let listener = tcp("[::1]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn the_receive_buffer_is_larger_than_usual() {
        let plain = Socket::from(UdpSocket::bind("127.0.0.1:0").unwrap())
            .recv_buffer_size()
            .unwrap();
        let tuned = Socket::from(udp("127.0.0.1:0".parse().unwrap()).unwrap())
            .recv_buffer_size()
            .unwrap();
        assert!(tuned >= plain, "{tuned} is below the default {plain}");
    }

    #[test]
    fn the_loopback_interface_has_its_address() {
        let addresses = interface_addresses("lo", 53).unwrap();
        assert!(
            addresses.contains(&SocketAddr::from((Ipv4Addr::LOCALHOST, 53))),
            "{addresses:?}"
        );
        assert!(interface_addresses("no-such-interface", 53).unwrap().is_empty());
    }

    fn both_families() -> Vec<std::net::IpAddr> {
        let mut targets = vec![Ipv4Addr::LOCALHOST.into()];
        if has_ipv6() {
            targets.push(Ipv6Addr::LOCALHOST.into());
        }
        targets
    }
}
