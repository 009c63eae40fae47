//! Metrics of one name, told apart by their labels' values.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::value::{Counter, Gauge, Histogram};

/// What kind of metric a family holds.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram(Arc<[f64]>),
}

impl Kind {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: Kind,
    /// Sorted, as Prometheus' own libraries write them.
    pub(crate) labels: Vec<String>,
    /// For each label in `labels` its place in the caller's order.
    order: Vec<usize>,
    children: Mutex<BTreeMap<Vec<String>, Child>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) value: Value,
    /// Not shown as long as nothing was counted.
    hides_zero: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Child {
    pub(crate) fn is_shown(&self) -> bool {
        !self.hides_zero
            || match &self.value {
                Value::Counter(counter) => counter.get() > 0,
                Value::Gauge(_) => true,
                Value::Histogram(histogram) => histogram.count() > 0,
            }
    }
}

impl Family {
    pub(crate) fn new(name: &str, help: &str, labels: &[&str], kind: Kind) -> Self {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|&place| labels[place]);
        Self {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            labels: order.iter().map(|&place| labels[place].to_owned()).collect(),
            order,
            children: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn is_alike(&self, kind: &Kind, labels: &[&str]) -> bool {
        self.kind.name() == kind.name()
            && self.labels.len() == labels.len()
            && self
                .labels
                .iter()
                .zip(&self.order)
                .all(|(label, &place)| label == labels[place])
    }

    /// All values that are to be shown, sorted.
    pub(crate) fn shown(&self) -> Vec<(Vec<String>, Value)> {
        let children = self.children();
        let shown = children.iter().filter(|(_, child)| child.is_shown());
        shown
            .map(|(labels, child)| (labels.clone(), child.value.clone()))
            .collect()
    }

    fn value(&self, values: &[&str], hides_zero: bool) -> Value {
        let key = self.key(values);
        match self.children().entry(key) {
            btree_map::Entry::Occupied(mut child) => {
                child.get_mut().hides_zero &= hides_zero;
                child.get().value.clone()
            }
            btree_map::Entry::Vacant(place) => {
                let value = match &self.kind {
                    Kind::Counter => Value::Counter(Counter::new()),
                    Kind::Gauge => Value::Gauge(Gauge::new()),
                    Kind::Histogram(bounds) => Value::Histogram(Histogram::new(Arc::clone(bounds))),
                };
                place.insert(Child { value, hides_zero }).value.clone()
            }
        }
    }

    fn remove(&self, values: &[&str]) {
        self.children().remove(&self.key(values));
    }

    /// The values in the order of `labels`. A missing value is empty, one too many is left out.
    fn key(&self, values: &[&str]) -> Vec<String> {
        debug_assert_eq!(values.len(), self.labels.len(), "the labels of {}", self.name);
        self.order
            .iter()
            .map(|&place| values.get(place).copied().unwrap_or_default().to_owned())
            .collect()
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

macro_rules! family {
    ($(#[$doc:meta])* $family:ident, $value:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $family(Arc<Family>);

        impl $family {
            pub(crate) const fn new(family: Arc<Family>) -> Self {
                Self(family)
            }

            /// The handle for these labels' values, which are given in the order in which the labels were declared.
            /// From now on it is shown, also while it is zero. Looking it up takes a lock: keep it.
            #[must_use]
            pub fn with(&self, values: &[&str]) -> $value {
                self.get(values, false)
            }

            /// As `with`, but nothing is shown for it until something was counted.
            #[must_use]
            pub fn with_hidden_zero(&self, values: &[&str]) -> $value {
                self.get(values, true)
            }

            /// Shows nothing for these labels' values any more.
            pub fn remove(&self, values: &[&str]) {
                self.0.remove(values);
            }

            fn get(&self, values: &[&str], hides_zero: bool) -> $value {
                match self.0.value(values, hides_zero) {
                    Value::$value(value) => value,
                    // The registry gives out a family of one kind as nothing else.
                    _ => unreachable!("{} is of another kind", self.0.name),
                }
            }
        }
    };
}

family! {
    /// Counters of one name; see [`Registry::counter`](crate::Registry::counter).
    CounterFamily, Counter
}
family! {
    /// Gauges of one name; see [`Registry::gauge`](crate::Registry::gauge).
    GaugeFamily, Gauge
}
family! {
    /// Histograms of one name; see [`Registry::histogram`](crate::Registry::histogram).
    HistogramFamily, Histogram
}
