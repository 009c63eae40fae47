//! Clients that people use, and servers that forward to this one. What is not installed is left out by name.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catena_testkit::{Over, Query, eventually};

use crate::common::{Folder, Process, exchange, udp_client};
use crate::raw_http2::{DATA, END_HEADERS, END_STREAM, HEADERS, Http2, WINDOW_UPDATE, headers};
use crate::servers::{Served, block};

/// A zone whose name leads to this machine, where an HTTP server is.
fn serve() -> Served {
    Served::new(&block(
        "example.org",
        "    health 127.0.0.1:@P4@\n    hosts {\n        192.0.2.1 www.example.org\n        127.0.0.1 here.example.org\n    }",
    ))
}

/// Where a program is.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        println!("left out: {name} is not installed");
    }
    found
}

/// Runs a program to its end; what it needs to say so is in its output.
#[track_caller]
fn run(program: &Path, args: &[&str]) -> String {
    let Output {
        stdout,
        stderr,
        status,
    } = Command::new(program)
        .args(args)
        .output()
        .expect("the program runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(
        status.success(),
        "{program:?} {args:?}: {status}\n{stdout}\n{stderr}"
    );
    stdout.into_owned()
}

fn port(served: &Served, over: Over) -> String {
    served.address(over).port().to_string()
}

fn ca(served: &Served) -> String {
    served.authority().display().to_string()
}

#[test]
fn kdig_asks_over_tls_https_and_quic() {
    let Some(kdig) = program("kdig") else { return };
    let served = serve();
    let (tls, https, quic) = (
        port(&served, Over::Tls),
        port(&served, Over::Https),
        port(&served, Over::Quic),
    );
    let ca = format!("+tls-ca={}", ca(&served));
    let help = run(&kdig, &["-h"]);
    for (case, port, options) in [
        ("TLS", &tls, &["+tls"][..]),
        ("TLS, padded", &tls, &["+tls", "+padding"]),
        ("HTTPS", &https, &["+https=/dns-query"]),
        ("HTTPS with GET", &https, &["+https=/dns-query", "+https-get"]),
        ("QUIC", &quic, &["+quic"]),
    ] {
        if options[0] == "+quic" && !help.contains("+[no]quic") {
            println!("left out: kdig is built without QUIC");
            continue;
        }
        let fixed = ["@127.0.0.1", "-p", port, &ca, "+tls-hostname=dns.test", "+short"];
        let args = [
            &fixed[..],
            options,
            &["www.example.org", "A", "here.example.org", "A"],
        ]
        .concat();
        assert_eq!(run(&kdig, &args), "192.0.2.1\n127.0.0.1\n", "{case}");
    }
}

#[test]
fn dig_asks_over_tls_and_https() {
    let Some(dig) = program("dig") else { return };
    let served = serve();
    let (tls, https) = (port(&served, Over::Tls), port(&served, Over::Https));
    let ca = format!("+tls-ca={}", ca(&served));
    let help = run(&dig, &["-h"]);
    for (case, port, options) in [
        ("TLS", &tls, &["+tls"][..]),
        ("TLS, kept open", &tls, &["+tls", "+keepopen"]),
        ("HTTPS", &https, &["+https"]),
        ("HTTPS with GET", &https, &["+https-get"]),
    ] {
        if !help.contains("+[no]tls") {
            println!("left out: dig is too old for {case}");
            continue;
        }
        let fixed = ["@127.0.0.1", "-p", port, &ca, "+tls-hostname=dns.test", "+short"];
        let args = [
            &fixed[..],
            options,
            &["www.example.org", "A", "here.example.org", "A"],
        ]
        .concat();
        assert_eq!(run(&dig, &args), "192.0.2.1\n127.0.0.1\n", "{case}");
    }
}

#[test]
fn curl_resolves_by_https_and_posts_and_gets_messages() {
    let Some(curl) = program("curl") else { return };
    let served = serve();
    let (ca, port) = (ca(&served), port(&served, Over::Https));
    let url = format!("https://127.0.0.1:{port}/dns-query");
    let page = format!("http://here.example.org:{}/health", served.catena.folder.port(4));
    let body = run(
        &curl,
        &["-sS", "--noproxy", "*", "--cacert", &ca, "--doh-url", &url, &page],
    );
    assert_eq!(body, "OK");

    let wire = Query::from("www.example.org. A +id=0").to_wire();
    let folder = &served.catena.folder;
    std::fs::write(folder.path("query"), &wire).expect("a file");
    let (query, answer) = (
        format!("@{}", folder.path("query").display()),
        folder.path("answer").display().to_string(),
    );
    let get = format!("{url}?dns={}", URL_SAFE_NO_PAD.encode(&wire));
    for version in ["--http1.1", "--http2"] {
        let told = "%{http_version} %{http_code} %{content_type}";
        let fixed = [
            "-sS",
            "--noproxy",
            "*",
            "--cacert",
            &ca,
            version,
            "-o",
            &answer,
            "-w",
            told,
        ];
        let post = [
            "-H",
            "content-type: application/dns-message",
            "--data-binary",
            &query,
            &url,
        ];
        for (method, request) in [("POST", &post[..]), ("GET", &[get.as_str()])] {
            let told = run(&curl, &[&fixed, request].concat());
            let want = if version == "--http2" { "2" } else { "1.1" };
            assert_eq!(
                told,
                format!("{want} 200 application/dns-message"),
                "{method} {version}"
            );
            let answer = std::fs::read(&answer).expect("the answer");
            assert_eq!(
                answer.last_chunk::<4>(),
                Some(&[192, 0, 2, 1]),
                "{method} {version}"
            );
        }
    }
}

