//! Messages on their way to a collector that the server connects to.
//!
//! What waits for the collector is bounded. While there is no connection messages are dropped and counted; every ten
//! seconds the operator is told how many, and a missing connection is tried again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_rustls::TlsConnector;

use crate::config::{Config, Endpoint, QUEUE_UNIT, split};
use crate::message::Frame;
use crate::metrics::Metrics;
use crate::stream::{BATCH, Bytes, Stream, TIMEOUT, told, within};
use crate::tls;

/// Between two looks at what was dropped and at a missing connection; CoreDNS's.
const CHECK: Duration = Duration::from_secs(10);

/// A connection that ended sooner is not tried again at once.
const SHORT_LIVED: Duration = Duration::from_secs(1);

/// The way to one collector.
pub(crate) struct Outgoing {
    config: Config,
    metrics: Arc<Metrics>,
    queue: mpsc::Sender<Frame>,
    /// Taken by the task at the start.
    frames: Mutex<Option<mpsc::Receiver<Frame>>>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Outgoing {
    pub(crate) fn new(config: Config, metrics: Arc<Metrics>) -> Self {
        let (queue, frames) = mpsc::channel(config.queue * QUEUE_UNIT);
        Self {
            config,
            metrics,
            queue,
            frames: Mutex::new(Some(frames)),
            stop: watch::Sender::new(false),
            task: Mutex::new(None),
        }
    }

    /// Hands a message over, or drops it when too many wait.
    pub(crate) fn push(&self, frame: Frame) {
        if self.queue.try_send(frame).is_err() {
            self.metrics.lost(1);
        }
    }

    /// Connects, so that nothing is missed from the first query on, and goes on in the background.
    pub(crate) async fn start(&self) {
        let Some(frames) = self.frames.lock().take() else {
            return;
        };
        let mut task = Task {
            config: self.config.clone(),
            metrics: Arc::clone(&self.metrics),
            frames,
            stop: self.stop.subscribe(),
            tls: None,
            stream: None,
            dialed: Instant::now(),
        };
        if let Err(error) = task.dial().await {
            tracing::error!(target: "plugin/dnstap", "No connection to dnstap endpoint: {}: {error}", self.config.endpoint);
        }
        *self.task.lock() = Some(tokio::spawn(task.run()));
    }

    /// Writes what waits and ends the stream.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().take();
        if let Some(task) = task {
            // It ends by itself within the times that it gives the collector.
            let _ = task.await;
        }
    }
}

struct Task {
    config: Config,
    metrics: Arc<Metrics>,
    frames: mpsc::Receiver<Frame>,
    stop: watch::Receiver<bool>,
    tls: Option<TlsConnector>,
    stream: Option<Stream>,
    dialed: Instant,
}

impl Task {
    async fn run(mut self) {
        let mut check = interval_at(Instant::now() + CHECK, CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = told(&mut self.stop) => break,
                count = self.frames.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    self.write(&mut batch).await;
                }
                () = gone(&mut self.stream) => self.reconnect().await,
                _ = check.tick() => self.check().await,
            }
        }
        self.finish(&mut batch).await;
    }

    async fn write(&mut self, batch: &mut Vec<Frame>) {
        let Some(stream) = &mut self.stream else {
            self.metrics.lost(batch.len());
            batch.clear();
            return;
        };
        if stream.write(batch, &self.metrics).await.is_err() {
            self.reconnect().await;
        }
    }

    /// Tries once; after that it is for [`Task::check`].
    async fn reconnect(&mut self) {
        self.stream = None;
        if self.dialed.elapsed() >= SHORT_LIVED {
            self.dial_quietly().await;
        }
    }

    async fn check(&mut self) {
        let lost = self.metrics.take_lost();
        if lost > 0 {
            tracing::warn!(target: "plugin/dnstap", "Dropped dnstap messages: {lost}");
        }
        if self.stream.is_none() {
            self.dial_quietly().await;
        }
    }

    /// The operator knows already that the collector is not there, and is told what is lost.
    async fn dial_quietly(&mut self) {
        if let Err(error) = self.dial().await {
            tracing::debug!(target: "plugin/dnstap", "still no connection to {}: {error}", self.config.endpoint);
        }
    }

    async fn dial(&mut self) -> io::Result<()> {
        self.dialed = Instant::now();
        let connecting = async {
            let bytes = self.connect().await?;
            Stream::open(bytes).await
        };
        self.stream = Some(within(TIMEOUT, connecting).await?);
        Ok(())
    }

    async fn connect(&mut self) -> io::Result<Box<dyn Bytes>> {
        match &self.config.endpoint {
            Endpoint::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Endpoint::Tcp(host) => Ok(Box::new(self.connect_tcp(host).await?)),
            Endpoint::Tls(host) => {
                let stream = self.connect_tcp(host).await?;
                let name = ServerName::try_from(address(host)?.0.to_owned()).map_err(io::Error::other)?;
                if self.tls.is_none() {
                    let skip_verify = self.config.skip_verify;
                    let config = tokio::task::spawn_blocking(move || tls::client(skip_verify))
                        .await
                        .map_err(io::Error::other)?;
                    self.tls = Some(config?.into());
                }
                match &self.tls {
                    Some(tls) => Ok(Box::new(tls.connect(name, stream).await?)),
                    None => Err(io::ErrorKind::NotConnected.into()),
                }
            }
        }
    }

    async fn connect_tcp(&self, host: &str) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address(host)?).await?;
        // A smaller buffer, if the system gives no more, is no reason to go without.
        let _ = SockRef::from(&stream).set_send_buffer_size(self.config.write_buffer << 20);
        Ok(stream)
    }

    /// What waits is written while the collector takes it.
    async fn finish(mut self, batch: &mut Vec<Frame>) {
        self.frames.close();
        while self.stream.is_some() && self.frames.recv_many(batch, BATCH).await > 0 {
            if let Some(stream) = &mut self.stream
                && stream.write(batch, &self.metrics).await.is_err()
            {
                self.stream = None;
            }
        }
        if let Some(stream) = self.stream {
            stream.close().await;
        }
    }
}

/// Host and port; an empty host is this machine.
fn address(host: &str) -> io::Result<(&str, u16)> {
    match split(host) {
        Some(("", port)) => Ok(("localhost", port)),
        Some(address) => Ok(address),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{host}: missing port in address"),
        )),
    }
}

async fn gone(stream: &mut Option<Stream>) {
    match stream {
        Some(stream) => stream.gone().await,
        None => std::future::pending().await,
    }
}
