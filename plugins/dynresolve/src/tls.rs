//! The certificate of the API, and its files, which are followed on the disk.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use catena_core::corefile::ConfigError;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::sleep;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::config::TlsFiles;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Longest file that is read, in bytes.
const MAX_FILE_LEN: u64 = 1 << 20;

/// A certificate that new connections get.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
    provider: Arc<CryptoProvider>,
    /// What the files held when they were last looked at.
    seen: parking_lot::Mutex<Content>,
}

/// What the two files hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
enum CertificateError {
    #[error("{0}")]
    Cert(String),
    #[error("{0}")]
    Key(String),
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, ConfigError> {
        let provider = Arc::new(ring::default_provider());
        let loaded = Content::read(files).and_then(|content| {
            let certified = content.certified(&provider)?;
            Ok((content, certified))
        });
        let (content, certified) = loaded.map_err(|error| {
            let token = match error {
                CertificateError::Cert(_) => &files.cert_token,
                CertificateError::Key(_) | CertificateError::Mismatch => &files.key_token,
            };
            token.error(error.to_string()).with_expected(match error {
                CertificateError::Cert(_) => "a readable file with a certificate in PEM form",
                CertificateError::Key(_) => "a readable file with a private key in PEM form",
                CertificateError::Mismatch => "the key of that certificate",
            })
        })?;
        Ok(Self {
            files: files.clone(),
            current: ArcSwap::from_pointee(certified),
            provider,
            seen: parking_lot::Mutex::new(content),
        })
    }

    /// The settings of connections: TLS 1.2 or 1.3, HTTP/2 or HTTP/1.1.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(Arc::clone(self))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Looks at the files again and again, and takes over what is new.
    pub(crate) async fn follow(self: Arc<Self>) {
        loop {
            sleep(PERIOD).await;
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.refresh()).await;
            let cert = self.files.cert.display();
            match looked {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    tracing::info!(target: "plugin/dynresolve", "Took over the certificate in {cert}")
                }
                Ok(Err(error)) => {
                    tracing::warn!(target: "plugin/dynresolve", "Keeping the old certificate, that in {cert} cannot be used: {error}");
                }
                Err(error) => tracing::error!(target: "plugin/dynresolve", "Reading {cert} failed: {error}"),
            }
        }
    }

    /// Takes over changed files. What cannot be used is said once: files may be replaced one after the other.
    fn refresh(&self) -> Result<bool, CertificateError> {
        // A file that is away is about to come.
        let Ok(content) = Content::read(&self.files) else {
            return Ok(false);
        };
        let mut seen = self.seen.lock();
        if *seen == content {
            return Ok(false);
        }
        let certified = content.certified(&self.provider);
        *seen = content;
        self.current.store(Arc::new(certified?));
        Ok(true)
    }
}

impl Content {
    fn read(files: &TlsFiles) -> Result<Self, CertificateError> {
        Ok(Self {
            cert: read(&files.cert).map_err(CertificateError::Cert)?,
            key: read(&files.key).map_err(CertificateError::Key)?,
        })
    }

    fn certified(&self, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.cert).collect();
        let chain = chain.map_err(|error| CertificateError::Cert(format!("malformed PEM: {error}")))?;
        if chain.is_empty() {
            return Err(CertificateError::Cert("no certificate in the file".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| CertificateError::Key(format!("no private key in the file: {error}")))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(_) => CertificateError::Mismatch,
            Error::InvalidCertificate(_) => CertificateError::Cert(format!("unusable certificate: {error}")),
            error => CertificateError::Key(format!("unusable private key: {error}")),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let file = fs::metadata(path).and_then(|metadata| {
        if metadata.is_file() {
            fs::File::open(path)
        } else {
            Err(std::io::Error::other("not a file"))
        }
    });
    file.and_then(|file| file.take(MAX_FILE_LEN).read_to_end(&mut content))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(content)
}

/// Gives each connection the certificate of the moment.
#[derive(Debug)]
struct Resolver(Arc<Certificate>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load_full())
    }
}
