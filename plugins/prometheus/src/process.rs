//! What the system knows of the process, under the names of Prometheus' client libraries, and of its threads.
//!
//! All is read from `/proc` when somebody scrapes; what cannot be read is left out.

use std::fs;

use catena_metrics::{Registry, Sample};

/// The kernel's unit of time in `/proc`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Shows the process's metrics.
pub(crate) fn show(registry: &Registry) {
    registry.collect_counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        &[],
        || one(Stat::read("/proc/self/stat").map(|stat| stat.cpu_seconds())),
    );
    gauge(
        registry,
        "process_open_fds",
        "Number of open file descriptors.",
        || {
            fs::read_dir("/proc/self/fd")
                .ok()
                .map(|entries| entries.count() as f64)
        },
    );
    gauge(
        registry,
        "process_max_fds",
        "Maximum number of open file descriptors.",
        || limit("Max open files"),
    );
    gauge(
        registry,
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        || status_bytes("VmSize:"),
    );
    gauge(
        registry,
        "process_virtual_memory_max_bytes",
        "Maximum amount of virtual memory available in bytes.",
        || limit("Max address space"),
    );
    gauge(
        registry,
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        || status_bytes("VmRSS:"),
    );
    gauge(
        registry,
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        start_time,
    );
    network(registry);
}

fn network(registry: &Registry) {
    for (name, help, column) in [
        (
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
            "InOctets",
        ),
        (
            "process_network_transmit_bytes_total",
            "Number of bytes sent by the process over the network.",
            "OutOctets",
        ),
    ] {
        registry.collect_counter(name, help, &[], move || {
            let text = fs::read_to_string("/proc/self/net/netstat").ok();
            one(text.and_then(|text| column_of(&text, "IpExt:", column)))
        });
    }
}

/// Shows what each thread does: how long it ran, and how long it was ready to run and had no processor.
pub(crate) fn show_threads(registry: &Registry) {
    registry.collect_counter(
        "catena_thread_cpu_seconds_total",
        "Time that threads of this name ran.",
        &["thread"],
        || threads(|fields| fields.first().copied()),
    );
    registry.collect_counter(
        "catena_thread_wait_seconds_total",
        "Time that threads of this name were ready to run and waited for a processor.",
        &["thread"],
        || threads(|fields| fields.get(1).copied()),
    );
}

fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    value: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    registry.collect_gauge(name, help, &[], move || one(value()));
}

fn one(value: Option<f64>) -> Vec<Sample> {
    value
        .map(|value| Sample {
            labels: Vec::new(),
            value,
        })
        .into_iter()
        .collect()
}

/// The fields of a `stat` file behind the command's name, which may have blanks itself.
struct Stat(Vec<f64>);

impl Stat {
    fn read(path: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (_, behind) = text.rsplit_once(')')?;
        Some(Self(
            behind
                .split_whitespace()
                .map(|field| field.parse().unwrap_or(0.0))
                .collect(),
        ))
    }

    /// The field with this number in proc(5); the first one here is 3.
    fn field(&self, number: usize) -> f64 {
        number
            .checked_sub(3)
            .and_then(|place| self.0.get(place))
            .copied()
            .unwrap_or(0.0)
    }

    fn cpu_seconds(&self) -> f64 {
        (self.field(14) + self.field(15)) / TICKS_PER_SECOND
    }

    fn started_after_boot(&self) -> f64 {
        self.field(22) / TICKS_PER_SECOND
    }
}

fn start_time() -> Option<f64> {
    let stat = Stat::read("/proc/self/stat")?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(boot + stat.started_after_boot())
}

/// A soft limit; without one it is the largest number, as in Go.
fn limit(name: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

fn status_bytes(name: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: f64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// A value from a file with a line of names above each line of values.
fn column_of(text: &str, group: &str, column: &str) -> Option<f64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|name| name == column)?;
    values.split_whitespace().nth(place)?.parse().ok()
}

/// Seconds of all threads by their names, of one of the fields of `schedstat`, which counts nanoseconds.
fn threads(field: impl Fn(&[f64]) -> Option<f64>) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let fields: Vec<f64> = read("schedstat")
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        let Some(nanoseconds) = field(&fields) else {
            continue;
        };
        let thread = read("comm").trim().to_owned();
        match samples.iter_mut().find(|sample| sample.labels[0] == thread) {
            Some(sample) => sample.value += nanoseconds / 1e9,
            None => samples.push(Sample {
                labels: vec![thread],
                value: nanoseconds / 1e9,
            }),
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_dashboards_ask_for_is_there() {
        let registry = Registry::default();
        show(&registry);
        let mut text = String::new();
        registry.encode_text(&mut text);
        for name in [
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_network_receive_bytes_total",
            "process_network_transmit_bytes_total",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_virtual_memory_bytes",
            "process_virtual_memory_max_bytes",
        ] {
            assert!(text.contains(&format!("\n{name} ")), "{name} in {text}");
        }
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let started = start_time().unwrap();
        assert!(
            started <= now + 1.0 && started > now - 3600.0,
            "{started} is no time of this test, {now}"
        );
    }

    #[test]
    fn a_command_with_blanks_and_brackets_does_not_move_the_fields() {
        let fields: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        let stat = Stat::parse(&format!("1 (a ) (b) {}", fields.join(" "))).unwrap();
        assert_eq!(stat.cpu_seconds(), 0.29);
        assert_eq!(stat.started_after_boot(), 0.22);
        assert_eq!(Stat::parse("nonsense").map(|stat| stat.0), None);
        assert_eq!(Stat::parse("1 (a) S").unwrap().cpu_seconds(), 0.0);
    }

    #[test]
    fn columns_are_found_by_their_group_and_name() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: InOctets OutOctets\nIpExt: 30 40\n";
        assert_eq!(column_of(text, "IpExt:", "OutOctets"), Some(40.0));
        assert_eq!(column_of(text, "IpExt:", "X"), None);
        assert_eq!(column_of("", "IpExt:", "X"), None);
    }

    #[test]
    fn threads_are_summed_by_name() {
        let registry = Registry::default();
        show_threads(&registry);
        let mut text = String::new();
        registry.encode_text(&mut text);
        assert!(
            text.contains("catena_thread_cpu_seconds_total{thread=\""),
            "{text}"
        );
        assert!(
            text.contains("catena_thread_wait_seconds_total{thread=\""),
            "{text}"
        );
    }
}
