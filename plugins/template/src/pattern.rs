//! Patterns of `match`, and what they find in a name.

use catena_core::corefile::{ConfigError, Token};
use regex::{CaptureLocations, Regex};

/// What `match` is by default.
const EVERYTHING: &str = ".*";

/// A pattern that names are searched for.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    /// None matches everything.
    regex: Option<Regex>,
    /// The groups that have names, with their places.
    names: Vec<(Box<str>, usize)>,
}

impl Pattern {
    /// Reads a pattern; its form as it is written is kept.
    pub(crate) fn read(token: &Token) -> Result<Self, ConfigError> {
        if *token == EVERYTHING {
            return Ok(Self::everything());
        }
        let regex = token.regex()?;
        let names = regex
            .capture_names()
            .enumerate()
            .filter_map(|(place, name)| Some((name?.into(), place)))
            .collect();
        Ok(Self {
            text: token.as_str().into(),
            regex: Some(regex),
            names,
        })
    }

    /// Matches every name.
    pub(crate) fn everything() -> Self {
        Self {
            text: EVERYTHING.into(),
            regex: None,
            names: Vec::new(),
        }
    }

    /// As it is written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The groups that have names, with their places.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().map(|(name, place)| (&**name, *place))
    }

    /// Whether it is found in a name.
    pub(crate) fn fits(&self, name: &str) -> bool {
        self.regex.as_ref().is_none_or(|regex| regex.is_match(name))
    }

    /// What its groups find in a name; none if it is not found.
    pub(crate) fn groups<'n>(&self, name: &'n str) -> Option<Groups<'n>> {
        let Some(regex) = &self.regex else {
            return Some(Groups { name, found: None });
        };
        // Most names fit no pattern, and this says so without room for groups.
        if !regex.is_match(name) {
            return None;
        }
        let mut found = regex.capture_locations();
        regex.captures_read(&mut found, name)?;
        Some(Groups {
            name,
            found: Some(found),
        })
    }
}

/// What the groups of a pattern found.
#[derive(Clone, Debug)]
pub(crate) struct Groups<'n> {
    name: &'n str,
    /// None where the whole name is all that there is.
    found: Option<CaptureLocations>,
}

impl<'n> Groups<'n> {
    /// The whole name as the only group.
    pub(crate) fn whole(name: &'n str) -> Self {
        Self { name, found: None }
    }

    /// The text of the group at this place, which is empty if it took no part in the match; none if there is no such
    /// group.
    pub(crate) fn get(&self, place: usize) -> Option<&'n str> {
        let Some(found) = &self.found else {
            return (place == 0).then_some(self.name);
        };
        if place >= found.len() {
            return None;
        }
        Some(found.get(place).map_or("", |(start, end)| &self.name[start..end]))
    }

    /// All groups, the whole match first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'n str> {
        (0..).map_while(|place| self.get(place))
    }
}
