//! Templates against what Go's text/template makes of them.

use std::cell::OnceCell;

use super::*;
use crate::pattern::{Groups, Pattern};
use catena_core::message::{QueryBuilder, Request};
use catena_facts::Surroundings;

/// A pattern for the name of [`run`], with two groups of names and one that takes no part.
const PATTERN: &str = r"^(?P<word>[a-z]+)(?P<num>[0-9]*)(x)?[.]";

fn pattern() -> Pattern {
    let line = &catena_core::corefile::testing::parse_directives(&format!("match {PATTERN}")).unwrap()[0];
    Pattern::read(&line.args()[0]).unwrap()
}

fn request() -> Request {
    QueryBuilder::new("Red7.Example.org.", 28_u16)
        .unwrap()
        .id(4711)
        .checking_disabled(true)
        .edns(1400, true)
        .option(10, b"12345678")
        .to_request()
        .unwrap()
}

fn facts<'a>(
    request: &'a Request,
    pattern: &'a Pattern,
    surroundings: &'a Surroundings,
    named: &'a BTreeSet<SmolStr>,
) -> Facts<'a> {
    let name = "red7.example.org.";
    Facts {
        zone: "example.org.",
        name,
        class: "IN",
        rtype: "AAAA",
        pattern,
        groups: pattern.groups(name).unwrap_or_else(|| Groups::whole(name)),
        named,
        request,
        surroundings,
        object: OnceCell::new(),
    }
}

/// What a template gives for a query for AAAA of `Red7.Example.org.`, as its error's text where it fails.
pub(super) fn run(source: &str) -> Result<String, String> {
    let script = Script::compile("answer", source).map_err(|error| format!("at the start: {error}"))?;
    let named = script.named().cloned().collect();
    let (request, pattern, surroundings) = (request(), pattern(), Surroundings::default());
    let mut out = "what was there".to_owned();
    let result = script.render(&facts(&request, &pattern, &surroundings, &named), &mut out);
    result.map(|()| out).map_err(|failure| failure.cause)
}

/// Templates with what they give, each also within a block, where none is taken apart.
fn check(cases: &[(&str, &str)]) {
    for (source, want) in cases {
        assert_eq!(run(source).as_deref(), Ok(*want), "{source}");
        let whole = format!("{{{{ if true }}}}{source}{{{{ end }}}}");
        assert_eq!(run(&whole).as_deref(), Ok(*want), "{whole}");
    }
}

#[test]
fn fields_of_the_query() {
    check(&[
        ("{{ .Name }}", "red7.example.org."),
        (
            "{{.Zone}} {{.Class}} {{.Type}} {{.Remote}}",
            "example.org. IN AAAA 192.0.2.53",
        ),
        ("{{ .Regex }}", PATTERN),
        ("{{ .Question.Name }}", "Red7.Example.org."),
        ("{{ .Question.Qtype }} {{ .Question.Qclass }}", "28 1"),
        ("{{ .Question }}", ";Red7.Example.org.\tIN\t AAAA"),
        ("{{ .Question.String }}", ";Red7.Example.org.\tIN\t AAAA"),
        ("{{ .Match }}", "[red7. red 7 ]"),
        ("{{ index .Match 1 }}-{{ index .Match 3 }}-", "red--"),
        ("{{ .Group.word }} {{ .Group.num }}", "red 7"),
        ("{{ index .Group \"0\" }} {{ index .Group \"2\" }}", "red7. 7"),
        ("{{ len .Match }} {{ len .Group }}", "4 6"),
        ("{{ .Group }}", "map[0:red7. 1:red 2:7 3: num:7 word:red]"),
        ("{{ $.Group.word }}{{ with .Group }}{{ .num }}{{ end }}", "red7"),
    ]);
}

#[test]
fn the_message() {
    check(&[
        (
            "{{ .Message.Id }} {{ .Message.Opcode }} {{ .Message.Rcode }}",
            "4711 0 0",
        ),
        (
            "{{ .Message.RecursionDesired }} {{ .Message.CheckingDisabled }}",
            "true true",
        ),
        (
            "{{ .Message.Response }} {{ .Message.AuthenticatedData }}",
            "false false",
        ),
        ("{{ (index .Message.Question 0).Name }}", "Red7.Example.org."),
        ("{{ range .Message.Question }}{{ .Qtype }}{{ end }}", "28"),
        (
            "{{ len .Message.Answer }} {{ len .Message.Ns }} {{ len .Message.Extra }}",
            "0 0 1",
        ),
        (
            "{{ with .Message.IsEdns0 }}{{ .UDPSize }} {{ .Do }} {{ .Version }}{{ end }}",
            "1400 true 0",
        ),
        ("{{ range .Message.IsEdns0.Option }}{{ .Option }}{{ end }}", "10"),
        (
            "{{ .Message.IsEdns0.Hdr.Name }} {{ .Message.IsEdns0.Hdr.Class }}",
            ". 1400",
        ),
        ("{{ range .Message.Extra }}{{ .Hdr.Rrtype }}{{ end }}", "41"),
        ("{{ if .Message.Answer }}some{{ else }}none{{ end }}", "none"),
    ]);
}

