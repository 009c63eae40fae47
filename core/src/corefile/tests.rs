//! Corefiles as CoreDNS reads them, and what is said about those that cannot be read.

mod files;

use super::*;

const KNOWN: &[&str] = &[
    "any", "chaos", "errors", "forward", "header", "hosts", "log", "template", "whoami",
];

fn parse(text: &str) -> Result<Corefile, ConfigErrors> {
    let environment = |name: &str| match name {
        "PLUGIN" => Some("chaos".into()),
        "VALUE" => Some("from env".into()),
        "TWO_LINES" => Some("a\nb".into()),
        "BRACE" => Some("}".into()),
        "SNIPPET" => Some("s".into()),
        _ => None,
    };
    let rules = Rules::new(KNOWN)
        .with_unavailable(&["kubernetes"])
        .with_environment(&environment);
    Corefile::parse(&Input::new("Corefile", text.as_bytes()), &rules)
}

/// A Corefile on one line: keys, and in braces the directives, their arguments and their blocks.
fn outline(corefile: &Corefile) -> String {
    let blocks = corefile.blocks.iter().map(|block| {
        let keys: Vec<&str> = block.keys.iter().map(Token::as_str).collect();
        format!("{} {{{}}}", keys.join(" "), outline_lines(&block.directives))
    });
    blocks.collect::<Vec<_>>().join(" ")
}

fn outline_lines(lines: &[Directive]) -> String {
    let lines = lines.iter().map(|line| {
        let words: Vec<String> = line
            .words()
            .map(|word| word.to_string().replace(' ', "_"))
            .collect();
        let block = if line.has_block() {
            format!(" {{{}}}", outline_lines(line.options()))
        } else {
            String::new()
        };
        words.join(" ") + &block
    });
    lines.collect::<Vec<_>>().join("; ")
}

#[test]
fn blocks_are_read_as_coredns_reads_them() {
    for (case, text, want) in [
        ("empty", "", ""),
        ("comment alone", "# nothing\n", ""),
        ("block", ". {\n log\n errors\n}", ". {log; errors}"),
        ("two blocks", "a {\n log\n}\nb {\n}", "a {log} b {}"),
        ("brace on the next line", "a\n{\n whoami\n}", "a {whoami}"),
        (
            "without braces",
            "a\n\nheader {\n response set ra\n}\nwhoami",
            "a {header {response set ra}; whoami}",
        ),
        ("keys alone", "a b", "a b {}"),
        ("commas", "a,\nb, c {\n log\n}", "a b c {log}"),
        (
            "quoted brace",
            "a \"{\"\n hosts f \"{\"\n 192.0.2.1 b\n \"}\"\n}",
            "a {hosts f {192.0.2.1 b}}",
        ),
        (
            "last brace counts twice",
            "a {\n hosts {\n 192.0.2.1 b\n }\n",
            "a {hosts {192.0.2.1 b}}",
        ),
        ("stray brace", "a {\n log\n}\n}", "a {log} } {}"),
        ("word behind the brace", "a { log\n errors\n}", "a {log; errors}"),
        (
            "option behind the brace",
            "a {\n hosts { 192.0.2.1 b\n }\n}",
            "a {hosts {192.0.2.1 b}}",
        ),
        ("empty block on one line", "a {\n hosts { }\n}", "a {hosts {}}"),
        (
            "closing brace behind an option",
            "a {\n hosts { ttl 5 }\n}",
            "a {hosts {ttl 5 }}}",
        ),
        (
            "words within quotes",
            "a {\n log \"b\n c\" d\n errors\n}",
            "a {log b\n_c d; errors}",
        ),
        ("comment within a word", "a {\n log b#c d\n}", "a {log b d}"),
        (
            "blocks in blocks",
            "a {\n hosts {\n b c {\n d\n }\n e\n }\n}",
            "a {hosts {b c {d}; e}}",
        ),
        (
            "twice",
            "a {\n log x\n errors\n log y\n}",
            "a {log x; errors; log y}",
        ),
        (
            "variable as directive",
            "a {\n {$PLUGIN} {%VALUE%}\n}",
            "a {chaos from_env}",
        ),
        (
            "value is not cut",
            "a {\n chaos {$VALUE}{$NONE} {$NONE} b\n}",
            "a {chaos from_env  b}",
        ),
        (
            "block without key",
            "{$NONE} {\n hosts {\n ttl x\n }\n}\na {$NONE} {\n log\n}",
            "a {log}",
        ),
        (
            "value with a line break",
            "a {\n chaos {$TWO_LINES} c\n log\n}",
            "a {chaos a\nb; log}",
        ),
    ] {
        let got = parse(text).map(|corefile| outline(&corefile));
        match got {
            Ok(got) => assert_eq!(got, want, "case {case}"),
            Err(errors) if case == "value with a line break" => {
                // The dispenser tells lines by counting breaks in values, so `c` is lost to it.
                assert!(
                    errors.to_string().contains("unexpected `c`"),
                    "case {case}: {errors}"
                );
            }
            Err(errors) => panic!("case {case}: {errors}"),
        }
    }
}

