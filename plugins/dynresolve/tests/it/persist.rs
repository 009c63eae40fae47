//! The file with the state.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use catena_testkit::{TestServer, eventually};
use serde_json::Value;

use crate::http::Http;
use crate::{PLUGINS, corefile, serve};

const KEPT: &str = "api rate-limit 100000\n api persist state.json";

fn read(path: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

/// A server whose state is in a file of the test's.
fn serve_in(folder: &Path) -> TestServer {
    serve(
        &KEPT.replace("state.json", &folder.join("state.json").to_string_lossy()),
        "",
    )
}

#[test]
fn writes_are_soon_in_the_file_which_has_the_form_of_a_state() {
    let server = serve(KEPT, "");
    let http = Http::of(&server);
    let path = server.path("state.json");
    assert!(!path.exists(), "nothing was written yet");
    http.put("/v1/services/a", r#"{"type":"A","records":["10.0.0.1"],"ttl":7}"#)
        .expect(200);
    http.put("/v1/services/b", r#"{"type":"A","records":["10.0.0.2"]}"#)
        .expect(200);
    let state = eventually("both services in the file", || {
        read(&path).filter(|state| state["services"]["b"].is_object())
    });
    assert_eq!(state["version"], 1);
    assert_eq!(
        state["services"].to_string(),
        r#"{"a":{"records":["10.0.0.1"],"ttl":7,"type":"A"},"b":{"records":["10.0.0.2"],"ttl":0,"type":"A"}}"#
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        names.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")),
        "{names:?}"
    );
    // What is in the file is what the API takes.
    http.put("/v1/state", &fs::read_to_string(&path).unwrap())
        .expect(200);
    server.wait_for_metric(
        "coredns_dynresolve_persist_duration_seconds_count",
        &[("zone", "service.local.")],
        1.0,
    );
    assert!(
        server
            .metrics()
            .value("coredns_dynresolve_persist_timestamp_seconds", &[])
            .unwrap()
            > 1e9
    );
}

#[test]
fn a_restart_restores_the_services_and_the_serial_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let serial = |server: &TestServer| {
        let soa = server.ask("service.local. SOA").answer()[0].to_string();
        let words: Vec<&str> = soa.split_whitespace().collect();
        words[words.len() - 5].parse::<u32>().unwrap()
    };
    let server = serve_in(folder.path());
    let http = Http::of(&server);
    for number in 0..30 {
        http.register(&format!("n{number}.deep"), &[1, 2]);
    }
    http.put(
        "/v1/services/own",
        r#"{"type":"A","records":["192.0.2.9"],"ttl":77}"#,
    )
    .expect(200);
    let before = serial(&server);
    // A stop writes what is missing yet.
    assert_eq!(server.stop().0, 0);
    let server = serve_in(folder.path());
    server
        .ask("own.service.local. A")
        .assert_answer(["own.service.local. 77 A 192.0.2.9"]);
    assert_eq!(server.ask("n29.deep.service.local. A").answer().len(), 2);
    assert!(serial(&server) > before, "{} behind {before}", serial(&server));
}

#[test]
fn a_stop_comes_behind_the_last_write() {
    let folder = tempfile::tempdir().unwrap();
    for octet in 1..=10 {
        let server = serve_in(folder.path());
        Http::of(&server).register("a", &[octet]);
        server.stop();
        let state = read(&folder.path().join("state.json")).unwrap();
        assert_eq!(state["services"]["a"]["records"][0], format!("192.0.2.{octet}"));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_kept_under_another_name() {
    for (case, content) in [
        ("no JSON", "nonsense"),
        ("half", r#"{"version":1,"services":{"a":{"type":"A","rec"#),
        ("empty", ""),
        ("another version", r#"{"version":2,"services":{}}"#),
        (
            "a bad record",
            r#"{"version":1,"services":{"a":{"type":"A","records":["x"]}}}"#,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, content).unwrap();
        let server = serve_in(folder.path());
        let line = server.logs().wait_for("Cannot read the state");
        let names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path().to_string_lossy().into_owned())
            .collect();
        let [aside] = &names[..] else {
            panic!("case {case}: {names:?}")
        };
        assert!(aside.contains("state.json.unreadable-"), "case {case}: {aside}");
        assert!(
            line.contains(&format!("in {}, which is kept as {aside}: ", path.display())),
            "case {case}: {line}"
        );
        assert_eq!(fs::read_to_string(aside).unwrap(), content, "case {case}");
        Http::of(&server).register("a", &[1]);
        eventually("a new file", || read(&path));
    }
}

#[test]
fn what_is_no_file_is_put_aside_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("state.json")).unwrap();
    let server = serve_in(folder.path());
    server.logs().wait_for("not a file");
    Http::of(&server).register("a", &[1]);
    eventually("a new file", || read(&folder.path().join("state.json")));
}

#[test]
fn a_disk_that_refuses_is_logged_counted_and_tried_again_and_the_api_answers() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("below");
    let server = serve_in(&below);
    let http = Http::of(&server);
    http.register("a", &[1]);
    server
        .ask("a.service.local. A")
        .assert_answer(["a.service.local. 5 A 192.0.2.1"]);
    server.logs().wait_for("Cannot write the state to ");
    server.wait_for_metric(
        "coredns_dynresolve_persist_errors_total",
        &[("zone", "service.local.")],
        1.0,
    );
    http.register("b", &[1]);
    fs::create_dir(&below).unwrap();
    let state = eventually("the state", || read(&below.join("state.json")));
    assert_eq!(state["services"].as_object().unwrap().len(), 2);
}

#[test]
fn a_reload_that_names_a_file_writes_the_state_there() {
    let server = serve("api rate-limit 1000", "");
    Http::of(&server).register("a", &[1]);
    server.reload(&corefile(KEPT, "")).unwrap();
    let path = server.path("state.json");
    eventually("the state", || {
        read(&path).filter(|state| state["services"]["a"].is_object())
    });
    // What serves counts, not what an older file says.
    server.write(
        "other.json",
        r#"{"version":1,"services":{"old":{"type":"A","records":["10.0.0.1"]}}}"#,
    );
    server
        .reload(&corefile(&KEPT.replace("state.json", "other.json"), ""))
        .unwrap();
    let other = server.path("other.json");
    eventually("the state", || {
        read(&other).filter(|state| state["services"]["a"].is_object())
    });
    Http::of(&server).get("/v1/services/old").expect(404);
}

/// Names the folder in which the process that is killed keeps its state.
const CHILD: &str = "DYNRESOLVE_TEST_FOLDER";

/// Services of the state that is written over and over.
const NAMES: usize = 200;

/// Not a test by itself: the server that the next one kills.
#[test]
fn a_server_to_be_killed() {
    let Some(folder) = std::env::var_os(CHILD) else {
        return;
    };
    let server = TestServer::builder(
        PLUGINS,
        &corefile(KEPT, "").replace(
            "state.json",
            &Path::new(&folder).join("state.json").to_string_lossy(),
        ),
    )
    .start();
    println!("\nlistens on {}", server.port_of(1));
    // Until the parent is gone or kills.
    let _ = std::io::stdin().lines().count();
}

fn child(folder: &Path) -> (Child, Http) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "persist::a_server_to_be_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("listens on ")?.parse().ok());
    (child, Http::on(port.expect("the server's port")))
}

fn state_of(generation: usize) -> String {
    let record = format!("10.0.{}.{}", generation / 256, generation % 256);
    let services: Vec<String> = (0..NAMES)
        .map(|number| format!("\"n{number}\":{{\"type\":\"A\",\"records\":[\"{record}\"]}}"))
        .collect();
    format!("{{\"services\":{{{}}}}}", services.join(","))
}

/// The one generation that all services are of.
fn generation(services: &Value) -> usize {
    let services = services.as_object().expect("services");
    assert_eq!(services.len(), NAMES);
    let records: std::collections::HashSet<String> = services
        .values()
        .map(|service| service["records"][0].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(records.len(), 1, "the states are mixed: {records:?}");
    let record = records.into_iter().next().unwrap();
    let octets: Vec<usize> = record.split('.').map(|octet| octet.parse().unwrap()).collect();
    octets[2] * 256 + octets[3]
}

/// Puts one generation behind the other until the server is gone; says which one was the last to be answered.
fn storm(http: &Http, first: usize, answered: &AtomicUsize) -> usize {
    for generation in first.. {
        let body = state_of(generation);
        match http.try_send("PUT", "/v1/state", body.as_bytes()) {
            Some(reply) => reply.expect(200),
            None => return generation,
        };
        answered.store(generation, Ordering::SeqCst);
    }
    unreachable!("the server is killed")
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let (mut sent, mut kept) = (0, 0);
    for round in 0..50 {
        let (mut child, http) = child(folder.path());
        if round > 0 {
            let all: Value = serde_json::from_str(&http.get("/v1/services").expect(200).body).unwrap();
            assert_eq!(generation(&all["services"]), kept, "round {round}");
        }
        let first = sent + 1;
        let answered = AtomicUsize::new(sent);
        std::thread::scope(|scope| {
            let storm = scope.spawn(|| storm(&http, first, &answered));
            // Each round ends at another point, while writes come in and the file is written.
            let enough = first + (round * 7) % 23;
            eventually("enough writes", || {
                let file = round > 0 || path.exists();
                (file && answered.load(Ordering::SeqCst) >= enough).then_some(())
            });
            child.kill().unwrap();
            sent = storm.join().unwrap();
        });
        child.wait().unwrap();
        let state = read(&path).expect("a whole file");
        let found = generation(&state["services"]);
        assert!(
            found == kept || (first..=sent).contains(&found),
            "round {round}: {found} is neither {kept} nor {first} to {sent}"
        );
        kept = found;
    }
    assert!(kept > 0);
}
