//! Why files cannot be used.

/// Why a certificate, a key or a CA cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file of a CA's certificates.
    #[error("{0}")]
    Ca(String),
    /// The file of the certificate.
    #[error("{0}")]
    Certificate(String),
    /// The file of the key.
    #[error("{0}")]
    Key(String),
    /// Both can be read, and are not of one pair.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

impl FileError {
    /// What would be good, in words for an error message.
    #[must_use]
    pub const fn expected(&self) -> &'static str {
        match self {
            Self::Ca(_) => "a readable file with certificates of a CA in PEM form",
            Self::Certificate(_) => "a readable file with a certificate in PEM form",
            Self::Key(_) => "a readable file with a private key in PEM form",
            Self::Mismatch => "the key of that certificate",
        }
    }
}
