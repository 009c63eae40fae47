//! Certificates and keys in PEM files, which are followed on the disk, and what servers ask of clients.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use catena_core::net::tls::TlsIdentity;
//! use catena_tls::{CertificateFiles, ClientAuth};
//!
//! # fn main() -> Result<(), catena_tls::FileError> {
//! let (files, certified) = CertificateFiles::load("cert.pem".into(), "key.pem".into())?;
//! let identity = Arc::new(TlsIdentity::new(certified, ClientAuth::None.policy(None)?));
//! let shown = Arc::clone(&identity);
//! let following = Arc::new(files).follow(move |change| {
//!     if let Ok(certified) = change {
//!         shown.replace(certified);
//!     }
//! });
//! # drop(following);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod clients;
mod error;
mod files;
mod key_log;

pub use clients::ClientAuth;
pub use error::FileError;
pub use files::{CertificateFiles, PERIOD, certificates, read_file};
pub use key_log::FileKeyLog;
