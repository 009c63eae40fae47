//! What a scrape asks for: which metrics, and how names are escaped.

use std::collections::BTreeSet;

/// How names with rare characters may be written. There are no such names here, so all come to the same; clients want
/// to see their choice in the answer.
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// The names of the metrics that a query string asks for by `name[]`; none are all.
pub(crate) fn wanted_names(query: &str) -> BTreeSet<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| decode(key) == "name[]")
        .map(|(_, value)| decode(value))
        .collect()
}

/// Undoes the escapes of a query string.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let escaped = match (first, behind) {
            (b'%', [high, low, ..]) => hexadecimal(*high).zip(hexadecimal(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &behind[2..];
            }
            None if first == b'+' => bytes.push(b' '),
            None => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The content type for a client that sent this `Accept` header. It is always the text format 0.0.4.
pub(crate) fn content_type(accept: &str) -> String {
    let mut ranges: Vec<Range<'_>> = accept.split(',').map(Range::parse).collect();
    // The order of equals stays.
    ranges.sort_by(|one, other| other.quality.total_cmp(&one.quality));
    let mut escaping = "underscores";
    for range in ranges {
        escaping = range.escaping.unwrap_or(escaping);
        if range.kind == "text/plain" && matches!(range.version, "" | "0.0.4") {
            break;
        }
    }
    format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}")
}

/// One of the kinds of content that a client takes.
struct Range<'a> {
    kind: &'a str,
    version: &'a str,
    escaping: Option<&'static str>,
    quality: f64,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self {
            kind: parts.next().unwrap_or_default(),
            version: "",
            escaping: None,
            quality: 1.0,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "version" => range.version = value.trim(),
                "escaping" => range.escaping = ESCAPINGS.into_iter().find(|known| *known == value.trim()),
                "q" => range.quality = value.trim().parse().unwrap_or(1.0),
                _ => {}
            }
        }
        range
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_off_the_query_string() {
        for (query, want) in [
            ("", &[][..]),
            ("x=1", &[]),
            ("name[]=a", &["a"]),
            ("name[]=b&name[]=a&name[]=b", &["a", "b"]),
            ("name%5B%5D=a%5fb&verbose", &["a_b"]),
            ("name%5b]=a+b%", &["a b%"]),
            ("name[]=", &[""]),
            ("name[]=%zz%f", &["%zz%f"]),
            ("name[]=%ff", &["\u{fffd}"]),
        ] {
            let names: Vec<String> = wanted_names(query).into_iter().collect();
            assert_eq!(names, want, "{query}");
        }
    }

    #[test]
    fn the_escaping_that_a_client_prefers_comes_back() {
        for (accept, want) in [
            ("", "underscores"),
            ("text/html", "underscores"),
            ("*/*", "underscores"),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                "allow-utf-8",
            ),
            (
                "text/plain;version=0.0.4;q=0.9,text/plain;version=1.0.0;escaping=dots;q=0.5",
                "underscores",
            ),
            ("text/plain; version=0.0.4; escaping=values", "values"),
            ("text/plain;escaping=nonsense", "underscores"),
            (";;q=x,,;=", "underscores"),
        ] {
            let want = format!("text/plain; version=0.0.4; charset=utf-8; escaping={want}");
            assert_eq!(content_type(accept), want, "{accept}");
        }
    }
}
