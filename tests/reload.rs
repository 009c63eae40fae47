//! Reloads of the built program: nothing is lost, nothing is left behind.

mod common;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use catena_testkit::{Connection, Query, eventually};
use common::{Catena, Load, PATIENCE, alone, exchange, udp_client};

/// `www.example.org` has the address 192.0.2.NUMBER; queries below `slow.example` take 30 ms.
fn hosts(number: u8) -> String {
    format!(
        "example.org:@PORT@ {{
    errors
    hosts {{
        192.0.2.{number} www.example.org
    }}
}}
slow.example:@PORT@ {{
    erratic {{
        drop 0
        delay 1 30ms
    }}
}}
"
    )
}

/// The last byte of `www.example.org`'s address.
fn number_of(server: &Catena) -> u8 {
    *server.ask("www.example.org. A").wire().last().expect("an answer")
}

#[test]
fn reloads_every_200_ms_under_load_lose_no_query_on_udp_or_kept_tcp_connections() {
    const TIME: Duration = Duration::from_secs(20);
    const PERIOD: Duration = Duration::from_millis(200);
    let _alone = alone();
    let server = Catena::serve(&hosts(1));
    // Of the 5,000 queries a second some wait in a plugin while the configuration changes under them.
    let fast = Load::start(server.address(), "www.example.org.", 4_600);
    let slow = Load::start(server.address(), "www.slow.example.", 400);
    let began = Instant::now();
    let mut reloads = 0;
    while began.elapsed() < TIME {
        let next = began + PERIOD * (reloads + 1);
        reloads += 1;
        server.reload(&hosts(1 + (reloads % 2) as u8));
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let (fast, slow) = (fast.finish(), slow.finish());
    println!("{reloads} reloads in {:?}: {fast:?} {slow:?}", began.elapsed());
    assert!(reloads >= 60, "only {reloads} reloads");
    for (load, rate) in [(&fast, 4_600), (&slow, 400)] {
        assert!(load.sent > rate * TIME.as_secs() as usize * 9 / 10, "{load:?}");
        assert_eq!(
            (load.answered, load.surplus, load.broken),
            (load.sent, 0, 0),
            "{load:?}"
        );
    }
    assert_eq!(
        fast.answers.keys().copied().collect::<Vec<_>>(),
        [(0, 1), (0, 2)],
        "{fast:?}"
    );
    assert_eq!(
        slow.answers.keys().copied().collect::<Vec<_>>(),
        [(0, 53)],
        "{slow:?}"
    );
    assert!(
        fast.answers.values().all(|count| *count > fast.sent / 4),
        "both configurations served: {fast:?}"
    );
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_corefile_that_does_not_load_changes_nothing_under_load() {
    let _alone = alone();
    let server = Catena::serve(&hosts(1));
    let taken = TcpListener::bind(server.folder.address_of(1)).expect("the port");
    let descriptors = server.descriptors();
    let load = Load::start(server.address(), "www.example.org.", 1_000);
    let cases = [
        (
            "no closing brace",
            "example.org:@PORT@ {\n hosts {\n",
            "[ERROR] Restart failed: Corefile:",
        ),
        (
            "an unknown directive",
            "example.org:@PORT@ {\n hots\n}\n",
            "did you mean `hosts`?",
        ),
        (
            "a plugin's error",
            "example.org:@PORT@ {\n whoami me\n}\n",
            "plugin/whoami",
        ),
        (
            "a zone twice",
            ".:@PORT@ {\n whoami\n}\n.:@PORT@ {\n whoami\n}\n",
            "already defined",
        ),
        (
            "a port that is taken",
            ".:@P2@ {\n whoami\n}\n.:@P1@ {\n bind 127.0.0.1\n whoami\n}\n",
            "already in use",
        ),
        (
            "an address of another machine",
            ".:@P2@ {\n bind 192.0.2.7\n whoami\n}\n",
            "192.0.2.7",
        ),
        (
            "an import that is not there",
            "example.org:@PORT@ {\n import nowhere\n}\n",
            "nowhere",
        ),
    ];
    for (number, (case, corefile, told)) in cases.iter().enumerate() {
        server.folder.write("Corefile", corefile);
        server.signal("USR1");
        server.wait_for_count("[ERROR] SIGUSR1: ", number + 1);
        assert!(
            server.count_of(told) > 0,
            "case {case}: {}",
            server.lines().join("\n")
        );
        assert_eq!(number_of(&server), 1, "case {case}");
    }
    let load = load.finish();
    assert_eq!(
        (load.answered, load.surplus, load.broken),
        (load.sent, 0, 0),
        "{load:?}"
    );
    assert_eq!(
        load.answers.keys().copied().collect::<Vec<_>>(),
        [(0, 1)],
        "{load:?}"
    );
    assert_eq!(server.count_of("Reloading complete"), 0);
    drop(taken);
    // The ports that a failed reload had opened are closed again, with the load's connections.
    eventually("the old number of descriptors", || {
        (server.descriptors() == descriptors).then_some(())
    });
    let refused = TcpStream::connect(server.folder.address_of(2)).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn the_reload_plugin_takes_over_a_change_of_an_imported_file() {
    let corefile = "example.org:@PORT@ {\n  reload 2s 0s\n  import parts/*.conf\n}\n";
    let folder = common::Folder::with(corefile);
    std::fs::create_dir(folder.path("parts")).expect("a folder");
    folder.write("parts/hosts.conf", "hosts {\n  192.0.2.1 www.example.org\n}\n");
    let server = folder.serve(&[]);
    assert_eq!(number_of(&server), 1);

    server
        .folder
        .write("parts/hosts.conf", "hosts {\n  192.0.2.2 www.example.org\n}\n");
    server.wait_for("[INFO] Reloading complete");
    assert_eq!(number_of(&server), 2);

    // What does not parse is told, and the next good file is taken over.
    server.folder.write("parts/hosts.conf", "import nowhere\n");
    server.wait_for("[WARNING] plugin/reload: Corefile parse failed: ");
    assert_eq!(number_of(&server), 2);
    server.folder.write("parts/more.conf", "whoami\n");
    server.folder.write(
        "parts/hosts.conf",
        "hosts {\n  192.0.2.4 www.example.org\n  fallthrough\n}\n",
    );
    server.wait_for_count("[INFO] Reloading complete", 2);
    assert_eq!(number_of(&server), 4);
    assert_eq!(
        server.ask("other.example.org. A").rcode().to_string(),
        "NOERROR",
        "the new file counts"
    );
}

#[test]
fn a_comment_or_other_blanks_are_no_change_to_the_reload_plugin() {
    let server = Catena::serve("example.org:@PORT@ {\n  reload 2s 0s\n  whoami\n}\n");
    server.folder.write(
        "Corefile",
        "example.org:@PORT@    {\n  reload 2s 0s # often\n\twhoami\n}\n",
    );
    server.wait_for("plugin/reload: Running configuration SHA512");
    // Later than two looks at the file; the next change shows that the plugin does look.
    std::thread::sleep(Duration::from_millis(4_100));
    assert_eq!(server.count_of("Reloading"), 0);
    server.folder.write(
        "Corefile",
        "example.org:@PORT@ {\n  reload 2s 0s\n  errors\n  whoami\n}\n",
    );
    server.wait_for("[INFO] Reloading complete");
    assert_eq!(
        server.count_of("[INFO] Reloading\n") + server.count_of("Reloading complete"),
        1
    );
}

/// Reloads so many times, in turn through the Corefiles that `hosts` with the numbers 1 to 3 make, with queries over UDP
/// and a kept TCP connection after each.
fn reload_in_turn(server: &Catena, kept: &mut Connection, corefiles: &[String; 3], count: usize) {
    for round in 1..=count {
        server.reload(&corefiles[round % 3]);
        let want = round % 3 + 1;
        assert_eq!(usize::from(number_of(server)), want);
        let answer = kept.send("www.example.org. A").receive();
        assert_eq!(answer.wire().last().copied().map(usize::from), Some(want));
    }
}

/// The number of descriptors, once it does not change any more: old sockets are closed behind the reload.
fn settled_descriptors(server: &Catena) -> usize {
    let mut last = 0;
    eventually("a steady number of descriptors", || {
        let now = server.descriptors();
        (std::mem::replace(&mut last, now) == now).then_some(now)
    })
}

#[test]
fn sixty_reloads_leave_no_memory_and_no_descriptor_behind() {
    let _alone = alone();
    // Each configuration has something to free: if ten of sixty stayed, the bound would be exceeded.
    let many: String = (0..2_000)
        .map(|number| format!("        10.0.0.1 host{number}.example.org\n"))
        .collect();
    let corefiles = [1, 2, 3].map(|number| hosts(number).replace("hosts {\n", &format!("hosts {{\n{many}")));
    let server = Catena::serve(&corefiles[0]);
    let mut kept = Connection::open(server.address());
    reload_in_turn(&server, &mut kept, &corefiles, 15);
    let (descriptors, rss) = (settled_descriptors(&server), server.rss_kib());
    reload_in_turn(&server, &mut kept, &corefiles, 60);
    let rss_after = server.rss_kib();
    println!("{descriptors} descriptors; memory {rss} KiB, then {rss_after} KiB");
    // Old sockets are closed a moment behind the reload.
    eventually("no more descriptors than before", || {
        (server.descriptors() <= descriptors).then_some(())
    });
    assert!(rss_after < rss + 4_096, "from {rss} KiB to {rss_after} KiB");
}

#[test]
fn sixty_reloads_that_move_a_port_leave_no_descriptor_behind_and_memory_for_a_few_sockets() {
    let _alone = alone();
    let corefiles =
        [1, 2, 3].map(|number| format!("{}.:@P{number}@ {{\n    reload\n    whoami\n}}\n", hosts(number)));
    let server = Catena::serve(&corefiles[0]);
    let mut kept = Connection::open(server.address());
    reload_in_turn(&server, &mut kept, &corefiles, 15);
    let (descriptors, rss) = (settled_descriptors(&server), server.rss_kib());
    reload_in_turn(&server, &mut kept, &corefiles, 60);
    let rss_after = server.rss_kib();
    println!("{descriptors} descriptors; memory {rss} KiB, then {rss_after} KiB");
    // Old sockets are closed a moment behind the reload.
    eventually("no more descriptors than before", || {
        (server.descriptors() <= descriptors).then_some(())
    });
    // A socket's buffers take 4 MiB of addresses; of sixty moves the allocator may keep those of a few.
    assert!(rss_after < rss + 24 * 1024, "from {rss} KiB to {rss_after} KiB");
}

#[test]
fn ports_come_and_go_and_what_was_asked_on_an_old_one_is_answered() {
    let server = Catena::serve(
        ".:@PORT@ {\n  whoami\n}\nslow.example:@P1@ {\n  erratic {\n    drop 0\n    delay 2 1s\n  }\n}\n",
    );
    let (old, new) = (server.folder.address_of(1), server.folder.address_of(2));
    // One query of two is held up, whichever comes first.
    let mut stream = Connection::open(old);
    stream
        .send("a.slow.example. A +id=1")
        .send("a.slow.example. A +id=2");
    assert_eq!(stream.receive().id(), 2);
    let socket = udp_client(old);
    for id in ["+id=3", "+id=4"] {
        socket
            .send(&Query::from(format!("a.slow.example. A {id}")).to_wire())
            .expect("send");
    }
    let mut answer = [0; 512];
    socket.recv(&mut answer).expect("the quick one");

    server.reload(".:@PORT@ {\n  whoami\n}\n.:@P2@ {\n  whoami\n}\n");
    assert_eq!(common::ask(new, "example.org. A").rcode().to_string(), "NOERROR");
    assert_eq!(
        common::ask(new, "example.org. A +tcp").rcode().to_string(),
        "NOERROR"
    );
    assert_eq!(
        stream.receive().id(),
        1,
        "the query under way over TCP is answered"
    );
    socket
        .recv(&mut answer)
        .expect("the query under way over UDP is answered");
    assert!(stream.assert_closed().is_empty());
    eventually("the old port is closed", || {
        TcpStream::connect(old).is_err().then_some(())
    });
    let client = udp_client(old);
    assert_eq!(
        exchange(&client, &Query::from("a.slow.example. A").to_wire(), PATIENCE),
        None
    );
    assert_eq!(client.take_error().ok().flatten().map(|error| error.kind()), None);

    server.reload(&hosts(9));
    assert_eq!(number_of(&server), 9);
    eventually("the second port is closed", || {
        TcpStream::connect(new).is_err().then_some(())
    });
}

#[test]
fn an_address_may_change_hands_between_wildcard_and_bind() {
    let server = Catena::serve(".:@PORT@ {\n  whoami\n}\n");
    for (case, corefile) in [
        ("to one address", ".:@PORT@ {\n  bind 127.0.0.1\n  whoami\n}\n"),
        (
            "to two addresses",
            ".:@PORT@ {\n  bind 127.0.0.1 127.0.0.2\n  whoami\n}\n",
        ),
        ("back to all", ".:@PORT@ {\n  whoami\n}\n"),
    ] {
        server.reload(corefile);
        for query in ["example.org. A", "example.org. A +tcp"] {
            assert_eq!(
                server.ask(query).rcode().to_string(),
                "NOERROR",
                "case {case}, {query}"
            );
        }
    }
}
