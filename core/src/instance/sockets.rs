//! Opening listen addresses and handing their sockets to the workers.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ListenAddress, PlannedListener};
use crate::corefile::Scheme;
use crate::net::sockets::{self, ListenError};
use crate::plugin::Transports;
use crate::server::{Command, Endpoint, WorkerThread};

/// What sockets belong to, over all reloads: a listen address, and what it is reached over.
pub(super) type Place = (ListenAddress, Transports);

/// The place of a listener.
pub(super) fn place(listener: &PlannedListener) -> Place {
    let transports = match listener.address.scheme {
        Scheme::Dns => listener.transports,
        // The protocol says over what.
        Scheme::Tls | Scheme::Https | Scheme::Grpc => Transports::Tcp,
        Scheme::Quic | Scheme::Https3 => Transports::Udp,
    };
    (listener.address, transports)
}

/// The sockets of one listen address, before the workers have them.
pub(super) struct Opened {
    pub(super) place: Place,
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
    let place = place(listener);
    let of = |wanted: bool| if wanted { count } else { 0 };
    Ok(Opened {
        place,
        tcp: (0..of(place.1.has_tcp()))
            .map(|_| sockets::tcp(socket))
            .collect::<Result<_, _>>()?,
        udp: (0..of(place.1.has_udp()))
            .map(|_| sockets::udp(socket))
            .collect::<Result<_, _>>()?,
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
