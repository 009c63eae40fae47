//! The certificate that all servers of a run show, and TLS as the load speaks it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, version};

/// The name in the certificate.
pub const NAME: &str = "dns.example.org";

/// A certificate with its key, as files in PEM form and for a server of this program.
pub struct Identity {
    /// The file of the certificate, which is its own authority.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
    chain: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Identity {
    /// Makes a key of P-256 and a certificate for [`NAME`], and writes both to `dir`.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::new([NAME.to_owned()]).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, NAME);
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        let identity = Self {
            certificate: dir.join("cert.pem"),
            key: dir.join("key.pem"),
            chain: certificate.der().clone(),
            key_der: key.serialize_der(),
        };
        std::fs::write(&identity.certificate, certificate.pem())?;
        std::fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }

    /// A client that trusts this certificate alone.
    ///
    /// # Errors
    ///
    /// The certificate cannot be trusted.
    pub fn trust(&self) -> io::Result<Trust> {
        Trust::new([self.chain.clone()])
    }

    /// A server that shows this certificate.
    ///
    /// # Errors
    ///
    /// Key and certificate do not fit.
    pub fn server(&self) -> io::Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![self.chain.clone()], key)
            });
        Ok(Arc::new(config.map_err(io::Error::other)?))
    }
}

/// Whose certificates a client takes.
#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    /// The name that the server's certificate must have.
    pub name: String,
}

impl Trust {
    fn new(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).map_err(io::Error::other)?;
        }
        Ok(Self {
            roots: Arc::new(roots),
            name: NAME.to_owned(),
        })
    }

    /// Trusts the certificates in a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn from_file(file: &str) -> io::Result<Self> {
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| io::Error::other(format!("{file}: {error}")))?;
        Self::new(certificates)
    }

    /// The server's name for a handshake.
    ///
    /// # Errors
    ///
    /// It is no name.
    pub fn server_name(&self) -> io::Result<ServerName<'static>> {
        ServerName::try_from(self.name.clone()).map_err(io::Error::other)
    }

    /// TLS 1.3 with X25519 and AES-256-GCM, which all servers speak, so that all do the same work.
    ///
    /// # Errors
    ///
    /// TLS 1.3 is not there.
    pub fn over_tcp(&self, protocol: Option<&[u8]>, resumption: Resumption) -> io::Result<Arc<ClientConfig>> {
        let provider = CryptoProvider {
            cipher_suites: vec![ring::cipher_suite::TLS13_AES_256_GCM_SHA384],
            kx_groups: vec![ring::kx_group::X25519],
            ..ring::default_provider()
        };
        let mut config = self.client(provider)?;
        config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
        config.resumption = resumption;
        Ok(Arc::new(config))
    }

    /// The same for QUIC, whose first packets need AES-128-GCM.
    ///
    /// # Errors
    ///
    /// As with [`over_tcp`](Self::over_tcp).
    pub fn over_quic(&self, protocol: &[u8]) -> io::Result<quinn::ClientConfig> {
        let mut config = self.client(ring::default_provider())?;
        config.alpn_protocols = vec![protocol.to_vec()];
        let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).map_err(io::Error::other)?;
        Ok(quinn::ClientConfig::new(Arc::new(config)))
    }

    fn client(&self, provider: CryptoProvider) -> io::Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(io::Error::other)?;
        Ok(builder
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth())
    }
}
