//! The plugin in a server whose Corefile changes.

use catena_plugin_reload::PLUGIN;
use catena_testkit::{RECORDS, TestServer, eventually};

/// A Corefile in which `a.example.org` has the address 192.0.2.NUMBER.
fn corefile(number: u8) -> String {
    format!(
        "example.org:@PORT@ {{\n  reload 2s 0s\n  records {{\n    a.example.org 60 IN A 192.0.2.{number}\n  }}\n}}\n"
    )
}

/// The fingerprint that the log tells of last.
fn fingerprint(server: &TestServer) -> String {
    let lines = server
        .logs()
        .lines_with("plugin/reload: Running configuration SHA512 = ");
    let last = lines.last().expect("a line");
    last.rsplit(' ').next().unwrap_or_default().to_owned()
}

fn address(number: u8) -> [String; 1] {
    [format!("a.example.org. 60 IN A 192.0.2.{number}")]
}

#[test]
fn good_files_are_taken_over_bad_ones_are_tried_once_and_both_are_counted() {
    let server = TestServer::start([PLUGIN, RECORDS], &corefile(1));
    server.ask("a.example.org. A").assert_answer(address(1));
    let info = |hash: &str| {
        let labels = [("hash", "sha512"), ("value", hash)];
        server.metrics().value("coredns_reload_version_info", &labels)
    };
    let failed = || server.metrics().value("coredns_reload_failed_total", &[]);
    server
        .logs()
        .wait_for("[INFO] plugin/reload: Running configuration SHA512 = ");
    let first = fingerprint(&server);
    assert_eq!(
        (info(&first), failed()),
        (None, Some(0.0)),
        "before the first reload"
    );

    server.write("Corefile", &server.fill(&corefile(2)));
    server
        .logs()
        .wait_for_count("plugin/reload: Running configuration SHA512 = ", 2);
    server.ask("a.example.org. A").assert_answer(address(2));
    let second = fingerprint(&server);
    assert_ne!(first, second);
    server.wait_for_metric(
        "coredns_reload_version_info",
        &[("hash", "sha512"), ("value", &second)],
        1.0,
    );
    assert_eq!((info(&first), failed()), (None, Some(0.0)));

    // What reads well and cannot be used is tried once; what cannot be read is told at each look.
    server.write(
        "Corefile",
        &server.fill(&corefile(3).replace("records", "recrods")),
    );
    let line = server
        .logs()
        .wait_for("[ERROR] plugin/reload: Corefile changed but reload failed: ");
    assert!(line.contains("Unknown directive 'recrods'"), "{line}");
    server.wait_for_metric("coredns_reload_failed_total", &[], 1.0);
    server.write("Corefile", "example.org {\n");
    server
        .logs()
        .wait_for_count("[WARNING] plugin/reload: Corefile parse failed: Corefile:", 2);
    assert_eq!(server.logs().lines_with("reload failed").len(), 1);
    assert_eq!(failed(), Some(1.0));
    server.ask("a.example.org. A").assert_answer(address(2));

    server.write("Corefile", &server.fill(&corefile(4)));
    server
        .logs()
        .wait_for_count("plugin/reload: Running configuration SHA512 = ", 3);
    server.ask("a.example.org. A").assert_answer(address(4));
}

#[test]
fn a_change_is_one_reload_however_many_blocks_have_the_plugin() {
    let two = format!(
        "{}example.net:@PORT@ {{\n  reload 2s 0s\n  records\n}}\n",
        corefile(1)
    );
    let server = TestServer::start([PLUGIN, RECORDS], &two);
    server
        .logs()
        .wait_for("plugin/reload: Running configuration SHA512 = ");
    server.write("Corefile", &server.fill(&two.replace("192.0.2.1", "192.0.2.2")));
    server.logs().wait_for("Reloading complete");
    server.ask("a.example.org. A").assert_answer(address(2));
    // Were there a task for each block now, each would reload.
    for number in [3, 4] {
        let changed = two.replace("192.0.2.1", &format!("192.0.2.{number}"));
        server.write("Corefile", &server.fill(&changed));
        eventually("the change", || {
            let answer = server.ask("a.example.org. A");
            (answer.wire().last() == Some(&number)).then_some(())
        });
    }
    server.logs().wait_for_count("Reloading complete", 3);
    assert_eq!(server.logs().lines_with("Reloading complete").len(), 3);
}
