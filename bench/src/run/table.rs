//! Medians of samples as markdown.

use std::fs;

use super::{Outcome, Sample, Settings};
use crate::work::Work;

/// What was measured, and on what.
pub(super) fn heading(settings: &Settings) -> String {
    format!(
        "Processor: {}; kernel {}. {} rounds of {} s, medians. Queries {} EDNS; {} in flight over UDP, {} connections with {} \
         each over all else.\n",
        processor(),
        fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim(),
        settings.rounds,
        settings.turn.as_secs_f64(),
        if settings.edns { "with" } else { "without" },
        settings.window,
        settings.connections,
        settings.pipeline,
    )
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim());
    model.to_owned()
}

/// The table of one work.
pub(super) fn section(work: Work, outcomes: &[Outcome], missing: &[&str]) -> String {
    let mut text = format!("\n### {}\n\n{}\n\n", work.title(), work.aim());
    let reference = work.reference();
    let floor = outcomes
        .iter()
        .find(|outcome| Some(outcome.label.as_str()) == reference)
        .map_or(0.0, |outcome| median(outcome, |sample| sample.micros));
    let columns = columns(work);
    let mut heads = vec!["server".to_owned()];
    heads.extend(columns.iter().map(|column| match column.kind {
        Kind::Ratio => format!("to {}", reference.unwrap_or("nothing")),
        _ => column.title.to_owned(),
    }));
    text.push_str(&format!(
        "| {} |\n|{}\n",
        heads.join(" | "),
        "---|".repeat(heads.len())
    ));
    for outcome in outcomes.iter().filter(|outcome| !outcome.samples.is_empty()) {
        let cells = columns.iter().map(|column| column.cell(outcome, floor));
        let row: Vec<_> = std::iter::once(outcome.label.clone()).chain(cells).collect();
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    for outcome in outcomes {
        text.push_str(&remarks(outcome));
    }
    let failed = outcomes
        .iter()
        .filter_map(|outcome| Some((&outcome.label, outcome.failure.as_ref()?)));
    for (label, failure) in failed {
        text.push_str(&format!("\nLeft out: {label} ({failure}).\n"));
    }
    if !missing.is_empty() {
        text.push_str(&format!("\nNot installed: {}.\n", missing.join(", ")));
    }
    text
}

/// What only some servers have.
fn remarks(outcome: &Outcome) -> String {
    let (label, mut text) = (&outcome.label, String::new());
    let value = |pick: fn(&Sample) -> f64| median(outcome, pick);
    let state = value(|sample| sample.state_ms);
    if state > 0.0 {
        text.push_str(&format!("\n{label}: the whole state was put in {state:.0} ms.\n"));
    }
    let written = value(|sample| sample.writes_per_second);
    if written > 0.0 {
        text.push_str(&format!(
            "\n{label}: {written:.0} writes a second were accepted.\n"
        ));
    }
    let lines = value(|sample| sample.lines_percent);
    if lines > 0.0 {
        text.push_str(&format!(
            "\n{label}: {lines:.1} lines of log were read for 100 queries.\n"
        ));
    }
    text
}

/// A column of a table.
struct Column {
    title: &'static str,
    digits: usize,
    kind: Kind,
}

enum Kind {
    /// The CPU time over that of the work's reference.
    Ratio,
    Median(fn(&Sample) -> f64),
    /// Of all rounds: what should be 0.
    Sum(fn(&Sample) -> u64),
}

impl Column {
    const fn median(title: &'static str, digits: usize, pick: fn(&Sample) -> f64) -> Self {
        let kind = Kind::Median(pick);
        Self { title, digits, kind }
    }

    const fn sum(title: &'static str, pick: fn(&Sample) -> u64) -> Self {
        let kind = Kind::Sum(pick);
        Self {
            title,
            digits: 0,
            kind,
        }
    }

    fn cell(&self, outcome: &Outcome, floor: f64) -> String {
        let digits = self.digits;
        match self.kind {
            Kind::Ratio if floor > 0.0 => {
                let micros = median(outcome, |sample| sample.micros);
                format!("{:.digits$}", micros / floor)
            }
            Kind::Ratio => "-".to_owned(),
            Kind::Median(pick) => format!("{:.digits$}", median(outcome, pick)),
            Kind::Sum(pick) => outcome.samples.iter().map(pick).sum::<u64>().to_string(),
        }
    }
}

fn columns(work: Work) -> &'static [Column] {
    match work {
        Work::Flood => FLOOD,
        Work::Popular => POPULAR,
        Work::Million => MILLION,
        Work::IdleTcp | Work::IdleDot | Work::IdleDoh | Work::IdleStreams => IDLE,
        Work::Handshakes | Work::Resumption => HANDSHAKES,
        _ => QUERIES,
    }
}

const RATIO: Column = Column {
    title: "",
    digits: 2,
    kind: Kind::Ratio,
};
const BUSY: Column = Column::median("busy, %", 0, |sample| sample.busy_percent);
const P50: Column = Column::median("p50, ms", 2, |sample| sample.p50_ms);
const P99: Column = Column::median("p99, ms", 2, |sample| sample.p99_ms);
const MAX: Column = Column::median("max, ms", 1, |sample| sample.max_ms);
const LOST: Column = Column::sum("lost", |sample| sample.lost);
const WRONG: Column = Column::sum("wrong", |sample| sample.wrong + sample.stray);
const RSS_IDLE: Column = Column::median("RSS idle, MiB", 1, |sample| sample.idle_mib);
const RSS_LOADED: Column = Column::median("RSS loaded, MiB", 1, |sample| sample.loaded_mib);
const RSS_BEFORE: Column = Column::median("RSS before, MiB", 1, |sample| sample.idle_mib);
const GROWTH: Column = Column::median("growth, MiB", 1, |sample| sample.loaded_mib - sample.idle_mib);
const START: Column = Column::median("start, ms", 0, |sample| sample.start_ms);

