//! The services of an instance: one writer at a time, readers that never wait.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ahash::RandomState;
use arc_swap::{ArcSwap, Guard};
use catena_core::message::QName;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::names::{ServiceName, Zones};
use crate::service::{Service, TooManyRecords};
use crate::table::{Entry, Table};

/// A replacement that changes more names than this names none of them.
const MAX_CHANGED_NAMES: usize = 1000;

/// How often a replaced table is looked at before it is let go anyway.
const MAX_LOOKS: usize = 10_000;

/// All services of one instance. A reload hands it on as it is.
#[derive(Debug)]
pub(crate) struct Store {
    zones: Arc<Zones>,
    table: ArcSwap<Table>,
    /// Held by whoever writes.
    totals: Mutex<Vec<Total>>,
    serial: AtomicU32,
    /// Counts the writes.
    version: watch::Sender<u64>,
    epoch: Instant,
}

/// How much there is in a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) services: usize,
    pub(crate) records: usize,
}

/// What became of a service that records were taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// There is no such service.
    Missing,
    /// It has others left.
    Left(Service),
    /// It had no others, and is deleted.
    Deleted,
}

/// Which names a replacement changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// These.
    Names(Vec<QName>),
    /// More than are worth naming.
    Many,
}

/// All services at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The number of the last write that it has.
    pub(crate) version: u64,
    /// The SOA record's serial then.
    pub(crate) serial: u32,
    /// The services, in the order of their names in wire form.
    pub(crate) services: Vec<Arc<Entry>>,
}

impl Store {
    /// A store without services.
    pub(crate) fn new(zones: Arc<Zones>) -> Self {
        let totals = vec![Total::default(); zones.len()];
        Self {
            zones,
            table: ArcSwap::from_pointee(Table::new([])),
            totals: Mutex::new(totals),
            serial: AtomicU32::new(unix_time()),
            version: watch::Sender::new(0),
            epoch: Instant::now(),
        }
    }

    /// The zones that names lie in.
    pub(crate) fn zones(&self) -> &Arc<Zones> {
        &self.zones
    }

