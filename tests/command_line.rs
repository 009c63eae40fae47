//! The command line of the built program: flags, Corefiles, subcommands, exit status, signals.

mod common;

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use catena_testkit::Query;
use common::{Catena, Folder, exchange, udp_client};

const WHOAMI: &str = ".:@PORT@ {\n  whoami\n}\n";

#[test]
fn version_names_the_program_and_the_version_of_coredns() {
    for flag in ["-version", "--version", "-version=true"] {
        let ended = Folder::new().run(&[flag]);
        let lines: Vec<&str> = ended.stdout.lines().collect();
        assert_eq!(ended.status, 0, "{flag}");
        assert_eq!(
            lines[0],
            format!("Catena-{}", env!("CARGO_PKG_VERSION")),
            "{flag}"
        );
        assert!(
            lines[1].starts_with("linux/") && lines[1].ends_with("CoreDNS-1.14.7"),
            "{flag}: {lines:?}"
        );
        assert_eq!(lines.len(), 2, "{flag}");
    }
}

#[test]
fn plugins_lists_all_of_them_sorted_with_the_prefix_of_their_kind() {
    let ended = Folder::new().run(&["-plugins"]);
    assert_eq!(ended.status, 0);
    let listed: Vec<&str> = ended
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("  dns."))
        .collect();
    let mut known: Vec<&str> = catena::plugins::PLUGINS
        .iter()
        .map(|plugin| plugin.name)
        .collect();
    known.sort_unstable();
    assert_eq!(listed, known);
}

#[test]
fn help_tells_all_flags_and_subcommands() {
    let ended = Folder::new().run(&["-h"]);
    assert_eq!(ended.status, 0);
    for word in [
        "-conf",
        "-dns.port",
        "-p ",
        "-pidfile",
        "-plugins",
        "-quiet",
        "-version",
        "check",
        "fmt",
        "-w",
    ] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
}

