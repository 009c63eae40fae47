//! The file that `tls` names: TLS, users, headers and a rate, in the format of Prometheus' exporters.
//!
//! It is read again for each connection and each request, so that changes hold at once.

mod guard;
mod limit;
mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use saphyr::{LoadableYamlNode, Yaml};

pub(crate) use guard::Guard;
pub(crate) use tls::{Certificates, server_config};

/// Headers that answers may get, and the values that are known for them; none are any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WebError {
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is no YAML.
    #[error("no YAML: {0}")]
    Syntax(String),
    /// A key that is not known where it stands.
    #[error("unknown key `{key}` in {place} (one of: {known})")]
    UnknownKey {
        /// The key.
        key: String,
        /// The mapping that it stands in.
        place: &'static str,
        /// The keys that are known there.
        known: String,
    },
    /// A value of the wrong kind, or one that cannot be.
    #[error("`{key}`: {problem}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The certificate, the key or the authorities cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
}

impl WebError {
    fn value(key: &'static str, problem: impl Into<String>) -> Self {
        Self::BadValue {
            key,
            problem: problem.into(),
        }
    }
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WebConfig {
    /// TLS; without it the endpoint is in the clear.
    pub(crate) tls: Option<TlsSettings>,
    /// HTTP/2 may be spoken over TLS.
    pub(crate) http2: bool,
    /// Headers of all answers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Users and the bcrypt hashes of their passwords; without any, everybody may read.
    pub(crate) users: BTreeMap<String, String>,
    /// The time in which a burst of requests gets one place more, and its size.
    pub(crate) rate: Option<(Duration, u32)>,
}

/// Certificates and who may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) certificate: Pem,
    pub(crate) key: Pem,
    pub(crate) client_authorities: Option<Pem>,
    pub(crate) client_auth: ClientAuth,
    /// TLS 1.3 alone.
    pub(crate) only_tls13: bool,
    /// TLS 1.2 alone.
    pub(crate) only_tls12: bool,
    pub(crate) cipher_suites: Vec<String>,
    pub(crate) curves: Vec<String>,
    pub(crate) client_order: bool,
}

/// Something in PEM form: in a file, or in the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pem {
    /// In this file.
    File(PathBuf),
    /// This.
    Text(String),
}

impl Default for Pem {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Pem {
    fn read(&self) -> Result<Vec<u8>, WebError> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::File(path) => fs::read(path).map_err(|cause| WebError::Unreadable {
                path: path.clone(),
                cause,
            }),
        }
    }
}

/// What clients have to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// Nothing.
    #[default]
    None,
    /// A certificate of the authorities, if any.
    IfGiven,
    /// A certificate of the authorities.
    Required,
}

impl WebConfig {
    /// Reads a file.
    pub(crate) fn load(path: &Path) -> Result<Self, WebError> {
        let text = fs::read_to_string(path).map_err(|cause| WebError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        Self::parse(&text, path.parent().unwrap_or_else(|| Path::new("")))
    }

    /// Reads a text; the paths in it start at `folder`.
    pub(crate) fn parse(text: &str, folder: &Path) -> Result<Self, WebError> {
        let documents = Yaml::load_from_str(text).map_err(|error| WebError::Syntax(error.to_string()))?;
        let mut config = Self {
            http2: true,
            ..Self::default()
        };
        let Some(document) = documents.first() else {
            return Ok(config);
        };
        for (key, value) in mapping("the file", document)? {
            match key {
                "tls_server_config" => config.tls = tls_settings(value, folder)?,
                "http_server_config" => http_settings(value, &mut config)?,
                "basic_auth_users" => config.users = users(value)?,
                "rate_limit" => config.rate = rate(value)?,
                _ => {
                    let known = [
                        "tls_server_config",
                        "http_server_config",
                        "basic_auth_users",
                        "rate_limit",
                    ];
                    return Err(unknown(key, "the file", &known));
                }
            }
        }
        Ok(config)
    }
}

fn unknown(key: &str, place: &'static str, known: &[&str]) -> WebError {
    WebError::UnknownKey {
        key: key.to_owned(),
        place,
        known: known.join(", "),
    }
}

/// The pairs of a mapping; nothing at all is an empty one.
fn mapping<'a>(key: &'static str, node: &'a Yaml<'_>) -> Result<Vec<(&'a str, &'a Yaml<'a>)>, WebError> {
    if node.is_null() {
        return Ok(Vec::new());
    }
    let pairs = node
        .as_mapping()
        .ok_or_else(|| WebError::value(key, "expected a mapping"))?;
    pairs
        .iter()
        .map(|(name, value)| {
            let name = name
                .as_str()
                .ok_or_else(|| WebError::value(key, "expected words for keys"))?;
            Ok((name, value))
        })
        .collect()
}

