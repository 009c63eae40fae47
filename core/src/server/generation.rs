//! When the last query of a configuration is answered.

use std::sync::Arc;
use tokio::sync::Notify;

/// Held by every table of one configuration, and by every query that it serves. Its end says that the old
/// configuration has finished what it began.
#[derive(Debug)]
pub(crate) struct Generation {
    ended: Arc<Notify>,
}

/// Waits for the end of a [`Generation`].
#[derive(Debug)]
pub(crate) struct GenerationEnd(Arc<Notify>);

impl Generation {
    /// A new one, and what waits for its end.
    #[must_use]
    pub(crate) fn new() -> (Arc<Self>, GenerationEnd) {
        let ended = Arc::new(Notify::new());
        (
            Arc::new(Self {
                ended: Arc::clone(&ended),
            }),
            GenerationEnd(ended),
        )
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.ended.notify_one();
    }
}

impl GenerationEnd {
    /// Returns once nobody holds the generation.
    pub(crate) async fn wait(&self) {
        self.0.notified().await;
        // For whoever asks again.
        self.0.notify_one();
    }
}
