//! One `dynresolve` directive at work, and all of a server's.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use catena_core::corefile::ConfigError;
use catena_core::message::Zone;
use catena_core::plugin::{CachePurge, Readiness, Services};
use catena_metrics::{Registry, Sample};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::names::{Zones, shown};
use crate::store::{Changed, Store, Total, service_of};

/// What a directive, its API and its link of the chain share.
#[derive(Debug)]
pub(crate) struct Instance {
    /// The block's name.
    pub(crate) block: String,
    pub(crate) config: Config,
    pub(crate) zones: Arc<Zones>,
    pub(crate) metrics: Arc<Metrics>,
    store: OnceLock<Arc<Store>>,
    services: OnceLock<Arc<Services>>,
    /// The socket of the API, which the next instance on its address takes over.
    listener: Mutex<Option<TcpListener>>,
    /// Tells the API to end.
    pub(crate) end: watch::Sender<bool>,
    restored: AtomicBool,
    phase: Mutex<Phase>,
    /// Who takes the state over.
    heir: Mutex<Weak<Self>>,
}

/// Where an instance stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It belongs to a configuration that is not served yet.
    Pending,
    Serving,
    Over,
}

impl Instance {
    pub(crate) fn new(block: String, config: Config, zones: Zones, registry: &Registry) -> Self {
        Self {
            block,
            config,
            metrics: Arc::new(Metrics::of(registry, &zones)),
            zones: Arc::new(zones),
            store: OnceLock::new(),
            services: OnceLock::new(),
            listener: Mutex::new(None),
            end: watch::Sender::new(false),
            restored: AtomicBool::new(false),
            phase: Mutex::new(Phase::Pending),
            heir: Mutex::new(Weak::new()),
        }
    }

    /// The services; none until the start.
    #[inline]
    pub(crate) fn store(&self) -> &Arc<Store> {
        self.store
            .get_or_init(|| Arc::new(Store::new(Arc::clone(&self.zones))))
    }

    /// Takes the services over at the start.
    pub(crate) fn begin(&self, store: Arc<Store>, services: Arc<Services>) {
        // Nobody asks for the store before the start.
        let _ = self.store.set(store);
        let _ = self.services.set(services);
        self.restored.store(true, Ordering::Release);
    }

    /// It is the one that answers from now on.
    pub(crate) fn serve(&self) {
        *self.phase.lock() = Phase::Serving;
    }

    /// Another one has taken over, or the server ends: the API closes.
    pub(crate) fn retire(&self) {
        *self.phase.lock() = Phase::Over;
        self.end.send_replace(true);
    }

    /// Says that a write was accepted: counts it, and lets the block's caches forget what it changed.
    pub(crate) fn wrote(&self, changed: &Changed) {
        self.metrics.writes.inc();
        let Some(services) = self.services.get() else {
            return;
        };
        for cache in services.all::<dyn CachePurge>() {
            match changed {
                Changed::Names(names) => names.iter().for_each(|name| cache.purge_name(name)),
                Changed::Many => self.zones.iter().for_each(|zone| cache.purge_zone(zone)),
            }
        }
    }

    /// Keeps the socket of the API for the next instance, as long as the API runs.
    pub(crate) fn keep_listener(&self, listener: Option<TcpListener>) {
        *self.listener.lock() = listener;
    }

    fn phase(&self) -> Phase {
        *self.phase.lock()
    }

    fn serves(&self, zone: &Zone) -> bool {
        self.zones.iter().any(|own| own == zone)
    }
}

impl Readiness for Instance {
    fn name(&self) -> &'static str {
        "dynresolve"
    }

    fn ready(&self) -> bool {
        self.restored.load(Ordering::Acquire)
    }
}

/// All instances of a server, over all its reloads.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    known: Mutex<Vec<Weak<Instance>>>,
    /// Held by whoever writes a file.
    pub(crate) disk: Arc<Mutex<()>>,
}

/// What an instance takes over from those before it.
#[derive(Debug)]
pub(crate) enum Inherited {
    /// The store as it is: writes that come in to the old instance yet are not lost.
    Store(Arc<Store>),
    /// Services of zones that are served by others now, and the serial behind which to go on.
    Services(Arc<Store>),
}

impl Instances {
    /// Notes an instance, as long as it lives.
    pub(crate) fn add(&self, instance: &Arc<Instance>) {
        let mut known = self.known.lock();
        known.retain(|instance| instance.strong_count() > 0);
        known.push(Arc::downgrade(instance));
    }