#[test]
fn dnsperf_and_h2load_are_answered_all() {
    let served = serve();
    let folder = &served.catena.folder;
    folder.write("queries", &"www.example.org A\nhere.example.org A\n".repeat(500));
    let queries = folder.path("queries").display().to_string();
    if let Some(dnsperf) = program("dnsperf") {
        for (mode, over, options) in [
            ("dot", Over::Tls, &[][..]),
            ("doh", Over::Https, &["-O", "doh-method=GET"]),
            ("doh", Over::Https, &["-O", "doh-method=POST"]),
        ] {
            let port = port(&served, over);
            let fixed = [
                "-m",
                mode,
                "-s",
                "127.0.0.1",
                "-p",
                &port,
                "-d",
                &queries,
                "-n",
                "2",
                "-c",
                "4",
                "-t",
                "30",
            ];
            let uri = ["-O", "doh-uri=https://dns.test/dns-query"];
            let text = run(&dnsperf, &[&fixed[..], &uri, options].concat());
            assert!(
                text.contains("Queries completed:    2000 (100.00%)"),
                "{mode} {options:?}:\n{text}"
            );
            assert!(
                text.contains("NOERROR 2000 (100.00%)"),
                "{mode} {options:?}:\n{text}"
            );
        }
    }
    if let Some(h2load) = program("h2load") {
        let wire = Query::from("www.example.org. A +id=0").to_wire();
        let url = format!(
            "https://127.0.0.1:{}/dns-query?dns={}",
            port(&served, Over::Https),
            URL_SAFE_NO_PAD.encode(wire)
        );
        let text = run(&h2load, &["-n", "2000", "-c", "4", "-m", "20", &url]);
        assert!(text.contains("2000 succeeded, 0 failed"), "{text}");
        assert!(text.contains("status codes: 2000 2xx"), "{text}");
    }
}

