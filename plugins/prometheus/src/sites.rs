//! Finds the metrics of a query by its listener and zone.

use std::sync::Arc;

use arc_swap::ArcSwap;
use catena_core::message::{Request, Zone};
use parking_lot::Mutex;

use crate::metrics::Site;

/// The metrics of a block's zones on all its listeners.
///
/// Listeners and zones are told apart by the address of what names them, which a query carries: comparing two pointers
/// is all that finding takes.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    /// Sorted by [`Entry::key`].
    entries: ArcSwap<Vec<Entry>>,
    adding: Mutex<()>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Both are held, so that no other value takes their address.
    server: Arc<str>,
    zone: Arc<Zone>,
    site: Arc<Site>,
}

impl Entry {
    fn key(&self) -> (usize, usize) {
        key(&self.server, &self.zone)
    }
}

fn key(server: &Arc<str>, zone: &Arc<Zone>) -> (usize, usize) {
    (
        Arc::as_ptr(server).cast::<u8>() as usize,
        Arc::as_ptr(zone) as usize,
    )
}

impl Sites {
    /// Does something with the metrics of this listener and zone; `make` makes them when they are asked for first.
    pub(crate) fn with<T>(
        &self,
        request: &Request,
        zone: &Arc<Zone>,
        make: impl FnOnce() -> Site,
        work: impl FnOnce(&Arc<Site>) -> T,
    ) -> T {
        let wanted = key(request.server(), zone);
        let entries = self.entries.load();
        if let Ok(place) = entries.binary_search_by_key(&wanted, Entry::key) {
            return work(&entries[place].site);
        }
        drop(entries);
        work(&self.add(request, zone, make))
    }

    #[cold]
    fn add(&self, request: &Request, zone: &Arc<Zone>, make: impl FnOnce() -> Site) -> Arc<Site> {
        let _adding = self.adding.lock();
        let mut entries = Vec::clone(&self.entries.load());
        let wanted = key(request.server(), zone);
        match entries.binary_search_by_key(&wanted, Entry::key) {
            // Another worker was faster.
            Ok(place) => Arc::clone(&entries[place].site),
            Err(place) => {
                let site = Arc::new(make());
                let entry = Entry {
                    server: Arc::clone(request.server()),
                    zone: Arc::clone(zone),
                    site: Arc::clone(&site),
                };
                entries.insert(place, entry);
                self.entries.store(Arc::new(entries));
                site
            }
        }
    }
}