#[test]
fn flags_that_cannot_be_understood_end_with_status_2_and_say_why() {
    for (case, args, want) in [
        (
            "unknown",
            &["-config", "x"][..],
            "flag provided but not defined: -config",
        ),
        ("without its value", &["-conf"], "flag needs an argument: -conf"),
        (
            "no port",
            &["-dns.port", "domain"],
            "invalid value \"domain\" for flag -dns.port",
        ),
        (
            "a port too large",
            &["-p", "65536"],
            "invalid value \"65536\" for flag -p",
        ),
        (
            "neither true nor false",
            &["-quiet=maybe"],
            "invalid value \"maybe\" for flag -quiet",
        ),
        ("three dashes", &["---quiet"], "bad flag syntax: ---quiet"),
        (
            "words that are no flags",
            &["serve", "now"],
            "extra command line arguments: [serve now]",
        ),
        (
            "-w elsewhere than with fmt",
            &["check", "-w"],
            "flag provided but not defined: -w",
        ),
    ] {
        let ended = Folder::with(WHOAMI).run(args);
        assert_eq!(ended.status, 2, "case {case}: {ended:?}");
        assert!(ended.stderr.contains(want), "case {case}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "case {case}");
    }
}

#[test]
fn the_corefile_may_be_named_in_all_forms_and_the_last_one_counts() {
    for (case, args) in [
        ("blank", &["-conf", "other"][..]),
        ("equals", &["-conf=other"]),
        ("two dashes", &["--conf", "other"]),
        ("two dashes and equals", &["--conf=other"]),
        ("the last counts", &["-conf", "nowhere", "-conf", "other"]),
    ] {
        let folder = Folder::with("example.net:@P1@ {\n  whoami\n}\n");
        folder.write("other", "example.org:@PORT@ {\n  whoami\n}\n");
        let server = folder.serve(args);
        assert_eq!(
            server.stdout().lines().next(),
            Some(&*server.folder.fill("example.org.:@PORT@")),
            "{case}"
        );
        assert_eq!(
            server.ask("example.org. A").rcode().to_string(),
            "NOERROR",
            "case {case}"
        );
    }
}

#[test]
fn the_corefile_of_the_working_folder_is_the_default() {
    let server = Catena::serve(WHOAMI);
    assert_eq!(server.ask("example.org. A").rcode().to_string(), "NOERROR");
}

#[test]
fn without_any_corefile_every_name_is_answered_by_whoami_on_the_flags_port() {
    for args in [
        ["-dns.port", "@PORT@"],
        ["-p", "@PORT@"],
        ["--dns.port", "@PORT@"],
    ] {
        let server = Folder::new().serve(&args);
        assert_eq!(
            server.stdout().lines().next(),
            Some(&*server.folder.fill(".:@PORT@")),
            "{args:?}"
        );
        let answer = server.ask("anything.example. A");
        assert_eq!(answer.rcode().to_string(), "NOERROR", "{args:?}");
        assert!(
            answer.additional()[0].to_string().contains("127.0.0.1"),
            "{args:?}"
        );
    }
}

#[test]
fn the_flags_port_holds_for_zones_that_name_none() {
    let folder = Folder::with("example.org {\n  whoami\n}\nexample.net:@PORT@ {\n  whoami\n}\n");
    let server = folder.serve(&["-dns.port=@P1@"]);
    let (asked, own) = (server.folder.address_of(1), server.address());
    assert_eq!(
        common::ask(asked, "example.org. A").rcode().to_string(),
        "NOERROR"
    );
    assert_eq!(
        common::ask(asked, "example.net. A").rcode().to_string(),
        "REFUSED"
    );
    assert_eq!(common::ask(own, "example.net. A").rcode().to_string(), "NOERROR");
}

#[test]
fn a_corefile_comes_by_standard_input() {
    let folder = Folder::with("example.net:@P1@ {\n  whoami\n}\n");
    let process = folder.spawn(&["-conf", "stdin"], Some("example.org:@PORT@ {\n  whoami\n}\n"));
    process.wait_for("runs Corefiles of");
    let answer = common::ask(folder.address_of(0), "example.org. A");
    assert_eq!(answer.rcode().to_string(), "NOERROR");
    assert_eq!(
        process.stdout().lines().next(),
        Some(&*folder.fill("example.org.:@PORT@"))
    );
}

#[test]
fn an_error_in_standard_input_is_named_so() {
    let ended = Folder::new().run_with(&["-conf", "stdin"], Some(". {\n  whoam\n}\n"));
    assert_eq!(ended.status, 1);
    assert!(
        ended
            .stderr
            .starts_with("stdin:2:3: Error during parsing: Unknown directive 'whoam'"),
        "{ended:?}"
    );
}

#[test]
fn quiet_prints_neither_zones_nor_version() {
    let folder = Folder::with(WHOAMI);
    let mut process = folder.spawn(&["-quiet"], None);
    // Nothing says that it serves, so it is asked until it does.
    let wire = Query::from("example.org. A").to_wire();
    catena_testkit::eventually("an answer", || {
        exchange(
            &udp_client(folder.address_of(0)),
            &wire,
            Duration::from_millis(100),
        )
    });
    process.signal("TERM");
    assert_eq!(process.wait_exit(), 0);
    assert_eq!(
        process.stdout(),
        "[INFO] SIGTERM: Shutting down servers then terminating\n"
    );
    assert_eq!(process.stderr(), "");
}

#[test]
fn the_pid_file_holds_the_process_id_while_the_server_runs() {
    let server = Folder::with(WHOAMI).serve(&["-pidfile", "server.pid"]);
    let path = server.folder.path("server.pid");
    let text = catena_testkit::eventually("the pid file", || {
        std::fs::read_to_string(&path)
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    assert_eq!(text, format!("{}\n", server.pid()));
}

#[test]
fn a_pid_file_that_cannot_be_written_is_logged_and_the_server_runs() {
    let server = Folder::with(WHOAMI).serve(&["-pidfile", "no/such/folder/pid"]);
    assert!(server.wait_for("[ERROR]").contains("no/such/folder/pid"));
    assert_eq!(server.ask("example.org. A").rcode().to_string(), "NOERROR");
}

#[test]
fn a_corefile_that_is_not_there_ends_with_status_1() {
    for args in [
        &["-conf", "nowhere"][..],
        &["check", "-conf", "nowhere"],
        &["fmt", "-conf", "nowhere"],
    ] {
        let ended = Folder::new().run(args);
        assert_eq!(ended.status, 1, "{args:?}");
        assert!(
            ended.stderr.contains("nowhere") && ended.stderr.to_lowercase().contains("no such file"),
            "{ended:?}"
        );
    }
}

#[test]
fn a_bad_corefile_ends_with_status_1_and_shows_the_place() {
    let ended = Folder::with(".:@PORT@ {\n  whoami me\n}\n").run(&[]);
    assert_eq!(ended.status, 1);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        lines[0].starts_with("Corefile:2:10: plugin/whoami: "),
        "{ended:?}"
    );
    assert_eq!(
        lines[1..4],
        ["  |", "2 |   whoami me", "  |          ^^"],
        "{ended:?}"
    );
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_port_in_use_ends_with_status_1_in_the_words_of_go() {
    for (case, network) in [("by TCP", "tcp"), ("by UDP", "udp")] {
        let folder = Folder::with(".:@PORT@ {\n  bind 127.0.0.1\n  whoami\n}\n");
        let address = folder.address_of(0);
        let _tcp = (network == "tcp").then(|| TcpListener::bind(address).expect("the port"));
        let _udp = (network == "udp").then(|| UdpSocket::bind(address).expect("the port"));
        let ended = folder.run(&[]);
        assert_eq!(ended.status, 1, "case {case}");
        let want = format!("listen {network} {address}: bind: address already in use\n");
        assert!(ended.stderr.ends_with(&want), "case {case}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "case {case}");
    }
}

#[test]
fn check_reports_all_errors_at_once() {
    let folder = Folder::with(
        "example.org:@PORT@ {\n  reload 1s\n  whoami me\n}\nexample.net:@PORT@ {\n  hosts {\n    ttl much\n  }\n}\n",
    );
    let ended = folder.run(&["check"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""));
    let places: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("Corefile:"))
        .collect();
    assert_eq!(places.len(), 3, "{}", ended.stderr);
    for (line, want) in places.iter().zip([
        "Corefile:2:10: plugin/reload: ",
        "Corefile:3:10: plugin/whoami: ",
        "Corefile:7:9: plugin/hosts: ",
    ]) {
        assert!(line.starts_with(want), "{line}");
    }
}

#[test]
fn check_names_each_unknown_directive_and_suggests_the_nearest() {
    let folder = Folder::with(".:@PORT@ {\n  whoam\n  hosst\n}\nexample.org:@PORT@ {\n  erors\n}\n");
    let ended = folder.run(&["check", "-conf=Corefile"]);
    assert_eq!(ended.status, 1);
    for (place, word, nearest) in [
        ("2:3", "whoam", "whoami"),
        ("3:3", "hosst", "hosts"),
        ("6:3", "erors", "errors"),
    ] {
        let want = format!("Corefile:{place}: Error during parsing: Unknown directive '{word}'");
        assert!(ended.stderr.contains(&want), "{want}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!("did you mean `{nearest}`?")),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn check_reports_what_is_wrong_beside_an_unknown_directive() {
    let folder = Folder::with(".:@PORT@ {\n  whoam\n  reload 1s\n}\n");
    let ended = folder.run(&["check"]);
    assert_eq!(ended.status, 1);
    for want in [
        "Corefile:2:3: Error during parsing: Unknown directive 'whoam'",
        "Corefile:3:10: plugin/reload: ",
    ] {
        assert!(ended.stderr.contains(want), "{want}: {}", ended.stderr);
    }
}

#[test]
fn check_shows_through_which_imports_an_error_came() {
    let folder = Folder::with(".:@PORT@ {\n  import parts/*.conf\n}\n");
    std::fs::create_dir(folder.path("parts")).expect("a folder");
    folder.write("parts/a.conf", "whoami\n\nwhoami twice\n");
    let ended = folder.run(&["check"]);
    assert_eq!(ended.status, 1);
    let text = &ended.stderr;
    assert!(
        text.contains("parts/a.conf:3:8: plugin/whoami: ") && text.contains("imported at Corefile:2:10"),
        "{text}"
    );
}

#[test]
fn check_says_what_would_be_served_and_opens_no_socket() {
    let folder = Folder::with(
        "example.org:@PORT@ {\n  bind 127.0.0.1\n  errors\n  whoami\n}\n.:@P1@ {\n  whoami\n}\n",
    );
    // Taken: a server could not start.
    let _taken = TcpListener::bind(folder.address_of(0)).expect("the port");
    let ended = folder.run(&["check"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    for want in [
        "example.org.:@PORT@ on 127.0.0.1",
        ".:@P1@",
        "block 1: dns://example.org.:@PORT@ through bind errors whoami",
        "block 2: dns://.:@P1@ through whoami",
        "The Corefile is good.",
    ] {
        let want = folder.fill(want);
        assert!(
            ended.stdout.lines().any(|line| line == want),
            "{want}: {}",
            ended.stdout
        );
    }
}

/// Comments, quotes, braces in odd places, imports.
const UNTIDY: &str = "# at the top\n(common) {\nerrors\n}\n\n\n\nexample.org:@PORT@   example.net:@PORT@ { # who\n\timport common\n  # before a line\n  hosts { # inline\n192.0.2.1    a.example.org   \"quoted name\"\n fallthrough\n  }\n\n\n  whoami\n}\n# at the end\n";

#[test]
fn fmt_keeps_comments_and_is_idempotent() {
    let folder = Folder::with(UNTIDY);
    let once = folder.run(&["fmt"]);
    assert_eq!((once.status, once.stderr.as_str()), (0, ""));
    for comment in [
        "# at the top",
        "# who",
        "# before a line",
        "# inline",
        "# at the end",
    ] {
        assert!(once.stdout.contains(comment), "{comment}: {}", once.stdout);
    }
    assert!(
        once.stdout
            .contains("\n        192.0.2.1 a.example.org \"quoted name\"\n"),
        "{}",
        once.stdout
    );
    assert_eq!(
        folder.read("Corefile"),
        folder.fill(UNTIDY),
        "without -w the file stays as it is"
    );
    folder.write("again", &once.stdout);
    assert_eq!(folder.run(&["fmt", "-conf", "again"]).stdout, once.stdout);
    let piped = folder.run_with(&["fmt", "-conf", "stdin"], Some(UNTIDY));
    assert_eq!(piped.stdout, once.stdout);
}

#[test]
fn fmt_with_w_writes_the_file_which_means_the_same_as_before() {
    let folder = Folder::with(UNTIDY);
    let printed = folder.run(&["fmt"]).stdout;
    let before = folder.run(&["check"]);
    assert_eq!(before.status, 0, "{before:?}");
    let written = folder.run(&["fmt", "-w"]);
    assert_eq!((written.status, written.stdout.as_str()), (0, ""));
    assert_eq!(folder.read("Corefile"), printed);
    let after = folder.run(&["check"]);
    assert_eq!((after.status, after.stdout), (0, before.stdout));
    let files: Vec<_> = std::fs::read_dir(folder.path(".")).expect("the folder").collect();
    assert_eq!(files.len(), 1, "nothing but the Corefile is left: {files:?}");
}

#[test]
fn term_int_and_quit_end_the_server_with_status_0() {
    for (signal, line) in [
        ("TERM", "[INFO] SIGTERM: Shutting down servers then terminating"),
        ("INT", "[INFO] SIGINT: Shutting down"),
        ("QUIT", "[INFO] SIGQUIT: Quitting process immediately"),
    ] {
        let mut server = Catena::serve(WHOAMI);
        server.ask("example.org. A");
        server.signal(signal);
        assert_eq!(server.wait_exit(), 0, "{signal}");
        assert!(
            server.stdout().ends_with(&format!("{line}\n")),
            "{signal}: {}",
            server.stdout()
        );
    }
}

#[test]
fn the_pid_file_goes_with_the_server() {
    let mut server = Folder::with(WHOAMI).serve(&["-pidfile=server.pid"]);
    let path = server.folder.path("server.pid");
    catena_testkit::eventually("the pid file", || path.exists().then_some(()));
    server.signal("TERM");
    assert_eq!(server.wait_exit(), 0);
    assert!(!path.exists());
}

#[test]
fn a_stop_answers_what_has_come_and_a_second_int_does_not_wait_for_it() {
    // The first query of two is held up.
    let slow = ".:@PORT@ {\n  bind 127.0.0.1\n  multisocket 1\n  erratic {\n    drop 0\n    delay 2 2500ms\n  }\n}\n";
    for (case, signals, status) in [("one", &["INT"][..], 0), ("two", &["INT", "INT"], 2)] {
        let mut server = Catena::serve(slow);
        let socket = udp_client(server.address());
        let mut answer = [0; 512];
        for id in ["+id=7", "+id=8"] {
            socket
                .send(&Query::from(format!("example.org. A {id}")).to_wire())
                .expect("send");
        }
        socket.recv(&mut answer).expect("the second query's answer");
        assert_eq!(answer[1], 8, "case {case}: the first one waits");
        for (number, signal) in signals.iter().enumerate() {
            server.signal(signal);
            server.wait_for_count("[INFO] SIGINT", number + 1);
        }
        assert_eq!(server.wait_exit(), status, "case {case}");
        if status == 0 {
            socket.recv(&mut answer).expect("the late answer");
            assert_eq!(answer[1], 7, "case {case}");
        }
    }
}

#[test]
fn hup_and_usr2_change_nothing() {
    let server = Catena::serve(WHOAMI);
    server.folder.write("Corefile", ".:@PORT@ {\n  erratic\n}\n");
    server.signal("HUP");
    server.signal("USR2");
    server.wait_for("[ERROR] SIGUSR2");
    assert!(
        !server.ask("example.org. A").additional().is_empty(),
        "whoami answers"
    );
    assert_eq!(server.count_of("Reloading"), 0);
    assert_eq!(server.stop(), 0);
}

#[test]
fn usr1_takes_a_good_corefile_over_and_leaves_everything_as_it_was_on_a_bad_or_missing_one() {
    let server = Catena::serve("example.org:@PORT@ {\n  whoami\n}\n");
    let rcodes = || ["example.org. A", "example.net. A"].map(|query| server.ask(query).rcode().to_string());
    assert_eq!(rcodes(), ["NOERROR", "REFUSED"]);
    server.reload("example.net:@PORT@ {\n  whoami\n}\n");
    assert_eq!(rcodes(), ["REFUSED", "NOERROR"]);

    server
        .folder
        .write("Corefile", "example.org:@PORT@ {\n  whoami\n  nosuchplugin\n}\n");
    server.signal("USR1");
    server.wait_for("[ERROR] Restart failed: Corefile:3:3: ");
    assert!(server.wait_for("[ERROR] SIGUSR1: ").contains("nosuchplugin"));
    assert_eq!(rcodes(), ["REFUSED", "NOERROR"]);

    std::fs::remove_file(server.folder.path("Corefile")).expect("the Corefile");
    server.signal("USR1");
    server.wait_for("no such file or directory");
    assert_eq!(rcodes(), ["REFUSED", "NOERROR"]);

    server.reload("example.org:@PORT@ {\n  whoami\n}\n");
    assert_eq!(rcodes(), ["NOERROR", "REFUSED"]);
}

#[test]
fn a_signal_during_the_start_is_not_lost() {
    let folder = Folder::with(WHOAMI);
    let mut process = folder.spawn(&[], None);
    // The first line means that the sockets are open; the signal may still come before anything waits for it.
    process.wait_for(":");
    process.signal("TERM");
    assert_eq!(process.wait_exit(), 0);
}

#[test]
fn the_program_serves_with_its_output_closed() {
    let folder = Folder::with(WHOAMI);
    let corefile = folder.path("Corefile");
    let script = format!(
        "exec '{}' -conf '{}' >&- 2>&-",
        common::BINARY,
        corefile.display()
    );
    let _process = common::Process::start("/bin/sh".as_ref(), &folder.path("."), &["-c", &script], &[], None);
    let wire = Query::from("example.org. A").to_wire();
    catena_testkit::eventually("an answer", || {
        exchange(
            &udp_client(folder.address_of(0)),
            &wire,
            Duration::from_millis(100),
        )
    });
}
