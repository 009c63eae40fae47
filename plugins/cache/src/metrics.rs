//! What the plugin counts. The names and labels that begin with `coredns_` are CoreDNS's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use catena_metrics::{Counter, CounterFamily, Registry, Sample};
use parking_lot::Mutex;

use crate::entry::Kind;
use crate::fetch::Inner;

const BY_SERVER: &[&str] = &["server", "zones", "view"];
const BY_TYPE: &[&str] = &["server", "type", "zones", "view"];

/// The counters of one `cache` directive.
pub(crate) struct Metrics {
    families: Families,
    zones: String,
    /// Known when all plugins of the block are set up.
    view: OnceLock<String>,
    /// The listeners' own, in a list that only grows: there are few, and each query looks its own up.
    servers: OnceLock<Box<Server>>,
}

struct Families {
    requests: CounterFamily,
    hits: CounterFamily,
    misses: CounterFamily,
    prefetches: CounterFamily,
    drops: CounterFamily,
    stale: CounterFamily,
    evictions: CounterFamily,
    coalesced: CounterFamily,
    refused: CounterFamily,
    not_refreshed: CounterFamily,
}

/// The counters for the queries of one listener.
pub(crate) struct Server {
    label: Arc<str>,
    /// All queries.
    pub(crate) requests: Counter,
    hits: [Counter; 2],
    /// Queries for which nothing is kept.
    pub(crate) misses: Counter,
    /// Fetches ahead of time and behind expired answers.
    pub(crate) prefetches: Counter,
    /// Answers that did not fit their question.
    pub(crate) drops: Counter,
    /// Queries answered with an expired answer.
    pub(crate) stale: Counter,
    evictions: [Counter; 2],
    /// Queries that waited for another one's answer.
    pub(crate) coalesced: Counter,
    /// Queries that could not, since too many waited.
    pub(crate) refused: Counter,
    /// Answers that were not fetched anew, since too many were at the time.
    pub(crate) not_refreshed: Counter,
    /// Something was stored for a query of this listener.
    stored: AtomicBool,
    next: OnceLock<Box<Self>>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, zones: String) -> Self {
        let families = Families {
            requests: registry.counter(
                "coredns_cache_requests_total",
                "The count of cache requests.",
                BY_SERVER,
            ),
            hits: registry.counter("coredns_cache_hits_total", "The count of cache hits.", BY_TYPE),
            misses: registry.counter(
                "coredns_cache_misses_total",
                "The count of cache misses. Deprecated, derive misses from cache hits/requests counters.",
                BY_SERVER,
            ),
            prefetches: registry.counter(
                "coredns_cache_prefetch_total",
                "The number of times the cache has prefetched a cached item.",
                BY_SERVER,
            ),
            drops: registry.counter(
                "coredns_cache_drops_total",
                "The number responses that are not cached, because the reply is malformed.",
                BY_SERVER,
            ),
            stale: registry.counter(
                "coredns_cache_served_stale_total",
                "The number of requests served from stale cache entries.",
                BY_SERVER,
            ),
            evictions: registry.counter(
                "coredns_cache_evictions_total",
                "The count of cache evictions.",
                BY_TYPE,
            ),
            coalesced: registry.counter(
                "catena_cache_coalesced_total",
                "Queries that waited for the answer to another query with the same question.",
                BY_SERVER,
            ),
            refused: registry.counter(
                "catena_cache_waiting_refused_total",
                "Queries that were not answered because too many with the same question waited.",
                BY_SERVER,
            ),
            not_refreshed: registry.counter(
                "catena_cache_refreshes_refused_total",
                "Answers that were not fetched anew because too many were being fetched.",
                BY_SERVER,
            ),
        };
        Self {
            families,
            zones,
            view: OnceLock::new(),
            servers: OnceLock::new(),
        }
    }

    /// Says what the block's view is called, before the first query.
    pub(crate) fn set_view(&self, view: &str) {
        let _ = self.view.set(view.to_owned());
    }

    fn view(&self) -> &str {
        self.view.get().map_or("", String::as_str)
    }

    /// The counters of the listener with this label.
    #[inline]
    pub(crate) fn of(&self, label: &Arc<str>) -> &Server {
        let mut place = &self.servers;
        loop {
            let server = place.get_or_init(|| Box::new(self.server(label)));
            if Arc::ptr_eq(&server.label, label) || server.label == *label {
                return server;
            }
            place = &server.next;
        }
    }

    fn server(&self, label: &Arc<str>) -> Server {
        let by_server = [&**label, &self.zones, self.view()];
        let by_type = |family: &CounterFamily| {
            Kind::ALL.map(|kind| family.with_hidden_zero(&[label, kind.label(), &self.zones, self.view()]))
        };
        let families = &self.families;
        Server {
            label: Arc::clone(label),
            requests: families.requests.with_hidden_zero(&by_server),
            hits: by_type(&families.hits),
            misses: families.misses.with_hidden_zero(&by_server),
            prefetches: families.prefetches.with_hidden_zero(&by_server),
            drops: families.drops.with_hidden_zero(&by_server),
            stale: families.stale.with_hidden_zero(&by_server),
            evictions: by_type(&families.evictions),
            coalesced: families.coalesced.with_hidden_zero(&by_server),
            refused: families.refused.with_hidden_zero(&by_server),
            not_refreshed: families.not_refreshed.with_hidden_zero(&by_server),
            stored: AtomicBool::new(false),
            next: OnceLock::new(),
        }
    }

    /// The labels of the listeners for whose queries something was stored, or of all if the store was `inherited` with
    /// answers in it from the configuration before.
    fn storing(&self, inherited: bool) -> impl Iterator<Item = &Arc<str>> {
        let first = self.servers.get();
        std::iter::successors(first, |server| server.next.get())
            .filter(move |server| inherited || server.stored.load(Ordering::Relaxed))
            .map(|server| &server.label)
    }
}

