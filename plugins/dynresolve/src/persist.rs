//! The file that keeps the state: written soon behind each write, read at the start.
//!
//! The new content goes to a file beside it, which takes its place once it is on the disk. So there is the old state or
//! the new one at any moment, whole, wherever the power goes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::body::{self, Kept};
use crate::metrics::Metrics;
use crate::names::Zones;
use crate::render;
use crate::store::Store;

/// How long writes are gathered before they go to the disk together.
const BATCH: Duration = Duration::from_millis(30);

/// Time between attempts while the disk refuses.
const RETRY: Duration = Duration::from_secs(1);

/// Attempts at the end.
const LAST_ATTEMPTS: usize = 3;

/// Longest file that is read, in bytes; it keeps a device that was named by mistake from filling the memory.
const MAX_FILE_LEN: u64 = 1 << 30;

/// Keeps a store in a file.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) path: PathBuf,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Arc<Metrics>,
    /// One writer at a time, for the old and the new instance at a reload keep one file.
    pub(crate) disk: Arc<Mutex<()>>,
    /// The version that is in the file already.
    pub(crate) written: Option<u64>,
}

impl Keeper {
    /// Writes the file behind each change until it is told to stop; then what is missing yet.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.store.watch();
        loop {
            let written = self.written;
            tokio::select! {
                _ = changes.wait_for(|version| Some(*version) != written) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            let pause = if self.write().await.is_ok() { BATCH } else { RETRY };
            // The first write of a burst goes at once, the others together.
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        for _ in 0..LAST_ATTEMPTS {
            let current = *changes.borrow_and_update();
            if self.written == Some(current) || self.write().await.is_ok() {
                break;
            }
        }
    }

    async fn write(&mut self) -> Result<(), ()> {
        let (path, store, disk) = (self.path.clone(), Arc::clone(&self.store), Arc::clone(&self.disk));
        let start = Instant::now();
        let written = tokio::task::spawn_blocking(move || {
            let _only_one = disk.lock();
            let snapshot = store.snapshot();
            replace(&path, |out| render::kept(out, store.zones(), &snapshot))?;
            Ok(snapshot.version)
        });
        match written.await.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(version) => {
                self.written = Some(version);
                self.metrics
                    .persist_seconds
                    .observe(start.elapsed().as_secs_f64());
                self.metrics.persisted.set(since_epoch().as_secs_f64());
                Ok(())
            }
            Err(error) => {
                self.metrics.persist_errors.inc();
                let path = self.path.display();
                tracing::error!(target: "plugin/dynresolve", "Cannot write the state to {path}: {error}");
                Err(())
            }
        }
    }
}

/// Puts a file in the place of another in one go.
fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let beside = with_ending(path, ".tmp");
    // Left over from a process that was killed; also, nobody shall have put a link there.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Reads the file. One that is not there is none; one that cannot be used is put aside, and said so.
pub(crate) fn restore(path: &Path, zones: &Zones) -> Result<Option<Kept>, String> {
    let problem = match read(path) {
        Ok(None) => return Ok(None),
        Ok(Some(text)) => match body::kept(&text, zones) {
            Ok(kept) => return Ok(Some(kept)),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    let aside = with_ending(path, &format!(".unreadable-{}", since_epoch().as_millis()));
    let renamed = fs::rename(path, &aside);
    let path = path.display();
    Err(match renamed {
        Ok(()) => format!(
            "Cannot read the state in {path}, which is kept as {}: {problem}",
            aside.display()
        ),
        Err(error) => {
            let aside = aside.display();
            format!("Cannot read the state in {path}, and cannot keep it as {aside} ({error}): {problem}")
        }
    })
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Err(io::Error::other("not a file"));
    }
    if metadata.len() > MAX_FILE_LEN {
        return Err(io::Error::other(format!("more than {} MiB", MAX_FILE_LEN >> 20)));
    }
    fs::read(path).map(Some)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_metrics::Registry;

    use crate::service::Service;

    /// The time that the disk takes is not counted: the clock stands still meanwhile.
    #[tokio::test(start_paused = true)]
    async fn each_write_is_in_the_file_a_tenth_of_a_second_later() {
        let folder = tempfile::tempdir().unwrap();
        let zones = Arc::new(Zones::new(&["service.local".parse().unwrap()]));
        let store = Arc::new(Store::new(Arc::clone(&zones)));
        let keeper = Keeper {
            path: folder.path().join("state.json"),
            store: Arc::clone(&store),
            metrics: Arc::new(Metrics::of(&Registry::default(), &zones)),
            disk: Arc::default(),
            written: Some(0),
        };
        let path = keeper.path.clone();
        let stop = watch::Sender::new(false);
        let kept = tokio::spawn(keeper.run(stop.subscribe()));
        let service = Service {
            records: vec![std::net::Ipv4Addr::new(192, 0, 2, 1)],
            ttl: 0,
        };
        let mut checks = tokio::task::JoinSet::new();
        // Writes of which some come while the ones before them are gathered.
        for pause in [0, 1, 10, 29, 30, 31, 99, 500, 3] {
            sleep(Duration::from_millis(pause)).await;
            let name = zones.read(&format!("after-{pause}")).unwrap();
            store.put(&name, &service);
            let (path, zones) = (path.clone(), Arc::clone(&zones));
            checks.spawn(async move {
                sleep(Duration::from_millis(100)).await;
                let kept = restore(&path, &zones).unwrap().expect("a file");
                assert!(kept.services.iter().any(|(known, _)| *known == name), "{pause}");
            });
        }
        checks.join_all().await;
        stop.send_replace(true);
        kept.await.unwrap();
    }
}
