//! The values of a server's metrics.

use std::fmt;

use catena_metrics::Registry;

/// All metrics of a server at one moment.
///
/// ```
/// let registry = catena_metrics::Registry::default();
/// let replies = registry.counter("coredns_example_replies_total", "Counter of replies.", &["rcode", "view"]);
/// replies.with(&["REFUSED", "a"]).add(2);
/// replies.with(&["REFUSED", "b"]).inc();
///
/// let metrics = catena_testkit::Metrics::of(&registry);
/// assert_eq!(metrics.value("coredns_example_replies_total", &[("rcode", "REFUSED")]), Some(3.0));
/// assert_eq!(metrics.value("coredns_example_replies_total", &[("rcode", "NOERROR")]), None);
/// ```
#[derive(Clone)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// What a registry shows now.
    #[must_use]
    pub fn of(registry: &Registry) -> Self {
        let mut text = String::new();
        registry.encode_text(&mut text);
        Self { text }
    }

    /// The text that Prometheus would read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sum of all samples of this name that have these labels among theirs; `None` if there are none.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<String> = labels.iter().map(|(label, value)| pair(label, value)).collect();
        let mut found: Option<f64> = None;
        for line in self.text.lines().filter(|line| !line.starts_with('#')) {
            let Some((sample, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let (sample_name, sample_labels) = sample.split_once('{').unwrap_or((sample, ""));
            if sample_name == name && wanted.iter().all(|pair| sample_labels.contains(pair)) {
                *found.get_or_insert(0.0) += value.parse().unwrap_or(f64::NAN);
            }
        }
        found
    }
}

fn pair(label: &str, value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{label}=\"{escaped}\"")
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
