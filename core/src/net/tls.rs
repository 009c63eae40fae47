//! What encrypted listeners show to clients and ask of them.
//!
//! A [`TlsIdentity`] belongs to a server block: its certificate, which may be replaced while connections go on, and what
//! is asked of clients. Several blocks may meet on one port, each with an identity of its own; a client's server name
//! (SNI, RFC 6066, section 3) chooses among them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, KeyLog, NoKeyLog, ServerConfig};

use crate::corefile::Scheme;

/// The certificate that a server block shows, and what it asks of clients.
pub struct TlsIdentity {
    current: Arc<Current>,
    clients: ClientPolicy,
    key_log: Arc<dyn KeyLog>,
    provider: Arc<CryptoProvider>,
    /// Made when they are first used, so that all workers take each other's session tickets.
    configs: Mutex<BTreeMap<Scheme, Arc<ServerConfig>>>,
}

/// What is asked of clients.
#[derive(Clone)]
pub struct ClientPolicy {
    /// Looks at clients' certificates.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// What tells this policy from another: the words of the Corefile that make it. Blocks on one QUIC port must agree.
    pub text: String,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl TlsIdentity {
    /// An identity with this certificate and key.
    #[must_use]
    pub fn new(certified: CertifiedKey, clients: ClientPolicy) -> Self {
        Self {
            current: Arc::new(Current(ArcSwap::from_pointee(certified))),
            clients,
            key_log: Arc::new(NoKeyLog),
            provider: Arc::new(ring::default_provider()),
            configs: Mutex::default(),
        }
    }

    /// Writes the sessions' secrets to this log, for tools that decrypt captures.
    #[must_use]
    pub fn with_key_log(mut self, key_log: Arc<dyn KeyLog>) -> Self {
        self.key_log = key_log;
        self
    }

    /// Shows another certificate from the next connection on.
    pub fn replace(&self, certified: CertifiedKey) {
        self.current.0.store(Arc::new(certified));
    }

    /// Whether both ask the same of clients. QUIC's settings are chosen before a client's server name is known, so that
    /// blocks on one of its ports must agree.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.clients.text == other.clients.text
    }

    /// Whether the certificate is one for this name.
    #[must_use]
    pub fn covers(&self, name: &ServerName<'_>) -> bool {
        let certified = self.current.0.load();
        let Some(first) = certified.cert.first() else {
            return false;
        };
        ParsedCertificate::try_from(first).is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
    }

    /// The settings for connections of this kind: TLS 1.2 or 1.3, no early data.
    ///
    /// # Errors
    ///
    /// The system gives no randomness for session tickets, or the versions do not fit the cryptography.
    pub fn config(&self, scheme: Scheme) -> Result<Arc<ServerConfig>, Error> {
        let mut configs = self.configs.lock();
        if let Some(config) = configs.get(&scheme) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.build(scheme, Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>)?);
        configs.insert(scheme, Arc::clone(&config));
        Ok(config)
    }

    fn build(&self, scheme: Scheme, resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_client_cert_verifier(Arc::clone(&self.clients.verifier))
            .with_cert_resolver(resolver);
        config.alpn_protocols = application_protocols(scheme)
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        // Tickets hold the sessions themselves: nothing is kept for clients that do not come back.
        config.ticketer = ring::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.key_log = Arc::clone(&self.key_log);
        Ok(config)
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({})", self.clients.text)
    }
}

/// The protocols that are negotiated on a kind of listener (RFC 7301). None for DNS over TLS, where clients may offer
/// what they like.
const fn application_protocols(scheme: Scheme) -> &'static [&'static str] {
    match scheme {
        Scheme::Https => &["h2", "http/1.1"],
        Scheme::Https3 => &["h3"],
        Scheme::Grpc => &["h2"],
        Scheme::Quic => &["doq"],
        Scheme::Dns | Scheme::Tls => &[],
    }
}

/// The identities of the blocks that meet on one listener, in the order of the Corefile.
#[derive(Debug)]
pub struct ListenerTls {
    scheme: Scheme,
    identities: Vec<Arc<TlsIdentity>>,
}

impl ListenerTls {
    /// The identities of a listener; `None` where there is none.
    #[must_use]
    pub fn new(scheme: Scheme, identities: Vec<Arc<TlsIdentity>>) -> Option<Self> {
        (!identities.is_empty()).then_some(Self { scheme, identities })
    }

    /// The settings for a client that asks for this server name: of the first block whose certificate is one for the
    /// name, else of the first block.
    ///
    /// # Errors
    ///
    /// As for [`TlsIdentity::config`].
    pub fn config(&self, name: Option<&str>) -> Result<Arc<ServerConfig>, Error> {
        choose(&self.identities, name).map_or_else(
            || Err(Error::General("no certificate".to_owned())),
            |identity| identity.config(self.scheme),
        )
    }

    /// The settings for QUIC, where the certificate is chosen within the handshake.
    ///
    /// # Errors
    ///
    /// As for [`TlsIdentity::config`].
    pub fn quic_config(&self) -> Result<Arc<ServerConfig>, Error> {
        match self.identities.as_slice() {
            [only] => only.config(self.scheme),
            [first, ..] => {
                let resolver = Arc::new(ByName(self.identities.clone()));
                let mut config = first.build(self.scheme, resolver)?;
                // All workers take each other's tickets, also after a reload. TLS itself binds them to the server's name.
                config.ticketer = Arc::clone(&first.config(self.scheme)?.ticketer);
                Ok(Arc::new(config))
            }
            [] => Err(Error::General("no certificate".to_owned())),
        }
    }
}

fn choose<'a>(identities: &'a [Arc<TlsIdentity>], name: Option<&str>) -> Option<&'a Arc<TlsIdentity>> {
    if let (Some(name), [_, _, ..]) = (name, identities)
        && let Ok(name) = ServerName::try_from(name)
        && let Some(fit) = identities.iter().find(|identity| identity.covers(&name))
    {
        return Some(fit);
    }
    identities.first()
}

#[derive(Debug)]
struct ByName(Vec<Arc<TlsIdentity>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        choose(&self.0, hello.server_name()).map(|identity| identity.current.0.load_full())
    }
}
