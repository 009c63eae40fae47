//! Keeps the current weights, and reads their file again when it has changed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use catena_core::plugin::{Lifecycle, StartContext, StartError, StopReason};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::config::WeightFile;
use crate::weights::{WeightError, Weights};

/// Longest weight file that is read, in bytes: half a million addresses.
const MAX_FILE_LEN: u64 = 16 << 20;

/// Why the weights could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file cannot be opened.
    #[error("weight file open error")]
    Open(#[source] io::Error),
    /// It can be opened, but not read.
    #[error("cannot read weight file {0}: {1}")]
    Read(String, #[source] io::Error),
    /// It is longer than any that is meant.
    #[error("weight file {0} is longer than {max} MiB", max = MAX_FILE_LEN >> 20)]
    TooLong(String),
    /// A line of it cannot be read.
    #[error("{0} in weight file {1}")]
    Line(WeightError, String),
}

/// The current weights of one directive.
#[derive(Debug)]
pub(crate) struct Store {
    file: WeightFile,
    weights: ArcSwap<Weights>,
    /// The text that was looked at last, be it good or not.
    seen: Mutex<Option<String>>,
}

impl Store {
    pub(crate) fn new(file: WeightFile) -> Self {
        Self {
            file,
            weights: ArcSwap::default(),
            seen: Mutex::default(),
        }
    }

    /// The current weights.
    pub(crate) fn weights(&self) -> arc_swap::Guard<Arc<Weights>> {
        self.weights.load()
    }

    /// Reads the file; a text that was seen before changes nothing, nor does one that is wrong.
    pub(crate) fn refresh(&self) -> Result<(), LoadError> {
        let text = self.read()?;
        let mut seen = self.seen.lock();
        if seen.as_ref() == Some(&text) {
            return Ok(());
        }
        let parsed = Weights::parse(&text);
        *seen = Some(text);
        let weights = parsed.map_err(|error| LoadError::Line(error, self.file.label.clone()))?;
        self.weights.store(Arc::new(weights));
        tracing::info!(target: "plugin/loadbalance", "Successfully reloaded weight file {}", self.file.label);
        Ok(())
    }

    fn read(&self) -> Result<String, LoadError> {
        let unreadable = |error| LoadError::Read(self.file.label.clone(), error);
        let kind = fs::metadata(&self.file.path)
            .map_err(LoadError::Open)?
            .file_type();
        if kind.is_dir() || kind.is_fifo() || kind.is_socket() {
            // Opening a pipe would wait for a writer.
            return Err(unreadable(io::Error::other("not a file")));
        }
        let file = File::open(&self.file.path).map_err(LoadError::Open)?;
        let mut text = Vec::new();
        file.take(MAX_FILE_LEN + 1)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        if text.len() as u64 > MAX_FILE_LEN {
            return Err(LoadError::TooLong(self.file.label.clone()));
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Reads the file at the start, and looks at it again and again.
#[derive(Debug)]
pub(crate) struct Refresh {
    store: Arc<Store>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Refresh {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            task: Mutex::default(),
        }
    }
}

#[async_trait]
impl Lifecycle for Refresh {
    fn name(&self) -> &'static str {
        "loadbalance"
    }

    async fn start(&self, _: &StartContext) -> Result<(), StartError> {
        let reload = self.store.file.reload;
        match refresh(&self.store).await {
            Ok(()) => {}
            Err(LoadError::Open(error)) if !reload.is_zero() => {
                tracing::warn!(
                    target: "plugin/loadbalance",
                    "Failed to open weight file {}: {error}. Will try again in {reload:?}",
                    self.store.file.label,
                );
            }
            Err(error) => return Err(StartError::new(format!("plugin/loadbalance: {error}"))),
        }
        if !reload.is_zero() {
            *self.task.lock() = Some(tokio::spawn(watch(Arc::clone(&self.store))));
        }
        Ok(())
    }

    async fn stop(&self, _: StopReason) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

async fn watch(store: Arc<Store>) {
    let period = store.file.reload;
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = refresh(&store).await {
            tracing::error!(target: "plugin/loadbalance", "{error}");
        }
    }
}

/// Reads off the runtime's thread, since a disk may be slow.
async fn refresh(store: &Arc<Store>) -> Result<(), LoadError> {
    let work = Arc::clone(store);
    match tokio::task::spawn_blocking(move || work.refresh()).await {
        Ok(result) => result,
        Err(error) => Err(LoadError::Read(store.file.label.clone(), io::Error::other(error))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use catena_core::log::LogSink;
    use catena_core::plugin::Shared;

    use super::*;

    fn store(path: &Path, reload: Duration) -> Arc<Store> {
        Arc::new(Store::new(WeightFile {
            path: path.to_owned(),
            label: "weights".to_owned(),
            reload,
        }))
    }

    async fn start(store: &Arc<Store>) -> Result<Refresh, StartError> {
        let refresh = Refresh::new(Arc::clone(store));
        let context = StartContext::detached(Shared::default(), LogSink::captured().0);
        refresh.start(&context).await.map(|()| refresh)
    }

    #[tokio::test]
    async fn a_bad_file_stops_the_start_and_a_missing_one_only_without_reload() {
        let folder = tempfile::tempdir().unwrap();
        let bad = folder.path().join("bad");
        fs::write(&bad, "www\n192.0.2.1 256\n").unwrap();
        for (path, reload, want) in [
            (
                bad.as_path(),
                30,
                Some("plugin/loadbalance: wrong weight value:\"256\" in weight file weights"),
            ),
            (
                Path::new("/nonexistent/w"),
                0,
                Some("plugin/loadbalance: weight file open error"),
            ),
            (Path::new("/nonexistent/w"), 30, None),
            (
                folder.path(),
                30,
                Some("plugin/loadbalance: cannot read weight file weights: not a file"),
            ),
        ] {
            let error = start(&store(path, Duration::from_secs(reload))).await.err();
            assert_eq!(
                error.map(|error| error.to_string()).as_deref(),
                want,
                "{}",
                path.display()
            );
        }
    }

    #[tokio::test]
    async fn a_changed_file_is_taken_over_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, "www\n192.0.2.1 5\n").unwrap();
        let store = store(&path, Duration::ZERO);
        start(&store).await.unwrap();
        let first = Weights::parse("www\n192.0.2.1 5").unwrap();
        assert_eq!(**store.weights(), first);
        fs::write(&path, "www\n192.0.2.1\n").unwrap();
        assert!(store.refresh().is_err());
        assert!(store.refresh().is_ok(), "what was said once is not said again");
        assert_eq!(**store.weights(), first);
        fs::write(&path, "www\n192.0.2.1 6\n").unwrap();
        store.refresh().unwrap();
        assert_eq!(**store.weights(), Weights::parse("www\n192.0.2.1 6").unwrap());
    }

    #[tokio::test]
    async fn the_file_is_looked_at_again_until_the_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let store = store(&path, Duration::from_millis(10));
        let refresh = start(&store).await.unwrap();
        fs::write(&path, "www\n192.0.2.1 7\n").unwrap();
        let want = Weights::parse("www\n192.0.2.1 7").unwrap();
        while **store.weights() != want {
            tokio::task::yield_now().await;
        }
        let task = refresh.task.lock().as_ref().unwrap().abort_handle();
        refresh.stop(StopReason::Shutdown).await;
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}
