//! `catena proxy`: started with nothing but its environment, it asks an upstream over TLS.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

mod common;

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;

use catena_core::message::{Rcode, Transport};
use catena_testkit::{Behaviour, Pki, Upstream};
use common::{BINARY, Catena, Folder};

const NAME: &str = "dns.example.org";
const ZONE: &str = "a.example.org. 60 IN A 192.0.2.1";
const ANSWER: [&str; 1] = ["a.example.org. 60 IN A 192.0.2.1"];

/// An upstream over TLS with a certificate for [`NAME`], 127.0.0.1 and localhost.
struct Upstreams {
    pki: Pki,
    upstream: Upstream,
}

impl Upstreams {
    fn start() -> Self {
        let pki = Pki::new("the upstream's authority");
        let tls = pki.identity(&[NAME, "127.0.0.1", "localhost"]).server(&[]);
        let upstream = Upstream::start_over(Transport::Tls, ZONE, Some(tls));
        Self { pki, upstream }
    }

    /// The environment of a proxy that asks it, with ports of the test's own.
    fn environment(&self) -> Folder {
        let address = self.upstream.address();
        Folder::new()
            .env("DNS_PROXY_UPSTREAM_SERVER", &address.ip().to_string())
            .env("DNS_PROXY_UPSTREAM_PORT", &address.port().to_string())
            .env("DNS_PROXY_UPSTREAM_CA", self.pki.ca().to_str().unwrap())
            .env("DNS_PROXY_LISTEN", "127.0.0.1:@PORT@")
            .env("DNS_PROXY_HEALTH", "127.0.0.1:@P1@")
            .env("DNS_PROXY_READY", "127.0.0.1:@P2@")
    }

    /// A proxy with these settings as well.
    fn proxy(&self, more: &[(&str, &str)]) -> Catena {
        let with = |folder: Folder, (name, value): &(&str, &str)| folder.env(name, value);
        more.iter().fold(self.environment(), with).serve(&["proxy"])
    }
}

#[test]
fn its_environment_is_enough() {
    let upstreams = Upstreams::start();
    let proxy = upstreams.proxy(&[
        ("DNS_PROXY_UPSTREAM_SERVERNAME", NAME),
        ("DNS_PROXY_METRICS", "127.0.0.1:@P3@"),
    ]);
    proxy.ask("a.example.org. A").assert_answer(ANSWER);
    let seen = upstreams.upstream.wait_for(1);
    assert_eq!(seen[0].transport(), Transport::Tls);
    // The second answer comes from the cache, over TCP too.
    assert_eq!(proxy.ask("a.example.org. A +tcp").answer().len(), 1);
    proxy.ask("none.example.org. A").assert_rcode(Rcode::NXDOMAIN);
    assert_eq!(upstreams.upstream.count(), 2);
    for number in 0..30 {
        proxy
            .ask(&format!("n{number}.example.org. A"))
            .assert_rcode(Rcode::NXDOMAIN);
    }
    let workers = std::thread::available_parallelism().unwrap().get();
    let connections = upstreams.upstream.sessions().len();
    assert!(
        connections <= workers,
        "{connections} for {workers} workers and 32 queries"
    );
    for (port, path) in [(1, "/health"), (2, "/ready")] {
        let reply = common::get(proxy.folder.address_of(port), path).unwrap();
        assert_eq!(reply, (200, "OK".to_owned()), "{path}");
    }
    let (_, metrics) = common::get(proxy.folder.address_of(3), "/metrics").unwrap();
    assert!(metrics.contains("coredns_cache_hits_total"), "{metrics}");
    assert_eq!(proxy.folder.run(&["probe"]).status, 0);
    assert_eq!(
        proxy.folder.run(&["probe", "http://127.0.0.1:@P2@/ready"]).status,
        0
    );
    let folder = upstreams.environment();
    let nobody = folder.run(&["probe"]);
    assert_eq!(nobody.status, 1);
    assert!(nobody.stderr.contains("Connection refused"), "{}", nobody.stderr);
    assert_eq!(proxy.stop(), 0);
}

