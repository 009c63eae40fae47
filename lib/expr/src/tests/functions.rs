//! Functions on lists, maps and text.

use super::{all_hold, none_holds, refused};

#[test]
fn functions_on_maps() {
    all_hold(&[
        "keys({b: 1, a: 2}) == ['a', 'b'] && values({b: 1, a: 2}) == [2, 1] && keys({}) == []",
        "toPairs({a: 1, b: 2}) == [['a', 1], ['b', 2]]",
        "fromPairs([['a', 1], ['b', 2]]) == {a: 1, b: 2} && fromPairs([[1, 'x']])[1] == 'x'",
        "fromPairs(toPairs({q: name()})) == {q: name()}",
        "get({a: 1}, 'a') == 1 && get({a: 1}, 'b') == nil && get([1, 2], -1) == 2 && get([1], 5) == nil",
        "get(nil ?? {}, 'a') == nil",
    ]);
    none_holds(&[
        "fromPairs([[1]]) == {}",
        "fromPairs([1]) == {}",
        "fromPairs([[[1], 2]]) == {}",
    ]);
    refused(&[
        (
            "keys([1]) == []",
            "`keys` cannot take array of int as its argument 1 (at 6)",
        ),
        (
            "get('a', 0) == 'a'",
            "`get` cannot take string as its argument 1 (at 5)",
        ),
    ]);
}

#[test]
fn predicates_that_gather() {
    all_hold(&[
        "groupBy([1, 2, 3, 4], # % 2) == fromPairs([[0, [2, 4]], [1, [1, 3]]])",
        "groupBy(['a', 'bb', 'c'], len(#))[1] == ['a', 'c'] && groupBy([1], #)[2] == nil",
        "groupBy([{k: 'x', n: 1}, {k: 'y', n: 2}, {k: 'x', n: 3}], .k).x | map(.n) == [1, 3]",
        "reduce([1, 2, 3], #acc + #) == 6 && reduce([1, 2, 3], #acc + #, 10) == 16",
        "reduce(['a', 'b'], #acc + # + string(#index), '') == 'a0b1' && reduce([5], #acc) == 5",
        "reduce([], #acc + #, 0) == 0",
        "sortBy([{n: 2}, {n: 1}], .n) == [{n: 1}, {n: 2}] && sortBy([1, 3, 2], #, 'desc') == [3, 2, 1]",
        "sortBy(['bb', 'a'], len(#)) == ['a', 'bb'] && sortBy([2, 0.5], #) == [0.5, 2] && sortBy([], #) == []",
        "sum([1, 2], # * 2) == 6 && sum([{n: 1}, {n: 0.5}], .n) == 1.5",
        "count([true, false, true]) == 2 && count([1, 2], # > 1) == 1",
        "sort([2, 0.5, 1]) == [0.5, 1, 2] && len(sort([0.0 / 0, 1])) == 2 && sort([]) == []",
        "uniq(['b', 'a', 'b']) == ['b', 'a'] && uniq([[1], [1]]) == [[1]] && uniq([1.0, 2, 1]) == [1, 2]",
        "max([]) == nil && max([1, [5]], 2) == 5",
    ]);
    none_holds(&[
        "reduce([], #acc + #) == 0",
        "groupBy([[1]], #) == {}",
        "sortBy([1, 'a'], #) == []",
        "sortBy([1], #, 'up') == [1]",
        "sortBy([[1], [2]], #) == [[1], [2]]",
        "count([1, 2]) == 2",
    ]);
    refused(&[
        ("groupBy('a', #) == {}", "string where an array is wanted (at 9)"),
        ("sortBy([1], #, 1) == [1]", "int where string is wanted (at 16)"),
        ("reduce([1]) == 1", "not enough arguments to call `reduce` (at 1)"),
    ]);
}

#[test]
fn functions_on_text() {
    all_hold(&[
        "splitAfter('a.b.c', '.') == ['a.', 'b.', 'c'] && splitAfter('a.b.c', '.', 2) == ['a.', 'b.c']",
        "splitAfter('', '.') == [''] && splitAfter('ab', '') == ['a', 'b'] && splitAfter('a', '.', 0) == []",
        "split('a.b', '.', -1) == ['a', 'b']",
        "replace('aaa', 'a', 'b', 2) == 'bba' && replace('aaa', 'a', 'b', -1) == 'bbb'",
        "trimPrefix(' a') == 'a' && trimSuffix('a ') == 'a'",
        "toBase64('Hello World') == 'SGVsbG8gV29ybGQ=' && fromBase64('SGVsbG8gV29ybGQ=') == 'Hello World'",
        "string(nil) == '<nil>' && string([1, 'a']) == '[1 a]' && string({b: 1, a: [2]}) == 'map[a:[2] b:1]'",
    ]);
    none_holds(&[
        "fromBase64('?') == ''",
        "fromBase64('/w==') == ''",
        "fromJSON('{') == nil",
    ]);
}

#[test]
fn json_both_ways() {
    all_hold(&[
        "fromJSON('{\"a\": [1, \"x\", true, null]}') == {a: [1, 'x', true, nil]}",
        "fromJSON('{\"a\": {\"b\": 1}}').a.b == 1 && fromJSON('1.5') == 1.5",
        "toJSON({b: 1, a: ['x', 1.5, nil]}) == '{\\n  \"a\": [\\n    \"x\",\\n    1.5,\\n    null\\n  ],\\n  \"b\": 1\\n}'",
        "toJSON('<a>') == '\"\\\\u003ca\\\\u003e\"' && toJSON([]) == '[]' && toJSON({}) == '{}'",
        "toJSON(1.0) == '1' && toJSON(1e21) == '1e+21' && toJSON(0.0000001) == '1e-7'",
        "toJSON(duration('1s')) == '1000000000' && toJSON(date('2023-08-14')) == '\"2023-08-14T00:00:00Z\"'",
        "fromJSON(toJSON({q: name()})).q == name()",
    ]);
    none_holds(&["toJSON(fromPairs([[1, 2]])) == ''", "toJSON(1.0 / 0) == ''"]);
}
