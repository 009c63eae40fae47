//! Sending a batch.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use super::Slab;
use super::address::{Control, Family, Name, write_source};

/// Datagrams that wait to be sent together.
pub struct SendBatch {
    headers: Slab<libc::mmsghdr>,
    vectors: Slab<libc::iovec>,
    names: Slab<Name>,
    controls: Slab<Control>,
    /// One for each slot; they keep their memory when a batch is done.
    buffers: Vec<Vec<u8>>,
    /// None on a connected socket.
    family: Option<Family>,
    /// The first datagram that is not sent yet, and the first free slot.
    head: usize,
    tail: usize,
    failed: usize,
    error: Option<io::Error>,
}

impl SendBatch {
    /// Room for `slots` datagrams that leave through sockets of `family`, each with a destination of its own.
    ///
    /// With [`Family::V6`], IPv4 addresses are written in mapped form, as a dual-stack socket takes them.
    pub fn new(slots: usize, family: Family) -> Self {
        Self::build(slots, Some(family))
    }

    /// Room for `slots` datagrams for connected sockets, which know the destination.
    pub fn connected(slots: usize) -> Self {
        Self::build(slots, None)
    }

    fn build(slots: usize, family: Option<Family>) -> Self {
        let slots = slots.clamp(1, libc::UIO_MAXIOV as usize);
        let batch = Self {
            headers: Slab::zeroed(slots),
            vectors: Slab::zeroed(slots),
            names: Slab::zeroed(slots),
            controls: Slab::zeroed(slots),
            buffers: std::iter::repeat_with(Vec::new).take(slots).collect(),
            family,
            head: 0,
            tail: 0,
            failed: 0,
            error: None,
        };
        for slot in 0..slots {
            let header = batch.headers.at(slot);
            // SAFETY: the pointer is good for writing, and nobody else has it yet.
            unsafe {
                (*header).msg_hdr.msg_iov = batch.vectors.at(slot);
                (*header).msg_hdr.msg_iovlen = 1;
            }
        }
        batch
    }

    /// Adds a copy of `bytes` for `to`, leaving from `from` if that is given (the `local` of a received datagram).
    ///
    /// Returns false, and adds nothing, when the batch is full.
    pub fn push(&mut self, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) -> bool {
        let Some(buffer) = self.buffers.get_mut(self.tail) else {
            return false;
        };
        buffer.clear();
        buffer.extend_from_slice(bytes);
        self.address(Some(to), from);
        true
    }

    /// As [`push`](Self::push), but takes the bytes over. Gives back an empty buffer of an earlier datagram for reuse.
    ///
    /// # Errors
    ///
    /// The bytes, when the batch is full.
    pub fn push_owned(
        &mut self,
        bytes: Vec<u8>,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> Result<Vec<u8>, Vec<u8>> {
        let Some(buffer) = self.buffers.get_mut(self.tail) else {
            return Err(bytes);
        };
        let mut old = std::mem::replace(buffer, bytes);
        old.clear();
        self.address(Some(to), from);
        Ok(old)
    }

    /// Adds a copy of `bytes` for the peer of a connected socket. Returns false when the batch is full.
    pub fn push_connected(&mut self, bytes: &[u8]) -> bool {
        let Some(buffer) = self.buffers.get_mut(self.tail) else {
            return false;
        };
        buffer.clear();
        buffer.extend_from_slice(bytes);
        self.address(None, None);
        true
    }

    /// Writes the addresses of the datagram in the slot `tail`, which is then taken.
    fn address(&mut self, to: Option<SocketAddr>, from: Option<IpAddr>) {
        let slot = self.tail;
        let (name, control) = (self.names.at(slot), self.controls.at(slot));
        // SAFETY: the pointers are good for reading and writing, and `&mut self` makes them ours alone; no system call
        // is under way.
        unsafe {
            let header = &mut (*self.headers.at(slot)).msg_hdr;
            (header.msg_name, header.msg_namelen) = (std::ptr::null_mut(), 0);
            (header.msg_control, header.msg_controllen) = (std::ptr::null_mut(), 0);
            if let (Some(to), Some(family)) = (to, self.family) {
                let (value, length) = Name::from_address(to, family);
                name.write(value);
                (header.msg_name, header.msg_namelen) = (name.cast(), length);
                if let Some(from) = from {
                    header.msg_controllen = write_source(control, from, family) as _;
                    header.msg_control = control.cast();
                }
            }
        }
        self.tail += 1;
    }

    /// Sends what waits, and returns how many datagrams left.
    ///
    /// Never waits. A datagram that cannot be sent (its destination is unreachable, it is too long) is left out and
    /// counted in [`take_failures`](Self::take_failures); the others go on their way. When the socket's buffer is full, the
    /// rest stays for the next call: see [`is_empty`](Self::is_empty).
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when something waits and none of it could be sent.
    pub fn send(&mut self, socket: impl AsFd) -> io::Result<usize> {
        self.point_to_buffers();
        let fd = socket.as_fd();
        let mut sent = 0;
        let mut retried = None;
        while self.head < self.tail {
            // SAFETY: the headers from `head` to `tail` are within the slab; each points to a name and a control message
            // (or to none) of this batch and to a vector that holds one buffer of it. None of them moves or changes
            // before the call ends, for `self` is borrowed mutably.
            let status = unsafe {
                libc::sendmmsg(
                    fd.as_raw_fd(),
                    self.headers.at(self.head),
                    (self.tail - self.head) as libc::c_uint,
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            };
            if let Ok(count) = usize::try_from(status) {
                sent += count;
                self.head += count;
                continue;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock if sent == 0 => return Err(error),
                io::ErrorKind::WouldBlock => return Ok(sent),
                // A connected socket reports here what became of an earlier datagram; this one was not tried.
                io::ErrorKind::ConnectionRefused if retried != Some(self.head) => {
                    retried = Some(self.head);
                    self.error = Some(error);
                }
                _ => {
                    self.failed += 1;
                    self.head += 1;
                    self.error = Some(error);
                }
            }
        }
        self.clear();
        Ok(sent)
    }

    /// Points the vectors to the waiting datagrams' bytes.
    ///
    /// Done at the last moment, so that no pointer to a buffer outlives a change of it.
    fn point_to_buffers(&mut self) {
        for slot in self.head..self.tail {
            let buffer = &mut self.buffers[slot];
            // SAFETY: the pointer is good for writing, and `&mut self` makes it ours alone.
            unsafe {
                let vector = self.vectors.at(slot);
                (*vector).iov_base = buffer.as_mut_ptr().cast();
                (*vector).iov_len = buffer.len();
            }
        }
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        (self.head, self.tail) = (0, 0);
    }

    /// How many datagrams wait.
    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Whether [`push`](Self::push) would refuse. A batch that was sent in part stays full until the rest has left.
    pub fn is_full(&self) -> bool {
        self.tail == self.buffers.len()
    }

    /// How many datagrams fit.
    pub fn capacity(&self) -> usize {
        self.buffers.len()
    }

    /// How many datagrams were left out since the last call, and the last error the kernel gave.
    ///
    /// There may be an error without a failure: `ECONNREFUSED` for a datagram of an earlier batch.
    pub fn take_failures(&mut self) -> (usize, Option<io::Error>) {
        (std::mem::take(&mut self.failed), self.error.take())
    }
}