#[test]
fn snippets_are_read_as_coredns_reads_them() {
    for (case, text, want) in [
        ("unused", "(s) {\n nosuch {\n }\n}\na {\n log\n}", "a {log}"),
        (
            "used",
            "(s) {\n errors\n log\n}\na {\n import s\n any\n}",
            "a {errors; log; any}",
        ),
        ("empty", "(s) {\n}\na {\n import s\n log\n}", "a {log}"),
        (
            "name by variable",
            "(s) {\n errors\n}\na {\n import {$SNIPPET}\n}",
            "a {errors}",
        ),
        (
            "whole blocks",
            "(s) {\n a {\n log\n }\n}\nimport s\nb {\n}",
            "a {log} b {}",
        ),
        ("keys", "(s) {\n a b\n}\nimport s\n{\n log\n}", "a b {log}"),
        (
            "inside a plugin's block",
            "(s) {\n 192.0.2.1 b\n}\na {\n hosts {\n import s\n ttl 5\n }\n}",
            "a {hosts {192.0.2.1 b; ttl 5}}",
        ),
        (
            "within a snippet",
            "(s) {\n log\n}\n(t) {\n import s\n any\n}\na {\n import t\n}",
            "a {log; any}",
        ),
        (
            "twice, with a block",
            "(s) {\n log {\n class all\n }\n}\na {\n import s\n import s\n}",
            "a {log {class all}; log {class all}}",
        ),
        // CoreDNS puts both behind each other, and there is no telling them apart.
        (
            "twice, on one line",
            "(s) {\n log\n}\na {\n import s\n import s\n}",
            "a {log log}",
        ),
    ] {
        assert_eq!(
            parse(text).map(|corefile| outline(&corefile)).unwrap(),
            want,
            "case {case}"
        );
    }
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    for (case, text, want) in [
        (
            "unknown",
            "a {\n Whoami\n}",
            "Corefile:2:2: Error during parsing: Unknown directive 'Whoami'",
        ),
        (
            "not built yet",
            "a {\n kubernetes\n}",
            "Corefile:2:2: Error during parsing: Directive 'kubernetes' is not available yet in this version",
        ),
        (
            "backslash at the line's end",
            "a {\n chaos v \\\n me\n}",
            "Corefile:3:2: Error during parsing: Unknown directive 'me'",
        ),
        (
            "block on one line",
            "a { whoami }",
            "Corefile:1:12: Error during parsing: Unexpected '}' because no matching opening brace",
        ),
        (
            "comma before the brace",
            "a, {\n log\n}",
            "Corefile:1:4: Error during parsing: Expected another address but had '{' - check for extra comma",
        ),
        (
            "comma at the end",
            "a,",
            "Corefile:1:1: Error during parsing: Unexpected EOF",
        ),
        (
            "not closed",
            "a {\n whoami\n",
            "Corefile:2:2: Syntax error: Unexpected token 'whoami', expecting '}'",
        ),
        (
            "nothing behind the brace",
            "a {",
            "Corefile:1:3: Syntax error: Unexpected token '{', expecting '}'",
        ),
        (
            "plugin's block not closed",
            "a {\n hosts {\n  b c\n",
            "Corefile:3:5: Error during parsing: Unexpected EOF",
        ),
        (
            "directive behind its block",
            ". {\n}\nhosts {\n 192.0.2.1 b\n}",
            "Corefile:4:2: Error during parsing: Unknown directive '192.0.2.1'",
        ),
        (
            "brace on the line below",
            "a {\n hosts\n {\n }\n}",
            "Corefile:3:2: unexpected `{`, expected on the line of `hosts`",
        ),
        (
            "words behind a block",
            "a {\n hosts {\n } log\n}",
            "Corefile:3:4: unexpected `log` behind the end of `hosts`",
        ),
        (
            "brace alone in a block",
            "a {\n hosts {\n  {\n  }\n }\n}",
            "Corefile:3:3: unexpected `{` at the start of a line",
        ),
        (
            "import alone",
            "a {\n import\n log\n}",
            "Corefile:2:2: Error during parsing: Wrong argument count or unexpected line ending after 'import', \
          expected a snippet, file or pattern",
        ),
        (
            "import of two",
            "(s) {\n}\na {\n import s v1\n}",
            "Corefile:4:9: Error during parsing: Import takes only one argument (glob pattern or file)",
        ),
        (
            "import of nothing",
            "a {\n import {$NONE}\n}",
            "Corefile:2:9: Error during parsing: Import requires a non-empty filepath",
        ),
        (
            "import of what is not there",
            "a {\n import later\n}\n(later) {\n}",
            "Corefile:2:9: Error during parsing: File to import not found: later",
        ),
        (
            "set of characters",
            "import [ab]*",
            "Corefile:1:8: Error during parsing: Glob pattern may only contain one wildcard (*), but has others: ",
        ),
        (
            "snippet twice",
            "(s) {\n}\n(s) {\n}",
            "Corefile:3:1: Error during parsing: redeclaration of previously declared snippet s",
        ),
        (
            "snippet without brace",
            "(s)\nlog",
            "Corefile:2:1: Syntax error: Unexpected token 'log', expecting '{'",
        ),
        (
            "snippet not closed",
            "(s) {\n log",
            "Corefile:2:2: Syntax error: Unexpected token 'log', expecting '}'",
        ),
        (
            "snippet in itself",
            "(s) {\n import s\n}",
            "Corefile:2:9: Error during parsing: import loop: snippet s imports itself",
        ),
        (
            "snippets in each other",
            "(s) {\n import t\n}\n(t) {\n import s\n}\na {\n import s\n}",
            "Corefile:5:9: Error during parsing: import loop: s leads back to itself",
        ),
    ] {
        let errors = parse(text).expect_err(case);
        let first = errors.as_slice()[0].headline();
        assert!(first.starts_with(want), "case {case}: {first}");
    }
}

