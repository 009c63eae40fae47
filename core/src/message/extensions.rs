//! Data by type that travels with a query.

use std::any::{Any, TypeId};
use std::fmt;

/// At most one value of each type; costs nothing while it is empty.
#[derive(Default)]
pub struct Extensions {
    /// Few and short-lived: searching beats hashing.
    values: Vec<(TypeId, Box<dyn Any + Send + Sync>)>,
}

impl Extensions {
    /// No values.
    #[must_use]
    pub const fn new() -> Self {
        Self { values: Vec::new() }
    }

    /// Keeps `value` and gives back the one of its type that was there.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) -> Option<T> {
        let old = self.remove();
        self.values.push((TypeId::of::<T>(), Box::new(value)));
        old
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.values
            .iter()
            .find(|(id, _)| *id == TypeId::of::<T>())?
            .1
            .downcast_ref()
    }

    /// The value of this type, to change it.
    pub fn get_mut<T: Any + Send + Sync>(&mut self) -> Option<&mut T> {
        self.values
            .iter_mut()
            .find(|(id, _)| *id == TypeId::of::<T>())?
            .1
            .downcast_mut()
    }

    /// The value of this type, made if it is not there.
    pub fn get_or_default<T: Any + Default + Send + Sync>(&mut self) -> &mut T {
        let index = match self.values.iter().position(|(id, _)| *id == TypeId::of::<T>()) {
            Some(index) => index,
            None => {
                self.values.push((TypeId::of::<T>(), Box::new(T::default())));
                self.values.len() - 1
            }
        };
        self.values[index]
            .1
            .downcast_mut()
            .expect("values are kept under their own type")
    }

    /// Takes the value of this type out.
    pub fn remove<T: Any + Send + Sync>(&mut self) -> Option<T> {
        let index = self.values.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.values
            .swap_remove(index)
            .1
            .downcast()
            .ok()
            .map(|value| *value)
    }

    /// Drops all values.
    #[inline]
    pub fn clear(&mut self) {
        if !self.values.is_empty() {
            self.values.clear();
        }
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.values.len())
    }
}

/// Headers of the HTTP request that brought a query: those by which clients say that they trace it. A listener for DNS over
/// HTTPS leaves them among the extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpHeaders(Vec<(Box<str>, Box<str>)>);

impl HttpHeaders {
    /// The first value of a header; upper and lower case are alike in its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }
}

impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for HttpHeaders {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let owned = |(name, value): (N, V)| (name.into(), value.into());
        Self(headers.into_iter().map(owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case() {
        let headers: HttpHeaders = [("X-B3-TraceId", "1"), ("accept", "a"), ("Accept", "b")]
            .into_iter()
            .collect();
        assert_eq!(headers.get("x-b3-traceid"), Some("1"));
        assert_eq!(headers.get("ACCEPT"), Some("a"));
        assert_eq!(headers.get("host"), None);
    }

    #[test]
    fn one_value_a_type() {
        let mut extensions = Extensions::new();
        assert_eq!(extensions.insert(1_u32), None);
        assert_eq!(extensions.insert("a"), None);
        assert_eq!(extensions.insert(2_u32), Some(1));
        *extensions.get_or_default::<u64>() += 7;
        *extensions.get_or_default::<u64>() += 1;
        assert_eq!(extensions.get::<u64>(), Some(&8));
        *extensions.get_mut::<u32>().unwrap() = 5;
        assert_eq!(
            (extensions.remove::<u32>(), extensions.get::<u32>()),
            (Some(5), None)
        );
        extensions.clear();
        assert_eq!(extensions.get::<&str>(), None);
    }
}
