//! TLS towards upstreams: who is trusted, who this side is, and one configuration for each upstream.
//!
//! Sessions are resumed: an upstream's tickets are kept with its configuration, which all workers share. No early data
//! (0-RTT) is ever sent, since whoever records it can send it again.

mod refusal;
mod verifier;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use catena_core::corefile::{ConfigError, Directive, Token};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use verifier::Verifier;

pub(crate) use refusal::{unwrapped, words};

/// Upstreams whose tickets one configuration keeps. It is for one, but the store counts in shards.
const RESUMED_SERVERS: usize = 32;

/// How upstreams show who they are, and this side to them.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

/// Files that TLS cannot be used with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is not there, or cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system or the PEM reader said.
        cause: String,
    },
    /// A file does not hold what it is to hold.
    #[error("{}: {cause}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The library refuses to work.
    #[error("TLS cannot be used: {0}")]
    Library(String),
}

impl TlsError {
    /// The file that it is about.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { path, .. } | Self::Unusable { path, .. } => Some(path),
            Self::Library(_) => None,
        }
    }
}

impl Tls {
    /// TLS 1.2 or 1.3 with the certificate and key of `identity`, if there is one, to upstreams that an authority in
    /// the file `ca` vouches for, or one that the system trusts. All files are in PEM form, and read now.
    ///
    /// A certificate in `ca` also vouches for itself, as with a self-signed one.
    ///
    /// # Errors
    ///
    /// A file cannot be read or does not hold what it should, or key and certificate do not belong together.
    pub fn from_files(identity: Option<(&Path, &Path)>, ca: Option<&Path>) -> Result<Self, TlsError> {
        let (roots, trusted, authority) = match ca {
            Some(path) => {
                let trusted = certificates(path)?;
                let mut roots = RootCertStore::empty();
                if roots.add_parsable_certificates(trusted.iter().cloned()).0 == 0 {
                    return Err(TlsError::unusable(
                        path,
                        "there is no certificate of an authority in it",
                    ));
                }
                (roots, trusted, format!("an authority in {}", path.display()))
            }
            None => (
                system_roots(),
                Vec::new(),
                "an authority that the system trusts".to_owned(),
            ),
        };
        Self::new(roots, trusted, authority, identity)
    }

    fn new(
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        authority: String,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        // Without any root nobody can be trusted; the verifier says so in its own words.
        let inner = if roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            Some(builder.build().map_err(TlsError::library)?)
        };
        let verifier = Verifier::new(inner, trusted, authority, Arc::clone(&provider));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::library)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key_der =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::unreadable(key, &error))?;
                builder
                    .with_client_auth_cert(chain, key_der)
                    .map_err(|error| TlsError::unusable(certificate, &error))?
            }
        };
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Reads a directive's option `tls`, which has up to three files: none, the CA; certificate and key; or all three
    /// with the CA last. Relative paths start at `root`.
    ///
    /// # Errors
    ///
    /// There are more than three, or one of them cannot be used.
    pub fn from_option(option: &Directive, root: &Path) -> Result<Self, ConfigError> {
        let args = option.args_between(0..=3, "[CERT KEY] [CA]")?;
        let paths: Vec<PathBuf> = args
            .iter()
            .map(|file| file.path(root))
            .collect::<Result<_, _>>()?;
        let made = match paths.as_slice() {
            [] => Self::from_files(None, None),
            [ca] => Self::from_files(None, Some(ca)),
            [certificate, key] => Self::from_files(Some((certificate, key)), None),
            [certificate, key, ca, ..] => Self::from_files(Some((certificate, key)), Some(ca)),
        };
        made.map_err(|error| {
            let place = paths.iter().position(|path| Some(path.as_path()) == error.path());
            match place.and_then(|place| args.get(place)) {
                Some(file) => file.error(error.to_string()),
                None => option.error(error.to_string()),
            }
        })
    }

    /// The configuration for one upstream, with a store of its own for tickets.
    pub(crate) fn config_for(&self, alpn: &[&[u8]]) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(RESUMED_SERVERS);
        config.enable_early_data = false;
        config
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl TlsError {
    fn unreadable(path: &Path, cause: &dyn fmt::Display) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            cause: cause.to_string(),
        }
    }

    fn unusable(path: &Path, cause: impl fmt::Display) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            cause: cause.to_string(),
        }
    }

    fn library(cause: impl fmt::Display) -> Self {
        Self::Library(cause.to_string())
    }
}

/// Reads the name that an upstream's certificate must be for: a domain name or an IP address.
///
/// # Errors
///
/// It is neither.
pub fn server_name(token: &Token) -> Result<String, ConfigError> {
    let text = token.as_str();
    match parse_name(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(token.expected("a domain name or an IP address")),
    }
}

/// The name that a certificate must be for. A last dot is no part of it.
pub(crate) fn parse_name(text: &str) -> Option<ServerName<'static>> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    ServerName::try_from(bare.to_owned()).ok()
}

/// The certificates in a file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| match error {
        rustls_pki_types::pem::Error::Io(error) => TlsError::unreadable(path, &plain(&error)),
        error => TlsError::unreadable(path, &error),
    })?;
    if certificates.is_empty() {
        return Err(TlsError::unusable(path, "there is no certificate in it"));
    }
    Ok(certificates)
}

fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Whoever the system trusts. What cannot be read is missed when a certificate is checked.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
mod tests;
