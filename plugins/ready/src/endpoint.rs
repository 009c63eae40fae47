//! The endpoint and its life with the server.

use std::sync::Arc;

use async_trait::async_trait;
use catena_core::plugin::{Lifecycle, StartContext, StartError, StopReason};
use catena_http::{Endpoints, Handler, Mounted, Reply, RequestHead, Route, text};
use parking_lot::Mutex;

use crate::board::{Block, Board};
use crate::config::{Config, NAME};

/// Where the endpoint answers.
const PATH: &str = "/ready";

/// One block's endpoint and its part of the list.
pub(crate) struct Ready {
    config: Config,
    endpoints: Arc<Endpoints>,
    board: Arc<Board>,
    mounted: Mutex<Option<Mounted>>,
    block: Mutex<Option<Arc<Block>>>,
}

impl Ready {
    pub(crate) fn new(config: Config, endpoints: Arc<Endpoints>, board: Arc<Board>) -> Self {
        Self {
            config,
            endpoints,
            board,
            mounted: Mutex::default(),
            block: Mutex::default(),
        }
    }

    async fn close(&self) {
        let mounted = self.mounted.lock().take();
        if let Some(mounted) = mounted {
            mounted.close().await;
        }
    }
}

#[async_trait]
impl Lifecycle for Ready {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        let block = Arc::new(Block::new(Arc::clone(&context.services), self.config.monitor));
        self.board.add(Arc::clone(&block));
        *self.block.lock() = Some(block);
        let route = Route::new(PATH, Arc::new(Tells(Arc::clone(&self.board))));
        match self.endpoints.mount(&self.config.address, route).await {
            Ok(mounted) => *self.mounted.lock() = Some(mounted),
            // As in CoreDNS this is no reason not to start: queries are answered all the same.
            Err(error) => tracing::warn!(target: "plugin/ready", "No readiness endpoint: {error}"),
        }
        Ok(())
    }

    async fn started(&self) {
        self.board.change_over();
        if let Some(mounted) = &*self.mounted.lock() {
            mounted.activate();
        }
    }

    /// Goes off first, so that no new clients are sent here.
    async fn before_stop(&self, _: StopReason) {
        self.close().await;
    }

    async fn stop(&self, _: StopReason) {
        self.close().await;
        if let Some(block) = self.block.lock().take() {
            self.board.remove(&block);
        }
    }
}

/// Tells what the board shows.
struct Tells(Arc<Board>);

#[async_trait]
impl Handler for Tells {
    async fn handle(&self, _: &RequestHead) -> Reply {
        let missing = self.0.missing();
        if missing.is_empty() {
            return text(200, "OK");
        }
        let missing = missing.join(",");
        tracing::info!(target: "plugin/ready", "Plugins not ready: \"{missing}\"");
        text(503, missing)
    }
}
