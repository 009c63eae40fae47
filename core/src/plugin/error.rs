//! What went wrong with one query.

use std::borrow::Cow;
use std::fmt;

use crate::message::Rcode;

/// An extended DNS error (RFC 8914): a code for programs, a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedError {
    /// INFO-CODE, from the registry of RFC 8914, section 4.
    pub code: u16,
    /// EXTRA-TEXT; may be empty.
    pub text: Cow<'static, str>,
}

impl ExtendedError {
    /// Other Error.
    pub const OTHER: u16 = 0;
    /// Blocked, by the operator of the server.
    pub const BLOCKED: u16 = 15;
    /// Filtered, as the client asked for.
    pub const FILTERED: u16 = 17;
    /// Not Ready: the server is starting.
    pub const NOT_READY: u16 = 14;
    /// No Reachable Authority: no upstream answered.
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;
    /// Network Error.
    pub const NETWORK_ERROR: u16 = 23;
}

/// Why a plugin could not answer a query.
///
/// It is answered with [`PluginError::rcode`] and logged by the `errors` plugin. It is one pointer wide, since it
/// is part of what every link of the chain returns.
pub struct PluginError(Box<Inner>);

struct Inner {
    plugin: &'static str,
    message: Cow<'static, str>,
    prefixed: bool,
    rcode: Rcode,
    extended: Option<ExtendedError>,
    panicked: bool,
}

impl PluginError {
    /// An error of `plugin` that is shown as `plugin/NAME: message` and answered with SERVFAIL.
    pub fn new(plugin: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            plugin,
            message: message.into(),
            prefixed: true,
            rcode: Rcode::SERVFAIL,
            extended: None,
            panicked: false,
        }))
    }

    /// The same, but shown without the plugin's name: for causes that come from elsewhere, as from the network.
    pub fn bare(plugin: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(plugin, message);
        error.0.prefixed = false;
        error
    }

    /// The chain ended without an answer.
    #[must_use]
    pub fn no_next(plugin: &'static str) -> Self {
        Self::new(plugin, "no next plugin found")
    }

    pub(super) fn panicked(plugin: &'static str, place: &str) -> Self {
        let mut error = Self::new(plugin, format!("panic at {place}"));
        error.0.panicked = true;
        error
    }

    /// Answers with another RCODE than SERVFAIL.
    #[must_use]
    pub fn with_rcode(mut self, rcode: Rcode) -> Self {
        self.0.rcode = rcode;
        self
    }

    /// Tells the client more, if it understands EDNS.
    #[must_use]
    pub fn with_extended(mut self, code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        self.0.extended = Some(ExtendedError {
            code,
            text: text.into(),
        });
        self
    }

    /// The plugin that failed.
    #[must_use]
    pub fn plugin(&self) -> &'static str {
        self.0.plugin
    }

    /// The RCODE of the answer.
    #[must_use]
    pub fn rcode(&self) -> Rcode {
        self.0.rcode
    }

    /// The extended error that goes along, if any.
    #[must_use]
    pub fn extended(&self) -> Option<&ExtendedError> {
        self.0.extended.as_ref()
    }

    /// Whether the plugin panicked; the place has been logged then.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.0.panicked
    }

    /// The message without the plugin's name.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefixed {
            write!(f, "plugin/{}: {}", self.0.plugin, self.0.message)
        } else {
            f.write_str(&self.0.message)
        }
    }
}

impl fmt::Debug for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginError({self}, {:?})", self.0.rcode)
    }
}

impl std::error::Error for PluginError {}
