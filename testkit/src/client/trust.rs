//! Whom a client trusts, and what it shows.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::pki::{Identity, Pki};

/// What a client speaks TLS by. Clients of one value, clones included, go on with each other's sessions.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    name: String,
}

impl Trust {
    /// Trusts servers whose certificate this authority has signed for this name.
    ///
    /// # Panics
    ///
    /// The library does not take the authority.
    #[must_use]
    pub fn new(authority: &Pki, name: &str) -> Self {
        Self::build(authority, name, None, false)
    }

    /// As [`Trust::new`], and shows this certificate to servers that ask for one.
    ///
    /// # Panics
    ///
    /// The library does not take the certificates.
    #[must_use]
    pub fn showing(authority: &Pki, name: &str, identity: &Identity) -> Self {
        Self::build(authority, name, Some(identity), false)
    }

    /// As [`Trust::new`], with nothing newer than TLS 1.2.
    ///
    /// # Panics
    ///
    /// The library does not take the authority.
    #[must_use]
    pub fn tls12(authority: &Pki, name: &str) -> Self {
        Self::build(authority, name, None, true)
    }

    fn build(authority: &Pki, name: &str, identity: Option<&Identity>, old: bool) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authority.ca()).expect("the authority's file") {
            roots
                .add(certificate.expect("the authority's certificate"))
                .expect("an authority");
        }
        let versions: &[_] = if old { &[&TLS12] } else { &[&TLS13, &TLS12] };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions of TLS")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::pem_file_iter(&identity.certificate)
                    .expect("the certificate's file")
                    .collect::<Result<_, _>>()
                    .expect("a certificate");
                let key = PrivateKeyDer::from_pem_file(&identity.key).expect("the key's file");
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("a certificate with its key")
            }
        };
        config.resumption = Resumption::in_memory_sessions(64);
        // Offered where an earlier session's server allowed it.
        config.enable_early_data = true;
        Self {
            config: Arc::new(config),
            name: name.to_owned(),
        }
    }

    /// The same trust, for another name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self {
            config: Arc::clone(&self.config),
            name: name.to_owned(),
        }
    }

    /// The name that the certificate must have.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn server_name(&self) -> Result<ServerName<'static>, String> {
        ServerName::try_from(self.name.clone()).map_err(|error| error.to_string())
    }

    /// What connections with these application protocols (RFC 7301) are made with, for tests that speak TLS or QUIC by
    /// themselves.
    #[must_use]
    pub fn config(&self, application_protocols: Vec<Vec<u8>>) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = application_protocols;
        config
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({})", self.name)
    }
}
