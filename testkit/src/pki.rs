//! Certificates of tests.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

use crate::folder::Folder;

/// An authority that signs the certificates of a test. Its files go with this value.
pub struct Pki {
    folder: Folder,
    authority: CertifiedIssuer<'static, KeyPair>,
    ca: PathBuf,
}

/// A certificate with its key, also as files in PEM form.
pub struct Identity {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    key_der: Vec<u8>,
}

impl Pki {
    /// An authority of this name.
    ///
    /// # Panics
    ///
    /// There is no randomness, or no room for files.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate of the authority");
        let folder = Folder::new();
        folder.write("ca.pem", authority.pem());
        Self {
            ca: folder.file("ca.pem"),
            folder,
            authority,
        }
    }

    /// The file of the authority's certificate.
    #[must_use]
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// A certificate for these domain names and addresses that is valid now.
    ///
    /// # Panics
    ///
    /// A name is none.
    #[must_use]
    pub fn identity(&self, names: &[&str]) -> Identity {
        self.signed(names, |_| ())
    }

    /// A certificate that ended in 2020.
    ///
    /// # Panics
    ///
    /// A name is none.
    #[must_use]
    pub fn expired(&self, names: &[&str]) -> Identity {
        self.signed(names, |params| {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        })
    }

    /// A certificate that begins in 2999.
    ///
    /// # Panics
    ///
    /// A name is none.
    #[must_use]
    pub fn not_yet_valid(&self, names: &[&str]) -> Identity {
        self.signed(names, |params| {
            params.not_before = date_time_ymd(2999, 1, 1);
            params.not_after = date_time_ymd(2999, 2, 1);
        })
    }

    /// A certificate that no authority has signed but itself.
    ///
    /// # Panics
    ///
    /// A name is none.
    #[must_use]
    pub fn self_signed(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = named(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        self.keep(&certificate, &key)
    }

    fn signed(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = named(names);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        self.keep(&certificate, &key)
    }

    fn keep(&self, certificate: &rcgen::Certificate, key: &KeyPair) -> Identity {
        let number = crate::ports::random_u16();
        let (certificate_name, key_name) = (format!("cert-{number}.pem"), format!("key-{number}.pem"));
        self.folder.write(&certificate_name, certificate.pem());
        self.folder.write(&key_name, key.serialize_pem());
        Identity {
            certificate: self.folder.file(&certificate_name),
            key: self.folder.file(&key_name),
            chain: vec![certificate.der().clone()],
            key_der: key.serialize_der(),
        }
    }
}

fn named(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names of a certificate")
}

impl Identity {
    /// What a server with this certificate speaks TLS by.
    ///
    /// # Panics
    ///
    /// The library does not take the certificate.
    #[must_use]
    pub fn server(&self, alpn: &[&[u8]]) -> ServerConfig {
        self.config(None, alpn)
    }

    /// As [`Identity::server`], for clients that show a certificate of this authority.
    ///
    /// # Panics
    ///
    /// The library does not take the certificates.
    #[must_use]
    pub fn server_for(&self, clients: &Pki, alpn: &[&[u8]]) -> ServerConfig {
        self.config(Some(clients), alpn)
    }

    fn config(&self, clients: Option<&Pki>, alpn: &[&[u8]]) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(pki) => {
                let mut roots = RootCertStore::empty();
                roots.add(pki.authority.der().clone()).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        let key = PrivateKeyDer::Pkcs8(self.key_der.clone().into());
        let mut config = builder
            .with_single_cert(self.chain.clone(), key)
            .expect("a certificate with its key");
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pki({})", self.ca.display())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.certificate.display())
    }
}
