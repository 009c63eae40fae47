//! What the documents say holds: each marked command of `docs/dynresolve.md` and of the README runs and prints what stands beside it, and
//! each Corefile starts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use catena_core::plugin::Definition;
use catena_plugin_dynresolve::PLUGIN;
use catena_testkit::TestServer;

use crate::http::Http;

const MARK: &str = "<!-- run in tests";
const TOKEN: &str = "change-me";

/// The plugin, and others of the Corefiles by their names alone.
const STAND_INS: [Definition; 6] = [
    Definition::new("bind", |_| Ok(())),
    Definition::new("errors", |_| Ok(())),
    Definition::new("log", |_| Ok(())),
    Definition::new("cache", |_| Ok(())),
    PLUGIN,
    Definition::new("forward", |_| Ok(())),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A server of a Corefile of `corefiles/`, on other ports and with the tokens filled in.
fn start(name: &str) -> TestServer {
    let mut text = read(&format!("corefiles/{name}"));
    for (from, to) in [
        ("{env.DYNRESOLVE_TOKEN}", TOKEN),
        ("{env.DYNRESOLVE_TOKEN_BLUE}", "blue"),
        ("{env.DYNRESOLVE_TOKEN_GREEN}", "green"),
        (":1053 ", ":@PORT@ "),
        (":8080", ":@P1@"),
        (":8081", ":@P2@"),
        (":8443", ":@P1@"),
    ] {
        text = text.replace(from, to);
    }
    let pair = rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap();
    TestServer::builder(STAND_INS, &text)
        .file("cert.pem", pair.cert.pem())
        .file("key.pem", pair.signing_key.serialize_pem())
        .start()
}

fn is_there(tool: &str) -> bool {
    let found = Command::new(tool).arg("-h").output().is_ok();
    if !found {
        println!("not run: there is no {tool} on this machine");
    }
    found
}

/// A command of the page: what is marked, and its text.
fn commands(page: &str) -> Vec<(String, String)> {
    let mut commands = Vec::new();
    let mut rest = page;
    while let Some((_, found)) = rest.split_once(MARK) {
        let (mark, found) = found.split_once("-->").expect("the end of a mark");
        let found = found
            .trim_start()
            .strip_prefix("```sh\n")
            .expect("a block behind the mark");
        let (text, behind) = found.split_once("\n```").expect("the end of a block");
        commands.push((mark.trim_start_matches(':').trim().to_owned(), text.to_owned()));
        rest = behind;
    }
    commands
}

fn shell(server: &TestServer, script: &str) -> Output {
    let script = script
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", server.port_of(1)))
        .replace("-p 1053", &format!("-p {}", server.port()));
    Command::new("sh")
        .args(["-e", "-c", &script])
        .env("DYNRESOLVE_TOKEN", TOKEN)
        .output()
        .expect("a shell")
}

#[test]
fn every_marked_command_prints_what_stands_beside_it() {
    if !is_there("curl") || !is_there("dig") {
        return;
    }
    let page = read("docs/dynresolve.md");
    let run = run_commands(&page);
    let marked = page.matches("curl -sS").count() - 1;
    assert!(run > marked, "{run} commands were run, {marked} are there");
    assert_eq!(
        run_commands(&read("README.md")),
        2,
        "one registers a service, one asks for it"
    );
}

/// Runs a page's commands against a server of their own, and says how many there were.
fn run_commands(page: &str) -> usize {
    let server = start("dynresolve");
    let mut setup = String::new();
    let mut run = 0;
    for (mark, text) in commands(page) {
        if mark == "as a file: controller" {
            check_controller(&server, &text);
            continue;
        }
        if mark.is_empty() {
            setup = text + "\n";
            continue;
        }
        let output = shell(&server, &(setup.clone() + &text));
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{printed}\n{errors}");
        assert_eq!(printed.trim_end(), mark, "{text}\n{errors}");
        run += 1;
    }
    run
}

/// One machine answers on the port of the API itself, the other has nothing there.
fn check_controller(server: &TestServer, script: &str) {
    let path = server.path("controller");
    server.write("controller", script);
    let port = server.port_of(1).to_string();
    let controller = |addresses: &str| {
        shell(
            server,
            &format!(
                "export API=http://127.0.0.1:{port}/v1; sh {} found {port} {addresses}",
                path.display()
            ),
        )
    };
    let output = controller("127.0.0.1 127.0.0.2");
    assert!(output.status.success(), "{output:?}");
    server
        .ask("found.service.local. A")
        .assert_answer(["found.service.local. 5 A 127.0.0.1"]);
    let output = controller("127.0.0.2 127.0.0.3");
    assert!(!output.status.success(), "{output:?}");
    server
        .ask("found.service.local. A")
        .assert_answer(["found.service.local. 5 A 127.0.0.1"]);
    assert!(script.lines().count() <= 10, "the page promises ten lines");
    server_forgets(server);
}

/// Later commands of the page list all services.
fn server_forgets(server: &TestServer) {
    Http::of(server)
        .with_token(Some(TOKEN))
        .delete("/v1/services/found", "")
        .expect(204);
}

#[test]
fn the_corefiles_start_and_take_services() {
    for name in ["dynresolve", "dynresolve-forward"] {
        let server = start(name);
        Http::of(&server).with_token(Some(TOKEN)).register("valkey", &[1]);
        server
            .ask("valkey.service.local. A")
            .assert_answer(["valkey.service.local. 5 A 192.0.2.1"]);
    }
    let server = start("dynresolve-two-zones");
    Http::of(&server)
        .with_token(Some("blue"))
        .register("valkey", &[1]);
    Http::of(&server)
        .with_token(Some("green"))
        .get("/v1/services")
        .expect(401);
    server
        .ask("valkey.blue.service.local. A")
        .assert_answer(["valkey.blue.service.local. 5 A 192.0.2.1"]);
    server
        .ask("valkey.green.service.local. A")
        .assert_answer(["valkey.green.service.local. 5 A 10.0.0.1"]);
    Http::on(server.port_of(2))
        .with_token(Some("green"))
        .register("valkey", &[2]);
    server
        .ask("valkey.green.service.local. A")
        .assert_answer(["valkey.green.service.local. 5 A 192.0.2.2"]);
}

#[test]
fn the_corefile_with_tls_starts() {
    let server = start("dynresolve-tls");
    if !is_there("curl") {
        return;
    }
    let url = format!("https://api.test:{port}/v1/services", port = server.port_of(1));
    let output = Command::new("curl")
        .args([
            "-sS",
            "--resolve",
            &format!("api.test:{}:127.0.0.1", server.port_of(1)),
            "--cacert",
        ])
        .arg(server.path("cert.pem"))
        .args(["-H", &format!("Authorization: Bearer {TOKEN}"), &url])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        r#"{"zone":"service.local","services":{}}"#,
        "{output:?}"
    );
}

#[test]
fn the_page_of_the_plugin_names_every_option_and_metric() {
    let page = read("plugins/dynresolve/README.md");
    for option in [
        "api listen",
        "api token",
        "api allow",
        "api rate-limit",
        "api tls",
        "api persist",
        "ttl",
        "cache",
        "fallback",
    ] {
        assert!(page.contains(&format!("* `{option}` ")), "{option}");
    }
    let server = crate::serve("api persist state.json", "");
    Http::of(&server).register("a", &[1]);
    let metrics = server.metrics();
    let names = metrics
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE coredns_dynresolve_"));
    let mut count = 0;
    for name in names.filter_map(|line| line.split(' ').next()) {
        assert!(
            page.contains(&format!("`coredns_dynresolve_{name}{{zone")),
            "{name}"
        );
        count += 1;
    }
    assert_eq!(count, 9, "{}", metrics.text());
}
