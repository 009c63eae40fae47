//! What a block with templates answers.

use std::sync::Arc;

use catena_core::message::{Request, Zone};
use catena_core::plugin::{Definition, MetadataProvider, MetadataSink};
use catena_facts::MetadataZones;
use catena_plugin_template::PLUGIN;
use catena_testkit::{Case, Handler, Query, RECORDS, check_all};

const ADDRESSES: &str = r#"
template IN A example.org {
    match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)[.]
    match ^(?P<a>[0-9]+)[.](?P<b>[0-9]+)[.](?P<c>[0-9]+)[.](?P<d>[0-9]+)[.]ext[.]
    answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
    fallthrough
}
template IN MX example.org {
    answer "{{ .Name }} 60 IN MX 10 mail.{{ .Zone }}"
    additional "mail.{{ .Zone }} 60 IN A 192.0.2.25"
    authority "{{ .Zone }} 60 IN NS ns1.{{ .Zone }}" "{{ .Zone }} 60 IN NS ns2.{{ .Zone }}"
}
template ANY ANY invalid {
    rcode NXDOMAIN
    authority "invalid. 60 {{ .Class }} SOA ns.invalid. hostmaster.invalid. (1 60 60 60 60)"
    ederror 21 "Blocked"
}
template IN TXT example.org example.net {
    match ^good[.]
    answer "{{ .Name }} 60 IN TXT \"{{ .Type }} {{ .Class }} {{ .Zone }} {{ .Remote }}\""
    fallthrough example.net
}
records {
    other.example.org. 60 IN A 192.0.2.53
    bad.example.net. 60 IN TXT behind
}
"#;

#[test]
fn rules_in_their_order() {
    let handler = Handler::new([PLUGIN, RECORDS], ADDRESSES);
    check_all(
        &handler,
        &[
            Case::new("the first pattern", "ip-192-0-2-7.example.org. A")
                .answer(["ip-192-0-2-7.example.org. 60 IN A 192.0.2.7"])
                .flags("aa rd"),
            Case::new(
                "the second pattern, in any letters",
                "192.0.2.8.EXT.Example.org. A",
            )
            .answer(["192.0.2.8.ext.example.org. 60 IN A 192.0.2.8"]),
            Case::new("no pattern, which falls through", "other.example.org. A")
                .answer(["other.example.org. 60 IN A 192.0.2.53"]),
            Case::new("a text that is no record", "ip-192-0-2-777.example.org. A")
                .rcode("SERVFAIL")
                .flags("rd"),
            Case::new("all sections", "a.example.org. MX")
                .answer(["a.example.org. 60 IN MX 10 mail.example.org."])
                .additional(["mail.example.org. 60 IN A 192.0.2.25"])
                .authority([
                    "example.org. 60 IN NS ns1.example.org.",
                    "example.org. 60 IN NS ns2.example.org.",
                ]),
            Case::new("any type in a zone", "a.b.invalid. TXT")
                .rcode("NXDOMAIN")
                .authority(["invalid. 60 IN SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60"]),
            Case::new("the names of class and type", "good.example.org. TXT")
                .answer(["good.example.org. 60 IN TXT \"TXT IN example.org. 127.0.0.1\""]),
            Case::new("no pattern, which does not fall through", "bad.example.org. TXT").rcode("SERVFAIL"),
            Case::new(
                "no pattern, which falls through for its zone",
                "bad.example.net. TXT",
            )
            .answer(["bad.example.net. 60 IN TXT behind"]),
        ],
    );
}

#[test]
fn any_class_and_type_fit_each_rule() {
    let text = r#"
template CH TXT . {
    answer "{{ .Name }} 60 CH TXT \"{{ .Class }} {{ .Type }}\""
    fallthrough
}
template IN TXT . {
    answer "{{ .Name }} 60 IN TXT \"{{ .Class }} {{ .Type }}\""
}"#;
    let handler = Handler::new([PLUGIN.with_other_classes()], text);
    for (query, class, want) in [
        ("a. TXT", 1, "a. 60 IN TXT \"IN TXT\""),
        ("a. ANY", 1, "a. 60 IN TXT \"IN TXT\""),
        ("a. TXT", 3, "a. 60 CH TXT \"CH TXT\""),
        ("a. TXT", 255, "a. 60 CH TXT \"CH TXT\""),
    ] {
        let query = Query::from(query).with(|query| query.class(class));
        handler.ask(query).assert_answer([want]);
    }
}

