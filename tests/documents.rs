//! What the documents say holds: their Corefiles are good and start, their code is the code that is tested, and the
//! pages of plugins have their parts.
//!
//! A Corefile that cannot be started on any machine, as one that binds an address of somebody's network, says so:
//! in its own comment, or in one of Markdown before it, that begins with `not started in tests:` and gives the reason.
//! It is read and built all the same.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use catena::config::Registry;
use catena::corefile::{Key, Scheme, keys};
use catena::counters::Event;
use catena_testkit::{TestServer, TestServerBuilder};
use common::samples::{
    MARKER, blocks, build, files_in, imported_files, parse, read, registry, root, samples,
};

/// Sections that the page of a plugin has, in this order.
const SECTIONS: [&str; 4] = ["## Name", "## Description", "## Syntax", "## Examples"];

#[test]
fn every_corefile_of_the_documents_is_good() {
    let registry = registry();
    let mut bad = Vec::new();
    for sample in samples() {
        if sample
            .not_started
            .as_ref()
            .is_some_and(|reason| reason.len() < 10)
        {
            bad.push(format!("{}: `{MARKER}` without a reason", sample.place));
        }
        if let Err(error) = build(&sample.text, &registry) {
            bad.push(format!("{}:\n{error}", sample.place));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

#[test]
fn every_corefile_of_the_documents_starts() {
    let registry = registry();
    let mut bad = Vec::new();
    for sample in samples().iter().filter(|sample| sample.not_started.is_none()) {
        // What cannot be read is the other test's business.
        let Ok(server) = server(&sample.text, &registry) else {
            continue;
        };
        if let Err(error) = server.try_start() {
            bad.push(format!("{}:\n{error}", sample.place));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

/// What the Corefiles of `corefiles/` answer by themselves: the file, which of its ports, a query, and the answer.
const ANSWERS: &[(&str, usize, &str, &[&str])] = &[
    (
        "quickstart",
        1,
        "router.home.arpa. A",
        &["router.home.arpa. 3600 IN A 192.0.2.1"],
    ),
    ("quickstart", 1, "nas. AAAA", &[]),
    (
        "hosts-file",
        1,
        "files.home.arpa. AAAA",
        &["files.home.arpa. 60 IN AAAA 2001:db8::10"],
    ),
    (
        "hosts-file",
        1,
        "printer.home.arpa. A",
        &["printer.home.arpa. 60 IN A 192.0.2.250"],
    ),
    (
        "two-faces",
        1,
        "www.example.org. A",
        &["www.example.org. 3600 IN A 192.0.2.10"],
    ),
    (
        "two-faces",
        2,
        "www.example.org. A +tcp",
        &["www.example.org. 3600 IN A 198.51.100.10"],
    ),
    (
        "in-parts",
        1,
        "www.example.org. A",
        &["www.example.org. 3600 IN A 192.0.2.1"],
    ),
    (
        "diagnosis",
        1,
        "id.server. TXT CH",
        &["id.server. 0 CH TXT \"@HOST@\""],
    ),
    (
        "diagnosis",
        1,
        "localhost. A",
        &["localhost. 604800 IN A 127.0.0.1"],
    ),
    (
        "busy-server",
        1,
        "example.org. ANY",
        &["example.org. 8482 IN HINFO \"ANY obsoleted\" \"See RFC 8482\""],
    ),
    (
        "home-assistant",
        1,
        "files.home.arpa. AAAA",
        &["files.home.arpa. 600 IN AAAA 2001:db8::10"],
    ),
    ("home-assistant", 1, "hassio. AAAA", &[]),
    ("coredns/view", 1, "test. A", &["test. 3600 IN A 192.0.2.1"]),
    (
        "coredns/template",
        5,
        "web.host-192-0-2-1.example. A",
        &["web.host-192-0-2-1.example. 60 IN A 192.0.2.1"],
    ),
    (
        "coredns/template",
        5,
        "1.2.0.192.in-addr.arpa. PTR",
        &["1.2.0.192.in-addr.arpa. 60 IN PTR host-192-0-2-1.example."],
    ),
    (
        "coredns/template",
        6,
        "hexc0000201.example. A",
        &["hexc0000201.example. 60 IN A 192.0.2.1"],
    ),
    (
        "coredns/template",
        8,
        "host-192-0-2-1.example. MX",
        &["host-192-0-2-1.example. 60 IN MX 10 host-192-0-2-1.example."],
    ),
    (
        "forwarder",
        1,
        "example.org. ANY",
        &["example.org. 8482 IN HINFO \"ANY obsoleted\" \"See RFC 8482\""],
    ),
];

/// What operators of CoreDNS find on its plugins' pages stands here too, for the plugins around a forwarder.
#[test]
fn the_examples_of_an_operators_plugins_are_all_there() {
    for plugin in [
        "acl",
        "cache",
        "dnstap",
        "health",
        "loadbalance",
        "loop",
        "metadata",
        "on",
        "pprof",
        "prometheus",
        "proxyproto",
        "ready",
        "shed",
        "template",
        "trace",
        "view",
    ] {
        let text = read(&root().join("corefiles/coredns").join(plugin));
        let uses = text.lines().any(|line| {
            line.trim_start()
                .strip_prefix(plugin)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        assert!(uses, "{plugin}");
    }
}

#[test]
fn the_corefiles_to_start_from_answer_as_they_say() {
    let registry = registry();
    for (file, port, query, answer) in ANSWERS {
        let text = read(&root().join("corefiles").join(file));
        let server = server(&text, &registry).unwrap_or_else(|error| panic!("{file}: {error}"));
        let server = server.start();
        let host = catena::plugin::host_name();
        let answer: Vec<String> = answer
            .iter()
            .map(|record| record.replace("@HOST@", &host))
            .collect();
        server.ask_on(server.port_of(*port), *query).assert_answer(answer);
    }
}

#[test]
fn the_page_of_each_plugin_has_its_sections() {
    let mut bad = Vec::new();
    for plugin in catena::plugins::registry().names() {
        let path = root().join("plugins").join(plugin).join("README.md");
        let Ok(page) = std::fs::read_to_string(&path) else {
            bad.push(format!("{plugin}: there is no README.md"));
            continue;
        };
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        let required: Vec<&str> = headings
            .iter()
            .filter(|line| SECTIONS.contains(line))
            .copied()
            .collect();
        if required != SECTIONS {
            bad.push(format!(
                "{plugin}: {headings:?} are to hold {SECTIONS:?} in this order"
            ));
        }
        if !page.starts_with(&format!("# {plugin}\n")) || !page.contains(&format!("*{plugin}* - ")) {
            bad.push(format!(
                "{plugin}: the page does not name its plugin as the others do"
            ));
        }
        if blocks(&page, "corefile").is_empty() {
            bad.push(format!("{plugin}: the page has no Corefile"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// The metrics that a text names: their whole names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let of_house = |word: &str| {
        ["coredns_", "catena_"]
            .iter()
            .any(|house| word.len() > house.len() && word.starts_with(house))
    };
    let is_metric = |word: &&str| of_house(word);
    words.filter(is_metric).map(str::to_owned).collect()
}

#[test]
fn every_metric_stands_on_a_page_and_every_one_on_a_page_is_there() {
    let mut sources: Vec<_> = ["lib", "plugins"]
        .into_iter()
        .flat_map(folders_in)
        .flat_map(|krate| rust_files(&krate.join("src")))
        .collect();
    sources.retain(|path| !path.ends_with("tests.rs"));
    // Names in quotes; crates have names of the same form, and parts of histograms are named in tests.
    let mut in_code = BTreeSet::new();
    for path in sources {
        let text = read(&path);
        for quoted in text.split('"') {
            if metrics_in(quoted).iter().any(|name| name == quoted) {
                in_code.insert(quoted.to_owned());
            }
        }
    }
    in_code.extend(Event::ALL.iter().map(|event| format!("{}_total", event.metric())));
    in_code.retain(|name| !name.contains("_example_") && !name.ends_with("_bucket"));
    let mut on_pages = BTreeSet::new();
    let mut pages = files_in("docs");
    pages.extend(
        folders_in("plugins")
            .into_iter()
            .map(|plugin| plugin.join("README.md")),
    );
    for page in pages.iter().filter(|page| page.is_file()) {
        on_pages.extend(metrics_in(&read(page)));
    }
    let crates: BTreeSet<String> = folders_in("lib")
        .into_iter()
        .chain([root().join("testkit"), root().join("core")])
        .filter_map(|path| Some(format!("catena_{}", path.file_name()?.to_str()?)))
        .collect();
    let silent: Vec<_> = in_code.difference(&on_pages).collect();
    let absent: Vec<_> = on_pages
        .difference(&in_code)
        .filter(|name| !crates.contains(*name))
        .collect();
    assert!(
        silent.is_empty() && absent.is_empty(),
        "on no page: {silent:?}; not there: {absent:?}"
    );
}

/// The folders in a folder of the repository.
fn folders_in(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect(folder);
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_dir()).collect()
}

/// All files of Rust in a folder and below it.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_guide_shows_the_example_that_is_tested() {
    let guide = read(&root().join("docs/writing-a-plugin.md"));
    let blocks = blocks(&guide, "rust").into_iter().map(|(_, text, _)| text);
    let code: Vec<String> = blocks.map(|text| text.trim_end().to_owned()).collect();
    let example = read(&root().join("examples/writing_a_plugin.rs"));
    assert_eq!(
        code.join("\n\n") + "\n",
        example,
        "docs/writing-a-plugin.md and examples/writing_a_plugin.rs differ"
    );
}

/// A server of a sample, with what samples import and read beside it, on free ports.
fn server(text: &str, registry: &Registry) -> Result<TestServerBuilder, String> {
    let mut server = TestServer::builder(registry.clone(), &with_free_ports(text, registry)?);
    for (name, content) in imported_files() {
        let content = if name.ends_with(".corefile") {
            with_free_ports(&content, registry)?
        } else {
            content
        };
        server = server.file(&name, content);
    }
    Ok(server)
}

/// Ports that have free ones in their places, in the order of these.
#[derive(Default)]
struct Ports(Vec<u16>);

impl Ports {
    /// What stands for the free port.
    fn free(&mut self, port: u16) -> String {
        let known = self.0.iter().position(|known| *known == port);
        let number = known.unwrap_or_else(|| {
            self.0.push(port);
            self.0.len() - 1
        });
        format!("@P{}@", number + 1)
    }
}

/// Plugins that listen themselves, and where they do so if they are not told.
const ENDPOINTS: &[(&str, &str)] = &[
    ("health", ":8080"),
    ("pprof", "localhost:6053"),
    ("prometheus", "localhost:9153"),
    ("ready", ":8181"),
    ("dnstap listen", ""),
];

/// Puts free ports in the places of those where plugins listen.
fn with_free_endpoints(line: &str, ports: &mut Ports) -> String {
    let text = line.trim_start();
    let is_of = |(plugin, _): &&(&str, &str)| {
        let rest = text.strip_prefix(plugin);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let Some((plugin, default)) = ENDPOINTS.iter().find(is_of) else {
        return line.to_owned();
    };
    let rest = &text[plugin.len()..];
    let given = rest
        .split_whitespace()
        .next()
        .filter(|word| !word.starts_with('{'));
    let address = given.unwrap_or(default);
    let Some((host, Ok(port))) = address.rsplit_once(':').map(|(host, port)| (host, port.parse())) else {
        return line.to_owned();
    };
    let behind = given.map_or(rest, |given| &rest[given.len() + 1..]);
    format!("    {plugin} {host}:{}{behind}", ports.free(port))
}

/// Puts free ports in the places of those that the keys and endpoints name, the same for the same.
fn with_free_ports(text: &str, registry: &Registry) -> Result<String, String> {
    let corefile = parse(text, registry)?;
    let mut ports = Ports::default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for block in &corefile.blocks {
        let read = keys(&block.keys, 0).map_err(|errors| errors.to_string())?;
        let named = |key: &&Key| key.port != 0 && key.span.imports.is_none();
        let mut done = Vec::new();
        // From the right, so that the columns to the left stay what they are.
        for key in read.iter().filter(named).rev() {
            // A network stands for several keys with one place.
            if done.contains(&(key.span.line, key.span.column)) {
                continue;
            }
            done.push((key.span.line, key.span.column));
            let line = &mut lines[key.span.line as usize - 1];
            let end: usize = line
                .chars()
                .take((key.span.column + key.span.len) as usize - 1)
                .map(char::len_utf8)
                .sum();
            let port = key.port.to_string();
            let free = ports.free(key.port);
            if line[..end].ends_with(&format!(":{port}")) {
                line.replace_range(end - port.len()..end, &free);
            } else {
                assert_ne!(key.scheme, Scheme::Dns, "{line}");
                line.insert_str(end, &format!(":{free}"));
            }
        }
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|line| with_free_endpoints(line, &mut ports))
        .collect();
    Ok(lines.join("\n") + "\n")
}
