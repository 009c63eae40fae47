//! Receiving a batch.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use super::address::{Control, Name, read_notes};
use super::{MAX_DATAGRAM, Slab};

/// Memory for a batch of datagrams, and what the kernel said of each.
///
/// Use one for each socket: [`overflows`](Self::overflows) belongs to the socket last received from.
pub struct RecvBatch {
    headers: Slab<libc::mmsghdr>,
    // The headers point into the following; nothing reads them but through the headers' slots.
    names: Slab<Name>,
    controls: Slab<Control>,
    bytes: Slab<u8>,
    vectors: Slab<libc::iovec>,
    stride: usize,
    /// Slots that hold a datagram now, and whose lengths the kernel has overwritten.
    filled: usize,
    overflows: u32,
}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Datagram<'a> {
    /// What it says.
    pub bytes: &'a [u8],
    /// Who sent it; none on a socket that does not tell (not IP). IPv4 in its own form also on dual-stack sockets.
    pub source: Option<SocketAddr>,
    /// The address it was sent to, if the socket was asked to tell ([`Switch::PacketInfoV4`](super::Switch)).
    pub local: Option<IpAddr>,
    /// It was longer than a slot, so `bytes` is only its beginning.
    pub truncated: bool,
}

impl RecvBatch {
    /// Room for `slots` datagrams of any size.
    ///
    /// It takes 64 KiB of address space a slot, and of memory what was once used of it.
    pub fn new(slots: usize) -> Self {
        Self::with_slot_size(slots, MAX_DATAGRAM)
    }

    /// Room for `slots` datagrams of up to `bytes` each; longer ones arrive truncated.
    pub fn with_slot_size(slots: usize, bytes: usize) -> Self {
        let slots = slots.clamp(1, libc::UIO_MAXIOV as usize);
        let size = bytes.clamp(1, MAX_DATAGRAM);
        // An odd number of cache lines: with slots at multiples of a page, the datagrams of a batch would all fall into
        // the same few sets of the processor's cache.
        let stride = (size.div_ceil(CACHE_LINE) | 1) * CACHE_LINE;
        let batch = Self {
            headers: Slab::zeroed(slots),
            names: Slab::zeroed(slots),
            controls: Slab::zeroed(slots),
            bytes: Slab::zeroed(slots * stride),
            vectors: Slab::zeroed(slots),
            stride,
            filled: slots,
            overflows: 0,
        };
        for slot in 0..slots {
            batch.prepare(slot, size);
        }
        batch
    }

    /// Points a slot's header to its parts.
    fn prepare(&self, slot: usize, size: usize) {
        let vector = self.vectors.at(slot);
        let header = self.headers.at(slot);
        // SAFETY: both pointers are good for writing, and nobody else has them yet.
        unsafe {
            (*vector).iov_base = self.bytes.at(slot * self.stride).cast();
            (*vector).iov_len = size;
            (*header).msg_hdr.msg_iov = vector;
            (*header).msg_hdr.msg_iovlen = 1;
            (*header).msg_hdr.msg_name = self.names.at(slot).cast();
            (*header).msg_hdr.msg_control = self.controls.at(slot).cast();
        }
    }

    /// Takes what is there, up to the batch's size, and returns how many datagrams that were.
    ///
    /// Never waits. What was received before is gone.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is nothing, and whatever else `recvmmsg` says: on a connected
    /// socket also `ECONNREFUSED` for a datagram that was sent earlier.
    pub fn recv(&mut self, socket: impl AsFd) -> io::Result<usize> {
        self.receive(socket, libc::MSG_DONTWAIT)
    }

    /// As [`recv`](Self::recv), but on a blocking socket waits for the first datagram, or for the socket's read timeout.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv); `WouldBlock` tells that the timeout passed.
    pub fn recv_wait(&mut self, socket: impl AsFd) -> io::Result<usize> {
        self.receive(socket, libc::MSG_WAITFORONE)
    }

    fn receive(&mut self, socket: impl AsFd, flags: libc::c_int) -> io::Result<usize> {
        self.reset();
        let count = loop {
            // SAFETY: `headers` holds as many headers as is said, and each points to a name, a control buffer and a vector
            // with one slice of `bytes` that live as long as `self`, do not overlap, and have the lengths that `prepare` and
            // `reset` set. `&mut self` keeps everybody else away during the call.
            let status = unsafe {
                libc::recvmmsg(
                    socket.as_fd().as_raw_fd(),
                    self.headers.at(0),
                    self.headers.len() as libc::c_uint,
                    flags as _,
                    std::ptr::null_mut(),
                )
            };
            match usize::try_from(status) {
                Ok(count) => break count,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        };
        self.filled = count.min(self.headers.len());
        Ok(self.filled)
    }

    /// Gives the headers of the last batch their full lengths back, which the kernel has overwritten.
    fn reset(&mut self) {
        for slot in 0..self.filled {
            // SAFETY: the pointer is good, and `&mut self` makes it ours alone.
            unsafe {
                let header = &mut (*self.headers.at(slot)).msg_hdr;
                header.msg_namelen = Name::CAPACITY;
                header.msg_controllen = Control::CAPACITY as _;
                header.msg_flags = 0;
            }
        }
        self.filled = 0;
    }

    /// How many datagrams the last call received.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether the last call received nothing.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// How many datagrams fit.
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// The datagram in slot `index` of the last batch.
    pub fn get(&self, index: usize) -> Option<Datagram<'_>> {
        if index >= self.filled {
            return None;
        }
        // SAFETY: the header was filled by the kernel, which is done with it; it changes only with `&mut self`.
        let header = unsafe { &*self.headers.at(index) };
        let len = (header.msg_len as usize).min(self.stride);
        // SAFETY: the slot has `stride` bytes, all of them initialised (zeroed at first), and they change only with
        // `&mut self`, while the slice borrows `self`.
        let bytes = unsafe { std::slice::from_raw_parts(self.bytes.at(index * self.stride), len) };
        // SAFETY: the name was zeroed at first, hence is initialised whatever the kernel wrote.
        let source = unsafe { *self.names.at(index) }.to_address(header.msg_hdr.msg_namelen);
        // SAFETY: the kernel filled this header; its control memory is ours and rests.
        let notes = unsafe { read_notes(&header.msg_hdr) };
        let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        Some(Datagram {
            bytes,
            source,
            local: notes.local,
            truncated,
        })
    }

    /// The datagrams of the last batch, in the order they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        (0..self.filled).map(|index| match self.get(index) {
            Some(datagram) => datagram,
            None => Datagram {
                bytes: &[],
                source: None,
                local: None,
                truncated: false,
            },
        })
    }

    /// How many datagrams found the socket's receive buffer full since the last call of this function.
    ///
    /// The kernel tells with the next datagram that it delivers, and only if
    /// [`Switch::CountOverflows`](super::Switch::CountOverflows) is set.
    pub fn overflows(&mut self) -> u32 {
        let Some(last) = self.filled.checked_sub(1) else {
            return 0;
        };
        // SAFETY: as in `get`.
        let notes = unsafe { read_notes(&(*self.headers.at(last)).msg_hdr) };
        // The kernel's count runs from the socket's beginning, and says nothing while it is zero.
        let total = notes.overflows.unwrap_or(self.overflows);
        let new = total.wrapping_sub(self.overflows);
        self.overflows = total;
        new
    }
}

const CACHE_LINE: usize = 64;