#[test]
fn nesting_of_braces_is_bounded() {
    let open = format!("a {{\n hosts {{\n{}", " b {\n".repeat(100_000));
    let errors = parse(&open).unwrap_err();
    assert!(errors.to_string().contains("Unexpected EOF"), "{errors}");
    let errors = parse(&(open + &" }\n".repeat(100_002))).unwrap_err();
    assert!(errors.to_string().contains("deeper than 32"), "{errors}");
}

#[test]
fn independent_errors_come_at_once() {
    let text =
        "a {\n hots {\n  x\n }\n log\n import nowhere\n}\nb {\n forwrad . 192.0.2.1\n hosts\n {\n }\n}\n";
    let errors = parse(text).unwrap_err();
    let lines: Vec<u32> = errors.iter().map(|error| error.span().unwrap().line).collect();
    assert_eq!(lines, [2, 6, 9, 11], "{errors}");
    let words: Vec<_> = errors.iter().filter_map(ConfigError::suggestion).collect();
    assert_eq!(words, ["hosts", "forward"]);
}

#[test]
fn an_error_in_a_snippet_shows_how_it_was_imported() {
    let errors =
        parse("(inner) {\n\tnosuch\n}\n(outer) {\n import inner\n}\na {\n import outer\n}\n").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "Corefile:2:2: Error during parsing: Unknown directive 'nosuch'\n\
         \x20 |\n\
         2 |  nosuch\n\
         \x20 |  ^^^^^^\n\
         \x20 = imported at Corefile:5:9 (`inner`)\n\
         \x20 = imported at Corefile:8:9 (`outer`)"
    );
}

