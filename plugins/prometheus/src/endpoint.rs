//! The endpoint and its life with the server.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use catena_core::counters::{Counters, Event};
use catena_core::log::LogSink;
use catena_core::plugin::{BlockOutline, Lifecycle, StartContext, StartError, StopReason};
use catena_http::{EndpointError, Endpoints, Handler, Mounted, Reply, RequestHead, Route, with_type};
use catena_metrics::{Registry, Sample};
use hyper::header::{ACCEPT, HeaderValue};
use parking_lot::Mutex;

use crate::config::{Config, NAME};
use crate::enabled::Enabled;
use crate::handler::Prometheus;
use crate::times::PluginTimes;
use crate::web::{self, Certificates, Guard, WebConfig, WebError};
use crate::{negotiate, process};

/// Where the endpoint answers.
const PATH: &str = "/metrics";

/// The version of CoreDNS whose metrics these are, for dashboards that show it.
const COREDNS_VERSION: &str = "1.14.7";

/// One block's endpoint.
pub(crate) struct Exporter {
    config: Config,
    registry: Arc<Registry>,
    endpoints: Arc<Endpoints>,
    enabled: Arc<Enabled>,
    prometheus: Arc<Prometheus>,
    times: Option<Arc<PluginTimes>>,
    mounted: Mutex<Option<Mounted>>,
    outline: Mutex<Option<Arc<BlockOutline>>>,
}

impl Exporter {
    pub(crate) fn new(
        config: Config,
        registry: Arc<Registry>,
        endpoints: Arc<Endpoints>,
        enabled: Arc<Enabled>,
        prometheus: Arc<Prometheus>,
        times: Option<Arc<PluginTimes>>,
    ) -> Self {
        Self {
            config,
            registry,
            endpoints,
            enabled,
            prometheus,
            times,
            mounted: Mutex::default(),
            outline: Mutex::default(),
        }
    }

    async fn mount(&self) -> Result<Mounted, Unavailable> {
        let scrape = Arc::new(Scrape(Arc::clone(&self.registry)));
        let route = match &self.config.web_config {
            None => Route::new(PATH, scrape),
            Some(path) => guarded(path, scrape)?,
        };
        Ok(self.endpoints.mount(&self.config.address, route).await?)
    }

    /// Shows what is the server's own. Doing it again changes nothing.
    fn show(&self, counters: &Arc<Counters>, log: &LogSink) {
        show_counters(&self.registry, counters, log);
        show_versions(&self.registry);
        process::show(&self.registry);
        self.enabled.show(&self.registry);
        if self.config.runtime_metrics {
            process::show_threads(&self.registry);
        }
    }
}

#[async_trait]
impl Lifecycle for Exporter {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        self.show(&context.counters, &context.log);
        self.prometheus.set_view(&context.block.view);
        if let Some(times) = &self.times {
            times.set_view(&context.block.view);
        }
        self.enabled.add(Arc::clone(&context.block));
        *self.outline.lock() = Some(Arc::clone(&context.block));
        match self.mount().await {
            Ok(mounted) => *self.mounted.lock() = Some(mounted),
            // As in CoreDNS this is no reason not to start: queries are answered all the same.
            Err(error) => tracing::error!(target: "catena", "Failed to start metrics handler: {error}"),
        }
        Ok(())
    }

    async fn started(&self) {
        self.enabled.change_over();
        if let Some(mounted) = &*self.mounted.lock() {
            mounted.activate();
        }
    }

    async fn stop(&self, _: StopReason) {
        if let Some(outline) = self.outline.lock().take() {
            self.enabled.remove(&outline);
        }
        let mounted = self.mounted.lock().take();
        if let Some(mounted) = mounted {
            mounted.close().await;
        }
    }
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
enum Unavailable {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("{0}")]
    Web(#[from] WebError),
}

/// The route behind what the file wants. A file that cannot be used opens nothing, least of all in the clear.
fn guarded(path: &Path, scrape: Arc<Scrape>) -> Result<Route, WebError> {
    let config = WebConfig::load(path)?;
    let route = Route::new(PATH, Arc::new(Guard::new(path.to_owned(), scrape)));
    let Some(settings) = config.tls else {
        return Ok(route);
    };
    web::server_config(&settings, config.http2)?;
    Ok(route.with_tls(Arc::new(Certificates(path.to_owned()))))
}

fn show_counters(registry: &Registry, counters: &Arc<Counters>, log: &LogSink) {
    for &event in Event::ALL {
        let counters = Arc::clone(counters);
        registry.collect_counter(
            &format!("{}_total", event.metric()),
            event.help(),
            &[],
            move || {
                vec![Sample {
                    labels: Vec::new(),
                    value: counters.get(event) as f64,
                }]
            },
        );
    }
    let log = log.clone();
    registry.collect_counter(
        "catena_log_lines_lost_total",
        "Log lines lost because they were not read fast enough.",
        &[],
        move || {
            vec![Sample {
                labels: Vec::new(),
                value: log.lost() as f64,
            }]
        },
    );
}

fn show_versions(registry: &Registry) {
    registry
        .gauge(
            "coredns_build_info",
            "A metric with a constant '1' value labeled by version, revision, and goversion from which CoreDNS was built.",
            &["version", "revision", "goversion"],
        )
        .with(&[COREDNS_VERSION, "", ""])
        .set(1.0);
    registry
        .gauge(
            "catena_build_info",
            "A metric with a constant '1' value labeled by Catena's version.",
            &["version"],
        )
        .with(&[env!("CARGO_PKG_VERSION")])
        .set(1.0);
}

/// Writes all metrics, or those that are named.
struct Scrape(Arc<Registry>);

#[async_trait]
impl Handler for Scrape {
    async fn handle(&self, request: &RequestHead) -> Reply {
        let wanted = negotiate::wanted_names(request.uri.query().unwrap_or_default());
        let mut body = String::new();
        self.0
            .encode_text_of(&mut body, |name| wanted.is_empty() || wanted.contains(name));
        let accept = request
            .headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let content_type = HeaderValue::try_from(negotiate::content_type(accept));
        with_type(
            200,
            content_type.unwrap_or(HeaderValue::from_static(catena_metrics::CONTENT_TYPE)),
            body,
        )
    }
}
