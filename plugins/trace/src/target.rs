//! Where a collector is, and what it understands.

use std::fmt;

use catena_core::corefile::{ConfigError, Token};
use hyper::Uri;

/// What a collector understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The agent of Datadog, version 0.4 of its interface.
    Datadog,
    /// OpenTelemetry's protocol: HTTP with JSON.
    Otlp,
    /// Zipkin, version 2 of its interface.
    Zipkin,
}

/// The words for [`Kind`] in a Corefile.
const KINDS: &[(&str, Kind)] = &[
    ("datadog", Kind::Datadog),
    ("otlp", Kind::Otlp),
    ("zipkin", Kind::Zipkin),
];

impl Kind {
    /// Reads the word, in any letters.
    ///
    /// # Errors
    ///
    /// There is no such kind of collector.
    pub(crate) fn from_token(token: &Token) -> Result<Self, ConfigError> {
        let found = KINDS
            .iter()
            .find(|(name, _)| token.as_str().eq_ignore_ascii_case(name));
        found.map(|&(_, kind)| kind).ok_or_else(|| {
            token
                .error(format!("tracing endpoint type `{token}` is not supported"))
                .with_expected("one of: datadog, otlp, zipkin")
                .with_nearest(token.as_str(), KINDS.iter().map(|&(name, _)| name))
        })
    }

    /// Whether a word of a Corefile names a kind.
    pub(crate) fn is_named(word: &str) -> bool {
        KINDS.iter().any(|&(name, _)| name == word)
    }

    /// Where such a collector is unless the Corefile says otherwise.
    fn default_endpoint(self) -> &'static str {
        match self {
            Self::Datadog => "localhost:8126",
            Self::Otlp => "localhost:4318",
            Self::Zipkin => "localhost:9411",
        }
    }

    /// Where such a collector takes spans.
    fn default_path(self) -> &'static str {
        match self {
            Self::Datadog => "/v0.4/traces",
            Self::Otlp => "/v1/traces",
            Self::Zipkin => "/api/v2/spans",
        }
    }
}

/// One collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    /// With TLS.
    pub(crate) tls: bool,
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With the query, if there is one.
    pub(crate) path: String,
}

impl Target {
    /// Reads where a collector is: a URL, or a host with or without a port. `None` and an empty word are the default.
    ///
    /// # Errors
    ///
    /// The word is neither.
    pub(crate) fn read(kind: Kind, word: Option<&Token>) -> Result<Self, ConfigError> {
        let text = word.map_or("", Token::as_str);
        let text = if text.is_empty() {
            kind.default_endpoint()
        } else {
            text
        };
        Self::parse(kind, text).ok_or_else(|| match word {
            Some(word) => word.expected(
                "a collector's host with its port, such as `localhost:9411`, or a URL such as \
                 `http://localhost:9411/api/v2/spans`",
            ),
            None => ConfigError::without_place("the default collector"),
        })
    }

    fn parse(kind: Kind, text: &str) -> Option<Self> {
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}{}", kind.default_path())
        };
        let uri: Uri = url.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok().filter(|&port: &u16| port > 0)?,
            // A user, or a colon with something else than a port behind it.
            None if authority.as_str() != authority.host() => return None,
            None if kind == Kind::Datadog && !tls => 8126,
            None if tls => 443,
            None => 80,
        };
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        if host.is_empty() || authority.as_str().contains('@') {
            return None;
        }
        // The agent's interface has one place for traces, whatever a URL says.
        let path = match (kind, uri.path_and_query()) {
            (Kind::Zipkin, Some(path)) => path.as_str().to_owned(),
            (_, Some(path)) if path.as_str() != "/" => path.as_str().to_owned(),
            _ => kind.default_path().to_owned(),
        };
        Some(Self {
            kind,
            tls,
            host: host.to_owned(),
            port,
            path,
        })
    }

    /// Host and port as they stand in a URL.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The URL: the label of metrics, and the name in logs.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_urls_are_read() {
        for (kind, text, want) in [
            (
                Kind::Zipkin,
                "localhost:1234",
                Some("http://localhost:1234/api/v2/spans"),
            ),
            (
                Kind::Zipkin,
                "tracinghost",
                Some("http://tracinghost:80/api/v2/spans"),
            ),
            (
                Kind::Zipkin,
                "[2001:db8::1]:9411",
                Some("http://[2001:db8::1]:9411/api/v2/spans"),
            ),
            (
                Kind::Zipkin,
                "http://localhost:1234/somewhere/else?a=b",
                Some("http://localhost:1234/somewhere/else?a=b"),
            ),
            (
                Kind::Zipkin,
                "https://a.example.org/x",
                Some("https://a.example.org:443/x"),
            ),
            (
                Kind::Zipkin,
                "httpbin:9411",
                Some("http://httpbin:9411/api/v2/spans"),
            ),
            (Kind::Zipkin, "http://localhost:1", Some("http://localhost:1/")),
            (
                Kind::Datadog,
                "localhost",
                Some("http://localhost:8126/v0.4/traces"),
            ),
            (
                Kind::Datadog,
                "http://localhost:8127",
                Some("http://localhost:8127/v0.4/traces"),
            ),
            (
                Kind::Otlp,
                "localhost:4318",
                Some("http://localhost:4318/v1/traces"),
            ),
            (
                Kind::Otlp,
                "https://a.example.org/otlp/v1/traces",
                Some("https://a.example.org:443/otlp/v1/traces"),
            ),
            (Kind::Zipkin, "ftp://localhost", None),
            (Kind::Zipkin, "localhost:port", None),
            (Kind::Zipkin, "localhost:0", None),
            (Kind::Zipkin, "localhost:", None),
            (Kind::Zipkin, "a b", None),
            (Kind::Zipkin, "http://", None),
            (Kind::Zipkin, "http://user:secret@localhost/", None),
        ] {
            let target = Target::parse(kind, text);
            assert_eq!(target.map(|target| target.to_string()).as_deref(), want, "{text}");
        }
    }
}
