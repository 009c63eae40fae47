//! TLS as the file says.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use catena_http::TlsSource;
use catena_http::rustls::crypto::{CryptoProvider, ring};
use catena_http::rustls::server::WebPkiClientVerifier;
use catena_http::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{ClientAuth, TlsSettings, WebConfig, WebError};

/// Reads the file for each connection, so that new certificates are taken up.
pub(crate) struct Certificates(pub(crate) PathBuf);

impl TlsSource for Certificates {
    fn server_config(&self) -> io::Result<Arc<ServerConfig>> {
        let config = WebConfig::load(&self.0).map_err(io::Error::other)?;
        let settings = config
            .tls
            .ok_or_else(|| io::Error::other("the file has no TLS any more"))?;
        server_config(&settings, config.http2)
            .map(Arc::new)
            .map_err(io::Error::other)
    }
}

/// What the settings mean, with all files read.
pub(crate) fn server_config(settings: &TlsSettings, http2: bool) -> Result<ServerConfig, WebError> {
    let provider = Arc::new(provider(settings)?);
    let versions: &[&'static SupportedProtocolVersion] = match (settings.only_tls12, settings.only_tls13) {
        (true, _) => &[&version::TLS12],
        (_, true) => &[&version::TLS13],
        _ => &[&version::TLS13, &version::TLS12],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(tls_error)?;
    let builder = match settings.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        asked => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(settings)?), provider);
            let verifier = if asked == ClientAuth::IfGiven {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            builder.with_client_cert_verifier(verifier.build().map_err(tls_error)?)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(&settings.key.read()?).map_err(tls_error)?;
    let chain = certificates(&settings.certificate.read()?)?;
    let mut config = builder.with_single_cert(chain, key).map_err(tls_error)?;
    config.ignore_client_order = !settings.client_order;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(config)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn tls_error(error: impl ToString) -> WebError {
    WebError::Tls(error.to_string())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, WebError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(tls_error)
}

fn authorities(settings: &TlsSettings) -> Result<RootCertStore, WebError> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = &settings.client_authorities {
        for certificate in certificates(&pem.read()?)? {
            roots.add(certificate).map_err(tls_error)?;
        }
    }
    Ok(roots)
}

/// The usual algorithms, less those that the settings leave out.
fn provider(settings: &TlsSettings) -> Result<CryptoProvider, WebError> {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        // Go's names of TLS 1.3 have no more than this; the list is for TLS 1.2, as there.
        let name = |suite: &catena_http::rustls::SupportedCipherSuite| format!("{:?}", suite.suite());
        for wanted in &settings.cipher_suites {
            if !provider
                .cipher_suites
                .iter()
                .any(|suite| same_suite(&name(suite), wanted))
            {
                return Err(WebError::value(
                    "cipher_suites",
                    format!("`{wanted}` is not spoken"),
                ));
            }
        }
        provider.cipher_suites.retain(|suite| {
            suite.tls13().is_some()
                || settings
                    .cipher_suites
                    .iter()
                    .any(|wanted| same_suite(&name(suite), wanted))
        });
    }
    if !settings.curves.is_empty() {
        let groups = settings.curves.iter().map(|curve| match curve.as_str() {
            "CurveP256" => Ok(ring::kx_group::SECP256R1),
            "CurveP384" => Ok(ring::kx_group::SECP384R1),
            "X25519" => Ok(ring::kx_group::X25519),
            _ => Err(WebError::value(
                "curve_preferences",
                format!("`{curve}` is not spoken"),
            )),
        });
        provider.kx_groups = groups.collect::<Result<_, _>>()?;
    }
    Ok(provider)
}

/// Whether a name of ours is one of Go's, which are those of the registry.
fn same_suite(ours: &str, gos: &str) -> bool {
    ours.replace("TLS13_", "TLS_") == gos
}
