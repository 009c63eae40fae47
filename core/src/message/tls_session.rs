//! What is known of the encrypted connection that a query came over.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// An encrypted connection's facts: those that TLS has settled when the handshake ends. QUIC's are TLS's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSession {
    /// The version of TLS, `1.2` or `1.3`.
    pub version: &'static str,
    /// The name that the client called the server by (SNI, RFC 6066, section 3); none where it called an address.
    pub server_name: Option<Box<str>>,
    /// The client's certificate in DER form; none where the client was not asked for one or had none. Whether it was
    /// verified, and by whom, is a matter of the server block that asked.
    pub client_certificate: Option<Box<[u8]>>,
    /// SHA-256 of that certificate, in small hexadecimal digits.
    pub client_fingerprint: Option<Box<str>>,
}

impl TlsSession {
    /// A connection with these facts.
    #[must_use]
    pub fn new(version: &'static str, server_name: Option<&str>, client_certificate: Option<&[u8]>) -> Self {
        Self {
            version,
            server_name: server_name.map(Into::into),
            client_certificate: client_certificate.map(Into::into),
            client_fingerprint: client_certificate.map(|certificate| fingerprint(certificate).into()),
        }
    }
}

fn fingerprint(certificate: &[u8]) -> String {
    Sha256::digest(certificate)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_digest_of_the_certificate() {
        let session = TlsSession::new("1.3", Some("dns.test"), Some(b"abc"));
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            session.client_fingerprint.as_deref(),
            Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
        assert_eq!(TlsSession::new("1.2", None, None).client_fingerprint, None);
    }
}
