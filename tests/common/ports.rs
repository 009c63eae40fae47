//! Free ports that stay free for one test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use catena::net::sockets;

/// Ports are held on an address that nobody asks: servers share ports (SO_REUSEPORT) and would not notice each other.
const HOLDER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 53, 53, 53));

/// Below the ports that systems choose for outgoing sockets.
const FIRST: u16 = 12_000;
const COUNT: u16 = 8_000;

/// A port, for UDP and TCP, that no other test gets.
pub struct Port {
    pub number: u16,
    _holders: (UdpSocket, TcpListener),
}

impl Port {
    pub fn any() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = (std::process::id() * 53 % u32::from(COUNT)) as u16;
        (0..COUNT)
            .find_map(|_| {
                let step = NEXT.fetch_add(1, Ordering::Relaxed);
                Self::hold(FIRST + (start + step) % COUNT)
            })
            .expect("a free port")
    }

    fn hold(number: u16) -> Option<Self> {
        for ip in [HOLDER, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let address = SocketAddr::new(ip, number);
            for result in [
                UdpSocket::bind(address).map(drop),
                TcpListener::bind(address).map(drop),
            ] {
                if result.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse) {
                    return None;
                }
            }
        }
        let address = SocketAddr::new(HOLDER, number);
        Some(Self {
            number,
            _holders: (sockets::udp(address).ok()?, sockets::tcp(address).ok()?),
        })
    }
}
