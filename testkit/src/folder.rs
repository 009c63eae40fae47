//! The folder of a test: its Corefile and the files that this names.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that is removed with the test.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Replaces a file in one go, so that nobody reads a half of it. Folders in its name are made.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.file(name);
        let folder = path.parent().unwrap_or_else(|| self.path());
        std::fs::create_dir_all(folder).expect("a folder in the test's folder");
        let mut file = tempfile::NamedTempFile::new_in(folder).expect("a file in the test's folder");
        std::io::Write::write_all(&mut file, content.as_ref()).expect("room for the file");
        file.persist(path).expect("the file in its place");
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.file(name)).expect("a file to remove");
    }
}