/// The caches of a server, whose entries are counted when somebody asks: counting them at each change would cost a
/// look at all of their parts.
#[derive(Default)]
pub(crate) struct Caches(Mutex<Vec<Weak<Inner>>>);

impl Caches {
    /// Shows the entries of one more cache as long as it lives.
    pub(crate) fn show(self: &Arc<Self>, registry: &Registry, cache: &Arc<Inner>) {
        let mut caches = self.0.lock();
        caches.retain(|cache| cache.strong_count() > 0);
        caches.push(Arc::downgrade(cache));
        drop(caches);
        let caches = Arc::clone(self);
        registry.collect_gauge(
            "coredns_cache_entries",
            "The number of elements in the cache.",
            BY_TYPE,
            move || caches.samples(),
        );
    }

    fn samples(&self) -> Vec<Sample> {
        let caches: Vec<Arc<Inner>> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        // Caches of the same labels are those before and after a reload: the later one counts.
        let mut values = BTreeMap::new();
        for cache in &caches {
            let metrics = &cache.metrics;
            let inherited = Kind::ALL.iter().any(|kind| cache.store.len(*kind) > 0);
            for (server, kind) in metrics
                .storing(inherited)
                .flat_map(|server| Kind::ALL.map(|kind| (server, kind)))
            {
                let labels = [server, kind.label(), &metrics.zones, metrics.view()].map(str::to_owned);
                values.insert(labels, cache.store.len(kind));
            }
        }
        let sample = |(labels, value): ([String; 4], usize)| Sample {
            labels: labels.into(),
            value: value as f64,
        };
        values.into_iter().map(sample).collect()
    }
}

impl Server {
    /// An answer of this kind was found.
    #[inline]
    pub(crate) fn hit(&self, kind: Kind) {
        self.hits[kind as usize].inc();
    }

    /// Something was stored.
    pub(crate) fn stores(&self) {
        if !self.stored.load(Ordering::Relaxed) {
            self.stored.store(true, Ordering::Relaxed);
        }
    }

    /// Answers of this kind had to make room.
    pub(crate) fn evicted(&self, kind: Kind, count: u64) {
        if count > 0 {
            self.evictions[kind as usize].add(count);
        }
    }
}

impl Kind {
    const ALL: [Self; 2] = [Self::Success, Self::Denial];

    const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denial => "denial",
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({})", self.zones)
    }
}
