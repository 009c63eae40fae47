//! Messages on their way to collectors that connect to the server.
//!
//! Each collector has a queue of its own. One that is too slow for it is let go, so that it costs the others nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, Endpoint, QUEUE_UNIT, split};
use crate::message::Frame;
use crate::metrics::Metrics;
use crate::stream::{BATCH, Bytes, Stream, TIMEOUT, told, within};
use crate::tls;
use crate::unix::{self, OwnSockets, Place};

/// Collectors at one time, those included that have not greeted yet.
const MAX_COLLECTORS: usize = 64;

/// How long accepting pauses after an error, such as a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A place where collectors connect.
pub(crate) struct Incoming {
    config: Config,
    collectors: Arc<Collectors>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Incoming {
    pub(crate) fn new(config: Config, metrics: Arc<Metrics>) -> Self {
        Self {
            config,
            collectors: Arc::new(Collectors {
                list: ArcSwap::default(),
                metrics,
            }),
            stop: watch::Sender::new(false),
            task: Mutex::new(None),
        }
    }

    /// Whether anybody reads.
    pub(crate) fn has_collectors(&self) -> bool {
        !self.collectors.list.load().is_empty()
    }

    /// Hands a message to all collectors.
    pub(crate) fn push(&self, frame: &Frame) {
        for collector in self.collectors.list.load().iter() {
            if collector.queue.try_send(Frame::clone(frame)).is_err() {
                self.collectors.metrics.lost(1);
                collector.slow.notify_one();
            }
        }
    }

    /// Begins to listen. That it cannot is an error in the log, and queries are answered all the same.
    pub(crate) async fn start(&self, sockets: &Arc<OwnSockets>, reload: bool) {
        if let Err(error) = self.listen(sockets, reload).await {
            tracing::error!(target: "plugin/dnstap", "Failed to start dnstap listener: {}: {error}", self.config.endpoint);
        }
    }

    async fn listen(&self, sockets: &Arc<OwnSockets>, reload: bool) -> io::Result<()> {
        let acceptor = match (&self.config.endpoint, &self.config.tls) {
            // The setup has warned.
            (Endpoint::Tls(_), None) => return Ok(()),
            (Endpoint::Tls(_), Some(files)) => {
                let (files, skip_verify) = (files.clone(), self.config.skip_verify);
                let config = tokio::task::spawn_blocking(move || tls::server(&files, skip_verify))
                    .await
                    .map_err(io::Error::other)?;
                Some(TlsAcceptor::from(config?))
            }
            _ => None,
        };
        let listener = match &self.config.endpoint {
            Endpoint::Tcp(host) | Endpoint::Tls(host) => Listener::Tcp(bind(host).await?),
            Endpoint::Unix(path) => Listener::unix(path, sockets, reload)?,
        };
        let accepting = Accepting {
            listener,
            acceptor,
            collectors: Arc::clone(&self.collectors),
            stop: self.stop.subscribe(),
        };
        *self.task.lock() = Some(tokio::spawn(accepting.run()));
        Ok(())
    }

    /// Writes what waits, ends the streams, and listens no more.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

/// A socket that a newer configuration can open too, before the older one closes its own.
async fn bind(host: &str) -> io::Result<TcpListener> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "missing port in address");
    let (host, port) = split(host).ok_or_else(invalid)?;
    let host = if host.is_empty() { "::" } else { host };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in tokio::net::lookup_host((host, port)).await? {
        let listen = || {
            let socket = match address.is_ipv4() {
                true => tokio::net::TcpSocket::new_v4(),
                false => tokio::net::TcpSocket::new_v6(),
            }?;
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(address)?;
            socket.listen(128)
        };
        match listen() {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Removed from the file system at the end.
        _place: Place,
    },
}

impl Listener {
    fn unix(path: &Path, sockets: &Arc<OwnSockets>, reload: bool) -> io::Result<Self> {
        let (listener, place) = unix::bind(PathBuf::from(path), sockets, reload)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Unix {
            listener: UnixListener::from_std(listener)?,
            _place: place,
        })
    }

    async fn accept(&self) -> io::Result<Box<dyn Bytes>> {
        match self {
            Self::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Unix { listener, .. } => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Takes connections until it is told to stop.
struct Accepting {
    listener: Listener,
    acceptor: Option<TlsAcceptor>,
    collectors: Arc<Collectors>,
    stop: watch::Receiver<bool>,
}

impl Accepting {
    async fn run(mut self) {
        let mut serving = JoinSet::new();
        loop {
            tokio::select! {
                () = told(&mut self.stop) => break,
                Some(_) = serving.join_next() => {}
                accepted = self.listener.accept(), if serving.len() < MAX_COLLECTORS => match accepted {
                    Ok(bytes) => {
                        let (acceptor, collectors) = (self.acceptor.clone(), Arc::clone(&self.collectors));
                        serving.spawn(serve(bytes, acceptor, collectors, self.stop.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(target: "plugin/dnstap", "Error accepting dnstap connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop(self.listener);
        while serving.join_next().await.is_some() {}
    }
}

/// The collectors that read.
struct Collectors {
    list: ArcSwap<Vec<Arc<Collector>>>,
    metrics: Arc<Metrics>,
}

struct Collector {
    queue: mpsc::Sender<Frame>,
    /// Told when the queue is full.
    slow: Notify,
}

impl Collectors {
    fn add(self: &Arc<Self>) -> (Member, mpsc::Receiver<Frame>) {
        let (queue, frames) = mpsc::channel(QUEUE_UNIT);
        let collector = Arc::new(Collector {
            queue,
            slow: Notify::new(),
        });
        self.list.rcu(|list| {
            let mut list = Vec::clone(list);
            list.push(Arc::clone(&collector));
            list
        });
        let member = Member {
            collector,
            collectors: Arc::clone(self),
        };
        (member, frames)
    }
}

/// A place among the collectors, left when this is dropped.
struct Member {
    collector: Arc<Collector>,
    collectors: Arc<Collectors>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.collectors.list.rcu(|list| {
            let others = list
                .iter()
                .filter(|collector| !Arc::ptr_eq(collector, &self.collector));
            others.cloned().collect::<Vec<_>>()
        });
    }
}

/// Sees one collector to its end.
async fn serve(
    bytes: Box<dyn Bytes>,
    acceptor: Option<TlsAcceptor>,
    collectors: Arc<Collectors>,
    mut stop: watch::Receiver<bool>,
) {
    let greeting = async {
        let bytes: Box<dyn Bytes> = match acceptor {
            Some(acceptor) => Box::new(acceptor.accept(bytes).await?),
            None => bytes,
        };
        Stream::open(bytes).await
    };
    let opened = tokio::select! {
        opened = within(TIMEOUT, greeting) => opened,
        () = told(&mut stop) => return,
    };
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(target: "plugin/dnstap", "Error creating encoder for dnstap client: {error}");
            return;
        }
    };
    let (member, mut frames) = collectors.add();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            () = member.collector.slow.notified() => return,
            () = stream.gone() => return,
            _ = frames.recv_many(&mut batch, BATCH) => {
                if stream.write(&mut batch, &collectors.metrics).await.is_err() {
                    return;
                }
            }
        }
    }
    drop(member);
    while frames.recv_many(&mut batch, BATCH).await > 0 {
        if stream.write(&mut batch, &collectors.metrics).await.is_err() {
            return;
        }
    }
    stream.close().await;
}