const QUERIES: &[Column] = &[
    Column::median("CPU for a query, µs", 2, |sample| sample.micros),
    RATIO,
    Column::median("queries/s", 0, |sample| sample.per_second),
    BUSY,
    P50,
    P99,
    MAX,
    LOST,
    WRONG,
    RSS_IDLE,
    RSS_LOADED,
    START,
];

const HANDSHAKES: &[Column] = &[
    Column::median("CPU for a connection, µs", 0, |sample| sample.micros),
    RATIO,
    Column::median("connections in a second of CPU", 0, |sample| 1e6 / sample.micros),
    Column::median("connections/s", 0, |sample| sample.per_second),
    Column::median("resumed, %", 0, |sample| sample.resumed_percent),
    BUSY,
    P50,
    P99,
    MAX,
    LOST,
    WRONG,
    RSS_IDLE,
    RSS_LOADED,
];

const POPULAR: &[Column] = &[
    Column::median("new names", 0, |sample| sample.new_names),
    Column::median("hits before, %", 1, |sample| sample.hits_before_percent),
    Column::median("hits meanwhile, %", 1, |sample| sample.hits_percent),
    Column::median("kept afterwards, %", 1, |sample| sample.kept_percent),
    LOST,
    WRONG,
    RSS_IDLE,
    RSS_LOADED,
];

const MILLION: &[Column] = &[
    RSS_BEFORE,
    Column::median("RSS with them, MiB", 1, |sample| sample.loaded_mib),
    GROWTH,
    Column::median("kept, %", 1, |sample| sample.kept_percent),
    LOST,
    WRONG,
];

const IDLE: &[Column] = &[
    Column::median("connections", 0, |sample| sample.opened),
    Column::median("held at the end", 0, |sample| sample.held),
    Column::median("idle streams held", 0, |sample| sample.streams_held),
    RSS_BEFORE,
    Column::median("RSS with them, MiB", 1, |sample| sample.loaded_mib),
    Column::median("KiB for each", 2, Sample::kib_for_each),
    Column::median("UDP p99 before, ms", 2, |sample| sample.p99_before_ms),
    Column::median("UDP p99 with them, ms", 2, |sample| sample.p99_ms),
    Column::median("CPU for a query before, µs", 2, |sample| sample.micros_before),
    Column::median("with them, µs", 2, |sample| sample.micros),
    LOST,
    WRONG,
];

const FLOOD: &[Column] = &[
    Column::median("really sent, queries/s", 0, |sample| sample.flood_rate),
    RSS_BEFORE,
    Column::median("RSS at most, MiB", 1, |sample| sample.loaded_mib),
    GROWTH,
    Column::median("first answer afterwards, ms", 1, |sample| sample.recovery_ms),
];

/// The middle of the samples' values; of an even number the upper one of the two in the middle.
fn median(outcome: &Outcome, pick: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = outcome.samples.iter().map(pick).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(label: &str, micros: &[f64]) -> Outcome {
        let samples = micros
            .iter()
            .map(|micros| Sample {
                micros: *micros,
                ..Sample::default()
            })
            .collect();
        Outcome {
            label: label.to_owned(),
            samples,
            failure: None,
        }
    }

    #[test]
    fn rows_show_medians_and_the_ratio_to_echo() {
        let outcomes = [
            outcome("echo", &[9.0, 2.0, 1.0]),
            outcome("nsd", &[3.0, 3.0, 100.0]),
        ];
        let text = section(Work::Memory, &outcomes, &["knot"]);
        assert!(text.contains("| echo | 2.00 | 1.00 |"), "{text}");
        assert!(text.contains("| nsd | 3.00 | 1.50 |"), "{text}");
        assert!(text.contains("Not installed: knot."), "{text}");
    }

    #[test]
    fn what_was_really_written_is_told() {
        let mut written = outcome("dynresolve", &[3.0]);
        written.samples[0].writes_per_second = 999.6;
        let text = section(Work::Memory, &[outcome("echo", &[1.0]), written], &[]);
        assert!(
            text.ends_with("|\n\ndynresolve: 1000 writes a second were accepted.\n"),
            "{text}"
        );
    }

    #[test]
    fn each_work_has_a_table_of_its_own_whose_rows_are_as_long_as_its_head() {
        for work in Work::ALL {
            let label = work.reference().unwrap_or("catena hosts");
            let text = section(work, &[outcome(label, &[2.0]), outcome("other", &[3.0])], &[]);
            let bars: Vec<_> = text
                .lines()
                .filter(|line| line.starts_with('|'))
                .map(|line| line.matches('|').count())
                .collect();
            assert_eq!(bars.len(), 4, "{text}");
            assert!(bars.iter().all(|count| *count == bars[0]), "{text}");
            assert!(
                text.contains(&format!("### {}\n\n{}\n", work.title(), work.aim())),
                "{text}"
            );
        }
    }

    #[test]
    fn new_connections_are_told_for_a_second_of_cpu() {
        let text = section(
            Work::Handshakes,
            &[outcome("unbound", &[400.0]), outcome("catena hosts", &[200.0])],
            &[],
        );
        assert!(text.contains("| catena hosts | 200 | 0.50 | 5000 |"), "{text}");
    }

    #[test]
    fn a_server_that_failed_is_named_with_the_reason() {
        let mut failed = outcome("nsd", &[]);
        failed.failure = Some("ended: no such zone".to_owned());
        let text = section(Work::Tcp, &[failed], &[]);
        assert!(text.contains("Left out: nsd (ended: no such zone)."), "{text}");
        assert!(!text.contains("| nsd |"), "{text}");
    }
}
