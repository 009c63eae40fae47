//! Opening listen addresses and handing their sockets to the workers.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ListenAddress, PlannedListener};
use crate::corefile::Scheme;
use crate::net::sockets::{self, ListenError};
use crate::plugin::Transports;
use crate::server::{Command, Endpoint, WorkerThread};

/// How long the workers may take to read what sockets hold that are to close.
const READ_OUT: Duration = Duration::from_millis(250);

/// Between two looks whether they have.
const LOOK: Duration = Duration::from_millis(2);

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

/// An endpoint at work.
pub(super) struct Serving {
    pub(super) endpoint: Arc<Endpoint>,
    /// Second handles on its sockets for plain DNS over UDP, for the moment when they are to close.
    udp: Vec<UdpSocket>,
}

impl Serving {
    /// One that has no sockets yet.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint: Arc::new(endpoint),
            udp: Vec::new(),
        }
    }
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
    pub(super) fn hand_out(self, serving: &mut Serving, workers: &[WorkerThread]) {
        let endpoint = &serving.endpoint;
        if self.place.0.scheme == Scheme::Dns {
            // Without a second handle, what comes in the very moment of the end is lost.
            let handles = self.udp.iter().filter_map(|socket| socket.try_clone().ok());
            serving.udp.extend(handles);
        }
        for (socket, worker) in self.udp.into_iter().zip(workers.iter().cycle()) {
            worker.send(Command::Udp(socket, Arc::clone(endpoint), endpoint.enter()));
        }
        for (socket, worker) in self.tcp.into_iter().zip(workers.iter().cycle()) {
            worker.send(Command::Tcp(socket, Arc::clone(endpoint), endpoint.enter()));
        }
    }
}

/// Closes endpoints, and waits until what they began is answered, for so long at most.
pub(super) async fn close(serving: Vec<Serving>, grace: Duration) {
    let (endpoints, udp): (Vec<_>, Vec<_>) = serving
        .into_iter()
        .map(|serving| (serving.endpoint, serving.udp))
        .unzip();
    read_out(udp.into_iter().flatten().collect()).await;
    for endpoint in &endpoints {
        endpoint.close();
    }
    let all = async {
        for endpoint in &endpoints {
            endpoint.ended().await;
        }
    };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!(target: "catena", "some queries were not answered within {grace:?}");
    }
}

/// Lets other servers of the same addresses have what comes from here on, and the workers read what has come.
async fn read_out(udp: Vec<UdpSocket>) {
    // One that cannot leave gets datagrams until it is closed.
    let left: Vec<UdpSocket> = udp
        .into_iter()
        .filter(|socket| sockets::leave(socket).is_ok())
        .collect();
    let holds_some = |socket: &UdpSocket| socket.peek(&mut [0]).is_ok();
    let all_read = async {
        // The first look is late, so that a datagram which was on its way is there.
        loop {
            tokio::time::sleep(LOOK).await;
            if !left.iter().any(holds_some) {
                return;
            }
        }
    };
    // Under a flood the rest is read when the sockets close.
    let _ = tokio::time::timeout(READ_OUT, all_read).await;
}
