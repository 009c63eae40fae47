//! What would be too much work, too much memory or too deep.

use super::{Expr, all_hold, none_holds};

#[test]
fn work_and_memory_are_bounded() {
    none_holds(&[
        "len(map(1..10000, map(1..10000, #))) > 0",
        "any(1..10000, any(1..10000, # > 10000))",
        "len(reduce(1..40, [#acc, #acc], [1])) > 0",
        "reduce(1..10000, [#acc], []) != nil",
        "len(reduce(1..100, #acc + #acc, 'aaaa')) > 0",
        "len(map(1..1000, repeat(name(), 1000))) > 0",
        "len(join(map(1..10000, name()), name())) > 0",
        "len(replace(repeat('a', 50000), 'a', name())) > 0",
        "len(concat(1..10000, 1..10000, 1..10000) | map(1..10000)) > 0",
        "len(reduce(1..50, toJSON(#acc), name())) > 0",
        "count(1..10000, name() matches ('a' + string(#))) >= 0",
        "len(string(reduce(1..16, [#acc, #acc], name()))) > 0",
        "reduce(1..90, { {a: #acc, b: #acc} }, {}) == {}",
        "fromJSON(repeat('[', 10000)) == nil",
        "uniq(map(1..2000, [#])) == []",
        "repeat('a', 9223372036854775807) == ''",
        "get([1], -9223372036854775807 - 1) == 1",
    ]);
    let lets = (b'b'..=b'z').map(|next| {
        let (next, before) = (char::from(next), char::from(next - 1));
        format!("let {next} = [{before}, {before}, {before}]; ")
    });
    none_holds(&[&format!("let a = [1, 1, 1]; {}true", lets.collect::<String>())]);
    all_hold(&[
        "len(uniq(1..10000)) == 10000 && sum(1..10000) == 50005000",
        "len(groupBy(1..10000, # % 100)) == 100",
        "abs(-9223372036854775807) > 0",
        "get([1], -9223372036854775807) == nil",
    ]);
}

#[test]
fn expressions_that_are_too_deep_or_grow_are_refused() {
    let grows = (0..14).fold("2".to_owned(), |inner, _| format!("(1 < ({inner} ? 1 : 2) < 3)"));
    let elvis = (0..30).fold("true".to_owned(), |inner, _| format!("({inner} ?: false)"));
    let deep = (0..90).fold("1".to_owned(), |inner, _| format!("({inner}{})", "+1".repeat(50)));
    for text in [
        format!("{}1{}", "{a:".repeat(200), "}".repeat(200)),
        format!("{{}}{}", ".a".repeat(200)),
        format!("{{}}{}", "?.a".repeat(200)),
        format!("{}true", "let a = 1; ".repeat(200)),
        format!(
            "{}true{}",
            "if true {".repeat(200),
            "} else { false }".repeat(200)
        ),
        grows,
        elvis,
        format!("{deep} == 1"),
    ] {
        assert!(Expr::parse(&text).is_err(), "{}", &text[..40]);
    }
}

#[test]
fn what_is_as_deep_as_it_may_be_has_a_value() {
    let deep = (0..95).fold("1".to_owned(), |inner, _| format!("({inner}+1+1+1)"));
    all_hold(&[&format!("{deep} == 286")]);
}

#[test]
fn values_stay_small() {
    assert!(size_of::<crate::value::Value<'_>>() <= 24);
}
