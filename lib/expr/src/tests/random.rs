//! Expressions of words that were drawn by lot: most are refused, and none makes the program panic.

use catena_facts::Surroundings;

use super::{Expr, request};

const WORDS: &[&str] = &[
    "name()",
    "type()",
    "id()",
    "1",
    "0",
    "-9223372036854775807",
    "2.5",
    "1e300",
    "'a'",
    "''",
    "'2023-08-14'",
    "'é'",
    "nil",
    "true",
    "[]",
    "[1, 'a', nil]",
    "[1, 2.5]",
    "{}",
    "{a: 1}",
    "b'\\xff'",
    "now()",
    "date('2023-08-14')",
    "duration('1h')",
    "timezone('Europe/Zurich')",
    "9223372036854775807",
    "#",
    "#acc",
    "#index",
    ".a",
    "$env",
    "let a = ",
    "a",
    ";",
    "if ",
    "else",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ",",
    ":",
    "?",
    "??",
    "?.",
    ".",
    "|",
    "..",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "==",
    "<",
    ">=",
    " in ",
    " not in ",
    " and ",
    " or ",
    "not ",
    " matches ",
    " contains ",
    "[0]",
    "[-1]",
    "[1:]",
    "[:-1]",
    ".a",
    "?.b",
    ".Hour()",
    ".Weekday()",
    ".String()",
    ".Add(",
    ".AddDate(1, ",
    ".Round(",
    ".In(",
    ".Format(",
    ".UnixNano()",
    "len(",
    "sum(",
    "max(",
    "sort(",
    "uniq(",
    "flatten(",
    "keys(",
    "toPairs(",
    "fromPairs(",
    "toJSON(",
    "fromJSON(",
    "toBase64(",
    "fromBase64(",
    "string(",
    "int(",
    "float(",
    "abs(",
    "split(",
    "splitAfter(",
    "replace(",
    "repeat(",
    "get(",
    "take(",
    "reverse(",
    "join(",
    "bitshl(",
    "bitushr(",
    "map(",
    "filter(",
    "groupBy(",
    "reduce(",
    "sortBy(",
    "count(",
    "date(",
    "duration(",
    "timezone(",
    "now(",
    "trim(",
    "concat(",
    "mean(",
    "median(",
    "first(",
    "last(",
];

#[test]
fn every_function_and_operator_meets_every_value() {
    let request = request();
    let surroundings = Surroundings::of("view");
    let mut evaluated = 0;
    let ends = |word: &&&str| !word.ends_with('(') && !word.starts_with(['.', ';', ',', ':', '?', '|']);
    let values: Vec<&str> = WORDS.iter().filter(ends).take(25).copied().collect();
    for word in WORDS {
        for one in &values {
            // What is known only with a query is not refused beforehand.
            let one = format!("(fromJSON('null') ?? {one})");
            for other in &values {
                let text = match word.strip_suffix('(') {
                    Some(name) if name.starts_with('.') => format!("{one}{name}({other})"),
                    Some(name) => format!("{name}({one}, fromJSON('null') ?? {other})"),
                    None if word.starts_with(['.', '?', '[']) => format!("{one}{word}"),
                    None => format!("{one}{word}(fromJSON('null') ?? {other})"),
                };
                if let Ok(expr) = Expr::parse(&format!("string({text}) == ''")) {
                    evaluated += 1;
                    let _ = expr.holds(&request, &surroundings);
                }
            }
        }
    }
    assert!(evaluated > 10_000, "{evaluated}");
}

#[test]
fn words_by_lot_never_panic() {
    let request = request();
    let surroundings = Surroundings::of("view");
    let mut evaluated = 0;
    let mut seed: u64 = 7;
    let mut draw = |most: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap_or(0) % most
    };
    for _ in 0..20_000 {
        let count = draw(12) + 1;
        let text: String = (0..count).map(|_| WORDS[draw(WORDS.len())]).collect();
        if let Ok(expr) = Expr::parse(&text) {
            evaluated += 1;
            let _ = expr.holds(&request, &surroundings);
        }
    }
    assert!(evaluated > 200, "{evaluated}");
}
