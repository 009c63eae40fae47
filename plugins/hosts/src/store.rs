//! Keeps the current table, and reads the hosts file again when it has changed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use catena_core::plugin::{Lifecycle, StartContext, StartError, StopReason};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::config::Config;
use crate::entries::{Entries, Source, TooLarge};
use crate::metrics::Metrics;
use crate::table::Table;

/// Longest hosts file that is read, in bytes; it keeps the offsets of a table within 32 bits, and a device or a log
/// that was named by mistake from filling the memory. The largest lists of names to block have 100 MiB.
const MAX_FILE_LEN: u64 = 256 << 20;

/// The current table of one `hosts` directive.
#[derive(Debug)]
pub(crate) struct Store {
    config: Arc<Config>,
    metrics: Metrics,
    table: ArcSwap<Table>,
    file: Mutex<FileState>,
}

#[derive(Clone, Copy, Debug, Default)]
struct FileState {
    /// What the file looked like when it was read; none if it never was.
    seen: Option<Seen>,
    /// The last look failed, and that was said.
    failed: bool,
}

/// What tells a changed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    modified: SystemTime,
    len: u64,
}

impl Store {
    /// A store with the entries of the Corefile; [`Store::refresh`] adds those of the file.
    pub(crate) fn new(config: Arc<Config>, metrics: Metrics) -> Self {
        // The reader of the Corefile has bounded these entries.
        let table = Table::build(&config.inline, config.reverse).unwrap_or_default();
        Self {
            config,
            metrics,
            table: ArcSwap::from_pointee(table),
            file: Mutex::default(),
        }
    }

    /// The current table.
    #[inline]
    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Reads the file if it has changed. One that is gone or cannot be read leaves everything as it was.
    pub(crate) fn refresh(&self) {
        let mut state = self.file.lock();
        match self.read(state.seen) {
            Ok(Some(seen)) => {
                *state = FileState {
                    seen: Some(seen),
                    failed: false,
                }
            }
            Ok(None) => state.failed = false,
            // The setup warns of a file that is not there, and one that is taken away is taken away on purpose.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                if !state.failed {
                    let kept = if state.seen.is_some() {
                        ": the last entries stay"
                    } else {
                        ""
                    };
                    tracing::warn!(target: "plugin/hosts", "Cannot read hosts file {}: {error}{kept}", self.config.label);
                }
                state.failed = true;
            }
        }
    }

    /// Reads the file and swaps the table, unless the file looks as it did.
    fn read(&self, seen: Option<Seen>) -> io::Result<Option<Seen>> {
        let kind = fs::metadata(&self.config.path)?.file_type();
        if kind.is_dir() || kind.is_fifo() || kind.is_socket() {
            // Opening a pipe would wait for a writer.
            return Err(io::Error::other("not a file"));
        }
        let file = File::open(&self.config.path)?;
        let metadata = file.metadata()?;
        let now = Seen {
            modified: metadata.modified()?,
            len: metadata.len(),
        };
        if seen == Some(now) {
            return Ok(None);
        }
        let mut text = Vec::new();
        file.take(MAX_FILE_LEN + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_FILE_LEN {
            return Err(io::Error::other(format!("more than {} MiB", MAX_FILE_LEN >> 20)));
        }
        self.replace(&text, now).map_err(io::Error::other)?;
        Ok(Some(now))
    }

    fn replace(&self, text: &[u8], now: Seen) -> Result<(), TooLarge> {
        let Config {
            inline,
            zones,
            reverse,
            ..
        } = &*self.config;
        let mut entries = Entries::default();
        entries.read(text, Source::File, zones)?;
        let count = entries.count(*reverse);
        entries.append(inline)?;
        self.table.store(Arc::new(Table::build(&entries, *reverse)?));
        tracing::debug!(target: "plugin/hosts", "Parsed hosts file into {count} entries");
        self.metrics.read(entries.count(*reverse), now.modified);
        Ok(())
    }

    /// Takes over what an equal directive knew before a reload of the Corefile, if this one could not read its file.
    fn adopt(&self, previous: &Self) {
        let before = *previous.file.lock();
        let mut state = self.file.lock();
        if state.seen.is_none() && before.seen.is_some() && self.config == previous.config {
            self.table.store(previous.table.load_full());
            state.seen = before.seen;
        }
    }
}

/// Reads the file at the start, and looks at it again and again.
#[derive(Debug)]
pub(crate) struct Refresh {
    store: Arc<Store>,
    /// The store of the configuration before this one; let go at the start.
    previous: Mutex<Option<Arc<Store>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Refresh {
    pub(crate) fn new(store: Arc<Store>, previous: Option<Arc<Store>>) -> Self {
        Self {
            store,
            previous: Mutex::new(previous),
            task: Mutex::default(),
        }
    }
}

#[async_trait]
impl Lifecycle for Refresh {
    fn name(&self) -> &'static str {
        "hosts"
    }

