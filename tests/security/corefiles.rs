//! Corefiles that have no end, or seem to have none.

use std::time::Instant;

use crate::common::{Folder, PATIENCE};

#[test]
fn imports_in_a_circle_are_an_error_and_no_hang() {
    for (case, files) in [
        ("the Corefile itself", &[("Corefile", "import Corefile\n")][..]),
        (
            "two files",
            &[
                ("Corefile", "import a\n"),
                ("a", "import b\n"),
                ("b", "import a\n"),
            ],
        ),
        (
            "inside a block",
            &[
                ("Corefile", ".:@PORT@ {\n  import a\n}\n"),
                ("a", "whoami\nimport a\n"),
            ],
        ),
        (
            "a pattern that fits the file",
            &[("Corefile", "import *.conf\n"), ("a.conf", "import *.conf\n")],
        ),
        (
            "a snippet",
            &[(
                "Corefile",
                "(s) {\n  import s\n}\n.:@PORT@ {\n  import s\n  whoami\n}\n",
            )],
        ),
        (
            "two snippets",
            &[(
                "Corefile",
                "(s) {\n  import t\n}\n(t) {\n  import s\n}\n.:@PORT@ {\n  import s\n  whoami\n}\n",
            )],
        ),
    ] {
        let folder = Folder::new();
        files.iter().for_each(|(name, text)| folder.write(name, text));
        let began = Instant::now();
        let ended = folder.run(&["check"]);
        assert_eq!(ended.status, 1, "case {case}: {ended:?}");
        assert!(ended.stderr.contains("import"), "case {case}: {}", ended.stderr);
        assert!(began.elapsed() < PATIENCE, "case {case}: {:?}", began.elapsed());
    }
}

#[test]
fn snippets_that_double_each_other_are_stopped_by_the_bound_on_words() {
    let mut corefile = String::from("(s0) {\n  whoami\n}\n");
    for number in 1..40 {
        let before = number - 1;
        corefile.push_str(&format!(
            "(s{number}) {{\n  import s{before}\n  import s{before}\n}}\n"
        ));
    }
    corefile.push_str(".:@PORT@ {\n  import s39\n}\n");
    let began = Instant::now();
    let ended = Folder::with(&corefile).run(&["check"]);
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.contains("import"), "{}", ended.stderr);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn unclosed_braces_quotes_and_other_wreckage_end_with_an_error_and_never_a_panic_or_a_hang() {
    let long = "x".repeat(1 << 20);
    for (case, corefile) in [
        ("a block", ".:@PORT@ {\n  whoami\n".to_owned()),
        ("a block and nothing in it", ".:@PORT@ {".to_owned()),
        (
            "an option's block",
            ".:@PORT@ {\n  hosts {\n    ttl 5\n".to_owned(),
        ),
        ("a snippet", "(s) {\n  whoami\n".to_owned()),
        ("a quote", ".:@PORT@ {\n  whoami \"\n}\n".to_owned()),
        ("braces alone", "{\n}\n".to_owned()),
        ("an opening brace alone", "{".to_owned()),
        ("100,000 opening braces", "{ ".repeat(100_000)),
        ("100,000 opening braces on lines", "a {\n".repeat(100_000)),
        (
            "100,000 closing braces",
            format!(".:@PORT@ {{\n  whoami\n{}", "}\n".repeat(100_000)),
        ),
        (
            "deep blocks",
            format!(".:@PORT@ {{\n{}", "hosts {\n".repeat(50_000)),
        ),
        ("a word of a mebibyte", format!(".:@PORT@ {{\n  {long}\n}}\n")),
        (
            "a zone of a mebibyte",
            format!("{long}:@PORT@ {{\n  whoami\n}}\n"),
        ),
        (
            "an environment variable that is not closed",
            ".:@PORT@ {\n  whoami {$\n}\n".to_owned(),
        ),
        (
            "a byte order mark and nought bytes",
            "\u{feff}\0\0\0 {\n\0\n}\n".to_owned(),
        ),
        (
            "no address to listen on",
            ".:@PORT@ {\n  bind\n  whoami\n}\n".to_owned(),
        ),
        (
            "an interface that is not there",
            ".:@PORT@ {\n  bind nosuch0\n  whoami\n}\n".to_owned(),
        ),
        ("a port beyond the last", ".:65536 {\n  whoami\n}\n".to_owned()),
        (
            "a regular expression's bomb",
            ".:@PORT@ {\n  errors {\n    consolidate 5m \"((a{1000}){1000}){1000}\"\n  }\n}\n".to_owned(),
        ),
    ] {
        let folder = Folder::with(&corefile);
        let began = Instant::now();
        let ended = folder.run(&["check"]);
        let text = format!("{}{}", ended.stdout, ended.stderr);
        // What CoreDNS takes in spite of all is fine too; a panic has status 101, a crash a signal.
        assert!(
            (0..=1).contains(&ended.status),
            "case {case}: status {}",
            ended.status
        );
        assert!(!text.contains("panicked"), "case {case}: {text:.500}");
        assert!(ended.status == 0 || !ended.stderr.is_empty(), "case {case}");
        assert!(
            text.len() < 100_000,
            "case {case}: {} bytes of message",
            text.len()
        );
        assert!(began.elapsed() < PATIENCE, "case {case}: {:?}", began.elapsed());
        let ended = folder.run(&["fmt"]);
        assert!(
            (0..=1).contains(&ended.status),
            "case {case}, fmt: status {}",
            ended.status
        );
    }
}
