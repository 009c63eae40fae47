//! The metrics of Catena: counters, gauges and histograms, and the text form in which Prometheus reads them.
//!
//! A plugin asks the server's one [`Registry`] for a family by its name, and the family for a handle for each set of
//! label values. It keeps the handles: counting with one costs an addition on a cache line that other threads
//! rarely touch, and takes no lock.
//!
//! ```
//! let registry = catena_metrics::Registry::default();
//! let replies = registry.counter("coredns_example_replies_total", "Counter of replies.", &["server", "rcode"]);
//! let refused = replies.with(&["dns://:53", "REFUSED"]);
//! refused.inc();
//!
//! let mut text = String::new();
//! registry.encode_text(&mut text);
//! assert!(text.contains("coredns_example_replies_total{rcode=\"REFUSED\",server=\"dns://:53\"} 1\n"));
//! ```
//!
//! Families live as long as the registry. Whoever asks for a name a second time gets the same family, so that
//! counters go on when a reload builds all plugins anew.

#![forbid(unsafe_code)]

mod encode;
mod family;
mod shard;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use encode::{CONTENT_TYPE, format_float};
pub use family::{CounterFamily, GaugeFamily, HistogramFamily};
pub use value::{Counter, Gauge, Histogram};

use family::{Family, Kind};

/// The buckets that CoreDNS uses for durations: 16 of them, each twice the one before, from 0.25 ms to 8 s.
pub const TIME_BUCKETS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048,
    4.096, 8.192,
];

/// All metrics of one server.
#[derive(Default)]
pub struct Registry {
    entries: Mutex<BTreeMap<String, Entry>>,
}

enum Entry {
    Family(Arc<Family>),
    Collected {
        help: String,
        kind: Kind,
        labels: Vec<String>,
        collect: Box<Collect>,
    },
}

type Collect = dyn Fn() -> Vec<Sample> + Send + Sync;

/// One value of a metric that is computed when it is asked for; see [`Registry::collect_counter`].
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The labels' values, in the order in which the labels were declared.
    pub labels: Vec<String>,
    /// The value at this moment.
    pub value: f64,
}

impl Registry {
    /// The counters called `name`, which are told apart by `labels`.
    ///
    /// The name should end in `_total`. If there is a metric of this name with another kind or other labels, that is
    /// a mistake in the program: debug builds panic, and in others the handles count but are not shown.
    pub fn counter(&self, name: &str, help: &str, labels: &[&str]) -> CounterFamily {
        CounterFamily::new(self.family(name, help, labels, &Kind::Counter))
    }

    /// The gauges called `name`, which are told apart by `labels`; see [`Registry::counter`].
    pub fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> GaugeFamily {
        GaugeFamily::new(self.family(name, help, labels, &Kind::Gauge))
    }

    /// The histograms called `name`, which are told apart by `labels`; see [`Registry::counter`].
    ///
    /// `buckets` are the upper bounds, rising; the one without a bound is added. Of later calls they are ignored.
    pub fn histogram(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramFamily {
        HistogramFamily::new(self.family(name, help, labels, &Kind::Histogram(buckets.into())))
    }

    /// Shows counters that are kept elsewhere: `collect` is called for each scrape. A second call for the same name
    /// replaces the first.
    pub fn collect_counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        collect: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        self.collect(name, help, labels, Kind::Counter, Box::new(collect));
    }

