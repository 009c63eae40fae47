//! When the last query of a configuration is answered.

use tokio::sync::Notify;
use std::sync::Arc;

/// Held by every table of one configuration, and by every query that it serves. Its end says that the old
/// configuration has finished what it began.
#[derive(Debug)]
pub struct Generation {
    ended: Arc<Notify>,
}

/// Waits for the end of a [`Generation`].
#[derive(Debug)]
pub struct GenerationEnd(Arc<Notify>);

impl Generation {
    /// A new one, and what waits for its end.
    #[must_use]
    pub fn new() -> (Arc<Self>, GenerationEnd) {
        let ended = Arc::new(Notify::new());
        (Arc::new(Self { ended: Arc::clone(&ended) }), GenerationEnd(ended))
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.ended.notify_one();
    }
}

impl GenerationEnd {
    /// Returns once nobody holds the generation.
    pub async fn wait(&self) {
        self.0.notified().await;
        // For whoever asks again.
        self.0.notify_one();
    }
}
