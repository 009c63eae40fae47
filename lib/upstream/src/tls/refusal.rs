//! Why a certificate was refused, in the words of Go's library where it has some: operators of CoreDNS know them.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, Error};
use x509_cert::der::{DateTime, Decode};

/// Names of a certificate that an error lists. One could hold thousands.
const NAMES: usize = 10;

/// Characters of what a certificate says of itself.
const TEXT: usize = 200;

/// A certificate that does not fit: what was expected, and what came.
pub(super) struct Refusal(String);

impl Refusal {
    pub(super) fn new(
        error: &CertificateError,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        authority: &str,
    ) -> Self {
        let expected = name.to_str();
        let reason = match error {
            CertificateError::NotValidForNameContext { presented, .. } => {
                format!("certificate is {}, not {expected}", valid_for(presented))
            }
            CertificateError::NotValidForName => format!("certificate is not valid for {expected}"),
            CertificateError::UnknownIssuer => format!(
                "certificate signed by unknown authority: expected {authority}, got a certificate of {}",
                issuer(certificate)
            ),
            CertificateError::ExpiredContext { time, not_after } => format!(
                "certificate has expired or is not yet valid: current time {} is after {}",
                date(time.as_secs()),
                date(not_after.as_secs())
            ),
            CertificateError::NotValidYetContext { time, not_before } => format!(
                "certificate has expired or is not yet valid: current time {} is before {}",
                date(time.as_secs()),
                date(not_before.as_secs())
            ),
            other => other.to_string(),
        };
        Self(format!("failed to verify certificate: x509: {reason}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Refusal {
    /// The bare text, since the libraries around it show errors in this form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// What went wrong in a handshake, or behind it.
pub(crate) fn words(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.to_string(),
        other => other.to_string(),
    })
}

/// The same out of the text that QUIC's library makes of an error.
pub(crate) fn unwrapped(reason: &str) -> &str {
    reason
        .strip_prefix("invalid peer certificate: Other(OtherError(")
        .and_then(|rest| rest.strip_suffix("))"))
        .unwrap_or(reason)
}

fn valid_for(presented: &[String]) -> String {
    let mut names: Vec<&str> = presented.iter().filter_map(|name| bare(name)).collect();
    if names.is_empty() {
        return "valid for no names".to_owned();
    }
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    let listed = clipped(&names.join(", "));
    if more > 0 {
        return format!("valid for {listed} and {more} more");
    }
    format!("valid for {listed}")
}

/// The name in `DnsName("a")` and `IpAddress(a)`; other kinds say nothing about hosts.
fn bare(name: &str) -> Option<&str> {
    let of_dns = name
        .strip_prefix("DnsName(\"")
        .and_then(|rest| rest.strip_suffix("\")"));
    let of_ip = || {
        name.strip_prefix("IpAddress(")
            .and_then(|rest| rest.strip_suffix(')'))
    };
    of_dns.or_else(of_ip)
}

/// Who a certificate says that it is from.
fn issuer(certificate: &CertificateDer<'_>) -> String {
    match x509_cert::Certificate::from_der(certificate) {
        Ok(parsed) => format!("\"{}\"", clipped(&parsed.tbs_certificate().issuer().to_string())),
        Err(_) => "somebody whose name cannot be read".to_owned(),
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A time as RFC 3339 writes it.
fn date(seconds: u64) -> String {
    DateTime::from_unix_duration(Duration::from_secs(seconds))
        .map_or_else(|_| format!("{seconds} (UNIX)"), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_names_are_cut() {
        let names: Vec<String> = (0..500)
            .map(|n| format!("DnsName(\"h{n}.example.org\")"))
            .collect();
        let text = valid_for(&names);
        assert!(
            text.starts_with("valid for h0.example.org, h1.example.org"),
            "{text}"
        );
        assert!(text.ends_with(" and 490 more"), "{text}");
        assert_eq!(valid_for(&["DirectoryName".to_owned()]), "valid for no names");
        assert_eq!(
            valid_for(&["IpAddress(192.0.2.1)".to_owned()]),
            "valid for 192.0.2.1"
        );
    }

    #[test]
    fn dates_are_readable() {
        assert_eq!(date(1_577_836_800), "2020-01-01T00:00:00Z");
        assert!(date(u64::MAX).ends_with("(UNIX)"));
    }

    #[test]
    fn quic_shows_the_bare_text() {
        let wrapped = Error::InvalidCertificate(CertificateError::Other(tokio_rustls::rustls::OtherError(
            std::sync::Arc::new(Refusal("x509: (a) b".to_owned())),
        )));
        assert_eq!(unwrapped(&wrapped.to_string()), "x509: (a) b");
    }
}
