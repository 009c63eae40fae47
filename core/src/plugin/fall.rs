//! `fallthrough`: for which names a plugin that has no answer passes the query on.

use crate::corefile::{ConfigError, Directive};
use crate::message::{QName, Zone};

/// The zones of a `fallthrough` option.
///
/// ```
/// use catena_core::corefile::testing::parse_directives;
/// use catena_core::plugin::Fallthrough;
///
/// let lines = parse_directives("fallthrough example.org\nfallthrough").unwrap();
/// let below = Fallthrough::from_option(&lines[0]).unwrap();
/// assert!(below.covers(&"a.example.org".parse().unwrap()));
/// assert!(!below.covers(&"example.net".parse().unwrap()));
///
/// let everywhere = Fallthrough::from_option(&lines[1]).unwrap();
/// assert!(everywhere.covers(&"example.net".parse().unwrap()));
/// assert!(!Fallthrough::default().covers(&"example.net".parse().unwrap()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallthrough {
    zones: Vec<Zone>,
}

impl Fallthrough {
    /// Reads `fallthrough [ZONES...]`; without zones it covers every name.
    ///
    /// # Errors
    ///
    /// An argument that is no zone.
    pub fn from_option(option: &Directive) -> Result<Self, ConfigError> {
        let args = option.at_least(0, "[ZONES...]")?;
        if args.is_empty() {
            return Ok(Self {
                zones: vec![Zone::root()],
            });
        }
        let mut zones = Vec::with_capacity(args.len());
        for arg in args {
            zones.extend(arg.zones()?);
        }
        Ok(Self { zones })
    }

    /// Whether queries for this name fall through.
    #[must_use]
    pub fn covers(&self, name: &QName) -> bool {
        self.zones.iter().any(|zone| name.is_within(zone))
    }

    /// Whether no query falls through, as when the option is not there.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.zones.is_empty()
    }
}
