//! The plugins that a server knows, in their order.

use crate::plugin::Definition;

/// The plugins that a server knows. Their order is the order of each chain, whatever the Corefile's is.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    definitions: Vec<Definition>,
    planned: Vec<&'static str>,
}

impl Registry {
    /// A registry of these plugins, in this order.
    #[must_use]
    pub fn new(definitions: impl IntoIterator<Item = Definition>) -> Self {
        Self {
            definitions: definitions.into_iter().collect(),
            planned: Vec::new(),
        }
    }

    /// Names of plugins that users may expect but that are not there yet; a Corefile that names one gets an error
    /// that says so.
    #[must_use]
    pub fn with_planned(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        self.planned.extend(names);
        self
    }

    /// Puts a plugin directly before the one called `before`, or at the end if there is none of that name.
    #[must_use]
    pub fn with_before(mut self, definition: Definition, before: &str) -> Self {
        let place = self.definitions.iter().position(|known| known.name == before);
        self.definitions
            .insert(place.unwrap_or(self.definitions.len()), definition);
        self
    }

    /// The plugins in their order.
    #[must_use]
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// The plugins' names, in their order.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.definitions
            .iter()
            .map(|definition| definition.name)
            .collect()
    }

    /// The names of plugins that are not there yet.
    #[must_use]
    pub fn planned(&self) -> &[&'static str] {
        &self.planned
    }
}
