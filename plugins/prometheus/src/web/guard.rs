//! Stands before the metrics: who may read them, how often, and with which headers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use catena_http::{Handler, Reply, RequestHead, text};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::limit::Bucket;
use super::{WebConfig, WebError};

/// Checked passwords that are remembered: bcrypt is slow on purpose.
const REMEMBERED: usize = 64;

/// What an unknown user's password is compared with, at bcrypt's usual cost: it takes as long to refuse as a known one's.
fn nobody() -> &'static str {
    static NOBODY: OnceLock<String> = OnceLock::new();
    NOBODY.get_or_init(|| {
        let hashed = bcrypt::hash_with_salt("", 10, [0; 16]);
        hashed.map(|hash| hash.to_string()).unwrap_or_default()
    })
}

/// Lets a request pass to the handler behind, as the file says.
pub(crate) struct Guard {
    path: PathBuf,
    behind: Arc<dyn Handler>,
    bucket: Mutex<Bucket>,
    passwords: Arc<Passwords>,
}

impl Guard {
    pub(crate) fn new(path: PathBuf, behind: Arc<dyn Handler>) -> Self {
        Self {
            path,
            behind,
            bucket: Mutex::default(),
            passwords: Arc::default(),
        }
    }

    fn is_too_often(&self, config: &WebConfig) -> bool {
        config
            .rate
            .is_some_and(|(interval, burst)| !self.bucket.lock().take(interval, burst, Instant::now()))
    }

    /// Whether the request names a user with the right password.
    async fn is_known(&self, request: &RequestHead, config: &WebConfig) -> bool {
        if config.users.is_empty() {
            return true;
        }
        let Some((user, password)) = credentials(request) else {
            return false;
        };
        let known = config.users.get(&user).cloned();
        let passwords = Arc::clone(&self.passwords);
        let check = tokio::task::spawn_blocking(move || {
            let hash = known.as_deref().unwrap_or_else(|| nobody());
            passwords.fits(&user, &password, hash) && known.is_some()
        });
        check.await.unwrap_or(false)
    }
}

#[async_trait]
impl Handler for Guard {
    async fn handle(&self, request: &RequestHead) -> Reply {
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || WebConfig::load(&path)).await;
        let config = match loaded.unwrap_or_else(|error| Err(WebError::Syntax(error.to_string()))) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(target: "plugin/prometheus", "Unable to parse configuration: {error}");
                return text(500, "Internal Server Error\n");
            }
        };
        if self.is_too_often(&config) {
            return text(429, "Too Many Requests\n");
        }
        let mut reply = if self.is_known(request, &config).await {
            self.behind.handle(request).await
        } else {
            let mut refusal = text(401, "Unauthorized\n");
            refusal
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
            refusal
        };
        for (name, value) in &config.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_str(value)) {
                reply.headers_mut().insert(name, value);
            }
        }
        reply
    }
}

/// User and password of HTTP's basic authentication (RFC 7617).
fn credentials(request: &RequestHead) -> Option<(String, String)> {
    let value = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Remembers which passwords fit.
#[derive(Debug, Default)]
struct Passwords {
    checked: Mutex<VecDeque<([u8; 32], bool)>>,
    /// One at a time, so that guesses do not take all processors from the queries.
    checking: Mutex<()>,
}

impl Passwords {
    fn fits(&self, user: &str, password: &str, hash: &str) -> bool {
        let mut digest = Sha256::new();
        for part in [user, password, hash] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let key: [u8; 32] = digest.finalize().into();
        if let Some(known) = self.known(&key) {
            return known;
        }
        let _checking = self.checking.lock();
        if let Some(known) = self.known(&key) {
            return known;
        }
        let fits = bcrypt::verify(password, hash).unwrap_or(false);
        let mut checked = self.checked.lock();
        if checked.len() >= REMEMBERED {
            checked.pop_front();
        }
        checked.push_back((key, fits));
        fits
    }

    fn known(&self, key: &[u8; 32]) -> Option<bool> {
        self.checked
            .lock()
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, fits)| *fits)
    }
}
