//! Laws that hold for every Corefile, and for every text that is none.

use proptest::prelude::*;

use super::testing::check_laws;

/// Text of what means something in a Corefile, and of what does not.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => Just(" ".to_owned()),
        6 => Just("\n".to_owned()),
        4 => Just(" {\n".to_owned()),
        4 => Just("\n}\n".to_owned()),
        2 => prop::sample::select(vec!["{", "}", "\"", "\\", "#", "\r", ",", "\\\"", "\u{feff}", "\u{a0}", "\u{85}"])
            .prop_map(str::to_owned),
        2 => prop::sample::select(vec!["import s", "import", "(s)", "{$A}", "{%B%}", "{$", "{%", "%}", "{$}"])
            .prop_map(str::to_owned),
        8 => "[a-z0-9.:/]{1,8}",
        2 => "\"[ -~\n]{0,8}\"",
        1 => "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Text that is a Corefile more often than not.
fn corefile() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        6 => "[a-z0-9.:/-]{1,6}",
        2 => "\"([a-z #{}\n]|\\\\\"){0,6}\"",
        1 => "[a-z\"]{1,3}#[a-z]{0,2}",
        1 => Just("{$A}".to_owned()),
        1 => Just("\"\"".to_owned()),
    ];
    let words = prop::collection::vec(word, 1..4).prop_map(|words| words.join("  "));
    let comment = prop_oneof![3 => Just(String::new()), 1 => " ?# ?[a-z \"{}]{0,5}\r?"];
    let line = (words.clone(), comment.clone()).prop_map(|(words, comment)| format!("\t{words} {comment}\n"));
    let option = line.clone().boxed();
    let nested = prop::collection::vec(option, 0..3).prop_map(|lines| lines.concat());
    let directive =
        (words.clone(), comment.clone(), prop::option::of(nested)).prop_map(|(words, comment, block)| {
            match block {
                Some(block) => format!(" {words} {{ {comment}\n{block}\n}}\n"),
                None => format!(" {words} {comment}\n\n\n"),
            }
        });
    let body = prop::collection::vec(directive, 0..4).prop_map(|lines| lines.concat());
    let open = prop_oneof![" \\{ ?", "\n\\{\n", ",\nz \\{\n", "#c\n\\{\n", "\n# c\n\\{\n"];
    let block = (words, open, body).prop_map(|(keys, open, body)| format!("{keys}{open}\n{body}}}\n"));
    let snippet =
        prop::collection::vec(line, 0..3).prop_map(|lines| format!("(s) {{\n{}}}\n", lines.concat()));
    (prop::option::of(snippet), prop::collection::vec(block, 0..3)).prop_map(|(snippet, blocks)| {
        let snippet = snippet.unwrap_or_default();
        let import = if snippet.is_empty() {
            ""
        } else {
            "y {\n import s\n import s\n log {\n  import s\n }\n}\n"
        };
        format!("{snippet}{}{import}", blocks.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_laws(&bytes);
    }

    #[test]
    fn no_text_breaks_a_law(text in text()) {
        check_laws(text.as_bytes());
    }

    #[test]
    fn no_corefile_breaks_a_law(text in corefile()) {
        check_laws(text.as_bytes());
    }
}

#[test]
fn texts_that_once_broke_a_law_do_not() {
    for text in [
        "0 {\n \"# { #\"\n\n}\n}\na\n{\n\n}\n",
        "\n}\na\n {\n\n}\n",
        " \u{feff}",
        " {\n {\n\n}\n\n}\n\\\n {\n\n}\n",
        "\"# {\n}\n\"}\n\\\"\"\n{\n\n}\n",
    ] {
        check_laws(text.as_bytes());
    }
}
