//! What an operator's tools see of a production Corefile: dashboards, alerts, a real Prometheus.

mod common;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use catena_testkit::{Behaviour, Upstream, eventually};
use common::{BINARY, Catena, Folder, Load, Process, SOURCES, alone, exchange, get, samples, udp_client};

/// A production Corefile, with a second zone whose upstream is `dead`. Port 1 has the metrics.
fn production(upstream: SocketAddr, dead: SocketAddr) -> String {
    format!(
        ".:@PORT@ {{
    errors
    log
    health 127.0.0.1:@P2@
    ready 127.0.0.1:@P3@
    prometheus 127.0.0.1:@P1@
    cache 30
    forward . {upstream}
    loop
    reload
    loadbalance
}}
dead.example:@PORT@ {{
    errors
    prometheus 127.0.0.1:@P1@
    forward . {dead} {{
        max_fails 1
        health_check 500ms
        failfast_all_unhealthy_upstreams
    }}
}}
"
    )
}

struct Production {
    server: Catena,
    /// Held as long as the server: it answers, and the other one's port is closed.
    _upstreams: [Upstream; 2],
}

impl Production {
    fn start() -> Self {
        let upstream = Upstream::start(
            "example.org. 300 IN SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 60
            www.example.org. 300 IN A 192.0.2.1",
        );
        let dead = Upstream::start("");
        let corefile = production(upstream.address(), dead.address());
        dead.stop();
        Self {
            server: Catena::serve(&corefile),
            _upstreams: [upstream, dead],
        }
    }

    fn endpoint(&self) -> SocketAddr {
        self.server.folder.address_of(1)
    }

    /// What a day brings, in short: hits, denials, failures, both protocols, DO.
    fn live(&self) {
        for _ in 0..2 {
            for query in [
                "www.example.org. A",
                "www.example.org. A +tcp",
                "www.example.org. A +do",
                "www.example.org. AAAA",
                "nowhere.example.org. A",
            ] {
                self.server.ask(query);
            }
        }
        let [upstream, _] = &self._upstreams;
        upstream.behave(Behaviour::honest().rcode("SERVFAIL"));
        self.server.ask("failing.example.org. A");
        upstream.behave(Behaviour::honest());
        self.server.ask("www.dead.example. A");
    }
}

#[test]
fn dashboards_and_alerts_made_for_coredns_find_every_series() {
    let production = Production::start();
    production.live();
    let mut bad = Vec::new();
    // Health checks of the dead upstream fail in their own time.
    let all = || {
        production.server.ask("www.dead.example. A");
        let (status, text) = get(production.endpoint(), "/metrics").expect("the endpoint");
        assert_eq!(status, 200);
        let samples = samples(&text);
        bad.clear();
        for (source, panels) in SOURCES {
            for panel in panels.iter().filter(|panel| panel.is_missing(&samples)) {
                bad.push(format!("{source}: {panel:?}"));
            }
        }
        bad.is_empty()
    };
    if !try_until(all) {
        panic!("no series for\n{}", bad.join("\n"));
    }
    assert_eq!(production.server.stop(), 0);
}

/// Tries until it holds, or for half a minute.
fn try_until(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_metric_has_help_and_type_and_names_that_prometheus_takes() {
    let production = Production::start();
    production.live();
    let (_, text) = get(production.endpoint(), "/metrics").expect("the endpoint");
    let mut types = BTreeMap::new();
    let mut helped = Vec::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect(line);
            assert!(help.len() > 3, "{line}");
            helped.push(name.to_owned());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let before = types.insert(name.to_owned(), kind.to_owned());
            assert_eq!(before, None, "{name} has its type twice");
        }
    }
    assert_eq!(helped, types.keys().cloned().collect::<Vec<_>>(), "in order");
    for (name, labels) in samples(&text) {
        let family = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|end| name.strip_suffix(end).filter(|name| types.contains_key(*name)))
            .unwrap_or(&name);
        let kind = types.get(family).unwrap_or_else(|| panic!("{name} has no type"));
        let is_ours = ["coredns_", "catena_", "process_"]
            .iter()
            .any(|start| name.starts_with(start));
        assert!(is_ours, "{name}");
        if kind == "counter" {
            assert!(family.ends_with("_total"), "{name} is a counter");
        }
        for label in labels.keys() {
            let is_word = label.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(is_word, "{name} has the label {label}");
        }
    }
    assert_eq!(production.server.stop(), 0);
}

/// Scrapes without a pause while reloads come one after the other: none of them finds the endpoint closed, or numbers
/// lower than before.
#[test]
fn the_endpoint_lives_through_reloads_without_a_gap() {
    const RELOADS: usize = 15;
    let _alone = alone();
    let corefile = |ttl: u8| {
        format!(
            ".:@PORT@ {{
    prometheus 127.0.0.1:@P1@
    cache {ttl}
    whoami
}}
"
        )
    };
    let server = Catena::serve(&corefile(10));
    let endpoint = server.folder.address_of(1);
    let done = std::sync::atomic::AtomicBool::new(false);
    let load = Load::start(server.address(), "www.example.org.", 500);
    let scrapes = std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let (mut scrapes, mut highest) = (0, 0.0);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let (status, text) = get(endpoint, "/metrics").expect("the endpoint answers");
                assert_eq!(status, 200, "{text}");
                let requests: f64 = text
                    .lines()
                    .filter(|line| line.starts_with("coredns_dns_requests_total{"))
                    .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                    .sum();
                assert!(requests >= highest, "{requests} after {highest}");
                highest = requests;
                scrapes += 1;
            }
            scrapes
        });
        for reload in 0..RELOADS {
            server.reload(&corefile(10 + reload as u8 % 2));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        scraper.join().expect("the scraper")
    });
    let load = load.finish();
    assert!(scrapes > RELOADS, "{scrapes} scrapes");
    assert_eq!(
        (load.answered, load.surplus, load.broken),
        (load.sent, 0, 0),
        "{load:?}"
    );
    assert_eq!(server.stop(), 0);
}

