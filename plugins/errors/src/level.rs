//! The levels that a consolidated error can be logged at.

use catena_core::log::LogSink;

/// How grave a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    #[default]
    Error,
    Info,
    Warning,
}

impl Level {
    /// What the Corefile calls them.
    pub(crate) const NAMES: &[&str] = &["warning", "error", "info", "debug"];

    /// Reads what the Corefile says.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "debug" => Self::Debug,
            "error" => Self::Error,
            "info" => Self::Info,
            "warning" => Self::Warning,
            _ => return None,
        })
    }

    /// Writes a line of this level; those for debugging only while the sink shows such.
    pub(crate) fn log(self, sink: &LogSink, message: std::fmt::Arguments<'_>) {
        let level = match self {
            Self::Debug if !sink.debug() => return,
            Self::Debug => "DEBUG",
            Self::Error => "ERROR",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
        };
        sink.line(&format!("[{level}] plugin/errors: {message}"));
    }
}