fn text(key: &'static str, node: &Yaml<'_>) -> Result<String, WebError> {
    node.as_str()
        .map(str::to_owned)
        .ok_or_else(|| WebError::value(key, "expected a text"))
}

fn boolean(key: &'static str, node: &Yaml<'_>) -> Result<bool, WebError> {
    node.as_bool()
        .ok_or_else(|| WebError::value(key, "expected true or false"))
}

fn texts(key: &'static str, node: &Yaml<'_>) -> Result<Vec<String>, WebError> {
    let items = node
        .as_sequence()
        .ok_or_else(|| WebError::value(key, "expected a list"))?;
    items.iter().map(|item| text(key, item)).collect()
}

const TLS_KEYS: [&str; 13] = [
    "cert",
    "key",
    "client_ca",
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];

fn tls_settings(node: &Yaml<'_>, folder: &Path) -> Result<Option<TlsSettings>, WebError> {
    let mut settings = TlsSettings::default();
    let (mut certificate, mut private_key) = (None, None);
    let mut is_enabled = false;
    for (key, value) in mapping("tls_server_config", node)? {
        let file = |key| text(key, value).map(|name| Pem::File(folder.join(name)));
        is_enabled |= matches!(
            key,
            "cert" | "key" | "cert_file" | "key_file" | "client_ca" | "client_ca_file" | "client_auth_type"
        );
        match key {
            "cert" => certificate = certificate.or(Some(Pem::Text(text("cert", value)?))),
            "cert_file" => certificate = Some(file("cert_file")?),
            "key" => private_key = private_key.or(Some(Pem::Text(text("key", value)?))),
            "key_file" => private_key = Some(file("key_file")?),
            "client_ca" => {
                let inline = Pem::Text(text("client_ca", value)?);
                settings.client_authorities.get_or_insert(inline);
            }
            "client_ca_file" => settings.client_authorities = Some(file("client_ca_file")?),
            "client_auth_type" => settings.client_auth = client_auth(&text("client_auth_type", value)?)?,
            "min_version" => settings.only_tls13 = lowest_is_13(&text("min_version", value)?)?,
            "max_version" => settings.only_tls12 = highest_is_12(&text("max_version", value)?)?,
            "cipher_suites" => settings.cipher_suites = texts("cipher_suites", value)?,
            "curve_preferences" => settings.curves = texts("curve_preferences", value)?,
            "prefer_server_cipher_suites" => {
                settings.client_order = !boolean("prefer_server_cipher_suites", value)?;
            }
            "client_allowed_sans" => {
                let problem = "names of clients are not looked at by this version";
                return Err(WebError::value("client_allowed_sans", problem));
            }
            _ => return Err(unknown(key, "tls_server_config", &TLS_KEYS)),
        }
    }
    if !is_enabled {
        return Ok(None);
    }
    settings.certificate = certificate
        .ok_or_else(|| WebError::value("tls_server_config", "missing one of cert or cert_file"))?;
    settings.key =
        private_key.ok_or_else(|| WebError::value("tls_server_config", "missing one of key or key_file"))?;
    check_clients(&settings)?;
    Ok(Some(settings))
}

