//! Sockets: options, and datagrams in batches.
//!
//! [`sockets`] makes listening sockets with the options a DNS server wants, [`mmsg`] moves datagrams through them
//! many at a time. Both know nothing of DNS.

#[expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg and a few socket options have no safe interface in a well-kept crate"
)]
pub mod mmsg;
pub mod sockets;
