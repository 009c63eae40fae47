//! Sockets: options, and datagrams in batches.
//!
//! [`sockets`] makes listening sockets with the options a DNS server wants, [`mmsg`] moves datagrams through them
//! many at a time, [`tls`] holds what encrypted ones show. None of them knows of DNS.

#[expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg and a few socket options have no safe interface in a well-kept crate"
)]
pub mod mmsg;
pub mod sockets;
mod timed;
pub mod tls;

pub use timed::Timed;
