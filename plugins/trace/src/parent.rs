//! Whether a client follows its query itself: the headers that Zipkin's libraries send along, known as B3.

use catena_core::message::HttpHeaders;

/// What a client says of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// Nothing, or nothing that can be read.
    None,
    /// It does not want the query to be followed.
    Unsampled,
    /// Its trace, and the span in it that the query is part of.
    Span {
        trace: u128,
        span: u64,
        /// The span around that one.
        around: Option<u64>,
    },
}

impl Parent {
    /// Reads the single header if there is a good one, else those for each part.
    pub(crate) fn of(headers: &HttpHeaders) -> Self {
        let single = headers.get("b3").and_then(single);
        single.or_else(|| several(headers)).unwrap_or(Self::None)
    }
}

/// `TRACE-SPAN-SAMPLED-PARENT`, where the last two can be missing, or nothing but the third.
fn single(text: &str) -> Option<Parent> {
    if text.len() == 1 {
        return sampled(text).map(|sampled| if sampled { Parent::None } else { Parent::Unsampled });
    }
    let mut parts = text.split('-');
    let trace = number(parts.next()?)?;
    let span = id(parts.next()?)?;
    let is_sampled = parts.next().map_or(Some(true), sampled)?;
    let around = match parts.next() {
        Some(part) => Some(id(part)?),
        None => None,
    };
    if parts.next().is_some() {
        return None;
    }
    Some(joined(trace, span, is_sampled, around))
}

fn several(headers: &HttpHeaders) -> Option<Parent> {
    let get = |name| headers.get(name).filter(|value| !value.is_empty());
    let debug = get("x-b3-flags") == Some("1");
    let is_sampled = match get("x-b3-sampled") {
        Some(value) => long_sampled(value)?,
        None => true,
    };
    let is_sampled = is_sampled || debug;
    let around = match get("x-b3-parentspanid") {
        Some(value) => Some(id(value)?),
        None => None,
    };
    match (get("x-b3-traceid"), get("x-b3-spanid")) {
        (Some(trace), Some(span)) => Some(joined(number(trace)?, id(span)?, is_sampled, around)),
        (None, None) if !is_sampled => Some(Parent::Unsampled),
        _ => None,
    }
}

fn joined(trace: u128, span: u64, is_sampled: bool, around: Option<u64>) -> Parent {
    match (trace, is_sampled) {
        (_, false) => Parent::Unsampled,
        (0, true) => Parent::None,
        (_, true) => Parent::Span { trace, span, around },
    }
}

fn sampled(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" | "d" => Some(true),
        _ => None,
    }
}

fn long_sampled(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "0" | "false" => Some(false),
        "1" | "true" => Some(true),
        _ => None,
    }
}

fn id(text: &str) -> Option<u64> {
    number(text)?.try_into().ok()
}

/// Hexadecimal digits, and nothing else.
fn number(text: &str) -> Option<u128> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Parent = Parent::Span {
        trace: 0x1f,
        span: 0x2f,
        around: None,
    };

    #[test]
    fn headers_for_each_part_are_read() {
        let (trace, span) = (("X-B3-TraceId", "000000000000001f"), ("X-B3-SpanId", "2f"));
        for (case, headers, want) in [
            ("none", vec![], Parent::None),
            ("both", vec![trace, span], SPAN),
            ("sampled", vec![trace, span, ("x-b3-sampled", "True")], SPAN),
            (
                "not sampled",
                vec![trace, span, ("x-b3-sampled", "0")],
                Parent::Unsampled,
            ),
            (
                "not sampled alone",
                vec![("x-b3-sampled", "false")],
                Parent::Unsampled,
            ),
            (
                "for debugging",
                vec![trace, span, ("x-b3-sampled", "0"), ("x-b3-flags", "1")],
                SPAN,
            ),
            ("half of it", vec![trace], Parent::None),
            ("the other half", vec![span], Parent::None),
            (
                "not in hexadecimal",
                vec![("x-b3-traceid", "+1f"), span],
                Parent::None,
            ),
            (
                "too long",
                vec![("x-b3-traceid", "1000000000000000000000000000000000"), span],
                Parent::None,
            ),
            (
                "too long a span",
                vec![trace, ("x-b3-spanid", "10000000000000000")],
                Parent::None,
            ),
            (
                "no answer to sampled",
                vec![trace, span, ("x-b3-sampled", "maybe")],
                Parent::None,
            ),
        ] {
            assert_eq!(Parent::of(&headers.into_iter().collect()), want, "case {case}");
        }
    }

    #[test]
    fn the_single_header_is_read() {
        for (text, want) in [
            ("000000000000001f-000000000000002f", SPAN),
            ("000000000000001f-000000000000002f-1", SPAN),
            ("000000000000001f-000000000000002f-d", SPAN),
            ("000000000000001f-000000000000002f-0", Parent::Unsampled),
            (
                "0000000000000001000000000000001f-000000000000002f-1-000000000000003f",
                Parent::Span {
                    trace: 0x1_0000_0000_0000_001f,
                    span: 0x2f,
                    around: Some(0x3f),
                },
            ),
            ("0", Parent::Unsampled),
            ("1", Parent::None),
            ("x", Parent::None),
            ("", Parent::None),
            ("1f", Parent::None),
            ("1f-2f-1-3f-4f", Parent::None),
            ("1f--1", Parent::None),
            ("00-2f-1", Parent::None),
        ] {
            assert_eq!(Parent::of(&[("b3", text)].into_iter().collect()), want, "{text}");
        }
        let both = [("b3", "nonsense"), ("x-b3-traceid", "1f"), ("x-b3-spanid", "2f")];
        assert_eq!(Parent::of(&both.into_iter().collect()), SPAN);
    }
}
