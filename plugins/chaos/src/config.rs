//! Reads the Corefile.

use catena_core::corefile::{ConfigError, Directive};

/// What the server calls itself where the Corefile gives it no version.
const DEFAULT_VERSION: &str = concat!("Catena-", env!("CARGO_PKG_VERSION"));

/// Who made it, where the Corefile names nobody.
const DEFAULT_AUTHORS: &[&str] = &["The Catena authors"];

/// Longest character string (RFC 1035, section 3.3).
const MAX_TEXT: usize = 255;

/// What the Corefile says. Texts are bytes, since the Corefile's need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) version: Vec<u8>,
    /// In order, each once.
    pub(crate) authors: Vec<Vec<u8>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: DEFAULT_VERSION.into(),
            authors: DEFAULT_AUTHORS
                .iter()
                .map(|author| author.as_bytes().to_vec())
                .collect(),
        }
    }
}

/// The first directive; CoreDNS looks at no other, here they are at least read.
pub(crate) fn parse(directives: &[Directive]) -> Result<Config, ConfigError> {
    let configs = directives.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(configs.into_iter().next().unwrap_or_default())
}

fn read(directive: &Directive) -> Result<Config, ConfigError> {
    if let Some(option) = directive.options().first() {
        return Err(option.unknown_option(&[]));
    }
    let mut config = Config::default();
    let mut texts = directive.args().iter().map(|arg| cut(arg.as_bytes()));
    if let Some(version) = texts.next() {
        config.version = version;
    }
    let mut authors: Vec<_> = texts.collect();
    if !authors.is_empty() {
        authors.sort();
        authors.dedup();
        config.authors = authors;
    }
    Ok(config)
}

fn cut(text: &[u8]) -> Vec<u8> {
    text[..text.len().min(MAX_TEXT)].to_vec()
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    fn parsed(text: &str) -> (String, Vec<String>) {
        let config = parse(&parse_directives(text).unwrap()).unwrap();
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        (text(&config.version), config.authors.iter().map(text).collect())
    }

    #[test]
    fn version_and_authors() {
        let default_version = DEFAULT_VERSION.to_owned();
        let default_authors = vec!["The Catena authors".to_owned()];
        assert_eq!(parsed("chaos"), (default_version, default_authors.clone()));
        assert_eq!(parsed("chaos v2"), ("v2".to_owned(), default_authors.clone()));
        assert_eq!(parsed("chaos v2 {\n}"), ("v2".to_owned(), default_authors));
        for (text, version, authors) in [
            ("chaos v2 b a \"c d\" a", "v2", ["a", "b", "c d"].as_slice()),
            ("chaos \"größe ✓\" Zoë", "größe ✓", &["Zoë"]),
            ("chaos \"\" \"\" a", "", &["", "a"]),
            ("chaos v1 a\nchaos v2 b", "v1", &["a"]),
        ] {
            let (got_version, got_authors) = parsed(text);
            assert_eq!(
                (got_version.as_str(), got_authors.as_slice()),
                (
                    version,
                    &*authors
                        .iter()
                        .map(|author| (*author).to_owned())
                        .collect::<Vec<_>>()
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn texts_are_cut_to_what_a_character_string_holds() {
        for (len, want) in [(255, 255), (256, 255), (5000, 255)] {
            let long = "x".repeat(len);
            let (version, authors) = parsed(&format!("chaos {long} {long}"));
            assert_eq!((version.len(), authors[0].len()), (want, want), "{len}");
        }
        // What is the same once it is cut counts once.
        let long = "x".repeat(255);
        assert_eq!(parsed(&format!("chaos v {long}a {long}b")).1.len(), 1);
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, want) in [
            (
                "chaos v2 {\n unknown\n}",
                "Corefile:2:2: unknown option `unknown`: no options here",
            ),
            (
                "chaos v1\nchaos {\n version v2\n}",
                "Corefile:3:2: unknown option `version`: no options here",
            ),
        ] {
            let error = parse(&parse_directives(text).unwrap()).unwrap_err();
            assert_eq!(error.headline(), want, "{text}");
        }
    }
}
