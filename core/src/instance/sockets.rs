//! Opening listen addresses and handing their sockets to the workers.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ListenAddress, PlannedListener};
use crate::corefile::Scheme;
use crate::net::sockets::{self, ListenError};
use crate::server::{Command, Endpoint, WorkerThread};

/// The sockets of one listen address, before the workers have them.
pub(super) struct Opened {
    pub(super) address: ListenAddress,
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
}

/// Opens all sockets of these listeners, or none.
pub(super) fn open_all<'a>(
    listeners: impl Iterator<Item = &'a PlannedListener>,
    workers: usize,
) -> Result<Vec<Opened>, ListenError> {
    listeners.map(|listener| open(listener, workers)).collect()
}

fn open(listener: &PlannedListener, workers: usize) -> Result<Opened, ListenError> {
    let count = listener.sockets.unwrap_or(workers).max(1);
    let socket = listener.address.socket;
    let scheme = listener.address.scheme;
    let (tcp, udp) = match scheme {
        Scheme::Dns => (count, count),
        Scheme::Tls | Scheme::Https | Scheme::Grpc => (count, 0),
        Scheme::Quic | Scheme::Https3 => (0, count),
    };
    Ok(Opened {
        address: listener.address,
        tcp: (0..tcp).map(|_| sockets::tcp(socket)).collect::<Result<_, _>>()?,
        udp: (0..udp).map(|_| sockets::udp(socket)).collect::<Result<_, _>>()?,
    })
}

impl Opened {
    /// Gives the sockets to the workers in turn.
    pub(super) fn hand_out(self, endpoint: &Arc<Endpoint>, workers: &[WorkerThread]) {
        for (socket, worker) in self.udp.into_iter().zip(workers.iter().cycle()) {
            worker.send(Command::Udp(socket, Arc::clone(endpoint), endpoint.enter()));
        }
        for (socket, worker) in self.tcp.into_iter().zip(workers.iter().cycle()) {
            worker.send(Command::Tcp(socket, Arc::clone(endpoint), endpoint.enter()));
        }
    }
}

/// Closes endpoints, and waits until what they began is answered, for so long at most.
pub(super) async fn close(endpoints: &[Arc<Endpoint>], grace: Duration) {
    for endpoint in endpoints {
        endpoint.close();
    }
    let all = async {
        for endpoint in endpoints {
            endpoint.ended().await;
        }
    };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!(target: "catena", "some queries were not answered within {grace:?}");
    }
}