/// HTTP/2 as browsers speak it: their settings, priorities and headers.
#[test]
fn requests_of_browsers_are_answered() {
    const PRIORITY: u8 = 2;
    const WITH_PRIORITY: u8 = 0x20;
    let folder = Folder::with(
        "https://example.org:@PORT@ {\n    hosts {\n        192.0.2.1 www.example.org\n    }\n}\n",
    );
    let catena = folder.serve(&[]);
    // Both pad their queries (RFC 8467) and have the id 0.
    let padded = Query::new("www.example.org.", "A")
        .id(0)
        .with(|message| message.edns(4096, false).option(12, &[0; 80]))
        .to_wire();
    let length = padded.len().to_string();
    let path = format!("/dns-query?dns={}", URL_SAFE_NO_PAD.encode(&padded));
    let get = [
        (":method", "GET"),
        (":authority", "dns.test"),
        (":scheme", "https"),
        (":path", path.as_str()),
        ("accept", "application/dns-message"),
        ("accept-language", "*"),
        ("user-agent", "Chrome"),
        ("accept-encoding", "identity"),
    ];
    let post = [
        (":method", "POST"),
        (":path", "/dns-query"),
        (":authority", "dns.test"),
        (":scheme", "https"),
        ("accept", "application/dns-message"),
        ("accept-encoding", ""),
        ("content-type", "application/dns-message"),
        ("content-length", length.as_str()),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-site", "cross-site"),
        ("priority", "u=4"),
        ("pragma", "no-cache"),
        ("cache-control", "no-cache"),
        ("te", "trailers"),
    ];
    let chromium = [(1, 65_536), (2, 0), (4, 6_291_456), (6, 262_144)];
    let firefox = [(1, 65_536), (2, 0), (4, 131_072), (5, 16_384)];
    for (case, settings, window, request, stream) in [
        ("Chromium, GET", chromium, 15_663_105_u32, &get[..], 1),
        ("Chromium, POST", chromium, 15_663_105, &post[..], 1),
        ("Firefox, GET", firefox, 12_517_377, &get[..], 15),
        ("Firefox, POST", firefox, 12_517_377, &post[..], 15),
    ] {
        let mut client = Http2::open(catena.address(), &settings);
        client.send(WINDOW_UPDATE, 0, 0, &window.to_be_bytes());
        if case.starts_with("Firefox") {
            // The groups that its requests depend on, which are streams that are never opened.
            for group in [3_u32, 5, 7, 9, 11, 13] {
                client.send(PRIORITY, 0, group, &[0, 0, 0, 0, 200]);
            }
        }
        let block = [&[0x80, 0, 0, 0, 255][..], &headers(request)].concat();
        let is_post = case.ends_with("POST");
        let end = if is_post { 0 } else { END_STREAM };
        assert!(client.send(HEADERS, END_HEADERS | WITH_PRIORITY | end, stream, &block));
        if is_post {
            client.send(DATA, END_STREAM, stream, &padded);
        }
        let mut answer = Vec::new();
        loop {
            let frame = client.receive().unwrap_or_else(|| panic!("{case}: no answer"));
            match frame.kind {
                DATA => answer.extend_from_slice(&frame.payload),
                // `:status: 200` is the eighth entry of the table that both know.
                HEADERS => assert_eq!(frame.payload[0], 0x88, "{case}"),
                other => panic!("{case}: a frame of kind {other}"),
            }
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
        let answer = catena_testkit::Answer::from_wire(answer).expect("a well-formed answer");
        assert_eq!(answer.id(), 0, "{case}");
        answer.assert_answer(["www.example.org. A 192.0.2.1"]);
    }
}

/// Starts a server that forwards to this one over TLS, and asks it.
fn forwards(name: &str, args: &[&str], file: &str, text: &str) {
    let Some(program) = program(name) else { return };
    let served = serve();
    let folder = Folder::new();
    let fill = |text: &str| {
        text.replace("@TLS@", &port(&served, Over::Tls))
            .replace("@CA@", &ca(&served))
            .replace("@DIR@", &folder.path("").display().to_string())
    };
    folder.write(file, &fill(text));
    let args: Vec<String> = args.iter().map(|arg| folder.fill(&fill(arg))).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let process = Process::start(&program, &folder.path(""), &args, &[], None);
    let socket = udp_client(folder.address_of(0));
    let mut id = 1;
    let answer = eventually(
        &format!("an answer of {name}\n{}", process.lines().join("\n")),
        || {
            id += 1;
            let query = Query::from(format!("www.example.org. A +id={id}")).to_wire();
            let answer = exchange(&socket, &query, Duration::from_secs(2))?;
            (answer[3] & 0xf == 0 && answer[7] > 0).then_some(answer)
        },
    );
    let answer = catena_testkit::Answer::from_wire(answer).expect("a well-formed answer");
    answer.assert_answer(["www.example.org. A 192.0.2.1"]);
    // Many, so that it uses its connections again.
    for number in 0..200_u16 {
        let query = Query::from(format!("www.example.org. A +id={}", 1_000 + number)).to_wire();
        assert!(
            exchange(&socket, &query, Duration::from_secs(10)).is_some(),
            "{name}, {number}"
        );
    }
}

#[test]
fn unbound_forwards_over_tls() {
    let text = "server:
  interface: 127.0.0.1@@PORT@
  do-daemonize: no
  username: \"\"
  chroot: \"\"
  directory: \"@DIR@\"
  pidfile: \"\"
  use-syslog: no
  do-not-query-localhost: no
  module-config: \"iterator\"
  cache-max-ttl: 0
  tls-cert-bundle: \"@CA@\"
remote-control:
  control-enable: no
forward-zone:
  name: \".\"
  forward-tls-upstream: yes
  forward-addr: 127.0.0.1@@TLS@#dns.test
";
    forwards("unbound", &["-d", "-c", "unbound.conf"], "unbound.conf", text);
}

#[test]
fn knot_resolver_forwards_over_tls() {
    let text = "net.listen('127.0.0.1', @PORT@, { kind = 'dns' })
trust_anchors.remove('.')
cache.size = 10 * MB
policy.add(policy.all(policy.FLAGS('NO_CACHE')))
policy.add(policy.all(policy.TLS_FORWARD({{'127.0.0.1@@TLS@', hostname='dns.test', ca_file='@CA@'}})))
";
    forwards(
        "kresd",
        &["-n", "-c", "@DIR@/kresd.conf", "@DIR@"],
        "kresd.conf",
        text,
    );
}

#[test]
fn dnsdist_forwards_over_tls() {
    let text = "setLocal('127.0.0.1:@PORT@')
setSecurityPollSuffix('')
newServer({address='127.0.0.1:@TLS@', tls='openssl', caStore='@CA@', subjectName='dns.test', checkName='www.example.org.'})
";
    forwards(
        "dnsdist",
        &["-C", "dnsdist.conf", "--supervised", "--disable-syslog"],
        "dnsdist.conf",
        text,
    );
}
