//! Reads the Corefile and the files that it names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use catena_core::corefile::{ConfigError, Directive};
use catena_core::net::tls::ClientPolicy;
use catena_core::plugin::once;
use catena_tls::{CertificateFiles, ClientAuth, FileError, FileKeyLog};
use tokio_rustls::rustls::sign::CertifiedKey;

const OPTIONS: [&str; 3] = ["client_auth", "keylog", "padding"];

/// The size that RFC 8467, section 4.1 recommends for answers.
const PADDING: u16 = 468;

/// Options of certificates that are fetched by ACME.
const ACME_OPTIONS: [&str; 6] = ["acme", "email", "ca", "storage", "ca_root", "resolver"];

/// What a `tls` line says, with its files read.
pub(crate) struct Config {
    pub(crate) files: CertificateFiles,
    /// Clients' certificates are checked against those of a CA.
    pub(crate) verifies_clients: bool,
    pub(crate) clients: ClientPolicy,
    pub(crate) key_log: Option<PathBuf>,
    /// Answers are padded to a multiple of so many bytes.
    pub(crate) padding: Option<u16>,
    pub(crate) key_log_file: Arc<FileKeyLog>,
}

pub(crate) fn parse(directives: &[Directive], root: &Path) -> Result<(Config, CertifiedKey), ConfigError> {
    let directive = once(directives)?;
    if let Some(option) = directive
        .options()
        .iter()
        .find(|option| ACME_OPTIONS.contains(&option.name()))
        && directive.args().is_empty()
    {
        return Err(option
            .error("certificates are not fetched by ACME in this version yet")
            .with_expected("a line `tls CERT KEY` with files, which another ACME client may renew"));
    }
    let files = directive.args_between(2..=3, "CERT KEY [CA]")?;
    let mut auth = None;
    let mut key_log = None;
    let mut padding = None;
    for option in directive.options() {
        option.no_block()?;
        match option.name() {
            "client_auth" => {
                let word =
                    option.one_arg("one of nocert, request, require, verify_if_given, require_and_verify")?;
                let word = word.one_of(&ClientAuth::WORDS)?;
                auth = ClientAuth::from_word(word);
            }
            "padding" => padding = Some(block(option)?),
            "keylog" => key_log = Some(option.one_arg("FILE")?.path(root)?),
            _ => return Err(option.unknown_option(&OPTIONS)),
        }
    }
    let path = |place: usize| files.get(place).map(|file| file.path(root)).transpose();
    let (Some(cert), Some(key), ca) = (path(0)?, path(1)?, path(2)?) else {
        return Err(directive.error("wrong argument count"));
    };
    let blame = |error: FileError| {
        let place = match error {
            FileError::Certificate(_) => 0,
            FileError::Ca(_) => 2,
            _ => 1,
        };
        // A CA that is missed is no word of the line.
        match files.get(place) {
            Some(file) => file.error(error.to_string()).with_expected(error.expected()),
            None => directive.error(error.to_string()).with_expected(error.expected()),
        }
    };
    let auth = auth.unwrap_or(ClientAuth::None);
    let (files, certified) = CertificateFiles::load(cert, key).map_err(blame)?;
    let config = Config {
        files,
        verifies_clients: matches!(auth, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify),
        clients: auth.policy(ca.as_deref()).map_err(blame)?,
        key_log,
        padding,
        key_log_file: Arc::default(),
    };
    Ok((config, certified))
}

/// The size of blocks that answers are padded to.
fn block(option: &Directive) -> Result<u16, ConfigError> {
    let Some(word) = option.optional_arg("[BYTES]")? else {
        return Ok(PADDING);
    };
    // The range lies within 16 bits.
    Ok(word.count(2..=4096)? as u16)
}

#[cfg(test)]
mod tests;