#[test]
fn the_identity_is_that_of_the_name_or_the_address_and_of_a_trusted_authority() {
    let upstreams = Upstreams::start();
    let other = Pki::new("somebody else's authority");
    let ca = upstreams.pki.ca().to_str().unwrap();
    let others = other.ca().to_str().unwrap();
    for (case, settings, is_good, says) in [
        ("the address", &[][..], true, ""),
        (
            "the name",
            &[("DNS_PROXY_UPSTREAM_SERVERNAME", NAME)][..],
            true,
            "",
        ),
        (
            "a host name",
            &[("DNS_PROXY_UPSTREAM_SERVER", "localhost")],
            true,
            "",
        ),
        (
            "another name",
            &[("DNS_PROXY_UPSTREAM_SERVERNAME", "other.example.org")],
            false,
            "other.example.org",
        ),
        (
            "another authority",
            &[("DNS_PROXY_UPSTREAM_CA", others)],
            false,
            "authority",
        ),
        (
            "the system's authorities",
            &[("DNS_PROXY_UPSTREAM_CA", ""), ("SSL_CERT_FILE", ca)],
            true,
            "",
        ),
        (
            "other ones of the system",
            &[("DNS_PROXY_UPSTREAM_CA", ""), ("SSL_CERT_FILE", others)],
            false,
            "authority",
        ),
    ] {
        let proxy = upstreams.proxy(settings);
        let answer = proxy.ask("a.example.org. A");
        if is_good {
            answer.assert_answer(ANSWER);
        } else {
            answer.assert_rcode(Rcode::SERVFAIL);
            let line = proxy.wait_for("[ERROR] plugin/errors: 2 a.example.org. A: ");
            assert!(line.contains(says), "case {case}: {line}");
        }
    }
}

#[test]
fn an_upstream_that_fails_is_servfail_and_no_silence() {
    let upstreams = Upstreams::start();
    let proxy = upstreams.proxy(&[("DNS_PROXY_UPSTREAM_TIMEOUT", "200ms")]);
    upstreams.upstream.behave(Behaviour::silent());
    for query in ["a.example.org. A", "a.example.org. A +tcp"] {
        proxy.ask(query).assert_rcode(Rcode::SERVFAIL);
    }
    upstreams.upstream.stop();
    proxy.ask("b.example.org. A").assert_rcode(Rcode::SERVFAIL);
    upstreams.upstream.behave(Behaviour::honest());
    upstreams.upstream.revive();
    // What failed is remembered for a moment; another name is not.
    catena_testkit::eventually("the upstream to be back", || {
        let answer = proxy.ask("a.example.org. AAAA");
        (answer.rcode() == Rcode::NOERROR).then_some(())
    });
}

#[test]
fn what_does_not_fit_is_truncated_over_udp_and_whole_over_tcp() {
    let upstreams = Upstreams::start();
    let records: Vec<String> = (1..=100)
        .map(|octet| format!("many.example.org. 60 IN A 192.0.2.{octet}"))
        .collect();
    upstreams.upstream.set_zone(&records.join("\n"));
    let proxy = upstreams.proxy(&[]);
    let answer = proxy.ask("many.example.org. A");
    answer.assert_flags("rd ra tc");
    assert!(answer.answer().len() < 32, "{answer}");
    let answer = proxy.ask("many.example.org. A +tcp");
    assert!(!answer.to_string().contains(" tc"), "{answer}");
    assert_eq!(answer.answer().len(), 100);
}

#[test]
fn udp_and_tcp_can_be_left_away() {
    let upstreams = Upstreams::start();
    for (variable, query, udp, tcp) in [
        ("DNS_PROXY_ENABLE_TCP", "a.example.org. A", true, false),
        ("DNS_PROXY_ENABLE_UDP", "a.example.org. A +tcp", false, true),
    ] {
        let proxy = upstreams.proxy(&[(variable, "false")]);
        assert_eq!(proxy.ask(query).answer().len(), 1, "{variable}");
        let address = proxy.folder.address_of(0);
        assert_eq!(UdpSocket::bind(address).is_err(), udp, "{variable}");
        assert_eq!(TcpListener::bind(address).is_err(), tcp, "{variable}");
    }
}

#[test]
fn what_is_printed_is_what_is_served() {
    let upstreams = Upstreams::start();
    let folder = upstreams.environment().env("DNS_PROXY_ENABLE_TCP", "false");
    let printed = folder.run(&["proxy", "-print-corefile"]);
    assert_eq!((printed.status, printed.stderr.as_str()), (0, ""));
    folder.write("Corefile", &printed.stdout);
    let checked = folder.run(&["check"]);
    assert!(checked.stdout.contains("The Corefile is good."), "{checked:?}");
    let formatted = folder.run(&["fmt"]);
    assert_eq!(formatted.stdout, printed.stdout, "it is in canonical layout");
    let server = folder.serve(&[]);
    server.ask("a.example.org. A").assert_answer(ANSWER);
}

