//! Names that lead to other names: what the server asks itself goes the way of a client's question, past what guards
//! that name.

use catena::message::Rcode;
use catena::plugins::registry;
use catena_testkit::TestServer;

/// Two aliases lead to names that not every client may ask for, the first of them within its own block.
const COREFILE: &str = r#"
example.org:@PORT@ {
    acl secret.example.org {
        block type A net 127.0.0.0/8
    }
    cache
    template IN A alias.example.org {
        answer "{{ .Name }} 60 IN CNAME www.secret.example.org."
    }
    template IN A other.example.org {
        answer "{{ .Name }} 60 IN CNAME www.example.net."
    }
    template IN A open.example.org {
        answer "{{ .Name }} 60 IN CNAME www.example.com."
    }
    hosts {
        192.0.2.1 www.secret.example.org
    }
}
example.net:@PORT@ {
    acl {
        drop
    }
    hosts {
        192.0.2.2 www.example.net
    }
}
example.com:@PORT@ {
    view nobody {
        expr client_ip() == '192.0.2.1'
    }
    hosts {
        192.0.2.3 www.example.com
    }
}
example.com:@PORT@ {
    hosts {
        192.0.2.4 www.example.com
    }
}
"#;

/// Security, after CVE-2026-26017 and its kin: a rule of `acl` that a name is reached around, by an answer that leads to
/// it, holds for that answer too. Asked twice, since `cache` must not undo it.
#[test]
fn acl_and_views_judge_the_targets_of_templates() {
    let server = TestServer::start(registry(), COREFILE);
    for (case, query, want) in [
        (
            "refused in the same block",
            "alias.example.org. A",
            &["alias.example.org. CNAME www.secret.example.org."][..],
        ),
        (
            "dropped in another block",
            "other.example.org. A",
            &["other.example.org. CNAME www.example.net."],
        ),
        (
            "another view",
            "open.example.org. A",
            &[
                "open.example.org. CNAME www.example.com.",
                "www.example.com. A 192.0.2.4",
            ],
        ),
    ] {
        for round in 1..=2 {
            let answer = server.ask(query);
            answer.assert_rcode(Rcode::NOERROR);
            let shown: Vec<String> = answer.answer().iter().map(ToString::to_string).collect();
            assert_eq!(shown.len(), want.len(), "case {case}, round {round}: {shown:?}");
            answer.assert_answer(want.iter().copied());
        }
    }
    server
        .ask("www.secret.example.org. A")
        .assert_rcode(Rcode::REFUSED);
}

/// A chain of three names, the last of which an upstream knows.
#[test]
fn the_last_name_may_be_an_upstreams() {
    let upstream = catena_testkit::Upstream::start("www.example.net. 300 IN A 192.0.2.9");
    let server = TestServer::builder(
        registry(),
        r#"
.:@PORT@ {
    template IN ANY a.example.org {
        answer "{{ .Name }} 60 IN CNAME b.example.org."
    }
    template IN ANY b.example.org {
        answer "{{ .Name }} 60 IN CNAME www.example.net."
    }
    forward . @UPSTREAM@
}
"#,
    )
    .with("UPSTREAM", &upstream.address())
    .start();
    server.ask("a.example.org. A").assert_answer([
        "a.example.org. 60 IN CNAME b.example.org.",
        "b.example.org. 60 IN CNAME www.example.net.",
        "www.example.net. 300 IN A 192.0.2.9",
    ]);
    assert_eq!(upstream.count(), 1);
}
