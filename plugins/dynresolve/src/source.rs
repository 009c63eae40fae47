//! Where services are read from once an answer is no longer fresh.

use std::sync::Arc;

use crate::store::Store;
use crate::table::Entry;

/// Reads the state of a store. The tests have sources that fail.
pub(crate) trait Source: Send + Sync + 'static {
    /// The entry of a name in wire form.
    fn find(&self, store: &Store, name: &[u8]) -> Result<Option<Arc<Entry>>, SourceError>;
}

/// The state cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be read")]
pub(crate) struct SourceError;

/// The state in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory;

impl Source for Memory {
    fn find(&self, store: &Store, name: &[u8]) -> Result<Option<Arc<Entry>>, SourceError> {
        Ok(store.table().get(name))
    }
}