fn check_clients(settings: &TlsSettings) -> Result<(), WebError> {
    match (settings.client_auth, &settings.client_authorities) {
        (ClientAuth::None, Some(_)) => Err(WebError::value(
            "client_auth_type",
            "client CAs are given without a way to use them",
        )),
        (ClientAuth::IfGiven | ClientAuth::Required, None) => Err(WebError::value(
            "client_ca_file",
            "certificates are asked for, but no authority is given",
        )),
        _ if settings.only_tls12 && settings.only_tls13 => {
            Err(WebError::value("max_version", "it is below min_version"))
        }
        _ => Ok(()),
    }
}

fn client_auth(name: &str) -> Result<ClientAuth, WebError> {
    match name {
        "" | "NoClientCert" => Ok(ClientAuth::None),
        "VerifyClientCertIfGiven" => Ok(ClientAuth::IfGiven),
        "RequireAndVerifyClientCert" => Ok(ClientAuth::Required),
        "RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert" => Err(WebError::value(
            "client_auth_type",
            format!("{name} takes certificates of anybody; use RequireAndVerifyClientCert"),
        )),
        _ => Err(WebError::value(
            "client_auth_type",
            format!("`{name}` is not known"),
        )),
    }
}

/// Versions before 1.2 are not spoken, so that a lower bound there is one of 1.2.
fn lowest_is_13(name: &str) -> Result<bool, WebError> {
    match name {
        "TLS13" => Ok(true),
        "TLS10" | "TLS11" | "TLS12" => Ok(false),
        _ => Err(WebError::value(
            "min_version",
            format!("`{name}` is no version (one of: TLS12, TLS13)"),
        )),
    }
}

fn highest_is_12(name: &str) -> Result<bool, WebError> {
    match name {
        "TLS13" => Ok(false),
        "TLS12" => Ok(true),
        _ => Err(WebError::value(
            "max_version",
            format!("`{name}` is not spoken (one of: TLS12, TLS13)"),
        )),
    }
}

fn http_settings(node: &Yaml<'_>, config: &mut WebConfig) -> Result<(), WebError> {
    for (key, value) in mapping("http_server_config", node)? {
        match key {
            "http2" => config.http2 = boolean("http2", value)?,
            "headers" => {
                for (name, value) in mapping("headers", value)? {
                    config.headers.push(header(name, text("headers", value)?)?);
                }
            }
            _ => return Err(unknown(key, "http_server_config", &["http2", "headers"])),
        }
    }
    Ok(())
}

fn header(name: &str, value: String) -> Result<(&'static str, String), WebError> {
    let Some((name, values)) = HEADERS.into_iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = HEADERS.iter().map(|(known, _)| *known).collect();
        return Err(unknown(name, "headers", &known));
    };
    if !values.is_empty() && !values.contains(&value.as_str()) {
        return Err(WebError::value(
            name,
            format!("got `{value}`, expected one of: {}", values.join(", ")),
        ));
    }
    if hyper::header::HeaderValue::from_str(&value).is_err() {
        return Err(WebError::value(
            name,
            "the value has characters that no header may have",
        ));
    }
    Ok((name, value))
}

fn users(node: &Yaml<'_>) -> Result<BTreeMap<String, String>, WebError> {
    let mut users = BTreeMap::new();
    for (name, hash) in mapping("basic_auth_users", node)? {
        let hash = text("basic_auth_users", hash)?;
        if hash.parse::<bcrypt::HashParts>().is_err() {
            return Err(WebError::value(
                "basic_auth_users",
                format!("the password of `{name}` is no bcrypt hash"),
            ));
        }
        users.insert(name.to_owned(), hash);
    }
    Ok(users)
}