    /// Shows gauges that are kept elsewhere, as [`Registry::collect_counter`] does for counters.
    pub fn collect_gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        collect: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        self.collect(name, help, labels, Kind::Gauge, Box::new(collect));
    }

    /// Appends all metrics in Prometheus' text format 0.0.4, sorted by name and then by the labels' values.
    /// A family without values is left out.
    pub fn encode_text(&self, out: &mut String) {
        self.encode_text_of(out, |_| true);
    }

    /// As [`Registry::encode_text`], with only those metrics whose name `wanted` accepts.
    pub fn encode_text_of(&self, out: &mut String, wanted: impl Fn(&str) -> bool) {
        for (name, entry) in self.entries().iter().filter(|(name, _)| wanted(name)) {
            match entry {
                Entry::Family(family) => encode::family(out, family),
                Entry::Collected {
                    help,
                    kind,
                    labels,
                    collect,
                } => {
                    encode::collected(out, name, help, kind, labels, collect());
                }
            }
        }
    }

    fn collect(&self, name: &str, help: &str, labels: &[&str], kind: Kind, collect: Box<Collect>) {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.entries().insert(
            name.to_owned(),
            Entry::Collected {
                help: help.to_owned(),
                kind,
                labels,
                collect,
            },
        );
    }

    fn family(&self, name: &str, help: &str, labels: &[&str], kind: &Kind) -> Arc<Family> {
        let mut entries = self.entries();
        match entries.get(name) {
            Some(Entry::Family(family)) if family.is_alike(kind, labels) => Arc::clone(family),
            Some(_) => {
                debug_assert!(
                    false,
                    "the metric {name} exists with another kind or other labels"
                );
                Arc::new(Family::new(name, help, labels, kind.clone()))
            }
            None => {
                let family = Arc::new(Family::new(name, help, labels, kind.clone()));
                entries.insert(name.to_owned(), Entry::Family(Arc::clone(&family)));
                family
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries().keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        registry.encode_text(&mut text);
        text
    }

    #[test]
    fn the_whole_text_is_what_prometheus_reads() {
        let registry = Registry::default();
        registry
            .counter("b_total", "Counts \\ and\nbreaks.", &["to", "proto"])
            .with(&["a\"b\\c\nd", "udp"])
            .add(3);
        registry
            .gauge("a_now", "A gauge.", &[])
            .with(&[])
            .set(1_234_567.0);
        let histogram = registry
            .histogram("c_seconds", "Times.", &["x"], &[0.5, 1.0])
            .with(&["1"]);
        for value in [0.25, 0.5, 0.75, 30.0] {
            histogram.observe(value);
        }
        registry.counter("d_total", "Nothing counted yet.", &["x"]);
        assert_eq!(
            text(&registry),
            "# HELP a_now A gauge.\n\
             # TYPE a_now gauge\n\
             a_now 1.234567e+06\n\
             # HELP b_total Counts \\\\ and\\nbreaks.\n\
             # TYPE b_total counter\n\
             b_total{proto=\"udp\",to=\"a\\\"b\\\\c\\nd\"} 3\n\
             # HELP c_seconds Times.\n\
             # TYPE c_seconds histogram\n\
             c_seconds_bucket{x=\"1\",le=\"0.5\"} 2\n\
             c_seconds_bucket{x=\"1\",le=\"1\"} 3\n\
             c_seconds_bucket{x=\"1\",le=\"+Inf\"} 4\n\
             c_seconds_sum{x=\"1\"} 31.5\n\
             c_seconds_count{x=\"1\"} 4\n"
        );
    }

    #[test]
    fn a_name_asked_for_again_counts_on() {
        let registry = Registry::default();
        for _ in 0..2 {
            registry.counter("x_total", "X.", &["l"]).with(&["v"]).inc();
        }
        assert_eq!(registry.counter("x_total", "X.", &["l"]).with(&["v"]).get(), 2);
    }

    #[test]
    fn values_are_sorted_by_their_labels_in_the_labels_order() {
        let registry = Registry::default();
        let family = registry.counter("x_total", "X.", &["z", "a"]);
        for (z, a) in [("1", "2"), ("2", "1"), ("1", "1")] {
            family.with(&[z, a]).inc();
        }
        let text = text(&registry);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "x_total{a=\"1\",z=\"1\"} 1",
                "x_total{a=\"1\",z=\"2\"} 1",
                "x_total{a=\"2\",z=\"1\"} 1"
            ]
        );
    }

    #[test]
    fn zeros_show_unless_they_are_hidden() {
        let registry = Registry::default();
        let family = registry.counter("x_total", "X.", &["l"]);
        let _shown = family.with(&["shown"]);
        let hidden = family.with_hidden_zero(&["hidden"]);
        assert!(text(&registry).ends_with("x_total{l=\"shown\"} 0\n"));
        hidden.inc();
        assert!(text(&registry).contains("x_total{l=\"hidden\"} 1\n"));
    }

    #[test]
    fn a_removed_value_is_gone() {
        let registry = Registry::default();
        let family = registry.gauge("x", "X.", &["l"]);
        family.with(&["old"]).set(1.0);
        family.with(&["new"]).set(2.0);
        family.remove(&["old"]);
        assert!(text(&registry).ends_with("# TYPE x gauge\nx{l=\"new\"} 2\n"));
    }

    #[test]
    fn collected_values_are_asked_for_at_each_scrape() {
        let registry = Registry::default();
        let asked = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counter = Arc::clone(&asked);
        registry.collect_counter("x_total", "X.", &["l"], move || {
            let value = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed) as f64;
            vec![Sample {
                labels: vec!["v".to_owned()],
                value,
            }]
        });
        assert!(text(&registry).ends_with("x_total{l=\"v\"} 0\n"));
        assert!(text(&registry).ends_with("x_total{l=\"v\"} 1\n"));
        registry.collect_counter("x_total", "X.", &["l"], Vec::new);
        assert_eq!(text(&registry), "");
    }

    #[test]
    fn only_wanted_names_are_written() {
        let registry = Registry::default();
        registry.counter("x_total", "X.", &[]).with(&[]).inc();
        registry.counter("y_total", "Y.", &[]).with(&[]).inc();
        let mut text = String::new();
        registry.encode_text_of(&mut text, |name| name == "y_total");
        assert_eq!(text, "# HELP y_total Y.\n# TYPE y_total counter\ny_total 1\n");
    }

    #[test]
    fn threads_lose_no_count() {
        let registry = Registry::default();
        let counter = registry.counter("x_total", "X.", &[]).with(&[]);
        let histogram = registry.histogram("y", "Y.", &[], &[1.0]).with(&[]);
        let gauge = registry.gauge("z", "Z.", &[]).with(&[]);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        counter.inc();
                        histogram.observe(0.5);
                        gauge.add(1.0);
                    }
                });
            }
        });
        assert_eq!(
            (counter.get(), histogram.count(), gauge.get()),
            (80_000, 80_000, 80_000.0)
        );
        assert!((histogram.sum() - 40_000.0).abs() < 1e-6);
    }

    #[test]
    #[should_panic(expected = "another kind")]
    #[cfg(debug_assertions)]
    fn one_name_for_two_kinds_is_found_in_tests() {
        let registry = Registry::default();
        registry.counter("x", "X.", &[]);
        registry.gauge("x", "X.", &[]);
    }
}