/// With `log` on and a pipe that nobody reads, queries go on, lost lines are counted, and a stop is a stop.
#[test]
fn a_log_that_nobody_reads_holds_no_query_up_and_its_lost_lines_are_counted() {
    let _alone = alone();
    let folder = Folder::with(
        ".:@PORT@ {
    log
    prometheus 127.0.0.1:@P1@
    whoami
}
",
    );
    let mut server = Command::new(BINARY)
        .current_dir(folder.path("."))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    // From here on nobody reads, and nobody closes it either.
    let mut pipe = server.stdout.take().expect("a pipe");
    let mut first = [0; 1];
    pipe.read_exact(&mut first).expect("a first byte of the log");
    let address = folder.address_of(0);
    let lost = || {
        let (_, text) = get(folder.address_of(1), "/metrics").ok()?;
        let line = text
            .lines()
            .find(|line| line.starts_with("catena_log_lines_lost_total "))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    eventually("the endpoint", lost);
    // Long names make long lines; the pipe holds 64 KiB and the buffer 4 MiB twice.
    let name = format!("{}.example.org.", vec!["a".repeat(60); 3].join("."));
    let mut sent = 0;
    while lost().is_some_and(|lost| lost == 0.0) {
        assert!(sent < 300_000, "no line was lost of {sent}");
        let load = Load::start(address, &name, 20_000);
        std::thread::sleep(Duration::from_secs(1));
        let load = load.finish();
        assert_eq!((load.answered, load.broken), (load.sent, 0), "{load:?}");
        sent += load.sent;
    }
    // What is lost is the log's, not the client's.
    let query = catena_testkit::Query::from("www.example.org. A");
    let began = Instant::now();
    assert!(exchange(&udp_client(address), &query.to_wire(), Duration::from_secs(5)).is_some());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let pid = server.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "TERM", &pid])
            .status()
            .expect("kill")
            .success()
    );
    let status = eventually("the end of the server", || server.try_wait().expect("a status"));
    assert_eq!(status.code(), Some(0));
    drop(pipe);
}

/// Where Debian's package `prometheus` has the program.
const PROMETHEUS: &str = "/usr/bin/prometheus";

/// A Prometheus that scrapes a server once a second.
struct Prometheus {
    _process: Process,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &Folder, target: SocketAddr) -> Self {
        let rules = "groups:
- name: catena
  rules:
  - alert: Failures
    expr: sum(rate(coredns_dns_responses_total{rcode=\"SERVFAIL\"}[1m])) > 1000
  - record: instance:coredns_dns_requests:rate1m
    expr: sum by (instance) (rate(coredns_dns_requests_total[1m]))
";
        folder.write("rules.yml", rules);
        folder.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
- job_name: catena
  static_configs:
  - targets: ['{target}']
"
            ),
        );
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, folder.port(0)));
        let listen = format!("--web.listen-address={address}");
        let args = [
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--log.level=warn",
            &listen,
        ];
        let process = Process::start(Path::new(PROMETHEUS), &folder.path("."), &args, &[], None);
        Self {
            _process: process,
            address,
        }
    }

    /// The body of an API's answer, if there is one yet.
    fn api(&self, path: &str) -> Option<String> {
        let (status, body) = get(self.address, path).ok()?;
        (status == 200).then_some(body)
    }

    /// Whether an expression has a result.
    fn has(&self, expression: &str) -> bool {
        let encoded: String = expression
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() || byte == b'_' {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        let answer = self.api(&format!("/api/v1/query?query={encoded}"));
        answer.is_some_and(|body| body.contains("\"status\":\"success\"") && body.contains("\"metric\""))
    }
}

#[test]
fn a_real_prometheus_scrapes_the_server_and_answers_the_dashboards_queries() {
    if !Path::new(PROMETHEUS).exists() {
        println!("left out: Debian's package prometheus is not installed");
        return;
    }
    let production = Production::start();
    production.live();
    let folder = Folder::new();
    let prometheus = Prometheus::start(&folder, production.endpoint());
    let mut bad = Vec::new();
    let all = || {
        // Rates need two scrapes with queries between them.
        production.live();
        bad.clear();
        for (source, panels) in SOURCES {
            let missing = panels.iter().filter(|panel| !prometheus.has(&panel.expression()));
            bad.extend(missing.map(|panel| format!("{source}: {}", panel.expression())));
        }
        bad.is_empty()
    };
    let found = try_until(all);
    let targets = prometheus.api("/api/v1/targets").unwrap_or_default();
    assert!(found, "no result for\n{}\n{targets}", bad.join("\n"));
    // No scrape had an error, and the recorded and the silent rule were read.
    assert!(
        targets.contains("\"health\":\"up\"") && targets.contains("\"lastError\":\"\""),
        "{targets}"
    );
    eventually("the recorded rule", || {
        prometheus
            .has("instance:coredns_dns_requests:rate1m")
            .then_some(())
    });
    assert!(prometheus.has("up{job=\"catena\"} == 1"));
    let rules = prometheus.api("/api/v1/rules").unwrap_or_default();
    assert!(
        rules.contains("\"name\":\"Failures\"") && !rules.contains("\"health\":\"err\""),
        "{rules}"
    );
}
