//! The pages' place, and its life with the server.

use std::sync::Arc;

use async_trait::async_trait;
use catena_core::plugin::{Lifecycle, StartContext, StartError, StopReason};
use catena_http::{Address, Endpoints, Handler, Mounted, Route};
use parking_lot::Mutex;

use crate::config::NAME;
use crate::pages::{FOLDER, PATH, Pages};

/// One block's endpoint.
pub(crate) struct Pprof {
    address: Address,
    endpoints: Arc<Endpoints>,
    pages: Arc<Pages>,
    mounted: Mutex<Vec<Mounted>>,
}

impl Pprof {
    pub(crate) fn new(address: Address, endpoints: Arc<Endpoints>, pages: Arc<Pages>) -> Self {
        Self {
            address,
            endpoints,
            pages,
            mounted: Mutex::default(),
        }
    }
}

#[async_trait]
impl Lifecycle for Pprof {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&self, _: &StartContext) -> Result<(), StartError> {
        for path in [PATH, FOLDER] {
            let route = Route::new(path, Arc::clone(&self.pages) as Arc<dyn Handler>);
            let mounted = self.endpoints.mount(&self.address, route).await;
            let mounted = mounted.map_err(|error| StartError::new(error.to_string()))?;
            self.mounted.lock().push(mounted);
        }
        Ok(())
    }

    async fn started(&self) {
        self.mounted.lock().iter().for_each(Mounted::activate);
    }

    async fn stop(&self, _: StopReason) {
        let mounted = std::mem::take(&mut *self.mounted.lock());
        for mounted in mounted {
            mounted.close().await;
        }
    }
}
