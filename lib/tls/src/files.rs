//! A certificate and its key in files.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::FileError;

/// How often the files are looked at. They are read, since what replaces them may keep their times, as with mounted
/// secrets.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Longest file that is read, in bytes.
const MAX_FILE_LEN: u64 = 1 << 20;

/// The files of a certificate and its key, and what they held when they were last looked at.
#[derive(Debug)]
pub struct CertificateFiles {
    cert: PathBuf,
    key: PathBuf,
    seen: parking_lot::Mutex<Content>,
}

#[derive(Debug, PartialEq, Eq)]
struct Content {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl CertificateFiles {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or holds something else, or a key of another certificate.
    pub fn load(cert: PathBuf, key: PathBuf) -> Result<(Self, CertifiedKey), FileError> {
        let content = Content::read(&cert, &key)?;
        let certified = content.certified()?;
        let seen = parking_lot::Mutex::new(content);
        Ok((Self { cert, key, seen }, certified))
    }

    /// The certificate's file.
    #[must_use]
    pub fn cert(&self) -> &Path {
        &self.cert
    }

    /// The key's file.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Looks at the files, and gives what is new; nothing if they are as they were, or away, since then they are about to
    /// come.
    ///
    /// # Errors
    ///
    /// The files have changed and cannot be used. This is said once: files may be replaced one after the other.
    pub fn refresh(&self) -> Result<Option<CertifiedKey>, FileError> {
        let Ok(content) = Content::read(&self.cert, &self.key) else {
            return Ok(None);
        };
        let mut seen = self.seen.lock();
        if *seen == content {
            return Ok(None);
        }
        let certified = content.certified();
        *seen = content;
        certified.map(Some)
    }

    /// Looks at the files again and again, and tells each change: a pair to show from now on, or why it cannot be used.
    /// It never ends by itself.
    pub async fn follow(self: Arc<Self>, changed: impl Fn(Result<CertifiedKey, FileError>)) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.refresh()).await {
                Ok(Ok(Some(certified))) => changed(Ok(certified)),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => changed(Err(error)),
                Err(error) => changed(Err(FileError::Certificate(format!("reading it failed: {error}")))),
            }
        }
    }
}

impl Content {
    fn read(cert: &Path, key: &Path) -> Result<Self, FileError> {
        Ok(Self {
            cert: read_file(cert).map_err(FileError::Certificate)?,
            key: read_file(key).map_err(FileError::Key)?,
        })
    }

    fn certified(&self) -> Result<CertifiedKey, FileError> {
        let chain = certificates(&self.cert).map_err(FileError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| FileError::Key(format!("no private key in the file: {error}")))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(_) => FileError::Mismatch,
            Error::InvalidCertificate(_) => FileError::Certificate(format!("unusable certificate: {error}")),
            error => FileError::Key(format!("unusable private key: {error}")),
        })
    }
}

/// The certificates in PEM text, at least one.
///
/// # Errors
///
/// What is wrong, in words.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("no certificate in the file".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("malformed PEM: {error}")),
    }
}

/// Reads a regular file of at most 1 MiB.
///
/// # Errors
///
/// What is wrong, in words that name the file.
pub fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let opened = fs::metadata(path).and_then(|metadata| {
        if metadata.is_file() {
            fs::File::open(path)
        } else {
            Err(std::io::Error::other("not a file"))
        }
    });
    let mut content = Vec::new();
    opened
        .and_then(|file| file.take(MAX_FILE_LEN).read_to_end(&mut content))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(content)
}

#[cfg(test)]
mod tests;
