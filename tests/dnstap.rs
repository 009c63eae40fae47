//! What `dnstap` writes, read by programs that others wrote: Debian's `dnstap-ldns` (with `fstrm_capture` of the package
//! fstrm-bin, which writes down what comes), and `dnstap` of the package golang-github-dnstap-golang-dnstap-cli. Who is
//! not installed is left out by name.

mod common;

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use catena_testkit::{Upstream, eventually};
use common::{Catena, Folder, Process};

/// A line that each message has in both programs' YAML, and how often it must be there.
const LINES: &[(&str, usize)] = &[
    ("type: MESSAGE", 4),
    ("identity: ns1.example.org", 4),
    ("version: one of ours", 4),
    ("type: CLIENT_QUERY", 1),
    ("type: CLIENT_RESPONSE", 1),
    ("type: FORWARDER_QUERY", 1),
    ("type: FORWARDER_RESPONSE", 1),
    ("socket_family: INET", 4),
    ("socket_protocol: UDP", 4),
    ("query_address: 127.0.0.1", 4),
    ("query_time: ", 4),
    ("response_time: ", 2),
];

/// Whether a program is there; says so if it is not.
fn is_installed(program: &str) -> bool {
    let found = Path::new(program).exists();
    if !found {
        println!("left out: {program} is not installed");
    }
    found
}

/// Serves one query, forwarded, with a collector at `target`, until everything has been told.
fn serve_one(target: &str) {
    let upstream = Upstream::start("www.example.org. 300 IN A 192.0.2.1");
    let server = Catena::serve(&format!(
        ".:@PORT@ {{
    bind 127.0.0.1
    dnstap {target} full {{
        identity ns1.example.org
        version \"one of ours\"
    }}
    forward . {}
}}
",
        upstream.address()
    ));
    server.ask("www.example.org. A");
    // A stop sends what is left, and says that it is the end.
    assert_eq!(server.stop(), 0);
}

/// What is wrong with what a program shows of one query.
fn faults(shown: &str) -> Vec<String> {
    // Some put values between quotes and some do not.
    let shown = shown.replace('"', "");
    let lines = LINES.iter().filter_map(|(line, count)| {
        let found = shown.lines().filter(|shown| shown.contains(line)).count();
        (found != *count).then(|| format!("`{line}` stands there {found} times and not {count}"))
    });
    let mut faults: Vec<String> = lines.collect();
    // The messages themselves: four with the question, two with the record.
    for (text, least) in [("www.example.org.", 4), ("192.0.2.1", 2)] {
        let found = shown.matches(text).count();
        if found < least {
            faults.push(format!("`{text}` stands there {found} times"));
        }
    }
    faults
}

/// Waits until a program shows all that it should.
fn wait_for_all(mut show: impl FnMut() -> String) {
    let mut shown = String::new();
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        shown = show();
        if faults(&shown).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{}\nin\n{shown}", faults(&shown).join("\n"));
}

#[test]
fn debians_dnstap_ldns_reads_what_came_over_a_socket_of_the_machine() {
    const CAPTURE: &str = "/usr/bin/fstrm_capture";
    const READER: &str = "/usr/bin/dnstap-ldns";
    if !is_installed(CAPTURE) || !is_installed(READER) {
        return;
    }
    let folder = Folder::new();
    let args = [
        "-t",
        "protobuf:dnstap.Dnstap",
        "-u",
        "tap.sock",
        "-w",
        "tap.fstrm",
    ];
    let mut capture = Process::start(Path::new(CAPTURE), &folder.path("."), &args, &[], None);
    let socket = folder.path("tap.sock");
    eventually("the socket", || socket.exists().then_some(()));
    serve_one(socket.to_str().expect("a path"));
    // It writes down what it holds when it ends.
    capture.signal("TERM");
    capture.wait_exit();
    wait_for_all(|| {
        let mut reader = Command::new(READER);
        let output = reader.args(["-y", "-r"]).arg(folder.path("tap.fstrm")).output();
        String::from_utf8_lossy(&output.expect("the reader").stdout).into_owned()
    });
}

#[test]
fn the_program_dnstap_reads_what_comes_over_tcp_and_over_a_socket_of_the_machine() {
    const READER: &str = "/usr/bin/dnstap";
    if !is_installed(READER) {
        return;
    }
    for over_tcp in [true, false] {
        let folder = Folder::new();
        let address = folder.address_of(0).to_string();
        let socket = folder.path("tap.sock");
        let (listen, target) = if over_tcp {
            (["-l", &address], format!("tcp://{address}"))
        } else {
            (["-u", "tap.sock"], format!("unix://{}", socket.display()))
        };
        let args = [&listen[..], &["-y", "-w", "tap.yaml"]].concat();
        let _reader = Process::start(Path::new(READER), &folder.path("."), &args, &[], None);
        if over_tcp {
            // Whoever connects is a writer to it, also one that says nothing.
            eventually("the reader", || TcpStream::connect(&address).ok());
        } else {
            eventually("the reader", || socket.exists().then_some(()));
        }
        serve_one(&target);
        wait_for_all(|| std::fs::read_to_string(folder.path("tap.yaml")).unwrap_or_default());
    }
}
