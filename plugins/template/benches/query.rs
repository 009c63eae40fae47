//! What ten rules cost: a query that none of them fits (good: below 1 microsecond more than without them), and one that
//! the last of them fits (good: below 5 microseconds).

use catena_core::message::{QueryBuilder, Request};
use catena_core::plugin::Outcome;
use catena_core::plugin::testing::{FIXED, TestBlock, set_up};
use catena_plugin_template::PLUGIN;
use criterion::{Criterion, criterion_group, criterion_main};

/// Nine rules that look at names and let others pass, and the tenth, which is `last`.
fn rules(last: &str) -> String {
    let addresses =
        "match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)[.]host{}[.]example[.]net[.]$";
    let mut text = String::new();
    for place in 0..9 {
        let pattern = addresses.replace("{}", &place.to_string());
        text += &format!(
            "template IN A {{\n {pattern}\n answer \"{{{{ .Name }}}} 60 IN A {{{{ .Group.a }}}}.{{{{ .Group.b }}}}.{{{{ \
             .Group.c }}}}.{{{{ .Group.d }}}}\"\n fallthrough\n}}\n"
        );
    }
    text + last
}

const GROUPS: &str = r#"template IN A {
    match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)[.]example[.]org[.]$
    answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
    fallthrough
}"#;

const NAME_ONLY: &str = r#"template IN A example.org {
    answer "{{ .Name }} 60 IN A 192.0.2.1"
}"#;

const HEXADECIMAL: &str = r#"template IN A {
    match ^ip0a(?P<b>[0-9a-f]{2})(?P<c>[0-9a-f]{2})(?P<d>[0-9a-f]{2})[.]example[.]org[.]$
    answer "{{ .Name }} 60 IN A 10.{{ parseInt .Group.b 16 8 }}.{{ parseInt .Group.c 16 8 }}.{{ parseInt .Group.d 16 8 }}"
    fallthrough
}"#;

const CONDITION: &str = r#"template IN A {
    match ^(?P<word>[a-z]+)[.]example[.]org[.]$
    answer "{{ .Name }} 60 IN A {{ if eq .Group.word `www` }}192.0.2.1{{ else }}192.0.2.2{{ end }}"
    fallthrough
}"#;

fn queries(criterion: &mut Criterion) {
    for (case, text, name) in [
        ("none/no rules", String::new(), "www.example.org."),
        ("none/ten rules", rules(GROUPS), "www.example.org."),
        ("fits/name", rules(NAME_ONLY), "www.example.org."),
        ("fits/groups", rules(GROUPS), "ip-192-0-2-1.example.org."),
        ("fits/parseInt", rules(HEXADECIMAL), "ip0a01ff10.example.org."),
        ("fits/if and eq", rules(CONDITION), "www.example.org."),
    ] {
        let block = set_up(&[PLUGIN, FIXED], &format!("{text}\nfixed")).expect("a good block");
        let mut request = QueryBuilder::new(name, 1_u16)
            .expect("a name")
            .to_request()
            .expect("a query");
        ask_once(&block, &mut request);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        criterion.bench_function(case, |bencher| {
            bencher.iter(|| {
                let outcome = runtime.block_on(block.ask(&mut request)).expect("an answer");
                if let Outcome::Reply(response) = outcome {
                    request.recycle(response.into_wire());
                }
            });
        });
    }
}

/// Makes sure that what is measured is an answer.
fn ask_once(block: &TestBlock, request: &mut Request) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let response = runtime.block_on(block.reply(request));
    assert_eq!(response.answer_count(), 1);
}

criterion_group!(benches, queries);
criterion_main!(benches);
