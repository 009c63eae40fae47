//! Values by listener.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// One `T` for each listener that queries come from, found without a lock.
///
/// A block has few listeners, so that a list beats a map.
///
/// ```
/// use std::sync::Arc;
/// use catena_facts::ByServer;
///
/// let lengths = ByServer::new();
/// let label: Arc<str> = Arc::from("dns://:53");
/// assert_eq!(lengths.with(&label, |label| label.len(), |&len| len), 9);
/// ```
pub struct ByServer<T> {
    known: ArcSwap<Vec<(Arc<str>, T)>>,
}

impl<T: Clone> ByServer<T> {
    /// No values yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            known: ArcSwap::from_pointee(Vec::new()),
        }
    }

    /// Hands the value for the listener called `label` to `work`; the first time it is made.
    pub fn with<R>(&self, label: &Arc<str>, make: impl Fn(&str) -> T, work: impl Fn(&T) -> R) -> R {
        let find = |known: &[(Arc<str>, T)]| {
            known
                .iter()
                .find(|(server, _)| Arc::ptr_eq(server, label) || server == label)
                .map(|(_, value)| work(value))
        };
        if let Some(result) = find(&self.known.load()) {
            return result;
        }
        let value = make(label);
        self.known.rcu(|known| {
            let mut known = Vec::clone(known);
            if !known.iter().any(|(server, _)| server == label) {
                known.push((Arc::clone(label), value.clone()));
            }
            known
        });
        work(&value)
    }
}

impl<T: Clone> Default for ByServer<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for ByServer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.load();
        f.debug_list()
            .entries(known.iter().map(|(server, _)| server))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_value_is_made_once_for_each_label() {
        let made = Cell::new(0);
        let make = |label: &str| {
            made.set(made.get() + 1);
            label.to_owned()
        };
        let values = ByServer::new();
        for label in ["dns://:53", "dns://:54", "dns://:53", "dns://:54"] {
            assert_eq!(values.with(&Arc::from(label), make, String::clone), label);
        }
        assert_eq!(made.get(), 2);
        assert_eq!(format!("{values:?}"), r#"["dns://:53", "dns://:54"]"#);
    }
}
