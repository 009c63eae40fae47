//! The certificate of the API, and its files, which are followed on the disk.

use std::sync::Arc;

use catena_core::corefile::{ConfigError, Scheme};
use catena_core::net::tls::TlsIdentity;
use catena_tls::{CertificateFiles, ClientAuth, FileError};
use tokio_rustls::rustls::{Error, ServerConfig};

use crate::config::TlsFiles;

/// A certificate that new connections get.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Arc<CertificateFiles>,
    identity: TlsIdentity,
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, ConfigError> {
        let blame = |error: FileError| {
            let token = match error {
                FileError::Certificate(_) => &files.cert_token,
                _ => &files.key_token,
            };
            token.error(error.to_string()).with_expected(error.expected())
        };
        let (pair, certified) =
            CertificateFiles::load(files.cert.clone(), files.key.clone()).map_err(blame)?;
        let clients = ClientAuth::None.policy(None).map_err(blame)?;
        Ok(Self {
            files: Arc::new(pair),
            identity: TlsIdentity::new(certified, clients),
        })
    }

    /// The settings of connections: TLS 1.2 or 1.3, HTTP/2 or HTTP/1.1.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, Error> {
        self.identity.config(Scheme::Https)
    }

    /// Looks at the files again and again, and takes over what is new. What cannot be used is said once.
    pub(crate) async fn follow(self: Arc<Self>) {
        let files = Arc::clone(&self.files);
        files
            .follow(|change| {
                let cert = self.files.cert().display();
                match change {
                    Ok(certified) => {
                        self.identity.replace(certified);
                        tracing::info!(target: "plugin/dynresolve", "Took over the certificate in {cert}");
                    }
                    Err(error) => {
                        tracing::warn!(target: "plugin/dynresolve", "Keeping the old certificate, that in {cert} cannot be used: {error}");
                    }
                }
            })
            .await;
    }
}