    async fn start(&self, _: &StartContext) -> Result<(), StartError> {
        refresh(&self.store).await;
        if let Some(previous) = self.previous.lock().take() {
            self.store.adopt(&previous);
        }
        if !self.store.config.reload.is_zero() {
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
    let period = store.config.reload;
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        refresh(&store).await;
    }
}

/// Looks at the file on a thread that may wait: reading a large one takes a second, and a disk can hang.
async fn refresh(store: &Arc<Store>) {
    let store = Arc::clone(store);
    if let Err(error) = tokio::task::spawn_blocking(move || store.refresh()).await {
        tracing::error!(target: "plugin/hosts", "Reading the hosts file failed: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    use catena_core::corefile::testing::parse_directives;
    use catena_core::log::LogSink;
    use catena_core::message::Zone;
    use catena_core::plugin::{BlockInfo, Shared};
    use catena_metrics::Registry;

    fn store(folder: &Path, text: &str, registry: &Registry) -> Arc<Store> {
        let block = BlockInfo {
            index: 0,
            keys: Vec::new(),
            zones: vec![Zone::root()],
            folder: folder.to_owned(),
            directives: Vec::new(),
        };
        let parsed = crate::config::parse(&parse_directives(text).unwrap(), None, &block).unwrap();
        let metrics = Metrics::of(registry, &parsed.config.label);
        Arc::new(Store::new(Arc::new(parsed.config), metrics))
    }

    fn last_octets(store: &Store, name: &str) -> Vec<u8> {
        let name: catena_core::message::QName = name.parse().unwrap();
        let table = store.table();
        let found = table.find(name.as_wire()).unwrap_or_default();
        found.v4.chunks_exact(4).map(|ip| ip[3]).collect()
    }

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        registry.encode_text(&mut text);
        text
    }

    /// Writes a file whose time of change is its own, since file systems' clocks are coarse.
    fn write(path: &Path, text: &str, second: u64) {
        fs::write(path, text).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(second))
            .unwrap();
    }

    #[test]
    fn a_changed_file_is_read_and_a_removed_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.hosts");
        let store = store(
            folder.path(),
            "hosts x.hosts {\n 192.0.2.9 inline\n}",
            &Registry::default(),
        );
        store.refresh();
        assert_eq!(
            (last_octets(&store, "a"), last_octets(&store, "inline")),
            (vec![], vec![9])
        );
        for (case, content, second, want) in [
            ("appears", "192.0.2.1 a", 1, 1),
            ("same time and size", "192.0.2.7 a", 1, 1),
            ("other time", "192.0.2.2 a", 2, 2),
            ("older, as when a backup returns", "192.0.2.3 a", 1, 3),
            ("other size", "192.0.2.44 a", 1, 44),
        ] {
            write(&path, content, second);
            store.refresh();
            assert_eq!(last_octets(&store, "a"), [want], "case {case}");
        }
        fs::remove_file(&path).unwrap();
        store.refresh();
        assert_eq!(
            (last_octets(&store, "a"), last_octets(&store, "inline")),
            (vec![44], vec![9])
        );
    }

    #[test]
    fn metrics_count_pairs_and_reverses_once_a_file_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::default();
        let store = store(folder.path(), "hosts x.hosts {\n 192.0.2.9 c c\n}", &registry);
        store.refresh();
        assert!(text(&registry).contains("coredns_hosts_reload_timestamp_seconds 0\n"));
        assert!(!text(&registry).contains("coredns_hosts_entries{"));
        write(
            &folder.path().join("x.hosts"),
            "192.0.2.1 a b\n2001:db8::1 a\n192.0.2.3 *.d",
            5,
        );
        store.refresh();
        assert!(text(&registry).contains("coredns_hosts_entries{hostsfile=\"x.hosts\"} 11\n"));
        assert!(text(&registry).contains("coredns_hosts_reload_timestamp_seconds 5\n"));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(
            folder.path(),
            "hosts . {\n 192.0.2.9 inline\n}",
            &Registry::default(),
        );
        store.refresh();
        store.refresh();
        assert_eq!(last_octets(&store, "inline"), [9]);
        assert!(store.file.lock().failed);
    }

    #[test]
    fn a_reload_of_the_corefile_keeps_the_data_of_a_file_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::default();
        let path = folder.path().join("x.hosts");
        write(&path, "192.0.2.1 a", 1);
        let before = store(folder.path(), "hosts x.hosts", &registry);
        before.refresh();
        fs::remove_file(&path).unwrap();
        for (case, directive, want) in [
            ("the same", "hosts x.hosts", &[1][..]),
            ("another", "hosts y.hosts", &[]),
        ] {
            let after = store(folder.path(), directive, &registry);
            after.refresh();
            after.adopt(&before);
            assert_eq!(last_octets(&after, "a"), want, "case {case}");
        }
    }

    #[tokio::test]
    async fn the_file_is_there_at_the_start_and_changes_are_seen_until_the_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.hosts");
        write(&path, "192.0.2.1 a", 1);
        let store = store(
            folder.path(),
            "hosts x.hosts {\n reload 10ms\n}",
            &Registry::default(),
        );
        let refresh = Refresh::new(Arc::clone(&store), None);
        let context = StartContext::detached(Shared::default(), LogSink::captured().0);
        refresh.start(&context).await.unwrap();
        assert_eq!(last_octets(&store, "a"), [1]);
        write(&path, "192.0.2.2 a", 2);
        let changed = async {
            while last_octets(&store, "a") != [2] {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), changed)
            .await
            .unwrap();
        let task = refresh.task.lock().as_ref().unwrap().abort_handle();
        refresh.stop(StopReason::Shutdown).await;
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn with_a_reload_time_of_nought_nobody_watches() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("x.hosts"), "192.0.2.1 a", 1);
        let store = store(
            folder.path(),
            "hosts x.hosts {\n reload 0s\n}",
            &Registry::default(),
        );
        let refresh = Refresh::new(Arc::clone(&store), Some(Arc::clone(&store)));
        let context = StartContext::detached(Shared::default(), LogSink::captured().0);
        refresh.start(&context).await.unwrap();
        assert_eq!(last_octets(&store, "a"), [1]);
        assert!(refresh.task.lock().is_none() && refresh.previous.lock().is_none());
    }
}
