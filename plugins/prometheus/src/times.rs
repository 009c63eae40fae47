//! How long queries stay at each plugin of a block, where the Corefile asks for it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use catena_core::message::Request;
use catena_core::plugin::{Hop, HopObserver};
use catena_metrics::{Histogram, HistogramFamily, Registry};
use parking_lot::RwLock;

/// Upper bounds in seconds: most plugins take less than a microsecond, and an upstream may take seconds.
const BUCKETS: [f64; 14] = [
    250e-9, 1e-6, 4e-6, 16e-6, 64e-6, 250e-6, 1e-3, 4e-3, 16e-3, 64e-3, 250e-3, 1.0, 4.0, 16.0,
];

/// Measures the plugins of one block.
pub(crate) struct PluginTimes {
    family: HistogramFamily,
    zone: String,
    /// Known once all plugins of the block are set up.
    view: OnceLock<String>,
    /// By the plugins' names. A block has few, and all of them are there after a few queries.
    plugins: RwLock<Vec<(&'static str, Histogram)>>,
    /// Who observed the block before.
    other: Option<Arc<dyn HopObserver>>,
}

impl PluginTimes {
    /// For the block whose first zone this is. `other` goes on observing.
    pub(crate) fn new(registry: &Registry, zone: &str, other: Option<Arc<dyn HopObserver>>) -> Self {
        Self {
            family: registry.histogram(
                "catena_plugin_duration_seconds",
                "Time from a query's arrival at a plugin until the plugin and those behind it are done with it.",
                &["zone", "view", "plugin"],
                &BUCKETS,
            ),
            zone: zone.to_owned(),
            view: OnceLock::new(),
            plugins: RwLock::default(),
            other,
        }
    }

    /// Names the view that the block belongs to.
    pub(crate) fn set_view(&self, view: &str) {
        // A block starts once.
        let _ = self.view.set(view.to_owned());
    }

    fn histogram(&self, plugin: &'static str) -> Histogram {
        let of_plugin = |plugins: &[(&str, Histogram)]| {
            let found = plugins.iter().find(|(name, _)| *name == plugin);
            found.map(|(_, histogram)| histogram.clone())
        };
        if let Some(histogram) = of_plugin(&self.plugins.read()) {
            return histogram;
        }
        let mut plugins = self.plugins.write();
        of_plugin(&plugins).unwrap_or_else(|| {
            let view = self.view.get().map_or("", String::as_str);
            let histogram = self.family.with(&[&self.zone, view, plugin]);
            plugins.push((plugin, histogram.clone()));
            histogram
        })
    }
}

impl HopObserver for PluginTimes {
    fn enter(&self, request: &Request, plugin: &'static str) -> Option<Hop> {
        Some(Box::new(Stay {
            _other: self.other.as_ref().and_then(|other| other.enter(request, plugin)),
            histogram: self.histogram(plugin),
            arrived: Instant::now(),
        }))
    }

    fn ask(&self, request: &Request, upstream: SocketAddr) -> Option<Hop> {
        self.other.as_ref()?.ask(request, upstream)
    }
}

impl fmt::Debug for PluginTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginTimes({})", self.zone)
    }
}

/// A query at a plugin.
struct Stay {
    histogram: Histogram,
    arrived: Instant,
    _other: Option<Hop>,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.histogram.observe(self.arrived.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use catena_core::message::QueryBuilder;
    use parking_lot::Mutex;

    use super::*;

    /// Notes what it is told.
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl HopObserver for Notes {
        fn enter(&self, _: &Request, plugin: &'static str) -> Option<Hop> {
            self.0.lock().push(plugin.to_owned());
            None
        }

        fn ask(&self, _: &Request, upstream: SocketAddr) -> Option<Hop> {
            self.0.lock().push(upstream.to_string());
            None
        }
    }

    #[test]
    fn stays_are_measured_by_plugin_and_the_other_observer_is_told() {
        let registry = Registry::default();
        let notes = Arc::new(Notes::default());
        let times = PluginTimes::new(&registry, "example.org.", Some(Arc::clone(&notes) as _));
        times.set_view("v");
        let request = QueryBuilder::new("a.example.org.", 1_u16)
            .unwrap()
            .to_request()
            .unwrap();
        for plugin in ["cache", "forward", "cache"] {
            drop(times.enter(&request, plugin));
        }
        drop(times.ask(&request, "192.0.2.53:53".parse().unwrap()));
        let mut text = String::new();
        registry.encode_text(&mut text);
        for (plugin, count) in [("cache", 2), ("forward", 1)] {
            let line = format!(
                "catena_plugin_duration_seconds_count{{plugin=\"{plugin}\",view=\"v\",zone=\"example.org.\"}} {count}"
            );
            assert!(text.contains(&line), "{text}");
        }
        assert_eq!(*notes.0.lock(), ["cache", "forward", "cache", "192.0.2.53:53"]);
    }
}
