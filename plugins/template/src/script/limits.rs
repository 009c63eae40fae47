//! What is refused at the start, what bounds a run, and what templates are called.

use proptest::prelude::*;

use super::tests::run;
use super::*;

#[test]
fn what_go_refuses_at_the_start() {
    for (source, want) in [
        ("{{", "unclosed action"),
        ("{{ .Name", "unclosed action"),
        ("{{ }}", "empty command"),
        ("{{ notAFunction }}", "function \"notAFunction\" not defined"),
        ("{{ .Name | upper }}", "function \"upper\" not defined"),
        ("{{ if (nope 1) }}{{ end }}", "function \"nope\" not defined"),
        ("{{ $x }}", "undefined variable \"$x\""),
        ("{{ $x = 1 }}", "undefined variable \"$x\""),
        (
            "{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}",
            "undefined variable \"$x\"",
        ),
        (
            "{{ range $i, $m := .Match }}{{ end }}{{ $m }}",
            "undefined variable \"$m\"",
        ),
        (
            "{{ $x := 1 }}{{ define `t` }}{{ $x }}{{ end }}",
            "undefined variable \"$x\"",
        ),
        ("{{ if .Name }}x", "unexpected EOF"),
        ("{{ if .Name }}x{{ else }}", "unexpected EOF"),
        ("x{{ end }}y", "unexpected {{end}}"),
        ("x{{ else }}y", "unexpected {{else}}"),
        ("{{ if 1 }}{{ else }}{{ else }}{{ end }}", "unexpected"),
        ("{{ define `t` }}{{ else }}{{ end }}", "unexpected"),
        ("{{ range 1 }}{{ else if 1 }}{{ end }}", "unexpected"),
        ("{{ break }}", "{{break}} outside {{range}}"),
        (
            "{{ if 1 }}{{ continue }}{{ end }}",
            "{{continue}} outside {{range}}",
        ),
        (
            "{{ range 1 }}{{ block `b` . }}{{ break }}{{ end }}{{ end }}",
            "{{break}} outside {{range}}",
        ),
        (
            "{{ if 1 }}{{ define `t` }}{{ end }}{{ end }}",
            "unexpected {{define}}",
        ),
        (
            "{{ define `t` }}a{{ end }}{{ define `t` }}b{{ end }}",
            "multiple definition of template",
        ),
        ("{{ 1 | 2 }}", "non executable command in pipeline stage 2"),
        ("{{ .Name | . }}", "non executable command in pipeline stage 2"),
        ("{{ `a }}", "unterminated"),
        ("{{ .Name }", "unexpected"),
    ] {
        let error = run(source).expect_err(source);
        assert!(error.starts_with("at the start: "), "{source}: {error}");
        assert!(error.contains(want), "{source}: {error}");
    }
}

#[test]
fn a_run_is_bounded() {
    for (case, source, want) in [
        (
            "rounds",
            "{{ range 10001 }}x{{ end }}",
            "range iteration budget exhausted",
        ),
        (
            "nested rounds",
            "{{ range 1000 }}{{ range 1000 }}x{{ end }}{{ end }}",
            "range iteration budget",
        ),
        (
            "recursion",
            "{{ define `t` }}{{ template `t` . }}{{ end }}{{ template `t` . }}",
            "recursion limit",
        ),
        ("length", "{{ range 9000 }}0123456789{{ end }}", "write error"),
    ] {
        let cause = run(source).expect_err(case);
        assert!(cause.contains(want), "case {case}: {cause}");
    }
    let nested = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(run(&format!("{{{{ {nested} }}}}")).is_err());
    let nested = format!("{}{}", "{{ if 1 }}".repeat(5000), "{{ end }}".repeat(5000));
    assert!(run(&nested).is_err());
}

#[test]
fn labels_are_as_go_prints_templates() {
    for (source, want) in [
        (
            "{{ .Name }} 60 IN TXT {{ index .Match 4 }}",
            "{{.Name}} 60 IN TXT {{index .Match 4}}",
        ),
        ("a {{- .Name -}} b", "a{{.Name}}b"),
        ("{{/* c */}}x", "x"),
        (
            "{{ $x:=0x1F|printf `%d`  \"a\\\"b\" }}{{ $x }}",
            "{{$x := 0x1F | printf `%d` \"a\\\"b\"}}{{$x}}",
        ),
        (
            "{{ range $i,$m := .Match }}{{ break }}{{ else }}b{{ end }}",
            "{{range $i, $m := .Match}}{{break}}{{else}}b{{end}}",
        ),
        (
            "{{ if eq (len .Name) 5 }}a{{ else if true }}b{{ end }}",
            "{{if eq (len .Name) 5}}a{{else}}{{if true}}b{{end}}{{end}}",
        ),
        (
            "{{ with (index .Message.Question 0).Name }}{{ . }}{{ end }}",
            "{{with (index .Message.Question 0).Name}}{{.}}{{end}}",
        ),
        (
            "{{ define `t` }}x{{ end }}{{ template `t` $ }}",
            "{{template \"t\" $}}",
        ),
        ("{{ template `t` }}", "{{template \"t\"}}"),
        (
            "{{ 'a' }} {{ -1.5e3 }} {{ nil | print }} {{ true }}",
            "{{'a'}} {{-1.5e3}} {{nil | print}} {{true}}",
        ),
        ("plain", "plain"),
    ] {
        assert_eq!(
            Script::compile("answer", source).unwrap().label(),
            want,
            "{source}"
        );
    }
}

#[test]
fn simple_templates_are_run_without_the_crate() {
    for (source, simple) in [
        (
            "{{ .Name }} 60 IN A {{ .Group.a }}.{{ index .Match 1 }}.{{ parseInt .Group.b 16 8 }}",
            true,
        ),
        (
            "{{ .Meta `a/b` }}{{ .Remote }}{{ .Question.Name }}{{ index .Group `a` }}",
            true,
        ),
        ("{{ len .Name }}", false),
        ("{{ if .Name }}{{ end }}", false),
        ("{{ define `answer` }}x{{ end }}", false),
    ] {
        let script = Script::compile("answer", source).unwrap();
        assert_eq!(matches!(script.body, Body::Parts(_)), simple, "{source}");
    }
}

/// Pieces that templates are made of.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    ".Name",
    ".Group.word",
    ".Match",
    ".Message",
    ".Question",
    ".Meta",
    "index",
    "printf",
    "parseInt",
    "len",
    "slice",
    "if",
    "else",
    "end",
    "range",
    "with",
    "define",
    "block",
    "template",
    "break",
    "$x",
    ":=",
    "=",
    "|",
    "(",
    ")",
    "`a`",
    "\"%d\"",
    "'a'",
    "1",
    "-1",
    "99999999999999999999",
    "1.5",
    "nil",
    "true",
    ",",
    "/*",
    "*/",
    "x",
    ".",
    "$",
    "\n",
    "\\",
];

proptest! {
    /// No text makes the reading, or what comes of it, panic.
    #[test]
    fn any_text_is_a_template_or_refused(text in "[ -~\n]{0,60}") {
        let _ = run(&text);
        let _ = run(&format!("{{{{ {text} }}}}"));
    }

    /// Nor do pieces of templates in any order.
    #[test]
    fn any_pieces_are_a_template_or_refused(places in proptest::collection::vec(0..PIECES.len(), 0..24)) {
        let text: Vec<&str> = places.iter().map(|place| PIECES[*place]).collect();
        let _ = run(&text.concat());
        let _ = run(&text.join(" "));
    }
}
