//! Where the Corefile comes from.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Registry;
use crate::corefile::{ConfigErrors, Corefile, Input, Rules};

/// Where the Corefile comes from; it is read again at each reload.
#[derive(Clone, Debug)]
pub enum CorefileSource {
    /// A file.
    File(PathBuf),
    /// Text that does not change, such as standard input or the built-in default.
    Text {
        /// What error messages call it.
        name: String,
        /// The Corefile.
        text: Vec<u8>,
    },
}

/// Why there is no Corefile to work with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It cannot be read.
    #[error("open {path}: {}", reason(.cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// It cannot be understood.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
}

/// The system's words without the number behind them, in lower case as elsewhere in a log.
fn reason(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => cause.to_string(),
    }
}

impl CorefileSource {
    /// A source of text that does not change.
    #[must_use]
    pub fn text(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self::Text {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The folder that relative paths start from: that of the file, else the working folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        match self {
            Self::File(path) => path.parent().map_or_else(PathBuf::new, Path::to_owned),
            Self::Text { .. } => PathBuf::new(),
        }
    }

    /// Reads and parses it. A Corefile without server blocks stands for the built-in default.
    ///
    /// # Errors
    ///
    /// It cannot be read, or it has errors of syntax or names unknown directives.
    pub fn load(&self, registry: &Registry, default_port: u16) -> Result<Corefile, LoadError> {
        let known = registry.names();
        let rules = Rules::new(&known).with_unavailable(registry.planned());
        let corefile = self.parse(&rules)?;
        if !corefile.blocks.is_empty() {
            return Ok(corefile);
        }
        let default = Self::built_in(default_port).parse(&rules)?;
        Ok(Corefile {
            blocks: default.blocks,
            ..corefile
        })
    }

    /// What is served where no Corefile says anything: every name, answered by *whoami*, with *log*.
    #[must_use]
    pub fn built_in(default_port: u16) -> Self {
        Self::text(
            "Corefile",
            format!(".:{default_port} {{\n    whoami\n    log\n}}\n"),
        )
    }

    /// Reads and parses it with every directive taken for known, to find what else is wrong beside unknown ones.
    ///
    /// # Errors
    ///
    /// It cannot be read, or it has errors of syntax.
    pub fn load_any(&self) -> Result<Corefile, LoadError> {
        self.parse(&Rules::any_directive())
    }

    /// Reads it and tells whether it is another one than before; see [`Corefile::fingerprint`].
    ///
    /// # Errors
    ///
    /// It cannot be read, or it has errors of syntax. Unknown directives are none.
    pub fn fingerprint(&self) -> Result<String, LoadError> {
        Ok(self.parse(&Rules::any_directive())?.fingerprint())
    }

    fn parse(&self, rules: &Rules<'_>) -> Result<Corefile, LoadError> {
        match self {
            Self::File(path) => {
                let bytes = std::fs::read(path).map_err(|cause| LoadError::Unreadable {
                    path: path.clone(),
                    cause,
                })?;
                let name = path
                    .file_name()
                    .map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
                Ok(Corefile::parse(&Input::new(name, &bytes).at(path), rules)?)
            }
            Self::Text { name, text } => Ok(Corefile::parse(&Input::new(name.as_str(), text), rules)?),
        }
    }
}
