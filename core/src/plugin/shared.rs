//! State that outlives a configuration: shared by all blocks of a server, or handed from a block's old plugin to its
//! new one.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

type AnyArc = Arc<dyn Any + Send + Sync>;

/// One value of each type, for the whole life of a server. Plugins meet here what belongs to all of them, such as
/// the registry of metrics; a reload keeps it.
#[derive(Clone, Default)]
pub struct Shared {
    values: Arc<Mutex<HashMap<TypeId, AnyArc>>>,
}

impl Shared {
    /// The server's `T`, made with [`Default`] when it is asked for first.
    #[must_use]
    pub fn of<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut values = self.values.lock();
        let value = values
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(T::default()));
        // The key is the type, so this finds what it looks for.
        Arc::clone(value).downcast::<T>().unwrap_or_default()
    }

    /// Puts a `T` there before anybody asks for it, as a program that embeds a server may want.
    pub fn put<T: Send + Sync + 'static>(&self, value: Arc<T>) {
        self.values.lock().insert(TypeId::of::<T>(), value);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} values)", self.values.lock().len())
    }
}

/// What the plugins of one configuration leave for the plugins of the next one.
///
/// A value is found again by the same plugin of the same block; a block is the same when its first key is.
#[derive(Default)]
pub struct Handover {
    values: HashMap<(String, &'static str, TypeId), AnyArc>,
}

impl Handover {
    pub(super) fn keep<T: Send + Sync + 'static>(
        &mut self,
        block: &str,
        plugin: &'static str,
        value: Arc<T>,
    ) {
        self.values
            .insert((block.to_owned(), plugin, TypeId::of::<T>()), value);
    }

    pub(super) fn previous<T: Send + Sync + 'static>(
        &self,
        block: &str,
        plugin: &'static str,
    ) -> Option<Arc<T>> {
        let value = self.values.get(&(block.to_owned(), plugin, TypeId::of::<T>()))?;
        Arc::clone(value).downcast::<T>().ok()
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} values)", type_name::<Self>(), self.values.len())
    }
}
