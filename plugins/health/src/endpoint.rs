//! The endpoint and its life with the server.

use std::sync::Arc;

use async_trait::async_trait;
use catena_core::plugin::{Lifecycle, StartContext, StartError, StopReason};
use catena_http::{Endpoints, Handler, Mounted, Reply, RequestHead, Route, text};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::check;
use crate::config::{Config, NAME};
use crate::metrics::Metrics;

/// Where the endpoint answers.
const PATH: &str = "/health";

/// One block's endpoint.
pub(crate) struct Health {
    config: Config,
    endpoints: Arc<Endpoints>,
    metrics: Metrics,
    mounted: Mutex<Option<Mounted>>,
    check: Mutex<Option<AbortHandle>>,
}

impl Health {
    pub(crate) fn new(config: Config, endpoints: Arc<Endpoints>, metrics: Metrics) -> Self {
        Self {
            config,
            endpoints,
            metrics,
            mounted: Mutex::default(),
            check: Mutex::default(),
        }
    }
}

#[async_trait]
impl Lifecycle for Health {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&self, _: &StartContext) -> Result<(), StartError> {
        let route = Route::new(PATH, Arc::new(Alive));
        let mounted = self.endpoints.mount(&self.config.address, route).await;
        *self.mounted.lock() = Some(mounted.map_err(|error| StartError::new(error.to_string()))?);
        Ok(())
    }

    async fn started(&self) {
        if let Some(mounted) = &*self.mounted.lock() {
            mounted.activate();
            let check = tokio::spawn(check::run(mounted.local_address(), self.metrics.clone()));
            *self.check.lock() = Some(check.abort_handle());
        }
    }

    async fn before_stop(&self, _: StopReason) {
        if !self.config.lameduck.is_zero() {
            tracing::info!(target: "plugin/health", "Going into lameduck mode for {:?}", self.config.lameduck);
            tokio::time::sleep(self.config.lameduck).await;
        }
    }

    async fn stop(&self, _: StopReason) {
        if let Some(check) = self.check.lock().take() {
            check.abort();
        }
        let mounted = self.mounted.lock().take();
        if let Some(mounted) = mounted {
            mounted.close().await;
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        if let Some(check) = self.check.lock().take() {
            check.abort();
        }
    }
}

/// A server that can say so is healthy.
struct Alive;

#[async_trait]
impl Handler for Alive {
    async fn handle(&self, _: &RequestHead) -> Reply {
        text(200, "OK")
    }
}