#[test]
fn mistakes_end_the_start_and_warnings_do_not() {
    let folder = Folder::new().env("DNS_PROXY_UPSTREAM_PORT", "https");
    let ended = folder.run(&["proxy"]);
    let want = "DNS_PROXY_UPSTREAM_PORT: got `https`, expected a port, 1 to 65535\n";
    assert_eq!((ended.status, ended.stderr.as_str()), (1, want));
    let ended = folder.run(&["proxy", "-conf", "x"]);
    assert_eq!(ended.status, 2);
    assert!(
        ended.stderr.starts_with("flag provided but not defined: -conf\n"),
        "{}",
        ended.stderr
    );
    let help = folder.run(&["proxy", "--help"]);
    assert_eq!(help.status, 0);
    for word in ["DNS_PROXY_UPSTREAM_TIMEOUT", "-upstream-timeout", "2000ms"] {
        assert!(help.stdout.contains(word), "{word}");
    }
    let warned = Folder::new()
        .env("DNS_PROXY_UPSTREM_PORT", "1")
        .run(&["proxy", "-print-corefile"]);
    assert_eq!(warned.status, 0);
    assert_eq!(
        warned.stderr,
        "[WARNING] DNS_PROXY_UPSTREM_PORT is no variable of this proxy; did you mean DNS_PROXY_UPSTREAM_PORT?\n"
    );
}

#[test]
fn the_readme_starts_it() {
    let text = page("README.md");
    let (_, start) = text.split_once("cargo run --release -- proxy").unwrap();
    let (words, _) = start.split_once('\n').unwrap();
    let words = words.replace("127.0.0.1:1053", "127.0.0.1:@PORT@");
    let words: Vec<&str> = std::iter::once("proxy").chain(words.split_whitespace()).collect();
    let upstreams = Upstreams::start();
    let proxy = upstreams.environment().env("DNS_PROXY_LISTEN", "").serve(&words);
    proxy.ask("a.example.org. A").assert_answer(ANSWER);
}

/// Stands before each block of commands: what they print, or that they are not run and why.
const RUN: &str = "<!-- run in tests";
const NOT_RUN: &str = "<!-- not run in tests: ";

/// The blocks of commands on a page with their marks: what is said behind "run in tests".
fn commands(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match before.strip_prefix(RUN) {
                Some(mark) => {
                    let mark = mark.trim_end_matches("-->").trim_start_matches(':').trim();
                    found.push((mark.to_owned(), block.join("\n")));
                }
                None => assert!(before.starts_with(NOT_RUN), "neither run nor said why: {block:?}"),
            }
        }
        before = line;
    }
    found
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Runs a line with the program under test in the path, and the ports of the page exchanged for a server's.
fn shell(folder: &Folder, text: &str) -> std::process::Output {
    let program = Path::new(BINARY).parent().unwrap().to_str().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("sh")
        .args([
            "-e",
            "-c",
            &folder.fill(&text.replace("-p 1053", "-p @PORT@").replace(":8181", ":@P2@")),
        ])
        .env("PATH", format!("{program}:{path}"))
        .env("DNS_PROXY_HEALTH", folder.fill("127.0.0.1:@P1@"))
        .output()
        .unwrap()
}

#[test]
fn the_commands_of_the_page_do_what_it_says() {
    for tool in ["curl", "dig"] {
        if Command::new(tool).arg("-h").output().is_err() {
            println!("not run: there is no {tool} on this machine");
            return;
        }
    }
    let text = page("docs/proxy.md");
    let (mut commands, upstreams) = (commands(&text), Upstreams::start());
    let (mark, start) = commands.remove(0);
    assert_eq!(mark, "as a server");
    let start = start.replace("127.0.0.1:1053", "127.0.0.1:@PORT@");
    let words: Vec<&str> = start.strip_prefix("catena ").unwrap().split(' ').collect();
    // The upstream and the endpoints are the test's own.
    let proxy = upstreams.environment().env("DNS_PROXY_LISTEN", "").serve(&words);
    for (mark, command) in &commands {
        let output = shell(&proxy.folder, command);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}\n{output:?}");
        if mark == "the Corefile below" {
            let (_, behind) = text.split_once("```corefile\n").unwrap();
            let (below, _) = behind.split_once("```").unwrap();
            assert_eq!(
                printed.replace(&proxy.folder.fill("127.0.0.1:@P1@"), ":8080"),
                below
            );
        } else {
            assert_eq!(printed.trim_end(), mark, "{command}");
        }
    }
    assert_eq!(commands.len(), 6);
    let settings = proxy.folder.run(&["proxy", "-help"]).stdout;
    let variables: Vec<&str> = settings
        .split_whitespace()
        .filter(|word| word.starts_with("DNS_PROXY_"))
        .collect();
    for variable in &variables {
        assert!(
            text.contains(&format!("| `{variable}` | `-")),
            "{variable} is not on the page"
        );
    }
    assert_eq!(variables.len(), text.matches("| `DNS_PROXY_").count());
    assert_eq!(
        self::commands(&page("deploy/README.md")),
        [],
        "what can be run there is run"
    );
}
