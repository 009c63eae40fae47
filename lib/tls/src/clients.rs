//! What a server asks of clients' certificates.

use std::path::Path;
use std::sync::Arc;

use catena_core::net::tls::ClientPolicy;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::FileError;
use crate::files::{certificates, read_file};

/// How clients show who they are; the names are those of the Corefile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are the words of the Corefile")]
pub enum ClientAuth {
    /// `nocert`: nothing is asked.
    None,
    /// `request`: a certificate is asked for, whatever it is, and may be left out.
    Request,
    /// `require`: there must be a certificate, whatever it is.
    Require,
    /// `verify_if_given`: a certificate may be left out; if there is one, a known CA has signed it.
    VerifyIfGiven,
    /// `require_and_verify`: there must be a certificate that a known CA has signed.
    RequireAndVerify,
}

impl ClientAuth {
    /// The words of the Corefile.
    pub const WORDS: [&'static str; 5] = [
        "nocert",
        "request",
        "require",
        "verify_if_given",
        "require_and_verify",
    ];

    /// The kind that a word of the Corefile names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::None,
            Self::Request,
            Self::Require,
            Self::VerifyIfGiven,
            Self::RequireAndVerify,
        ]
        .into_iter()
        .find(|kind| kind.word() == word)
    }

    /// The word of the Corefile.
    #[must_use]
    pub const fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The policy, with the CA that signs clients' certificates, or those that the system trusts.
    ///
    /// # Errors
    ///
    /// The CA's file cannot be used, or the system trusts none where one is needed.
    pub fn policy(self, ca: Option<&Path>) -> Result<ClientPolicy, FileError> {
        // It is read in any case, so that a wrong file shows.
        let roots = ca.map(roots_of).transpose()?;
        let verifier: Arc<dyn ClientCertVerifier> = match self {
            Self::None => WebPkiClientVerifier::no_client_auth(),
            Self::Request => Arc::new(AnyCertificate::new(false)),
            Self::Require => Arc::new(AnyCertificate::new(true)),
            Self::VerifyIfGiven | Self::RequireAndVerify => {
                let roots = roots.map_or_else(system_roots, Ok)?;
                let provider = Arc::new(ring::default_provider());
                let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if self == Self::VerifyIfGiven {
                    builder = builder.allow_unauthenticated();
                }
                builder
                    .build()
                    .map_err(|error| FileError::Ca(error.to_string()))?
            }
        };
        let ca = ca.map_or_else(String::new, |ca| ca.display().to_string());
        let text = match self {
            Self::None => self.word().to_owned(),
            _ => format!("{} {ca}", self.word()),
        };
        Ok(ClientPolicy { verifier, text })
    }
}

fn roots_of(ca: &Path) -> Result<RootCertStore, FileError> {
    let pem = read_file(ca).map_err(FileError::Ca)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&pem).map_err(FileError::Ca)? {
        roots
            .add(certificate)
            .map_err(|error| FileError::Ca(format!("unusable certificate: {error}")))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let message = "no CA is given, and the system trusts none";
        return Err(FileError::Ca(message.to_owned()));
    }
    Ok(roots)
}

/// Takes certificates of any kind, as long as their clients have the keys.
#[derive(Debug)]
struct AnyCertificate {
    mandatory: bool,
    provider: CryptoProvider,
}

impl AnyCertificate {
    fn new(mandatory: bool) -> Self {
        Self {
            mandatory,
            provider: ring::default_provider(),
        }
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
