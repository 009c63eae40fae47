//! Which files an `import` names.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read as _},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
};

/// Why an `import` cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImportError {
    #[error("Glob pattern may only contain one wildcard (*), but has others: {}", .0.display())]
    ManyWildcards(PathBuf),
    #[error("Failed to use import pattern {0}: syntax error in pattern")]
    Malformed(String),
    #[error("File to import not found: {0}")]
    NotFound(String),
    #[error("Could not import {}: {cause}", .path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("Could not import {}: is a directory", .0.display())]
    Directory(PathBuf),
    #[error("Could not import {}: more than {max} bytes", .path.display())]
    TooLong { path: PathBuf, max: usize },
}

/// Finds the files that a pattern names, in the order of their names as text.
///
/// A relative pattern starts at `folder`. A pattern with a wildcard may match nothing; a plain name must exist.
pub(super) fn find(pattern: &[u8], folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let path = clean(&folder.join(OsStr::from_bytes(pattern)));
    let shown = String::from_utf8_lossy(pattern);
    if !has_meta(pattern) {
        return if path.symlink_metadata().is_ok() {
            Ok(vec![path])
        } else {
            Err(ImportError::NotFound(shown.into()))
        };
    }
    let count = |wanted: u8| pattern.iter().filter(|byte| **byte == wanted).count();
    if count(b'*') > 1 || count(b'?') > 1 || (count(b'[') > 0 && count(b']') > 0) {
        return Err(ImportError::ManyWildcards(path));
    }
    if count(b'[') > 0 {
        return Err(ImportError::Malformed(shown.into()));
    }
    let found = matches(folder, pattern);
    if found.is_empty() && !pattern.iter().any(|byte| b"*?[]".contains(byte)) {
        return Err(ImportError::NotFound(shown.into()));
    }
    Ok(found)
}

/// Reads a whole file, unless it is longer than `max` bytes.
pub(super) fn read(path: &Path, max: usize) -> Result<Vec<u8>, ImportError> {
    let unreadable = |cause| ImportError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    // A pipe or a device would keep the parser waiting, so it is not even opened.
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    if kind.is_dir() {
        return Err(ImportError::Directory(path.to_owned()));
    }
    if !kind.is_file() {
        return Err(unreadable(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    let bound = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(bound).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() > max {
        return Err(ImportError::TooLong {
            path: path.to_owned(),
            max,
        });
    }
    Ok(bytes)
}

/// The path from the root, with `.` and `..` taken out by their letters alone.
pub(super) fn absolute(path: &Path) -> PathBuf {
    clean(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir if out.has_root() => {}
            other => out.push(other),
        }
    }
    out
}

fn has_meta(text: &[u8]) -> bool {
    text.iter().any(|byte| b"*?[\\".contains(byte))
}

/// Walks down a pattern, part by part; a part without a wildcard must exist by that name.
fn matches(folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    if pattern.starts_with(b"/") {
        found = vec![PathBuf::from("/")];
    }
    for part in pattern
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
    {
        found = if has_meta(part) {
            found.iter().flat_map(|folder| entries(folder, part)).collect()
        } else {
            let deeper = found
                .iter()
                .map(|folder| clean(&folder.join(OsStr::from_bytes(part))));
            deeper.filter(|path| path.symlink_metadata().is_ok()).collect()
        };
    }
    found
}

/// The names in a folder that match, sorted byte by byte; none if the folder cannot be read.
fn entries(folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let names = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    let mut names: Vec<OsString> = names.filter(|name| fits(pattern, name.as_bytes())).collect();
    names.sort_unstable_by_key(|name| name.clone().into_vec());
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// Whether a name matches a pattern that has at most one `*`, `?` for one character, and a backslash before letters that
/// stand for themselves. A `*` also stands for a dot at the start.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|skipped| fits(rest, &name[skipped..])),
        [b'?', rest @ ..] => {
            let len = std::str::from_utf8(&name[..name.len().min(4)]).map_or_else(
                |error| {
                    std::str::from_utf8(&name[..error.valid_up_to()])
                        .ok()
                        .and_then(first_len)
                        .unwrap_or(1)
                },
                |text| first_len(text).unwrap_or(0),
            );
            len > 0 && len <= name.len() && fits(rest, &name[len..])
        }
        [b'\\', letter, rest @ ..] | [letter, rest @ ..] => {
            name.first() == Some(letter) && fits(rest, &name[1..])
        }
    }
}

fn first_len(text: &str) -> Option<usize> {
    text.chars().next().map(char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_gos_do() {
        for (pattern, name, want) in [
            ("*", "a.conf", true),
            ("*", ".hidden", true),
            ("*.conf", "a.conf", true),
            ("*.conf", "a.config", false),
            ("a*b", "ab", true),
            ("a*b", "axxb", true),
            ("a*b", "axxbc", false),
            ("?.conf", "a.conf", true),
            ("?.conf", "ö.conf", true),
            ("?.conf", ".conf", false),
            ("?.conf", "ab.conf", false),
            ("?*", "", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                want,
                "pattern {pattern:?}, name {name:?}"
            );
        }
        assert!(fits(b"?", b"\xff"));
    }

    #[test]
    fn paths_are_cleaned_by_their_letters() {
        for (path, want) in [
            ("/a/./b/../c", "/a/c"),
            ("/../a", "/a"),
            ("a/../../b", "../b"),
            ("/", "/"),
        ] {
            assert_eq!(clean(Path::new(path)), Path::new(want), "path {path:?}");
        }
    }
}
