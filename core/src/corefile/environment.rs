//! `{$VAR}` and `{%VAR%}`.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use super::{ConfigError, Token};

/// Where the values of environment variables come from.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Replaces the references in a word by the values of their variables, or by nothing where there is no such variable.
///
/// References in a value are replaced in turn, and values are never cut into words again.
pub(super) fn expand(token: &mut Token, environment: Environment<'_>) -> Result<(), ConfigError> {
    let bytes = token.as_bytes();
    if !bytes.contains(&b'{') {
        return Ok(());
    }
    let replaced = replace(bytes.to_vec(), b"{%", b"%}", environment)
        .and_then(|text| replace(text, b"{$", b"}", environment))
        .ok_or_else(|| {
            token.error(format!(
                "environment variables in `{token}` are too many, or refer to each other without end"
            ))
        })?;
    if replaced != bytes {
        token.set_bytes(replaced);
    }
    Ok(())
}

/// Values may name further variables; more replacements than this in one word are a loop.
const MAX_REPLACEMENTS: usize = 1_000;

/// Longest word that replacements may make, in bytes.
const MAX_LEN: usize = 1 << 20;

/// How many bytes may be copied for the replacements in one word.
const MAX_WORK: usize = 64 << 20;

fn replace(mut text: Vec<u8>, open: &[u8], close: &[u8], environment: Environment<'_>) -> Option<Vec<u8>> {
    let mut work = 0;
    for _ in 0..MAX_REPLACEMENTS {
        work += text.len();
        if work > MAX_WORK {
            return None;
        }
        let Some(start) = find(&text, open) else {
            return Some(text);
        };
        let Some(len) = find(&text[start..], close) else {
            return Some(text);
        };
        // "{$}" names nothing and ends the search, as does "{%}", whose signs are shared.
        if len <= open.len() {
            return Some(text);
        }
        let reference = text[start..start + len + close.len()].to_vec();
        let name = String::from_utf8_lossy(&reference[open.len()..len]);
        let value = environment(&name).map(OsString::into_vec).unwrap_or_default();
        text = replace_all(&text, &reference, &value)?;
    }
    None
}

/// Replaces each `old` by `new`, unless that grows too long.
fn replace_all(text: &[u8], old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find(rest, old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
        if out.len() > MAX_LEN {
            return None;
        }
    }
    out.extend_from_slice(rest);
    Some(out)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::corefile::{Source, Span};

    fn expanded(text: &str) -> Result<Vec<u8>, ConfigError> {
        let source = Arc::new(Source::new("Corefile", None, text));
        let mut token = Token::new(text, Span::new(source, 1, 1, 1), false);
        expand(&mut token, &|name| match name {
            "A" => Some("a".into()),
            "B" => Some("<{$A}>".into()),
            "LOOP" => Some("{$LOOP}".into()),
            "BOMB" => Some("{$BOMB}{$BOMB}x".into()),
            "LATIN" => Some(OsString::from_vec(vec![b'g', 0xf6])),
            "P" => Some("{%A%}".into()),
            _ => None,
        })?;
        Ok(token.as_bytes().to_vec())
    }

    #[test]
    fn replaces_references() {
        for (text, want) in [
            ("x{$A}y{$A}{%A%}", b"xayaa".as_slice()),
            ("{$B}", b"<a>"),
            ("{$NONE}", b""),
            ("{$A:default}", b""),
            ("{$}{$A}", b"{$}{$A}"),
            ("{%}{$A}", b"{%}a"),
            ("{$A", b"{$A"),
            ("{A}", b"{A}"),
            // The notation with percent signs goes first, so it is not found in a value of the other.
            ("{$P}", b"{%A%}"),
            ("{$LATIN}", b"g\xf6"),
        ] {
            assert_eq!(expanded(text).unwrap(), want, "text {text:?}");
        }
    }

    #[test]
    fn variables_that_refer_to_themselves_end() {
        for text in ["{$LOOP}", "{$BOMB}"] {
            assert!(
                expanded(text).unwrap_err().message().contains("without end"),
                "text {text:?}"
            );
        }
    }
}
