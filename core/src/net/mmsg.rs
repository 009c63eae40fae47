//! Datagrams in batches: `recvmmsg` and `sendmmsg` behind a safe interface.
//!
//! Nearly all that a DNS server costs over UDP is the way into the kernel and back, so one system call takes up to
//! a whole batch. [`RecvBatch`] owns the memory that datagrams arrive in; [`SendBatch`] collects answers and sends
//! them in one go. Everything the kernel needs (headers, vectors, addresses, control messages) is laid out once,
//! when a batch is made; afterwards neither of them allocates.
//!
//! ```no_run
//! use catena_core::net::mmsg::{Family, RecvBatch, SendBatch};
//!
//! # fn main() -> std::io::Result<()> {
//! let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! let mut received = RecvBatch::new(64);
//! let mut answers = SendBatch::new(64, Family::of(&socket.local_addr()?));
//! received.recv_wait(&socket)?;
//! for datagram in received.iter() {
//!     if let Some(peer) = datagram.source {
//!         answers.push(datagram.bytes, peer, datagram.local);
//!     }
//! }
//! answers.send(&socket)?;
//! # Ok(())
//! # }
//! ```
//!
//! This module and its children are the only place with `unsafe` in Catena. What keeps it sound: all memory that the
//! kernel writes to belongs to a `Slab`, is only reached through its raw pointers, and lives as long as the headers
//! that point into it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

mod address;
mod recv;
mod send;
mod slab;
#[cfg(test)]
mod tests;

pub use address::Family;
pub use recv::{Datagram, RecvBatch};
pub use send::SendBatch;
use slab::Slab;

/// Datagrams in a batch unless told otherwise: beyond it a longer batch saves nothing that can be measured.
pub const DEFAULT_SLOTS: usize = 64;

/// What one UDP datagram can hold at most.
pub const MAX_DATAGRAM: usize = 65_535;

/// Socket options with an integer value that `socket2` does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Switch {
    /// Tells the address that an IPv4 datagram was sent to (`IP_PKTINFO`).
    PacketInfoV4,
    /// Tells the address that a datagram was sent to on an IPv6 socket, mapped IPv4 included (`IPV6_RECVPKTINFO`).
    PacketInfoV6,
    /// Ignores path MTU news for IPv4, which strangers can forge (`IP_MTU_DISCOVER` = `IP_PMTUDISC_OMIT`).
    OmitPathMtuV4,
    /// The same for IPv6 (`IPV6_MTU_DISCOVER` = `IPV6_PMTUDISC_OMIT`).
    OmitPathMtuV6,
    /// Counts the datagrams that found the receive buffer full (`SO_RXQ_OVFL`), see [`RecvBatch::overflows`].
    CountOverflows,
}

impl Switch {
    /// Sets the option on a socket.
    ///
    /// # Errors
    ///
    /// What `setsockopt` says: an old kernel does not know the option, or the socket is of another family.
    pub fn set(self, socket: impl AsFd) -> io::Result<()> {
        let (level, name, value) = match self {
            Self::PacketInfoV4 => (libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
            Self::PacketInfoV6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
            Self::OmitPathMtuV4 => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
            Self::OmitPathMtuV6 => (
                libc::IPPROTO_IPV6,
                libc::IPV6_MTU_DISCOVER,
                libc::IPV6_PMTUDISC_OMIT,
            ),
            Self::CountOverflows => (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1),
        };
        set_integer(socket, level, name, value)
    }
}

/// Asks for a receive buffer beyond `net.core.rmem_max` (`SO_RCVBUFFORCE`); only a privileged process may.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN`.
pub fn force_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_integer(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}

/// Makes each datagram that is sent through `socket` leave as several of `bytes` each (`UDP_SEGMENT`): one way through
/// the kernel for up to 64 datagrams of one size to one destination.
///
/// No use to a server, whose answers go to many clients; it lets a load generator outrun one.
///
/// # Errors
///
/// A kernel before 4.18 does not know it.
pub fn set_segment_size(socket: impl AsFd, bytes: u16) -> io::Result<()> {
    set_integer(socket, libc::SOL_UDP, libc::UDP_SEGMENT, libc::c_int::from(bytes))
}

fn set_integer(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel reads `length` bytes from
    // `value`, which is an integer of that size and outlives the call.
    let status = unsafe {
        let value = (&raw const value).cast();
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, value, length)
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
