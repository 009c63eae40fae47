//! Socket addresses and control messages in the kernel's form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::slab::Plain;

/// The family of a socket, which decides the form of the addresses it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "IP has these two")]
pub enum Family {
    /// An IPv4 socket.
    V4,
    /// An IPv6 socket; a dual-stack one carries IPv4 addresses in mapped form.
    V6,
}

impl Family {
    /// The family of a socket that is bound to `address`.
    pub fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Room for an IPv4 or IPv6 socket address, a quarter of `sockaddr_storage`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

// SAFETY: a union of C structures of integers.
unsafe impl Plain for Name {}

impl Name {
    pub(super) const CAPACITY: libc::socklen_t = size_of::<Self>() as libc::socklen_t;

    /// Reads the address, IPv4 in its own form also where it came mapped.
    pub(super) fn to_address(self, len: libc::socklen_t) -> Option<SocketAddr> {
        let len = len as usize;
        if len < size_of::<libc::sa_family_t>() {
            return None;
        }
        // SAFETY: all variants begin with the family, all bit patterns are valid integers, and the memory was zeroed
        // before the kernel wrote to it.
        let family = libc::c_int::from(unsafe { self.family });
        match family {
            libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
                // SAFETY: as above, and the family says that this variant was written.
                let raw = unsafe { self.v4 };
                let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
                Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(raw.sin_port))))
            }
            libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
                // SAFETY: as above.
                let raw = unsafe { self.v6 };
                let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let port = u16::from_be(raw.sin6_port);
                Some(match ip.to_ipv4_mapped() {
                    Some(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
                    None => SocketAddr::V6(SocketAddrV6::new(ip, port, raw.sin6_flowinfo, raw.sin6_scope_id)),
                })
            }
            _ => None,
        }
    }

    /// The address as a socket of `family` takes it, and its length.
    pub(super) fn from_address(address: SocketAddr, family: Family) -> (Self, libc::socklen_t) {
        match (address, family) {
            (SocketAddr::V4(v4), Family::V4) => Self::new_v4(v4),
            (SocketAddr::V4(v4), Family::V6) => {
                Self::new_v6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
            }
            // On an IPv4 socket the kernel refuses it, and the batch counts that.
            (SocketAddr::V6(v6), _) => Self::new_v6(v6),
        }
    }

    fn new_v4(address: SocketAddrV4) -> (Self, libc::socklen_t) {
        let v4 = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: in_addr(*address.ip()),
            sin_zero: [0; 8],
        };
        (Self { v4 }, size_of::<libc::sockaddr_in>() as libc::socklen_t)
    }

    fn new_v6(address: SocketAddrV6) -> (Self, libc::socklen_t) {
        let v6 = libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: address.port().to_be(),
            sin6_flowinfo: address.flowinfo(),
            sin6_addr: in6_addr(*address.ip()),
            sin6_scope_id: address.scope_id(),
        };
        (Self { v6 }, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
    }
}

/// Room for the control messages of one datagram: packet information and the count of overflows.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(super) struct Control([u8; Self::CAPACITY]);

// SAFETY: bytes.
unsafe impl Plain for Control {}

impl Control {
    pub(super) const CAPACITY: usize = 64;
}

/// What the control messages of a received datagram said.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) local: Option<IpAddr>,
    pub(super) overflows: Option<u32>,
}

/// Reads the control messages of a header that `recvmmsg` filled.
///
/// # Safety
///
/// `msg_control` and `msg_controllen` of the header describe memory that the kernel has filled with control messages
/// and that nobody writes to meanwhile.
pub(super) unsafe fn read_notes(header: &libc::msghdr) -> Notes {
    let mut notes = Notes::default();
    // SAFETY: the caller vouches for the header's control memory; CMSG_FIRSTHDR and CMSG_NXTHDR stay inside it and give
    // null at its end. Data is read unaligned and only when the message is long enough to hold it.
    unsafe {
        let mut current = libc::CMSG_FIRSTHDR(header);
        while let Some(cmsg) = current.as_ref() {
            let data = libc::CMSG_DATA(cmsg);
            // Compared as u64, for the field is narrower with other C libraries.
            let holds =
                |bytes: usize| cmsg.cmsg_len as u64 >= u64::from(libc::CMSG_LEN(bytes as libc::c_uint));
            match (cmsg.cmsg_level, cmsg.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if holds(size_of::<libc::in_pktinfo>()) => {
                    // The local address to answer from: of a broadcast, that is not the one it was sent to.
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    notes.local = Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if holds(size_of::<libc::in6_pktinfo>()) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    notes.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical());
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) if holds(size_of::<u32>()) => {
                    notes.overflows = Some(data.cast::<u32>().read_unaligned());
                }
                _ => {}
            }
            current = libc::CMSG_NXTHDR(header, cmsg);
        }
    }
    notes
}

/// Writes the control message that makes a datagram leave from `local`; returns its length.
///
/// # Safety
///
/// `control` is good for writing.
pub(super) unsafe fn write_source(control: *mut Control, local: IpAddr, family: Family) -> usize {
    match (local, family) {
        (IpAddr::V4(ip), Family::V4) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr(ip),
                ipi_addr: in_addr(UNSET),
            };
            // SAFETY: passed on from the caller.
            unsafe { write_message(control, libc::IPPROTO_IP, libc::IP_PKTINFO, info) }
        }
        (IpAddr::V4(ip), Family::V6) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: in6_addr(ip.to_ipv6_mapped()),
                ipi6_ifindex: 0,
            };
            // SAFETY: passed on from the caller.
            unsafe { write_message(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info) }
        }
        (IpAddr::V6(ip), _) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: in6_addr(ip),
                ipi6_ifindex: 0,
            };
            // SAFETY: passed on from the caller.
            unsafe { write_message(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info) }
        }
    }
}

/// Writes one control message to the start of `control`; returns the bytes it takes.
///
/// # Safety
///
/// `control` is good for writing.
unsafe fn write_message<T>(control: *mut Control, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
    let size = size_of::<T>() as libc::c_uint;
    // SAFETY: CMSG_SPACE and CMSG_LEN only compute.
    let (space, length) = unsafe { (libc::CMSG_SPACE(size) as usize, libc::CMSG_LEN(size) as usize) };
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<T>() <= Control::CAPACITY) };
    // SAFETY: `control` is aligned for a header and, as asserted above, has room for it and the data behind it.
    unsafe {
        let header = control.cast::<libc::cmsghdr>();
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = length as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(data);
    }
    space
}

fn in_addr(ip: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from(ip).to_be(),
    }
}

fn in6_addr(ip: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr { s6_addr: ip.octets() }
}

const UNSET: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
