//! Medians of samples as markdown.

use std::fs;

use super::{Outcome, Sample, Settings};
use crate::peers::Work;

/// What was measured, and on what.
pub(super) fn heading(settings: &Settings) -> String {
    format!(
        "Processor: {}; kernel {}. {} rounds of {} s, medians. Queries {} EDNS; {} in flight over UDP, {} connections with {} \
         each over TCP.\n",
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
    let mut text = format!("\n### {}\n\n", title(work));
    let floor = outcomes
        .iter()
        .find(|outcome| outcome.label == "echo")
        .map_or(0.0, |outcome| median(outcome, |sample| sample.micros));
    text.push_str(if work == Work::Flood { FLOOD_HEAD } else { HEAD });
    for outcome in outcomes.iter().filter(|outcome| !outcome.samples.is_empty()) {
        text.push_str(&if work == Work::Flood {
            flood_row(outcome)
        } else {
            row(outcome, floor)
        });
    }
    for outcome in outcomes {
        let written = median(outcome, |sample| sample.writes_per_second);
        if written > 0.0 {
            text.push_str(&format!(
                "\n{}: {written:.0} writes a second were accepted.\n",
                outcome.label
            ));
        }
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

fn title(work: Work) -> &'static str {
    match work {
        Work::Memory => "1,000 names from memory, UDP",
        Work::Tcp => "1,000 names from memory, TCP with kept connections",
        Work::Cache => "1,000 names from the cache before forwarding, UDP",
        Work::Forward => "Forwarding over UDP, nothing cached",
        Work::Flood => "A flood of 1,000,000 queries a second for 5 s",
    }
}

const HEAD: &str = "| server | CPU for a query, µs | to echo | queries/s | p50, ms | p99, ms | max, ms | lost | wrong | RSS idle, MiB | \
                    RSS loaded, MiB | start, ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n";

fn row(outcome: &Outcome, floor: f64) -> String {
    let value = |pick: fn(&Sample) -> f64| median(outcome, pick);
    let micros = value(|sample| sample.micros);
    let ratio = if floor > 0.0 {
        format!("{:.2}", micros / floor)
    } else {
        "-".to_owned()
    };
    let sum = |pick: fn(&Sample) -> u64| outcome.samples.iter().map(pick).sum::<u64>();
    let (lost, wrong) = (
        sum(|sample| sample.lost),
        sum(|sample| sample.wrong + sample.stray),
    );
    format!(
        "| {} | {micros:.2} | {ratio} | {:.0} | {:.2} | {:.2} | {:.1} | {lost} | {wrong} | {:.1} | {:.1} | {:.0} |\n",
        outcome.label,
        value(|sample| sample.per_second),
        value(|sample| sample.p50_ms),
        value(|sample| sample.p99_ms),
        value(|sample| sample.max_ms),
        value(|sample| sample.idle_mib),
        value(|sample| sample.loaded_mib),
        value(|sample| sample.start_ms),
    )
}

const FLOOD_HEAD: &str = "| server | really sent, queries/s | RSS before, MiB | RSS at most, MiB | growth, MiB | first answer \
                          afterwards, ms |\n|---|---|---|---|---|---|\n";

fn flood_row(outcome: &Outcome) -> String {
    let value = |pick: fn(&Sample) -> f64| median(outcome, pick);
    format!(
        "| {} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |\n",
        outcome.label,
        value(|sample| sample.flood_rate),
        value(|sample| sample.idle_mib),
        value(|sample| sample.loaded_mib),
        value(|sample| sample.loaded_mib - sample.idle_mib),
        value(|sample| sample.recovery_ms),
    )
}

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
    fn a_server_that_failed_is_named_with_the_reason() {
        let mut failed = outcome("nsd", &[]);
        failed.failure = Some("ended: no such zone".to_owned());
        let text = section(Work::Tcp, &[failed], &[]);
        assert!(text.contains("Left out: nsd (ended: no such zone)."), "{text}");
        assert!(!text.contains("| nsd |"), "{text}");
    }
}
