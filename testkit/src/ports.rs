//! Ports that are free, and stay so for this test.
//!
//! Servers listen with SO_REUSEPORT, so two of them on one port would not notice each other and share the queries.
//! A port is therefore held by sockets on an address of its own, which keep everybody else's choice away from it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Where ports are held: an address of the loopback network that nobody asks.
const HOLDER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 53, 53, 53));

/// Below the ports that systems choose for outgoing sockets.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Tries before the machine is taken to be out of ports.
const TRIES: usize = 500;

/// A port, for UDP and TCP, that no other test gets.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _holders: [Socket; 2],
}

impl Port {
    /// Any free port.
    pub(crate) fn any() -> Self {
        (0..TRIES)
            .find_map(|_| Self::hold(random_number()).ok())
            .expect("a free port between 20000 and 32000")
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    fn hold(number: u16) -> io::Result<Self> {
        let holders = [
            bound(HOLDER, number, Type::DGRAM)?,
            bound(HOLDER, number, Type::STREAM)?,
        ];
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            for kind in [Type::DGRAM, Type::STREAM] {
                match bound(ip, number, kind) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                    // On a machine without IPv6 there is nothing to be in the way.
                    Ok(_) | Err(_) => {}
                }
            }
        }
        // From here on a server with SO_REUSEPORT may bind beside the holders; another `hold` may not.
        for holder in &holders {
            holder.set_reuse_port(true)?;
        }
        Ok(Self {
            number,
            _holders: holders,
        })
    }
}

fn bound(ip: IpAddr, port: u16, kind: Type) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, port);
    let protocol = if kind == Type::DGRAM {
        Protocol::UDP
    } else {
        Protocol::TCP
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Connections of a test that ended a moment ago do not count.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn random_number() -> u16 {
    RANGE.start + random_u16() % (RANGE.end - RANGE.start)
}

/// A number that no other test can guess.
pub(crate) fn random_u16() -> u16 {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).expect("the system's random numbers");
    u16::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::net::sockets;

    #[test]
    fn a_held_port_can_be_served_on_but_not_held_again() {
        let port = Port::any();
        let wildcard = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port.number());
        let udp = sockets::udp(wildcard).expect("a UDP socket on the held port");
        let tcp = sockets::tcp(wildcard).expect("a TCP socket on the held port");
        assert!(Port::hold(port.number()).is_err());
        drop((port, udp, tcp));
    }

    #[test]
    fn a_port_that_somebody_serves_is_not_taken() {
        let port = Port::any();
        let served = sockets::udp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.number()));
        let number = port.number();
        drop(port);
        assert!(Port::hold(number).is_err());
        drop(served);
        assert!(Port::hold(number).is_ok());
    }
}
