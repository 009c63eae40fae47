//! Expressions as operators write them.

mod bounds;
mod dates;
mod functions;
mod language;
mod random;

use catena_core::message::{QueryBuilder, Request};
use catena_facts::Surroundings;

use crate::Expr;

fn request() -> Request {
    let query = QueryBuilder::new("WWW.Example.org.", 28_u16)
        .unwrap()
        .id(7)
        .edns(1400, true);
    query.to_request().unwrap()
}

fn holds(text: &str) -> bool {
    let expr = Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    expr.holds(&request(), &Surroundings::of("view"))
}

fn all_hold(texts: &[&str]) {
    for text in texts {
        assert!(holds(text), "{text}");
    }
}

fn none_holds(texts: &[&str]) {
    for text in texts {
        assert!(!holds(text), "{text}");
    }
}

/// Each expression with what its error begins with.
fn refused(rows: &[(&str, &str)]) {
    for (text, want) in rows {
        let error = Expr::parse(text).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("{text} is not refused"));
        assert!(error.starts_with(want), "{text}: {error}");
    }
}

#[test]
fn queries_can_be_asked_for_everything() {
    for text in [
        "name() == 'www.example.org.'",
        "type() == 'AAAA' && class() == 'IN' && proto() == 'udp'",
        "client_ip() == '192.0.2.53' && port() == '5353'",
        "server_ip() == '127.0.0.1' && server_port() == '53'",
        "id() == 7 && opcode() == 0 && do() && bufsize() == 1400 && size() == 44",
        "incidr(client_ip(), '192.0.2.0/24') and not incidr(client_ip(), '198.51.100.0/24')",
        "incidr('2001:db8::1', '2001:DB8::/32')",
        "metadata('view/name') == ''",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn operators_bind_and_mean_what_they_do_in_expr_lang() {
    for (text, want) in [
        ("true or false and false", true),
        ("not false and false", false),
        ("!true || true", true),
        ("1 + 2 * 3 == 7", true),
        ("2 ** 3 ** 2 == 512", true),
        ("-2 ^ 2 == -4", true),
        ("7 % 4 == 3 and 7 / 2 == 3.5", true),
        ("1 == 1.0", true),
        ("'a' + 'b' == \"ab\"", true),
        ("'b' > 'a' and 2 >= 2 and 1 < 2 and 1 <= 1", true),
        ("'a' in ['a', 'b'] and 'c' not in ['a', 'b']", true),
        ("2 in 1..3 and 4 not in 1..3", true),
        ("name() contains 'example' and not (name() contains 'net')", true),
        (
            "name() not contains 'net' and name() startsWith 'www' and name() endsWith 'org.'",
            true,
        ),
        ("name() matches '^www[.]' and name() not matches 'WWW'", true),
        ("name() matches '(?i)^WWW'", true),
        ("true ? false : true", false),
        ("false ?: true", true),
        ("nil ?? true", true),
        ("nil == nil", true),
        ("name() != nil", true),
        ("[1, 2] == [1, 2]", true),
        ("1 == 1 // a comment", true),
        ("1 ==/* a comment */1", true),
        ("let n = name(); let x = n[0:3]; x == 'www'", true),
    ] {
        assert_eq!(holds(text), want, "{text}");
    }
}

#[test]
fn functions_of_the_language() {
    for text in [
        "len(name()) == 16 && len([1, 2]) == 2 && len('é') == 1",
        "split(name(), '.')[0] == 'www' && split(name(), '.')[-1] == '' && split('a.b.c', '.', 2)[1] == 'b.c'",
        "upper('a') == 'A' && lower('A') == 'a' && trim(' a ') == 'a' && trim('xax', 'x') == 'a'",
        "trimPrefix(name(), 'www.') == 'example.org.' && trimSuffix('ab', 'b') == 'a'",
        "replace('aXa', 'X', '-') == 'a-a' && repeat('ab', 2) == 'abab'",
        "hasPrefix(name(), 'www') && hasSuffix(name(), '.')",
        "indexOf('abc', 'c') == 2 && lastIndexOf('abab', 'b') == 3 && indexOf('a', 'z') == -1",
        "join(['a', 'b'], '-') == 'a-b' && join(split('a b', ' ')) == 'ab'",
        "int('5') == 5 && int(5.9) == 5 && float('1.5') == 1.5 && string(5) == '5'",
        "abs(-5) == 5 && max(1, 3, 2) == 3 && min(2, 1.5) == 1.5 && ceil(1.2) == 2 && floor(1.8) == 1 && round(1.5) == 2",
        "first([1, 2]) == 1 && last([1, 2]) == 2 && reverse([1, 2]) == [2, 1] && concat([1], [2]) == [1, 2]",
        "any(['a', 'b'], # == 'b') && all([1, 2], {# > 0}) && none([1], # > 1) && one([1, 2], # == 1)",
        "count([1, 2, 3], # > 1) == 2 && filter([1, 2, 3], # > 1) == [2, 3] && map([1, 2], # * 2) == [2, 4]",
        "find([1, 2], # > 1) == 2 && findIndex([1, 2], # > 1) == 1 && find([1], # > 5) == nil",
        "findLast([1, 2, 3], # < 3) == 2 && findLastIndex([1, 2, 1], # == 1) == 2 && findLastIndex([1], # > 1) == -1",
        "bitand(id(), 3) == 3 && bitor(4, 1) == 5 && bitxor(6, 3) == 5 && bitnand(7, 2) == 5 && bitnot(0) == -1",
        "bitshl(1, 4) == 16 && bitshr(-16, 2) == -4 && bitushr(-1, 63) == 1",
        "sum([1, 2, 3]) == 6 && sum([1, 0.5]) == 1.5 && sum([]) == 0 && mean([1, 2]) == 1.5 && mean([]) == 0",
        "median([3, 1, 2]) == 2 && median(1, 2, [3, 4]) == 2.5 && max([1, 5, 2]) == 5 && min([3, 2], 4) == 2",
        "take([1, 2, 3], 2) == [1, 2] && take([1], 5) == [1] && uniq([1, 2, 1, 1.0]) == [1, 2]",
        "flatten([1, [2, [3]]]) == [1, 2, 3] && sort([3, 1, 2]) == [1, 2, 3] && sort(['b', 'a'], 'desc') == ['b', 'a']",
        "name() | split('.') | len() == 4",
        "any(['192.0.2.0/24', '10.0.0.0/8'], incidr(client_ip(), #))",
        "[1, 2, 3][1:] == [2, 3] && name()[:3] == 'www' && 'abc'[-1] == 'c'",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn what_has_no_value_does_not_hold() {
    for text in [
        "split(name(), '.')[9] == 'a'",
        "incidr('nonsense', '192.0.2.0/24')",
        "incidr(client_ip(), 'nonsense') || true",
        "int('x') == 5",
        "1 % 0 == 0",
        "name()",
        "1",
        "len(1..100000) > 0",
        "bitshl(1, -1) == 0",
        "sum(['a', 1]) == 0",
        "sort([1, 'a']) == [1]",
        "sort([1], 'up') == [1]",
        "take([1], -1) == []",
        "max([]) == 1",
        "name() matches ('(' + '')",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn ill_typed_and_malformed_expressions_are_refused_at_their_place() {
    for (text, want) in [
        ("name( == 'x'", "unexpected `==` (at 7)"),
        ("", "unexpected end (at 1)"),
        ("true true", "unexpected `true` (at 6)"),
        ("(true", "unexpected end, expected `)` (at 6)"),
        ("nam() == 'x'", "unknown name `nam`: did you mean `name`? (at 1)"),
        ("xyzzy == 'x'", "unknown name `xyzzy` (at 1)"),
        ("type() == 1", "mismatched types string and int (at 8)"),
        ("id() == '1'", "mismatched types int and string (at 6)"),
        (
            "type() in [1, 2]",
            "mismatched types string and array of int (at 8)",
        ),
        ("'a' in 'abc'", "mismatched types string and string (at 5)"),
        ("not name() contains 'v5'", "string where bool is wanted (at 5)"),
        ("name() and true", "mismatched types string and bool (at 8)"),
        ("id() contains 'a'", "mismatched types int and string (at 6)"),
        ("name() < 1", "mismatched types string and int (at 8)"),
        ("name(1) == ''", "too many arguments to call `name` (at 1)"),
        (
            "incidr(client_ip())",
            "not enough arguments to call `incidr` (at 1)",
        ),
        ("incidr(1, 'a')", "int where string is wanted (at 8)"),
        (
            "max('a') == 1",
            "`max` cannot take string as its argument 1 (at 5)",
        ),
        (
            "bitand(1.5, 1) == 1",
            "`bitand` cannot take float as its argument 1 (at 8)",
        ),
        ("len(5) == 1", "`len` cannot take int as its argument 1 (at 5)"),
        (
            "name() matches '('",
            "bad regular expression: unclosed group (at 16)",
        ),
        ("name()['a']", "string where int is wanted (at 8)"),
        ("id()[0]", "int has no index (at 5)"),
        ("1 ? true : false", "int where bool is wanted (at 1)"),
        ("any([1], #) ", "int where bool is wanted (at 10)"),
        ("# == 1", "`#` outside of a predicate (at 1)"),
        ("any(name(), # == 'a')", "string where an array is wanted (at 5)"),
        ("-name() == 1", "a sign before string (at 1)"),
    ] {
        assert_eq!(Expr::parse(text).unwrap_err().to_string(), want, "{text}");
    }
}

#[test]
fn what_is_too_deep_or_too_long_is_refused() {
    for text in [
        format!("{}true{}", "(".repeat(5000), ")".repeat(5000)),
        format!("{}true", "!".repeat(5000)),
        format!("true{}", " && true".repeat(1000)),
        format!("name(){}", "[0]".repeat(2000)),
        "a".repeat(20_000),
    ] {
        assert!(Expr::parse(&text).is_err(), "{}", &text[..40]);
    }
}