    /// What queries read.
    #[inline]
    pub(crate) fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// A time in milliseconds since the store was made.
    #[inline]
    pub(crate) fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_millis() as u64
    }

    /// The serial of the SOA record; each write changes it.
    pub(crate) fn serial(&self) -> u32 {
        self.serial.load(Ordering::Relaxed)
    }

    /// Lets the serial go on behind one that was used before a restart.
    pub(crate) fn continue_serial(&self, used: u32) {
        self.serial.fetch_max(used.wrapping_add(1), Ordering::Relaxed);
    }

    /// Tells of writes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// How much there is, by zone.
    pub(crate) fn totals(&self) -> Vec<Total> {
        self.totals.lock().clone()
    }

    /// A service.
    pub(crate) fn get(&self, name: &ServiceName) -> Option<Service> {
        service_of(&*self.table().get(name.wire())?)
    }

    /// All services.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let totals = self.totals.lock();
        let (version, serial) = (*self.version.borrow(), self.serial());
        let entries = self.table().entries();
        drop(totals);
        let mut services = entries;
        services.retain(|entry| entry.is_service());
        services.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        Snapshot {
            version,
            serial,
            services,
        }
    }

    /// Adds or replaces a service.
    pub(crate) fn put(&self, name: &ServiceName, service: &Service) {
        let mut totals = self.totals.lock();
        self.set(&mut totals, name, Some(service));
    }

    /// Deletes a service, and says whether it was there.
    pub(crate) fn delete(&self, name: &ServiceName) -> bool {
        let mut totals = self.totals.lock();
        let there = self.get(name).is_some();
        if there {
            self.set(&mut totals, name, None);
        }
        there
    }

    /// Adds records to a service, which need not be there.
    pub(crate) fn add(
        &self,
        name: &ServiceName,
        records: &[Ipv4Addr],
        ttl: u32,
    ) -> Result<Service, TooManyRecords> {
        let mut totals = self.totals.lock();
        let mut service = self.get(name).unwrap_or_default();
        service.add(records, ttl)?;
        self.set(&mut totals, name, Some(&service));
        Ok(service)
    }

    /// Takes records from a service.
    pub(crate) fn remove(&self, name: &ServiceName, records: &[Ipv4Addr]) -> Removed {
        let mut totals = self.totals.lock();
        let Some(mut service) = self.get(name) else {
            return Removed::Missing;
        };
        service.records.retain(|record| !records.contains(record));
        if service.records.is_empty() {
            self.set(&mut totals, name, None);
            return Removed::Deleted;
        }
        self.set(&mut totals, name, Some(&service));
        Removed::Left(service)
    }

    /// Replaces all services, whose names differ, in one go. It takes its time where there are many.
    pub(crate) fn replace(&self, services: &[(ServiceName, Service)]) -> Changed {
        let (table, fresh_totals) = self.build(services);
        let table = Arc::new(table);
        let mut totals = self.totals.lock();
        let old = self.table.swap(Arc::clone(&table));
        *totals = fresh_totals;
        self.written();
        drop(totals);
        let changed = changed(&old, &table);
        wait_for_readers(&old);
        changed
    }

    fn build(&self, services: &[(ServiceName, Service)]) -> (Table, Vec<Total>) {
        let mut totals = vec![Total::default(); self.zones.len()];
        let mut below: HashMap<&[u8], u32, RandomState> = HashMap::default();
        for (name, service) in services {
            totals[name.zone].services += 1;
            totals[name.zone].records += service.records.len();
            for ancestor in self.ancestors(name) {
                *below.entry(ancestor).or_default() += 1;
            }
        }
        let of_services: HashMap<&[u8], u32> = services
            .iter()
            .filter_map(|(name, _)| below.remove_entry(name.wire()))
            .collect();
        let entries = services.iter().map(|(name, service)| {
            let below = of_services.get(name.wire()).copied().unwrap_or(0);
            entry_of(name.wire(), service, below)
        });
        let on_the_way = below.iter().map(|(name, below)| Entry::new(name, [], 0, *below));
        (Table::new(entries.chain(on_the_way)), totals)
    }

    /// Writes one name; the lock on the totals is held.
    fn set(&self, totals: &mut [Total], name: &ServiceName, service: Option<&Service>) {
        let table = self.table.load();
        let wire = name.wire();
        let old = table.get(wire);
        let below = old.as_ref().map_or(0, |entry| entry.below());
        let had = old.as_ref().map_or(0, |entry| entry.records().count());
        let has = service.map_or(0, |service| service.records.len());
        table.set(
            wire,
            match service {
                Some(service) => Some(entry_of(wire, service, below)),
                None if below > 0 => Some(Entry::new(wire, [], 0, below)),
                None => None,
            },
        );
        let total = &mut totals[name.zone];
        total.records = total.records + has - had;
        match (had > 0, has > 0) {
            (false, true) => {
                total.services += 1;
                self.ancestors(name)
                    .for_each(|ancestor| change_below(&table, ancestor, |below| below + 1));
            }
            (true, false) => {
                total.services -= 1;
                self.ancestors(name)
                    .for_each(|ancestor| change_below(&table, ancestor, |below| below.saturating_sub(1)));
            }
            _ => {}
        }
        self.written();
    }

    fn written(&self) {
        let next = self.serial().wrapping_add(1);
        // After a day of rest the serial is the time again (RFC 1982: a larger number is a later one).
        self.serial.store(next.max(unix_time()), Ordering::Relaxed);
        self.version.send_modify(|version| *version += 1);
    }

    /// The names between a service and its zone.
    fn ancestors<'a>(&self, name: &'a ServiceName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let apex = self.zones.get(name.zone).as_wire().len();
        let mut rest = Some(name.wire());
        std::iter::from_fn(move || {
            let name = rest?;
            rest = name.get(usize::from(*name.first()?) + 1..);
            rest
        })
        .take_while(move |suffix| suffix.len() > apex)
    }
}

fn entry_of(wire: &[u8], service: &Service, below: u32) -> Entry {
    let records = service.records.iter().map(Ipv4Addr::octets);
    Entry::new(wire, records, service.ttl, below)
}

pub(crate) fn service_of(entry: &Entry) -> Option<Service> {
    entry.is_service().then(|| Service {
        records: entry.records().map(Ipv4Addr::from).collect(),
        ttl: entry.ttl(),
    })
}

/// Changes how many services are below a name.
fn change_below(table: &Table, name: &[u8], change: impl FnOnce(u32) -> u32) {
    let entry = match table.get(name) {
        Some(entry) => entry.with_below(change(entry.below())),
        None => Entry::new(name, [], 0, change(0)),
    };
    let kept = entry.is_service() || entry.below() > 0;
    table.set(name, kept.then_some(entry));
}

/// The services that differ between two tables.
fn changed(old: &Table, new: &Table) -> Changed {
    let mut names = Vec::new();
    let is_same =
        |one: &Entry, other: &Entry| one.addresses() == other.addresses() && one.ttl() == other.ttl();
    // Those that stayed are seen from the new side; from the old one only those that are gone.
    let fresh = new.entries();
    let kept = fresh.iter().filter(|entry| {
        old.get(entry.name())
            .is_none_or(|before| !is_same(&before, entry))
    });
    let past = old.entries();
    let gone = past.iter().filter(|entry| new.get(entry.name()).is_none());
    for entry in kept.chain(gone) {
        if names.len() == MAX_CHANGED_NAMES {
            return Changed::Many;
        }
        names.extend(QName::from_wire(entry.name()));
    }
    Changed::Names(names)
}

/// Waits until no query reads a table any more, so that it is freed here: a query must not be the one that frees a
/// hundred thousand names.
fn wait_for_readers(table: &Arc<Table>) {
    for _ in 0..MAX_LOOKS {
        if Arc::strong_count(table) == 1 {
            break;
        }
        std::thread::yield_now();
    }
}

fn unix_time() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as u32
}

#[cfg(test)]
mod tests;