    fn in_phase(&self, phase: Phase) -> Vec<Arc<Instance>> {
        let known = self.known.lock();
        known
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|instance| instance.phase() == phase)
            .collect()
    }

    /// Those that answer now.
    pub(crate) fn serving(&self) -> Vec<Arc<Instance>> {
        self.in_phase(Phase::Serving)
    }

    /// The socket that an instance before this one has for the address, also while it is about to end.
    pub(crate) fn listener(&self, address: SocketAddr) -> Option<io::Result<TcpListener>> {
        let known: Vec<_> = self.known.lock().iter().filter_map(Weak::upgrade).collect();
        let on_address = known.iter().filter(|instance| instance.config.listen == address);
        on_address
            .filter_map(|instance| instance.listener.lock().as_ref().map(TcpListener::try_clone))
            .next()
    }

    /// The sockets whose addresses leave no room for another one, which are those of this server's own.
    pub(crate) fn overlapping(&self, address: SocketAddr) -> Vec<TcpListener> {
        let known: Vec<_> = self.known.lock().iter().filter_map(Weak::upgrade).collect();
        let in_the_way = known
            .iter()
            .filter(|instance| overlap(instance.config.listen, address));
        in_the_way
            .filter_map(|instance| instance.listener.lock().as_ref()?.try_clone().ok())
            .collect()
    }

    /// Checks that an instance shares nothing with those of the blocks before its own.
    pub(crate) fn check(&self, instance: &Arc<Instance>) -> Result<(), ConfigError> {
        let pending = self.in_phase(Phase::Pending);
        let before = pending.iter().take_while(|other| !Arc::ptr_eq(other, instance));
        for other in before {
            let (own, others) = (&instance.config, &other.config);
            let (mine, theirs) = (&instance.block, &other.block);
            if overlap(own.listen, others.listen) {
                let message = format!("`{mine}` cannot listen on {}: `{theirs}` does", own.listen);
                let place = format!(
                    "that stands at {}, `{}`",
                    others.listen_token.span(),
                    others.listen_token
                );
                return Err(own
                    .listen_token
                    .error(message)
                    .with_expected("an address for each block")
                    .with_note(place));
            }
            if let (Some(token), Some(path)) = (&own.persist_token, &own.persist)
                && others.persist.as_ref() == Some(path)
            {
                let message = format!(
                    "`{mine}` cannot keep its state in {}: `{theirs}` does",
                    path.display()
                );
                return Err(token.error(message).with_expected("a file for each block"));
            }
        }
        Ok(())
    }

    /// What there is to take over for an instance: of the same block, or of one that served its zones and is gone.
    pub(crate) fn inherit(&self, instance: &Arc<Instance>) -> Option<Inherited> {
        let pending = self.in_phase(Phase::Pending);
        let stays = |old: &Instance| pending.iter().any(|new| new.block == old.block);
        let mut candidates: Vec<_> = self.serving();
        candidates.retain(|old| {
            let shares = instance.zones.iter().any(|zone| old.serves(zone));
            shares && (old.block == instance.block || !stays(old))
        });
        // The same block comes first, then the order of the Corefile.
        candidates.sort_by_key(|old| old.block != instance.block);
        candidates.retain(|old| old.claim(instance));
        let first = candidates.first()?;
        if *first.zones == *instance.zones {
            return Some(Inherited::Store(Arc::clone(first.store())));
        }
        let store = Store::new(Arc::clone(&instance.zones));
        let mut services = Vec::new();
        for zone in instance.zones.iter() {
            let Some(old) = candidates.iter().find(|old| old.serves(zone)) else {
                continue;
            };
            let snapshot = old.store().snapshot();
            store.continue_serial(snapshot.serial);
            for entry in snapshot.services {
                // Names of this zone that lie in it still.
                let name = instance.zones.read(&shown(entry.name())).ok();
                let name =
                    name.filter(|name| instance.zones.get(name.zone) == zone && name.wire() == entry.name());
                services.extend(name.zip(service_of(&entry)));
            }
        }
        store.replace(&services);
        Some(Inherited::Services(Arc::new(store)))
    }

    /// How much there is in each zone that is served.
    fn totals(&self) -> BTreeMap<String, Total> {
        let mut totals: BTreeMap<String, Total> = BTreeMap::new();
        for instance in self.serving() {
            for (zone, total) in instance.zones.iter().zip(instance.store().totals()) {
                let sum = totals.entry(zone.as_str().to_owned()).or_default();
                sum.services += total.services;
                sum.records += total.records;
            }
        }
        totals
    }

    /// Shows how much there is.
    pub(crate) fn show(self: &Arc<Self>, registry: &Registry) {
        let gauge = |name: &str, help: &str, of: fn(&Total) -> usize| {
            let instances = Arc::downgrade(self);
            registry.collect_gauge(name, help, &["zone"], move || {
                let totals = instances
                    .upgrade()
                    .map(|instances| instances.totals())
                    .unwrap_or_default();
                let sample = |(zone, total): (String, Total)| Sample {
                    labels: vec![zone],
                    value: of(&total) as f64,
                };
                totals.into_iter().map(sample).collect()
            });
        };
        gauge(
            "coredns_dynresolve_services",
            "How many services there are.",
            |total| total.services,
        );
        gauge(
            "coredns_dynresolve_records",
            "How many addresses the services have.",
            |total| total.records,
        );
    }
}

/// Whether two sockets cannot have these addresses at once.
pub(crate) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    // The address of all that IPv6 has stands for IPv4 too.
    let covers = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    one.port() == other.port() && (one_ip == other_ip || covers(one_ip, other_ip) || covers(other_ip, one_ip))
}

impl Instance {
    /// Makes `heir` the one that takes the state over, unless another one has that already.
    fn claim(&self, heir: &Arc<Self>) -> bool {
        let mut known = self.heir.lock();
        match known.upgrade() {
            Some(known) if known.phase() != Phase::Over && !Arc::ptr_eq(&known, heir) => false,
            _ => {
                *known = Arc::downgrade(heir);
                true
            }
        }
    }
}
