//! The pages in a whole server.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use catena_http::testing::{get, request};
use catena_plugin_pprof::PLUGIN;
use catena_testkit::{RECORDS, TestServer};

fn address(server: &TestServer, number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.port_of(number)))
}

/// The process has one place for profiles, and these tests are one process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(options: &str) -> TestServer {
    TestServer::start(
        [PLUGIN, RECORDS],
        &format!(".:@PORT@ {{\n pprof 127.0.0.1:@P1@ {options}\n records\n}}"),
    )
}

#[test]
fn the_index_leads_to_pages_that_are_there() {
    let _alone = alone();
    let server = start("{\n block\n }");
    let at = address(&server, 1);
    let index = get(at, "/debug/pprof/").unwrap();
    assert_eq!(
        (index.status, index.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let names: Vec<&str> = index
        .body
        .split("<a href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(
        names,
        [
            "allocs",
            "block",
            "cmdline",
            "goroutine",
            "heap",
            "mutex",
            "profile",
            "symbol",
            "threadcreate",
            "trace"
        ]
    );
    for (page, status) in [
        ("allocs", 501),
        ("block", 200),
        ("block?debug=1", 200),
        ("cmdline", 200),
        ("goroutine", 200),
        ("goroutine?debug=2", 200),
        ("heap", 200),
        ("mutex", 501),
        ("profile?seconds=1", 200),
        ("symbol", 200),
        ("threadcreate?debug=0", 200),
        ("trace", 501),
        ("nothing", 404),
        ("heap/", 404),
    ] {
        let answer = get(at, &format!("/debug/pprof/{page}")).unwrap();
        assert_eq!(answer.status, status, "{page}: {}", answer.body);
        assert!(!answer.body.is_empty(), "{page}");
    }
    assert_eq!(get(at, "/debug/pprofx").unwrap().status, 404);
    assert_eq!(get(at, "/").unwrap().status, 404);
}

#[test]
fn the_bare_path_leads_to_the_index() {
    let server = start("");
    let at = address(&server, 1);
    for (method, body) in [
        ("GET", "<a href=\"/debug/pprof/\">Found</a>.\n\n"),
        ("HEAD", ""),
        ("POST", ""),
    ] {
        let answer = request(at, method, "/debug/pprof", &[]).unwrap();
        assert_eq!(
            (answer.status, answer.header("location"), answer.body.as_str()),
            (302, Some("/debug/pprof/"), body),
            "{method}"
        );
    }
}

#[test]
fn what_cannot_be_had_is_told_with_what_to_do() {
    let server = start("");
    let at = address(&server, 1);
    for (page, want) in [
        ("allocs", "`heap` shows the memory in use"),
        ("block", "Write `block` into the block of `pprof`"),
        ("mutex", "`block` shows how long each thread waited"),
        ("trace", "`profile` shows where processor time goes"),
    ] {
        let answer = get(at, &format!("/debug/pprof/{page}")).unwrap();
        assert_eq!(answer.status, 501, "{page}");
        assert!(answer.body.contains(want), "{page}: {}", answer.body);
    }
}

#[test]
fn profiles_are_downloads() {
    let server = start("");
    let answer = get(address(&server, 1), "/debug/pprof/threadcreate").unwrap();
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(
        answer.header("content-disposition"),
        Some("attachment; filename=\"threadcreate\"")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn one_profile_at_a_time_and_none_that_takes_too_long() {
    let _alone = alone();
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        "example.org:@PORT@ {\n pprof 127.0.0.1:@P1@\n records\n}\n\
         example.net:@PORT@ {\n pprof 127.0.0.1:@P2@\n records\n}",
    );
    let (first, second) = (address(&server, 1), address(&server, 2));
    let long = get(first, "/debug/pprof/profile?seconds=301").unwrap();
    assert_eq!(
        (long.status, long.body.as_str()),
        (400, "a profile takes at most 300 seconds\n")
    );
    std::thread::scope(|scope| {
        // One that comes while the memory is looked at is refused itself.
        let taking = scope.spawn(|| {
            catena_testkit::eventually("a profile", || {
                (get(first, "/debug/pprof/profile?seconds=2").unwrap().status == 200).then_some(())
            });
        });
        catena_testkit::eventually("a refusal", || {
            (get(second, "/debug/pprof/heap").unwrap().status == 503).then_some(())
        });
        taking.join().unwrap();
    });
    assert_eq!(get(second, "/debug/pprof/heap").unwrap().status, 200);
    let metrics = server.metrics();
    let counted = |name, labels: &[(&str, &str)]| metrics.value(name, labels).unwrap_or_default();
    assert_eq!(
        counted("catena_pprof_profiles_total", &[("profile", "profile")]),
        1.0
    );
    assert!(counted("catena_pprof_profiles_total", &[("profile", "heap")]) >= 1.0);
    assert!(counted("catena_pprof_refused_total", &[("reason", "busy")]) >= 1.0);
    assert_eq!(
        counted("catena_pprof_refused_total", &[("reason", "seconds")]),
        1.0
    );
}

#[test]
fn who_goes_away_leaves_the_place_to_others() {
    let _alone = alone();
    let server = start("");
    let at = address(&server, 1);
    let leaving = catena_testkit::eventually("a profile under way", || {
        let mut stream = TcpStream::connect(at).unwrap();
        let request = b"GET /debug/pprof/profile?seconds=300 HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(request).unwrap();
        // It may have come while the memory was looked at.
        (get(at, "/debug/pprof/heap").unwrap().status == 503).then_some(stream)
    });
    drop(leaving);
    catena_testkit::eventually("a free place", || {
        (get(at, "/debug/pprof/heap").unwrap().status == 200).then_some(())
    });
    assert_eq!(get(at, "/debug/pprof/profile?seconds=1").unwrap().status, 200);
}

#[test]
fn a_port_in_use_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let error = TestServer::builder(
        [PLUGIN, RECORDS],
        &format!(".:@PORT@ {{\n pprof {at}\n records\n}}"),
    )
    .try_start()
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("listen tcp {at}: bind: address already in use")
    );
}

#[test]
fn a_reload_keeps_the_address() {
    let server = start("");
    let at = address(&server, 1);
    assert_eq!(get(at, "/debug/pprof/block").unwrap().status, 501);
    server
        .reload(".:@PORT@ {\n pprof 127.0.0.1:@P1@ {\n block\n }\n records\n}")
        .unwrap();
    assert_eq!(get(at, "/debug/pprof/block").unwrap().status, 200);
}

#[test]
fn a_rate_of_blocking_that_says_nothing_is_told() {
    let server = start("{\n block 1000\n }");
    server.logs().wait_for(
        "[WARNING] plugin/pprof: `block 1000`: the system counts each time that a thread is blocked",
    );
}
