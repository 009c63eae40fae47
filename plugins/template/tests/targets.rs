//! Targets of CNAME records, which the server is asked for.

use catena_core::message::Rcode;
use catena_plugin_template::PLUGIN;
use catena_testkit::{RECORDS, TestServer};

const TARGETS: &str = r#"
.:@PORT@ {
    template IN ANY alias.example.org {
        match ^(?P<to>[a-z0-9-]+)[.]alias[.]
        answer "{{ .Name }} 60 IN CNAME {{ .Group.to }}.example.net"
    }
    template IN ANY twice.example.org {
        answer "{{ .Name }} 60 IN CNAME a.example.net." "{{ .Name }} 60 IN TXT between" "{{ .Name }} 60 IN CNAME b.example.net."
    }
    template IN ANY hop.example.org {
        match ^(?P<to>[a-z0-9.]+)[.]hop[.]example[.]org[.]$
        answer "{{ .Name }} 60 IN CNAME {{ .Group.to }}.alias.example.org."
    }
    template IN ANY loop.example.org {
        answer "{{ .Name }} 60 IN CNAME {{ .Name }}"
    }
    template IN ANY fan.example.org {
        answer "{{ .Name }} 60 IN CNAME a.{{ .Name }}" "{{ .Name }} 60 IN CNAME b.{{ .Name }}"
    }
}
example.net:@PORT@ {
    records {
        a.example.net. 60 IN A 192.0.2.1
        a.example.net. 60 IN AAAA 2001:db8::1
        a.example.net. 60 IN TXT text
        b.example.net. 60 IN A 192.0.2.2
    }
}
"#;

fn server() -> TestServer {
    TestServer::start([PLUGIN, RECORDS], TARGETS)
}

#[test]
fn addresses_of_a_target_stand_behind_its_name() {
    let server = server();
    for (query, want) in [
        (
            "a.alias.example.org. A",
            &[
                "a.alias.example.org. 60 IN CNAME a.example.net.",
                "a.example.net. 60 IN A 192.0.2.1",
            ][..],
        ),
        (
            "a.alias.example.org. AAAA +tcp",
            &[
                "a.alias.example.org. 60 IN CNAME a.example.net.",
                "a.example.net. 60 IN AAAA 2001:db8::1",
            ],
        ),
        (
            "a.hop.example.org. A",
            &[
                "a.hop.example.org. 60 IN CNAME a.alias.example.org.",
                "a.alias.example.org. 60 IN CNAME a.example.net.",
                "a.example.net. 60 IN A 192.0.2.1",
            ],
        ),
        (
            "x.twice.example.org. A",
            &[
                "x.twice.example.org. 60 IN CNAME a.example.net.",
                "a.example.net. 60 IN A 192.0.2.1",
                "x.twice.example.org. 60 IN TXT between",
                "x.twice.example.org. 60 IN CNAME b.example.net.",
                "b.example.net. 60 IN A 192.0.2.2",
            ],
        ),
        (
            "none.alias.example.org. A",
            &["none.alias.example.org. 60 IN CNAME none.example.net."],
        ),
        (
            "a.alias.example.org. TXT",
            &["a.alias.example.org. 60 IN CNAME a.example.net."],
        ),
        (
            "a.alias.example.org. ANY",
            &["a.alias.example.org. 60 IN CNAME a.example.net."],
        ),
        (
            "a.alias.example.org. CNAME",
            &["a.alias.example.org. 60 IN CNAME a.example.net."],
        ),
    ] {
        server.ask(query).assert_answer(want.iter().copied());
    }
}

#[test]
fn a_target_that_nobody_serves_leaves_the_name() {
    let corefile =
        "example.org:@PORT@ {\n template IN A {\n  answer \"{{ .Name }} 60 IN CNAME a.example.net.\"\n }\n}";
    let server = TestServer::start([PLUGIN], corefile);
    let answer = server.ask("a.example.org. A");
    answer.assert_rcode(Rcode::NOERROR);
    answer.assert_answer(["a.example.org. 60 IN CNAME a.example.net."]);
}

/// Security: a name that leads to itself, or to two that do the same, would ask for ever, or twice as often at each
/// step.
#[test]
fn loops_and_branches_of_names_end_after_sixteen_questions() {
    let server = server();
    for query in ["x.loop.example.org. A +tcp", "x.fan.example.org. A +tcp"] {
        let answer = server.ask(query);
        answer.assert_rcode(Rcode::NOERROR);
        let count = answer.answer().len();
        assert!((2..=40).contains(&count), "{query}: {count} records");
    }
}