#[test]
fn a_block_that_closes_too_early_is_hinted_at() {
    let errors = parse(". {\n}\nhosts {\n 192.0.2.1 b\n}").unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("`hosts` at Corefile:3:1 is read as a zone"),
        "{errors}"
    );
    let corefile = parse("a {\n log\n}\n}\n").unwrap();
    assert_eq!(
        corefile.warnings[0].to_string(),
        "Corefile:4:1: a closing brace too many is read as a zone"
    );
}

#[test]
fn terminals_are_safe_from_what_an_error_shows() {
    let errors = parse("a {\n \x1b[31mx\u{7}y\n}").unwrap_err();
    assert!(
        errors
            .to_string()
            .chars()
            .all(|letter| letter == '\n' || !letter.is_control()),
        "{errors:?}"
    );
    let errors = parse(&format!("a {{\n {} z\n}}", "x".repeat(1_000_000))).unwrap_err();
    assert!(errors.to_string().len() < 5_000);
}

#[test]
fn limits_are_kept() {
    let rules = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        Rules::any_directive().with_limits(limits)
    };
    let wide = "(a) {\n log\n}\n(b) {\n import a\n import a\n}\n(c) {\n import b\n import b\n}\nx {\n import c\n import c\n}";
    for (case, rules, text, want) in [
        (
            "bytes",
            rules(|limits| limits.file_bytes = 5),
            "abc {\n}",
            "Corefile: more than 5 bytes",
        ),
        (
            "words",
            rules(|limits| limits.words = 3),
            "a {\n log\n}",
            "more than 3 words",
        ),
        (
            "imported words",
            rules(|limits| limits.words = 40),
            wide,
            "more than 40 words",
        ),
        (
            "imports",
            rules(|limits| limits.imports = 5),
            wide,
            "maximum number of imports (5) exceeded",
        ),
        (
            "depth of imports",
            rules(|limits| limits.import_depth = 2),
            wide,
            "maximum import depth (2) exceeded",
        ),
    ] {
        let errors = Corefile::parse(&Input::new("Corefile", text.as_bytes()), &rules)
            .expect_err(case)
            .to_string();
        assert!(errors.contains(want), "case {case}: {errors}");
    }
}

#[test]
fn the_fingerprint_covers_words_and_lines() {
    let print = |text: &str| parse(text).unwrap().fingerprint();
    let base = print(". {\n log a\n}");
    assert_eq!(base.len(), 128);
    for (case, text, same) in [
        ("comment", ". { # here\n log a # there\n}", true),
        ("blanks and quotes", ".   {\n\tlog \"a\"\n}\n\n", true),
        ("word", ". {\n log b\n}", false),
        ("key", "b {\n log a\n}", false),
        ("shifted line", ". {\n\n log a\n}", false),
        (
            "joined words",
            ". {\n loga\n}".replace("loga", "log \"a a\"").as_str(),
            false,
        ),
    ] {
        assert_eq!(print(text) == base, same, "case {case}");
    }
}