#[test]
fn what_is_not_there() {
    check(&[
        // A key that a map does not have has no value; asked for with index it is empty.
        ("{{ .Group.nope }}", "<no value>"),
        ("{{ .Group.nope.deeper }}", "<no value>"),
        ("{{ index .Group \"nope\" }}", ""),
        ("{{ if .Group.nope }}yes{{ else }}no{{ end }}", "no"),
        ("{{ with .Group.nope }}{{ . }}{{ else }}none{{ end }}", "none"),
        ("{{ range .Group.nope }}x{{ else }}none{{ end }}", "none"),
        ("{{ or .Group.nope `none` }}", "none"),
        ("{{ print .Group.nope }}", "<nil>"),
        ("{{ .Meta `no/such` }}", ""),
        ("{{ `view/name` | .Meta }}", ""),
    ]);
    for (source, want) in [
        (
            "{{ .Nope }}",
            "can't evaluate field Nope in type *template.templateData",
        ),
        (
            "{{ .Grup.word }}",
            "can't evaluate field Grup in type *template.templateData",
        ),
        ("{{ .Name.Nope }}", "can't evaluate field Nope in type string"),
        (
            "{{ .Question.Nope }}",
            "can't evaluate field Nope in type *dns.Question",
        ),
        (
            "{{ . }}",
            "can't evaluate field String in type *template.templateData",
        ),
        ("{{ .Name .Zone }}", "Name is not a method but has arguments"),
        ("{{ .Group.word 1 }}", "word is not a method but has arguments"),
        ("{{ 1 | .Name }}", "Name is not a method but has arguments"),
        ("{{ .Meta }}", "wrong number of args for Meta: want 1 got 0"),
        ("{{ .Meta 1 }}", "wrong type for Meta: expected string, got int"),
        ("{{ index .Match 4 }}", "index out of range: 4"),
        ("{{ index .Match -1 }}", "index out of range: -1"),
        ("{{ index .Name `x` }}", "cannot index string with type string"),
        ("{{ len .Group.nope }}", "len: cannot take length of <nil>"),
        ("{{ nil }}", "nil is not a command"),
        ("{{ range .Name }}x{{ end }}", "cannot range over string"),
        ("{{ template `nope` }}", "undefined template: nope"),
        ("{{ (1) 2 }}", "can't give argument to non-function"),
    ] {
        let cause = run(source).expect_err(source);
        assert!(cause.contains(want), "{source}: {cause}");
    }
}

#[test]
fn the_language() {
    check(&[
        ("a {{- /* c */ -}} b", "ab"),
        ("a {{- ` x ` -}} b", "a x b"),
        ("{{ if eq .Group.word `blue` `red` }}colour{{ end }}", "colour"),
        ("{{ if false }}a{{ else if .Name }}b{{ else }}c{{ end }}", "b"),
        ("{{ with false }}a{{ else with 5 }}{{ . }}{{ end }}", "5"),
        (
            "{{ range $i, $m := .Match }}{{ if $i }},{{ end }}{{ $i }}={{ $m }}{{ end }}",
            "0=red7.,1=red,2=7,3=",
        ),
        ("{{ range $k, $v := .Group }}{{ $k }}{{ end }}", "0123numword"),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        (
            "{{ range .Match }}{{ if eq . `red` }}{{ continue }}{{ end }}{{ if eq . `7` }}{{ break }}{{ end }}{{ . }}{{ end }}",
            "red7.",
        ),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
        ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}", "1"),
        ("{{ $q := .Question }}{{ $q.Qtype }}", "28"),
        ("{{ `a` | printf `%s-%s` `b` }}", "b-a"),
        (
            "{{ printf `%05d|%-4s|%q|%x|%v` 42 `ab` `q` 255 true }}",
            "00042|ab  |\"q\"|ff|true",
        ),
        (
            "{{ printf `%d` `x` }} {{ printf `%s` }}",
            "%!d(string=x) %!s(MISSING)",
        ),
        ("{{ print 1 2 `a` `b` 3 }}", "1 2ab3"),
        ("{{ println `a` 1 }}", "a 1\n"),
        ("{{ print .Question }}", ";Red7.Example.org.\tIN\t AAAA"),
        (
            "{{ len .Name }} {{ slice .Name 0 3 }} {{ index .Name 0 }}",
            "17 red 114",
        ),
        (
            "{{ html `<a&'\">` }} {{ js `'x` }} {{ urlquery `a b&c` }}",
            "&lt;a&amp;&#39;&#34;&gt; \\'x a+b%26c",
        ),
        (
            "{{ and 1 0 }} {{ and 1 2 }} {{ or 0 `` `x` }} {{ not 0 }}",
            "0 2 x true",
        ),
        (
            "{{ eq 1 1 }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt `b` `a` }} {{ ge 1.5 1.5 }}",
            "true true true true true true",
        ),
        ("{{ eq .Question.Qtype 28 }}", "true"),
        (
            "{{ 0x1F }} {{ 1.5 }} {{ 1e3 }} {{ 'a' }} {{ 0b11 }} {{ 1_000 }} {{ true }}",
            "31 1.5 1000 97 3 1000 true",
        ),
        ("{{ \"a\\tb\\u00e9\" }}", "a\tb\u{e9}"),
        ("{{ (printf `%s` (slice .Name 0 1)) }}", "r"),
        ("{{ true | and 1 | not }}", "false"),
        ("{{ and false (index .Match 99) }}", "false"),
    ]);
    // Definitions stand at the top alone.
    for (source, want) in [
        (
            "{{ define `t` }}[{{ . }}]{{ end }}{{ template `t` .Group.word }}",
            "[red]",
        ),
        (
            "{{ define `t` }}[{{ . }}]{{ end }}{{ template `t` }}",
            "[<no value>]",
        ),
        (
            "{{ define `t` }}{{ .Name }}{{ $.Name }}{{ end }}{{ template `t` .Question }}",
            "Red7.Example.org.Red7.Example.org.",
        ),
        ("{{ block `t` .Group }}{{ .word }}{{ end }}", "red"),
        ("{{ define `answer` }}x{{ .Name }}{{ end }}", "xred7.example.org."),
        ("", ""),
        ("}} no action {", "}} no action {"),
    ] {
        assert_eq!(run(source).as_deref(), Ok(want), "{source}");
    }
}