#[test]
fn an_extended_error_goes_to_every_client() {
    let handler = Handler::new(
        [PLUGIN],
        "template ANY ANY {\n rcode NXDOMAIN\n ederror 15 Blocked\n}",
    );
    for query in ["a.example.org. A", "a.example.org. A +edns"] {
        let answer = handler.ask(query);
        assert!(answer.edns().expect("an OPT record").dnssec_ok, "{query}");
        assert_eq!(
            answer.extended_error(),
            Some((15, "Blocked".to_owned())),
            "{query}"
        );
    }
}

#[test]
fn servfail_has_nothing_beside() {
    let handler = Handler::new(
        [PLUGIN],
        "template IN A {\n rcode SERVFAIL\n answer \"{{ .Name }} A 192.0.2.1\"\n ederror 15\n}",
    );
    handler
        .ask("a.example.org. A")
        .assert_rcode(catena_core::message::Rcode::SERVFAIL);
    let counted = handler.metrics();
    let labels = [("class", "IN"), ("type", "A"), ("zone", "."), ("view", "")];
    assert_eq!(
        counted.value("coredns_template_matches_total", &labels),
        Some(1.0)
    );
}

#[test]
fn a_block_without_lines_answers_with_nothing() {
    let handler = Handler::new([PLUGIN], "template IN A");
    check_all(
        &handler,
        &[
            Case::new("its type", "a.example.org. A").flags("aa rd"),
            Case::new("another type, behind which there is nobody", "a.example.org. MX").rcode("SERVFAIL"),
        ],
    );
}

#[test]
fn failures_are_told_and_counted() {
    let text = r#"
template IN TXT example.org {
    answer "{{ .Name }} 60 IN TXT {{ index .Match 4 }}"
}
template IN MX example.org {
    answer "{{ .Name }} 60 IN MX 10 ."
    authority "{{  .Name  }} 60 IN MX nonsense"
}
template IN NS example.org {
    additional "{{ .Nope }}"
}"#;
    let handler = Handler::new([PLUGIN], text);
    for (query, family, section, template, cause) in [
        (
            "a.example.org. TXT",
            "coredns_template_template_failures_total",
            "answer",
            "{{.Name}} 60 IN TXT {{index .Match 4}}",
            "template: answer:1:25: executing \"answer\" at <index .Match 4>: error calling index: index out of range: 4",
        ),
        (
            "a.example.org. MX",
            "coredns_template_rr_failures_total",
            "authority",
            "{{.Name}} 60 IN MX nonsense",
            "dns: bad preference: `nonsense` in the authority \"a.example.org. 60 IN MX nonsense\"",
        ),
        (
            "a.example.org. NS",
            "coredns_template_template_failures_total",
            "additional",
            "{{.Nope}}",
            "template: additional: executing \"additional\" at <{{.Nope}}>: execution error: can't evaluate field Nope in type",
        ),
    ] {
        let error = handler.outcome(query).expect_err(query);
        assert!(error.to_string().contains(cause), "{query}: {error}");
        let labels = [
            ("section", section),
            ("template", template),
            ("zone", "example.org."),
            ("class", "IN"),
        ];
        assert_eq!(handler.metrics().value(family, &labels), Some(1.0), "{query}");
    }
}

/// Offers metadata about all names.
struct Known;

impl MetadataProvider for Known {
    fn provide(&self, request: &Request, sink: &mut dyn MetadataSink) {
        sink.add("known/first", "first");
        sink.add("known/first", "last");
        sink.add("known/name", request.qname().labels().next().map_or("", |_| "a"));
    }
}

const KNOWN: Definition = Definition::new("known", |setup| {
    setup
        .services()
        .offer(Arc::new(MetadataZones(vec![Zone::root()])));
    setup.services().offer::<dyn MetadataProvider>(Arc::new(Known));
    Ok(())
});

#[test]
fn metadata_is_asked_for_by_name() {
    let text = "template IN TXT {\n answer \"{{ .Name }} TXT {{ .Meta `known/first` }} {{ .Meta `known/name` }}{{ .Meta `no/such` }}\"\n \
                answer \"{{ .Name }} TXT {{ if .Meta `known/first` }}{{ .Meta (print `known/` `first`) }}{{ end }}\"\n}";
    let handler = Handler::new([PLUGIN, KNOWN], &format!("known\n{text}"));
    handler.start().expect("a start");
    handler
        .ask("a. TXT")
        .assert_answer(["a. 3600 IN TXT last a", "a. 3600 IN TXT last"]);
}

#[test]
fn an_option_of_old_is_told_to_have_no_effect() {
    let handler = Handler::new([PLUGIN], "template IN A {\n upstream 192.0.2.53\n}");
    let want = "[WARNING] plugin/template: `upstream` has no effect: targets are always looked up";
    assert_eq!(handler.warnings(), [want]);
}
