//! Sends what waits: when there is enough for a batch, or at the latest after an interval.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catena_core::plugin::{Lifecycle, StartContext, StartError, StopReason};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::backlog::Backlog;
use crate::collector::{Batch, Collector};
use crate::config::{Config, NAME};
use crate::metrics::Metrics;
use crate::span::Span;
use crate::target::Kind;
use crate::{datadog, otlp, zipkin};

/// Spans in one request, so that its text stays in the order of half a megabyte.
const MAX_REQUEST_SPANS: usize = 1000;

/// Between two messages to the operator about a collector that cannot be reached.
const REPORT: Duration = Duration::from_secs(10);

/// For a batch from the connection to the collector's answer, as with Zipkin's library.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The same at a stop, which shall not wait for long.
const FAREWELL: Duration = Duration::from_secs(2);

/// The service that spans are about.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// Where it listens, if the Corefile says so.
    pub(crate) address: Option<SocketAddr>,
}

/// The work in the background, and its life with the server.
pub(crate) struct Exporter {
    config: Config,
    service: Service,
    backlog: Arc<Backlog>,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Exporter {
    pub(crate) fn new(
        config: Config,
        service: Service,
        backlog: Arc<Backlog>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            config,
            service,
            backlog,
            metrics,
            stop: watch::Sender::new(false),
            task: Mutex::new(None),
        }
    }
}

#[async_trait]
impl Lifecycle for Exporter {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&self, _: &StartContext) -> Result<(), StartError> {
        let work = Work {
            collector: Collector::new(self.config.target.clone()),
            config: self.config.clone(),
            service: self.service.clone(),
            backlog: Arc::clone(&self.backlog),
            metrics: Arc::clone(&self.metrics),
            in_flight: 0,
            reported: None,
        };
        *self.task.lock() = Some(tokio::spawn(work.run(self.stop.subscribe())));
        Ok(())
    }

    async fn stop(&self, _: StopReason) {
        self.stop.send_replace(true);
        let task = self.task.lock().take();
        if let Some(task) = task {
            // It ends by itself within the time that it gives the collector.
            let _ = task.await;
        }
    }
}

/// What ends the wait for spans.
enum Woken {
    Batch,
    Clock,
    Stop,
}

struct Work {
    collector: Collector,
    config: Config,
    service: Service,
    backlog: Arc<Backlog>,
    metrics: Arc<Metrics>,
    /// Spans that are being sent.
    in_flight: usize,
    /// When the operator was told last that something went wrong.
    reported: Option<Instant>,
}

impl Work {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let interval = self.config.interval;
        let mut ticks = interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A collector that has just failed is not asked again before the interval is over.
        let mut reachable = true;
        loop {
            let woken = tokio::select! {
                // The sender lives as long as the plugin, and says so before it goes.
                _ = stop.wait_for(|stop| *stop) => Woken::Stop,
                _ = ticks.tick() => Woken::Clock,
                () = self.backlog.full(), if reachable => Woken::Batch,
            };
            match woken {
                Woken::Stop => break,
                Woken::Batch => ticks.reset(),
                Woken::Clock => {}
            }
            reachable = tokio::select! {
                reachable = self.send_all(TIMEOUT) => reachable,
                () = farewell(&mut stop) => return self.lose_all(),
            };
        }
        self.send_all(FAREWELL).await;
        self.lose_all();
    }

    /// Counts what nobody will take any more.
    fn lose_all(&mut self) {
        let left = self.in_flight + self.backlog.take(usize::MAX).len();
        self.metrics.overflowed(left as u64);
    }

    /// Sends all that waits. Says whether the collector took it or refused it, and did not fail.
    async fn send_all(&mut self, patience: Duration) -> bool {
        let lost = self.metrics.take_lost();
        if lost > 0 {
            tracing::warn!(target: "plugin/trace", "backlog too long, disposed of {lost} spans");
        }
        loop {
            let spans = self.backlog.take(MAX_REQUEST_SPANS);
            if spans.is_empty() {
                return true;
            }
            self.in_flight = spans.len();
            let sent = self.send(&spans, patience).await;
            self.in_flight = 0;
            if let Err(error) = sent {
                self.metrics.failed();
                self.report(format_args!("failed to send spans: {error}"));
                self.backlog.put_back(spans);
                return false;
            }
        }
    }

    async fn send(&mut self, spans: &[Span], patience: Duration) -> io::Result<()> {
        let Some(batch) = self.batch(spans) else {
            return Ok(());
        };
        let status = self.collector.send(&batch, patience).await?;
        if status.is_success() {
            self.metrics.sent(spans.len());
        } else {
            // It would refuse them again.
            self.metrics.refused(spans.len());
            self.report(format_args!(
                "the collector refused spans with status code {status}"
            ));
        }
        Ok(())
    }

    fn batch(&self, spans: &[Span]) -> Option<Batch> {
        let json = |body: Vec<u8>| Batch {
            body: body.into(),
            content_type: "application/json",
            headers: Vec::new(),
        };
        match self.config.target.kind {
            Kind::Zipkin => {
                let mut batch = json(zipkin::encode(spans, &self.service));
                // Proxies on the way shall not trace this request in turn.
                batch.headers.push(("b3", "0".to_owned()));
                Some(batch)
            }
            Kind::Otlp => Some(json(otlp::encode(spans, &self.service))),
            Kind::Datadog => {
                let (body, traces) = datadog::encode(spans, &self.service, self.config.analytics_rate);
                (traces > 0).then(|| Batch {
                    body: body.into(),
                    content_type: "application/msgpack",
                    headers: vec![
                        ("datadog-meta-lang", "rust".to_owned()),
                        (
                            "datadog-meta-tracer-version",
                            env!("CARGO_PKG_VERSION").to_owned(),
                        ),
                        ("x-datadog-trace-count", traces.to_string()),
                    ],
                })
            }
        }
    }

    /// Tells the operator, but not again and again.
    fn report(&mut self, what: std::fmt::Arguments<'_>) {
        if self.reported.is_none_or(|last| last.elapsed() >= REPORT) {
            self.reported = Some(Instant::now());
            tracing::warn!(target: "plugin/trace", "{}: {what}", self.config.target);
        }
    }
}

/// Waits for a stop, and then for as long as a collector has to take what was being sent.
async fn farewell(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the plugin.
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::time::sleep(FAREWELL).await;
}
