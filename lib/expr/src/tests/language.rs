//! Operators and statements, one row each.

use super::{all_hold, none_holds, refused};

#[test]
fn maps_and_their_members() {
    all_hold(&[
        "{a: 1, 'b c': 2, 3: 'three',}['b c'] == 2",
        "{a: {b: [1, {c: 'deep'}]}}.a.b[1].c == 'deep'",
        "{a: 1}.b == nil && {a: 1}['b'] == nil && {}.a == nil",
        "{('a' + 'b'): 1}.ab == 1",
        "{a: 1, a: 2}.a == 2",
        "{a: 1, b: 2} == {b: 2, a: 1.0} && {a: 1} != {a: 2} && {a: 1} != {b: 1} && {a: 1} != {}",
        "'a' in {a: 1} && 'b' not in {a: 1} && 'a' in {a: nil}",
        "type() in {A: 1, AAAA: 2}",
        "{A: 'v4', AAAA: 'v6'}[type()] == 'v6'",
        "({MX: true}[type()] ?? false) == false",
        "{q: name()}.q == 'www.example.org.'",
        "let m = {q: name()}; m.q == 'www.example.org.' && m['q'] == m.q && 'q' in m",
        "len({a: 1, b: 2}) == 2 && len({}) == 0",
    ]);
    refused(&[
        ("{a: 1}[1] == 1", "int where string is wanted (at 8)"),
        ("1 in {a: 1}", "mismatched types int and map (at 3)"),
        ("{1 + 2: 3} == {}", "unexpected `+`, expected `:` (at 4)"),
        ("{(1): 3} == {}", "int where string is wanted (at 3)"),
        ("{a 1} == {}", "unexpected `1`, expected `:` (at 4)"),
        ("{[1]: 2} == {}", "unexpected `[` (at 2)"),
        ("{a: 1} == 1", "mismatched types map and int (at 8)"),
        ("name().a == 1", "string where int is wanted (at 8)"),
        ("id().a == 1", "int has no field `a` (at 6)"),
        ("{a: 1} < {a: 2}", "mismatched types map and map (at 8)"),
        ("{a: 1}[0:1] == 1", "cannot slice map (at 7)"),
    ]);
}

#[test]
fn optional_chains_and_what_stands_for_nothing() {
    all_hold(&[
        "{a: nil}.a?.b == nil && {a: nil}.a?.b.c.d == nil",
        "{a: {b: 1}}.a?.b == 1 && {a: {b: 1}}?.a?.b == 1",
        "{a: nil}.a?.['b'] == nil && {a: {b: 2}}.a?.['b'] == 2 && {a: [3]}.a?.[0] == 3",
        "({a: nil}.a?.b ?? 'else') == 'else' && (nil ?? nil ?? 3) == 3",
        "(first([])?.Year() ?? 1) == 1",
        "{a: nil}.a not contains 'x' && not ({a: nil}.a matches 'x') && 'x' not in {a: nil}.a",
    ]);
    none_holds(&[
        "{a: nil}.a.b == nil",
        "{a: nil}.a?.b['c'] == nil",
        "{a: nil}.a.Year() == 1",
    ]);
    refused(&[
        (
            "nil ?? true && true",
            "`??` beside another operator needs parentheses (at 13)",
        ),
        ("nil?.a == nil", "nil has no field `a` (at 6)"),
    ]);
}

#[test]
fn variables_sequences_and_conditions() {
    all_hold(&[
        "let a = 1; let b = a + 1; b == 2",
        "any([1, 2], {let n = #; n == 2})",
        "all([1, 2], {let n = #; any([0, 1, 2], # == n)})",
        "(let a = id(); a) == 7",
        "1; 2; true",
        "true;",
        "(1; 2) == 2 && map([1], {0; #}) == [1]",
        "if id() == 7 { true } else { false }",
        "if false { false } else if id() == 7 { let x = true; x } else { false }",
        "(false ? 1 : true ? 2 : 3) == 2",
        "1 < 2 < 3 && not (1 < 3 < 2) && 3 >= 3 > 2 > 1 && 1 < 2 == true",
        "'name' in $env && 'nome' not in $env && $env.name() == name()",
        "::len(name()) == 16",
        "0x10 == 16 && 0b11 == 3 && 0o17 == 15 && 1_000 == 1e3",
        "b'ab' == [97, 98] && len(b\"\\xff\\101\") == 2 && b'\\xff'[0] == 255 && len(b'é') == 2",
        "map(['x', 'y'], #index) == [0, 1] && map([{a: 1}], .a) == [1] && map([3], # + #index) == [3]",
        "[1, 2, 3] | filter(# > 1) | map(# * 2) | sum() == 10",
        "'a' + 'b' | upper() == 'AB'",
    ]);
    refused(&[
        ("let name = 1; true", "cannot redeclare `name` (at 5)"),
        ("let len = 1; true", "cannot redeclare `len` (at 5)"),
        ("let a = 1; let a = 2; true", "cannot redeclare `a` (at 16)"),
        ("let in = 1; true", "unexpected `in` (at 5)"),
        ("let a = 1 true", "unexpected `true`, expected `;` (at 11)"),
        ("any([let a = 1; a], #acc == 1)", "unknown pointer `#acc` (at 21)"),
        (
            "let a = 1; true; a == 'x'",
            "mismatched types int and string (at 20)",
        ),
        ("(let a = 1; true) && a == 1", "unknown name `a`"),
        ("if true { true }", "unexpected end, expected `else` (at 17)"),
        ("if 1 { true } else { false }", "int where bool is wanted (at 4)"),
        (
            "reduce([1], any([2], #acc == 1))",
            "unknown pointer `#acc` (at 22)",
        ),
        (".a == 1", "`#` outside of a predicate (at 1)"),
        ("any([1], #; true)", "unexpected `;`, expected `,` (at 11)"),
        ("$env.nome() == 1", "unknown name `nome`"),
        ("b'\\u00e9' == [1]", "unknown escape `\\u` in a literal (at 1)"),
        ("type(1) == 'int'", "too many arguments to call `type` (at 1)"),
    ]);
}
