//! The identity of a block, and its files, which are followed while the server runs.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use catena_core::net::tls::TlsIdentity;
use catena_core::plugin::{Lifecycle, StartContext, StartError, StopReason};
use catena_tls::{CertificateFiles, FileError, FileKeyLog};
use parking_lot::Mutex;
use std::path::PathBuf;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::config::Config;
use crate::metrics::Metrics;

/// An identity that follows its files. Configurations of the same block with the same line share one.
pub(crate) struct Life {
    identity: Arc<TlsIdentity>,
    files: Arc<CertificateFiles>,
    clients: String,
    key_log: Option<PathBuf>,
    key_log_file: Arc<FileKeyLog>,
    metrics: Metrics,
    following: Mutex<Following>,
}

/// Who follows the files, and for how many configurations.
#[derive(Default)]
struct Following {
    users: usize,
    task: Option<JoinHandle<()>>,
}

impl Life {
    pub(crate) fn new(config: Config, certified: CertifiedKey, metrics: Metrics) -> Self {
        let clients = config.clients.text.clone();
        let mut identity = TlsIdentity::new(certified, config.clients);
        if config.key_log.is_some() {
            identity = identity.with_key_log(Arc::clone(&config.key_log_file) as _);
        }
        Self {
            identity: Arc::new(identity),
            files: Arc::new(config.files),
            clients,
            key_log: config.key_log,
            key_log_file: config.key_log_file,
            metrics,
            following: Mutex::default(),
        }
    }

    pub(crate) fn identity(&self) -> &Arc<TlsIdentity> {
        &self.identity
    }

    pub(crate) fn key_log_path(&self) -> Option<&Path> {
        self.key_log.as_deref()
    }

    /// Whether a line says the same as the one that this was made of. What the files hold may differ, and so may those of a CA:
    /// clients' certificates are then judged anew.
    pub(crate) fn is_for(&self, config: &Config) -> bool {
        self.files.cert() == config.files.cert()
            && self.files.key() == config.files.key()
            && self.key_log == config.key_log
            && self.clients == config.clients.text
            && !config.verifies_clients
    }

    /// Takes over what the files hold now.
    pub(crate) fn refresh(&self) {
        match self.files.refresh() {
            Ok(Some(certified)) => self.changed(Ok(certified)),
            Ok(None) => {}
            Err(error) => self.changed(Err(error)),
        }
    }

    fn changed(&self, change: Result<CertifiedKey, FileError>) {
        tell(&self.identity, &self.files, &self.metrics, change);
    }
}

fn tell(
    identity: &TlsIdentity,
    files: &CertificateFiles,
    metrics: &Metrics,
    change: Result<CertifiedKey, FileError>,
) {
    let cert = files.cert().display();
    match change {
        Ok(certified) => {
            identity.replace(certified);
            metrics.taken_over();
            tracing::info!(target: "plugin/tls", "Took over the certificate in {cert}");
        }
        Err(error) => {
            metrics.refused();
            tracing::warn!(target: "plugin/tls", "Keeping the old certificate, that in {cert} cannot be used: {error}");
        }
    }
}

#[async_trait]
impl Lifecycle for Life {
    fn name(&self) -> &'static str {
        "tls"
    }

    async fn start(&self, _: &StartContext) -> Result<(), StartError> {
        if let Some(path) = &self.key_log {
            self.key_log_file.open(path).map_err(|error| {
                StartError::new(format!(
                    "plugin/tls: unable to write TLS Key Log to {:?}: {error}",
                    path.display().to_string()
                ))
            })?;
        }
        let mut following = self.following.lock();
        following.users += 1;
        if following.task.is_none() {
            let (identity, metrics) = (Arc::clone(&self.identity), self.metrics.clone());
            let files = Arc::clone(&self.files);
            let told = Arc::clone(&files);
            following.task = Some(tokio::spawn(
                files.follow(move |change| tell(&identity, &told, &metrics, change)),
            ));
        }
        Ok(())
    }

    async fn stop(&self, _: StopReason) {
        let mut following = self.following.lock();
        following.users = following.users.saturating_sub(1);
        if following.users == 0
            && let Some(task) = following.task.take()
        {
            task.abort();
        }
    }
}
