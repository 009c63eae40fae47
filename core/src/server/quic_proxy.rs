//! QUIC behind proxies that tell whom they speak for: a header comes before each datagram, and is taken off before QUIC
//! sees it.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use dashmap::DashMap;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::endpoint::Endpoint;
use super::tcp::unmapped;
use crate::plugin::ProxyHeader;

/// Clients whose proxies are known. When there are more, all are forgotten: those that go on are known again with their next
/// datagram.
const MAX_CLIENTS: usize = 65_536;

/// A socket whose datagrams are the clients'.
#[derive(Debug)]
pub(super) struct ProxiedSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    endpoint: Arc<Endpoint>,
    /// Where the datagrams of a client come from, hence go to.
    proxies: DashMap<SocketAddr, SocketAddr, ahash::RandomState>,
    /// There are such clients. Most servers have none, and ask nothing more.
    has_proxies: AtomicBool,
    is_ipv6: bool,
}

impl ProxiedSocket {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, endpoint: Arc<Endpoint>) -> io::Result<Self> {
        Ok(Self {
            is_ipv6: socket.local_addr()?.is_ipv6(),
            socket,
            endpoint,
            proxies: DashMap::default(),
            has_proxies: AtomicBool::new(false),
        })
    }

    /// Takes the headers off the datagrams in a buffer, which all came from one address.
    fn strip(&self, proxy: &dyn ProxyHeader, buffer: &mut [u8], meta: &mut RecvMeta) {
        let from = meta.addr;
        let stride = meta.stride.max(1);
        let (mut client, mut length, mut written) = (None, 0, 0);
        let mut at = 0;
        while at < meta.len {
            let end = (at + stride).min(meta.len);
            let told = proxy.datagram(&buffer[at..end], unmapped(from));
            if let Some(told) = told {
                let begin = (at + told.header).min(end);
                // What QUIC reads from one buffer is of one client, and of one length but for the last. Others are lost, as
                // datagrams may be, and come again.
                let fits = written == 0
                    || (client == Some(told.client) && written % length == 0 && end - begin <= length);
                if fits {
                    if written == 0 {
                        (client, length) = (Some(told.client), end - begin);
                    }
                    buffer.copy_within(begin..end, written);
                    written += end - begin;
                }
            }
            at = end;
        }
        meta.len = written;
        meta.stride = length;
        if let Some(client) = client {
            let client = self.in_family(client);
            if client != from {
                if self.proxies.len() >= MAX_CLIENTS {
                    self.proxies.clear();
                }
                self.proxies.insert(client, from);
                self.has_proxies.store(true, Ordering::Relaxed);
                meta.addr = client;
            }
        }
    }

    /// The address in the form of the socket's own.
    fn in_family(&self, client: SocketAddr) -> SocketAddr {
        match client {
            SocketAddr::V4(v4) if self.is_ipv6 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            other => other,
        }
    }
}

impl AsyncUdpSocket for ProxiedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.has_proxies.load(Ordering::Relaxed) {
            return self.socket.try_send(transmit);
        }
        let Some(proxy) = self.proxies.get(&transmit.destination).map(|proxy| *proxy) else {
            return self.socket.try_send(transmit);
        };
        self.socket.try_send(&Transmit {
            destination: proxy,
            ecn: transmit.ecn,
            contents: transmit.contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        })
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_recv(context, buffers, metas))?;
        if let Some(proxy) = self.endpoint.table().proxy() {
            for (buffer, meta) in buffers.iter_mut().zip(metas.iter_mut()).take(count) {
                self.strip(&**proxy, buffer, meta);
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corefile::Scheme;
    use crate::plugin::{Proxied, ProxiedConnection};
    use crate::server::table::tests::table;

    /// A header is the last byte of the client's address.
    struct OneByte;

    impl ProxyHeader for OneByte {
        fn datagram(&self, bytes: &[u8], _: SocketAddr) -> Option<Proxied> {
            let (&last, _) = bytes.split_first()?;
            (last != 0).then(|| Proxied {
                header: 1,
                client: ([192, 0, 2, last], 4711).into(),
            })
        }

        fn connection(&self, _: &[u8], _: SocketAddr) -> ProxiedConnection {
            ProxiedConnection::Refused
        }
    }

    #[tokio::test]
    async fn datagrams_are_those_of_the_client() {
        use quinn::{Runtime, TokioRuntime};

        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let endpoint = Arc::new(Endpoint::new(Scheme::Quic, Arc::new(table(Vec::new()))));
        let socket = ProxiedSocket::new(TokioRuntime.wrap_udp_socket(socket).unwrap(), endpoint).unwrap();
        let proxy: SocketAddr = "198.51.100.7:999".parse().unwrap();
        for (case, bytes, stride, want) in [
            ("one", b"\x05abc".as_slice(), 4, b"abc".as_slice()),
            ("several", b"\x05abc\x05def\x05g", 4, b"abcdefg"),
            ("another client's is lost", b"\x05abc\x06def", 4, b"abc"),
            ("without a header it is dropped", b"\0abc", 4, b""),
        ] {
            let mut buffer = bytes.to_vec();
            let mut meta = RecvMeta {
                addr: proxy,
                len: bytes.len(),
                stride,
                ..RecvMeta::default()
            };
            socket.strip(&OneByte, &mut buffer, &mut meta);
            assert_eq!(&buffer[..meta.len], want, "case {case}");
            if !want.is_empty() {
                assert_eq!(
                    (meta.addr, meta.stride),
                    ("192.0.2.5:4711".parse().unwrap(), 3),
                    "case {case}"
                );
            }
        }
        let client: SocketAddr = "192.0.2.5:4711".parse().unwrap();
        assert_eq!(socket.proxies.get(&client).map(|found| *found), Some(proxy));
    }
}
