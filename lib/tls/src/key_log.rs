//! Sessions' secrets in a file, for tools that decrypt captures.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

use parking_lot::Mutex;
use tokio_rustls::rustls::KeyLog;

/// Appends secrets to a file in the format of NSS's key logs. Nothing is written before it is opened.
#[derive(Debug, Default)]
pub struct FileKeyLog {
    file: OnceLock<Mutex<File>>,
}

impl FileKeyLog {
    /// Opens the file, which only its owner can read.
    ///
    /// # Errors
    ///
    /// It cannot be opened or made.
    pub fn open(&self, path: &Path) -> io::Result<()> {
        if self.file.get().is_some() {
            return Ok(());
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        // Two at a time have opened the same file.
        let _ = self.file.set(Mutex::new(file));
        Ok(())
    }
}

impl KeyLog for FileKeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let Some(file) = self.file.get() else { return };
        let mut line = format!("{label} {} {}", hex(client_random), hex(secret));
        line.push('\n');
        // A full disk must not keep clients from being served.
        let _ = file.lock().write_all(line.as_bytes());
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
