//! The commands of the README, with the built program: what it says to run is run, in its order.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Catena, Folder};

/// Stands before a command that is run; behind it, what the command prints.
const MARK: &str = "<!-- run in tests: ";

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("the README")
}

/// The commands in `sh` blocks that start with these words, without the block's fences.
fn starts<'a>(page: &'a str, words: &'a str) -> impl Iterator<Item = &'a str> {
    let blocks = page.split("```sh\n").skip(1);
    blocks
        .filter_map(|block| block.split("\n```").next())
        .filter(move |block| block.contains(words))
}

/// Starts what `VARIABLE=VALUE... cargo run --release -- ARGUMENTS` does, with the Corefile's ports in the test's hands.
fn start(line: &str, ports: &[(&str, &str)]) -> Catena {
    let (variables, args) = line
        .split_once("cargo run --release -- ")
        .expect("a command of cargo");
    let args: Vec<&str> = args.split(' ').collect();
    let ["-conf", name] = args[..] else {
        panic!("{line}")
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut text = std::fs::read_to_string(path).expect(name);
    for (port, own) in ports {
        assert!(text.contains(port), "{name} has no {port}");
        text = text.replace(port, own);
    }
    let mut folder = Folder::new();
    for variable in variables.split_whitespace() {
        let (variable, value) = variable.split_once('=').expect("a variable");
        folder = folder.env(variable, value);
    }
    std::fs::create_dir(folder.path("corefiles")).expect("a folder");
    folder.write(name, &text);
    folder.serve(&args)
}

#[test]
fn the_first_commands_start_register_and_ask() {
    for tool in ["curl", "dig"] {
        if Command::new(tool).arg("-h").output().is_err() {
            println!("not run: there is no {tool} on this machine");
            return;
        }
    }
    let page = readme();
    let first = starts(&page, "cargo run").next().expect("a start");
    let server = start(first, &[(":1053", ":@PORT@"), (":8080", ":@P1@")]);
    let mut marked = 0;
    for command in page.split(MARK).skip(1) {
        let (printed, rest) = command.split_once(" -->\n```sh\n").expect("a mark and its block");
        let (text, _) = rest.split_once("\n```").expect("the end of a block");
        let text = text
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", server.folder.port(1)))
            .replace("-p 1053", &format!("-p {}", server.folder.port(0)));
        let output = Command::new("sh")
            .args(["-e", "-c", &text])
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}\n{output:?}");
        assert_eq!(said.trim_end(), printed, "{text}");
        marked += 1;
    }
    assert_eq!(marked, 2, "one registers a service, one asks for it");
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_resolver_answers_the_names_of_its_corefile() {
    let page = readme();
    let second = starts(&page, "cargo run").nth(1).expect("a second start");
    let server = start(second, &[(":1053", ":@PORT@")]);
    server
        .ask("nas.home.arpa. A")
        .assert_answer(["nas.home.arpa. 3600 IN A 192.0.2.10"]);
}
