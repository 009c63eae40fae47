//! Prometheus' text format, version 0.0.4, letter by letter as its Go library writes it.

use std::fmt::Write;

use crate::Sample;
use crate::family::{Family, Kind, Value};
use crate::value::Histogram;

/// The content type of the text, as CoreDNS names it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

pub(crate) fn family(out: &mut String, family: &Family) {
    let values = family.shown();
    if values.is_empty() {
        return;
    }
    head(out, &family.name, &family.help, &family.kind);
    for (labels, value) in values {
        match value {
            Value::Counter(counter) => line(
                out,
                &family.name,
                "",
                &family.labels,
                &labels,
                None,
                counter.get() as f64,
            ),
            Value::Gauge(gauge) => line(out, &family.name, "", &family.labels, &labels, None, gauge.get()),
            Value::Histogram(histogram) => buckets(out, family, &labels, &histogram),
        }
    }
}

pub(crate) fn collected(
    out: &mut String,
    name: &str,
    help: &str,
    kind: &Kind,
    labels: &[String],
    samples: Vec<Sample>,
) {
    if samples.is_empty() {
        return;
    }
    head(out, name, help, kind);
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|&place| &labels[place]);
    let sorted_labels: Vec<String> = order.iter().map(|&place| labels[place].clone()).collect();
    let mut sorted: Vec<(Vec<String>, f64)> = samples
        .into_iter()
        .map(|sample| {
            let values = order
                .iter()
                .map(|&place| sample.labels.get(place).cloned().unwrap_or_default());
            (values.collect(), sample.value)
        })
        .collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    for (values, value) in sorted {
        line(out, name, "", &sorted_labels, &values, None, value);
    }
}

fn buckets(out: &mut String, family: &Family, labels: &[String], histogram: &Histogram) {
    let counts = histogram.counts();
    let bounds = histogram.bounds().iter().copied().chain([f64::INFINITY]);
    let mut total = 0;
    for (count, bound) in counts.iter().zip(bounds) {
        total += count;
        line(
            out,
            &family.name,
            "_bucket",
            &family.labels,
            labels,
            Some(bound),
            total as f64,
        );
    }
    line(
        out,
        &family.name,
        "_sum",
        &family.labels,
        labels,
        None,
        histogram.sum(),
    );
    line(
        out,
        &family.name,
        "_count",
        &family.labels,
        labels,
        None,
        total as f64,
    );
}

fn head(out: &mut String, name: &str, help: &str, kind: &Kind) {
    out.push_str("# HELP ");
    out.push_str(name);
    out.push(' ');
    escape(out, help, false);
    out.push_str("\n# TYPE ");
    out.push_str(name);
    out.push(' ');
    out.push_str(kind.name());
    out.push('\n');
}

fn line(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: &[String],
    values: &[String],
    bound: Option<f64>,
    value: f64,
) {
    out.push_str(name);
    out.push_str(suffix);
    let mut separator = '{';
    for (label, value) in labels.iter().zip(values) {
        out.push(separator);
        out.push_str(label);
        out.push_str("=\"");
        escape(out, value, true);
        out.push('"');
        separator = ',';
    }
    if let Some(bound) = bound {
        out.push(separator);
        out.push_str("le=\"");
        out.push_str(&format_float(bound));
        out.push('"');
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    out.push(' ');
    out.push_str(&format_float(value));
    out.push('\n');
}

fn escape(out: &mut String, text: &str, quoted: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

/// A number as Go writes it: the shortest digits that read back the same, with an exponent from a million on and
/// below a ten-thousandth.
#[must_use]
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    // The form is always `1.5e7` or `1.5e-7`.
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let mut text = digits.to_owned();
    let sign = if exponent < 0 { '-' } else { '+' };
    // Writing to a string cannot fail.
    let _ = write!(text, "e{sign}{:02}", exponent.abs());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_in_go() {
        for (value, want) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.000_25, "0.00025"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.1 + 0.2, "0.30000000000000004"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_float(value), want);
        }
    }

    #[test]
    fn a_help_text_keeps_its_quotes() {
        let mut out = String::new();
        head(&mut out, "x", "a \"b\" \\", &Kind::Gauge);
        assert_eq!(out, "# HELP x a \"b\" \\\\\n# TYPE x gauge\n");
    }
}