#[test]
fn parse_int_is_that_of_go() {
    for (digits, base, bits, want) in [
        ("ff", 16, 8, Ok(255)),
        ("FF", 16, 0, Ok(255)),
        ("100", 16, 8, Err("value out of range")),
        ("18446744073709551615", 10, 64, Ok(u64::MAX)),
        ("18446744073709551616", 10, 64, Err("value out of range")),
        ("z", 36, 64, Ok(35)),
        ("12", 2, 64, Err("invalid syntax")),
        ("", 10, 64, Err("invalid syntax")),
        ("-1", 10, 64, Err("invalid syntax")),
        ("+1", 10, 64, Err("invalid syntax")),
        ("1_0", 10, 64, Err("invalid syntax")),
        ("10", 0, 16, Ok(10)),
        ("0x1f", 0, 64, Ok(31)),
        ("0o17", 0, 64, Ok(15)),
        ("017", 0, 64, Ok(15)),
        ("0b101", 0, 64, Ok(5)),
        ("0", 0, 64, Ok(0)),
        ("0x", 0, 64, Err("invalid syntax")),
        ("1_000", 0, 64, Ok(1000)),
        ("0x_1", 0, 64, Ok(1)),
        ("_1", 0, 64, Err("invalid syntax")),
        ("1_", 0, 64, Err("invalid syntax")),
        ("1__0", 0, 64, Err("invalid syntax")),
        ("70000", 10, 16, Err("value out of range")),
        ("1", 1, 64, Err("invalid base 1")),
        ("1", 37, 64, Err("invalid base 37")),
        ("1", 10, 65, Err("invalid bit size 65")),
        ("1", 10, -1, Err("invalid bit size -1")),
    ] {
        let got = functions::parse_uint(digits, base, bits);
        let want = want.map_err(|cause| format!("strconv.ParseUint: parsing {digits:?}: {cause}"));
        assert_eq!(got, want, "{digits} {base} {bits}");
    }
    check(&[
        ("{{ parseInt .Group.num 10 8 }}", "7"),
        ("{{ parseInt `ff` 16 8 | printf `%03d` }}", "255"),
        ("{{ parseInt `7` 10.0 8 }}", "7"),
        ("{{ gt (parseInt .Group.num 10 8) 5 }}", "true"),
    ]);
    for (source, want) in [
        (
            "{{ parseInt }}",
            "wrong number of args for parseInt: want 3 got 0",
        ),
        ("{{ parseInt 5 10 8 }}", "expected string, got int"),
        ("{{ parseInt .Group.nope 10 8 }}", "expected string"),
        ("{{ parseInt .Name `10` 8 }}", "expected int, got string"),
        (
            "{{ parseInt .Group.word 16 8 }}",
            "error calling parseInt: strconv.ParseUint: parsing \"red\": invalid syntax",
        ),
    ] {
        let cause = run(source).expect_err(source);
        assert!(cause.contains(want), "{source}: {cause}");
    }
}