fn rate(node: &Yaml<'_>) -> Result<Option<(Duration, u32)>, WebError> {
    let (mut interval, mut burst) = (Duration::ZERO, 0);
    for (key, value) in mapping("rate_limit", node)? {
        match key {
            "interval" => {
                let read = match value.as_integer() {
                    Some(nanoseconds) => u64::try_from(nanoseconds).ok().map(Duration::from_nanos),
                    None => value.as_str().and_then(limit::duration),
                };
                interval =
                    read.ok_or_else(|| WebError::value("interval", "expected a duration such as 1s"))?;
            }
            "burst" => {
                let read = value.as_integer().and_then(|burst| u32::try_from(burst).ok());
                burst = read.ok_or_else(|| WebError::value("burst", "expected a number"))?;
            }
            _ => return Err(unknown(key, "rate_limit", &["interval", "burst"])),
        }
    }
    Ok((!interval.is_zero()).then_some((interval, burst)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WebConfig, WebError> {
        WebConfig::parse(text, Path::new("/etc/web"))
    }

    fn hash() -> String {
        bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap().to_string()
    }

    #[test]
    fn an_empty_file_says_nothing() {
        for text in [
            "",
            "---\n",
            "# nothing\n",
            "tls_server_config:\n",
            "tls_server_config: {}\n",
        ] {
            let config = parse(text).unwrap();
            assert_eq!(
                config,
                WebConfig {
                    http2: true,
                    ..WebConfig::default()
                },
                "{text}"
            );
        }
    }

    #[test]
    fn all_parts_are_read() {
        let config = parse(&format!(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: /key.pem\n  client_ca_file: ca.pem\n  \
             client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS13\n  curve_preferences: [X25519]\n\
             http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n\
             basic_auth_users:\n  alice: {}\nrate_limit:\n  interval: 1m30s\n  burst: 5\n",
            hash()
        ))
        .unwrap();
        let tls = config.tls.unwrap();
        assert_eq!(tls.certificate, Pem::File("/etc/web/server.pem".into()));
        assert_eq!(tls.key, Pem::File("/key.pem".into()));
        assert_eq!((tls.client_auth, tls.only_tls13), (ClientAuth::Required, true));
        assert!(!config.http2);
        assert_eq!(config.headers, [("X-Frame-Options", "deny".to_owned())]);
        assert_eq!(config.users["alice"], hash());
        assert_eq!(config.rate, Some((Duration::from_secs(90), 5)));
    }

    #[test]
    fn bad_input_is_refused_and_says_why() {
        for (case, text, want) in [
            ("no mapping", "- a", "`the file`: expected a mapping"),
            ("no YAML", "a: [", "no YAML: "),
            (
                "typo",
                "tls_server_confg: {}",
                "unknown key `tls_server_confg` in the file (one of: tls_server_config,",
            ),
            (
                "typo below",
                "tls_server_config:\n  crt: x",
                "unknown key `crt` in tls_server_config",
            ),
            (
                "no key",
                "tls_server_config:\n  cert_file: x",
                "`tls_server_config`: missing one of key or key_file",
            ),
            (
                "no certificate",
                "tls_server_config:\n  key: x",
                "`tls_server_config`: missing one of cert or cert_file",
            ),
            (
                "authorities without use",
                "tls_server_config:\n  cert: a\n  key: b\n  client_ca: c",
                "`client_auth_type`: client CAs are given",
            ),
            (
                "nobody to trust",
                "tls_server_config:\n  cert: a\n  key: b\n  client_auth_type: RequireAndVerifyClientCert",
                "`client_ca_file`: ",
            ),
            (
                "anybody",
                "tls_server_config:\n  client_auth_type: RequireAnyClientCert",
                "`client_auth_type`: RequireAnyClientCert takes certificates of anybody",
            ),
            (
                "no version",
                "tls_server_config:\n  min_version: 1.2",
                "`min_version`: expected a text",
            ),
            (
                "old version",
                "tls_server_config:\n  max_version: TLS11",
                "`max_version`: `TLS11` is not spoken",
            ),
            (
                "another header",
                "http_server_config:\n  headers:\n    Server: x",
                "unknown key `Server` in headers",
            ),
            (
                "a header's value",
                "http_server_config:\n  headers:\n    X-Frame-Options: allow",
                "`X-Frame-Options`: got `allow`, expected one of: deny, sameorigin",
            ),
            (
                "a plain password",
                "basic_auth_users:\n  bob: secret",
                "`basic_auth_users`: the password of `bob`",
            ),
            (
                "a rate",
                "rate_limit:\n  interval: often",
                "`interval`: expected a duration",
            ),
            (
                "a burst",
                "rate_limit:\n  burst: -1",
                "`burst`: expected a number",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(want), "case {case}: {error}");
        }
    }
}
