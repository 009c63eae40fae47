//! The Corefiles of the documents, and what they need.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use catena::config::{self, BuildContext, Registry};
use catena::corefile::{Corefile, Input, Rules};
use catena::counters::Counters;
use catena::log::LogSink;
use catena::plugin::{Definition, Handover, Shared};

/// What begins the comment of a Corefile that cannot be started on any machine.
pub const MARKER: &str = "not started in tests:";

/// A Corefile of a document.
pub struct Sample {
    /// Where it stands, as `PATH` or `PATH:LINE`.
    pub place: String,
    pub text: String,
    /// Why it is not started.
    pub not_started: Option<String>,
}

/// The stock plugins, and those that the documents write themselves.
pub fn registry() -> Registry {
    let motto = Definition::new("motto", |_| Ok(()));
    catena::plugins::registry().with_before(motto, "hosts")
}

/// All Corefiles of the documents: those in `corefiles/`, and the blocks marked `corefile` in Markdown.
pub fn samples() -> Vec<Sample> {
    let files = ["corefiles", "corefiles/coredns"].into_iter().flat_map(files_in);
    let files = files.map(|path| {
        let text = read(&path);
        let comment = text.lines().find_map(|line| line.strip_prefix('#'));
        let marked = text
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .find_map(reason);
        assert!(
            comment.is_some(),
            "{} does not say what it is for",
            path.display()
        );
        Sample {
            place: shown(&path),
            not_started: marked,
            text,
        }
    });
    let mut pages = vec![root().join("README.md")];
    pages.extend(
        files_in("docs")
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == "md")),
    );
    let plugins = catena::plugins::registry().names().into_iter();
    pages.extend(plugins.map(|plugin| root().join("plugins").join(plugin).join("README.md")));
    let in_pages = pages.iter().filter(|path| path.is_file()).flat_map(|path| {
        let page = read(path);
        let blocks = blocks(&page, "corefile").into_iter();
        let sample = |(line, text, before): (usize, String, String)| Sample {
            place: format!("{}:{line}", shown(path)),
            text,
            not_started: reason(&before),
        };
        blocks.map(sample).collect::<Vec<_>>()
    });
    files.chain(in_pages).collect()
}

/// What a comment says behind the marker.
fn reason(comment: &str) -> Option<String> {
    let (_, reason) = comment.split_once(MARKER)?;
    Some(reason.trim().trim_end_matches("-->").trim().to_owned())
}

/// The fenced blocks of a language: the line of the fence, the text, and the last line with text before the fence.
pub fn blocks(page: &str, language: &str) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    let mut before = String::new();
    let mut lines = page.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let fence = ["```", "~~~"].into_iter().find(|fence| line.starts_with(fence));
        if let Some(fence) = fence {
            let inside = lines.by_ref().map(|(_, line)| line);
            let text: Vec<&str> = inside.take_while(|line| *line != fence).collect();
            if line.trim_start_matches(fence).trim() == language {
                found.push((index + 1, text.join("\n") + "\n", before.clone()));
            }
        }
        if !line.trim().is_empty() {
            line.clone_into(&mut before);
        }
    }
    found
}

/// A folder with what samples import and read, as operators have it beside their Corefiles.
fn folder() -> &'static Path {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in imported_files() {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, content).expect("a file");
        }
        folder
    });
    FOLDER.path()
}

/// A certificate and its key, which is a CA of its own too, under the names that samples give them.
fn certificates() -> [(String, String); 3] {
    static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
        let made =
            rcgen::generate_simple_self_signed(vec!["dns.example.org".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    });
    let (cert, key) = &*PAIR;
    [("cert.pem", cert), ("key.pem", key), ("ca.pem", cert)]
        .map(|(name, text)| (name.to_owned(), text.clone()))
}

/// The files in the folders of `corefiles/`, by their paths from there, and certificates: what Corefiles import and read.
pub fn imported_files() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join("corefiles")).expect("the folder of Corefiles");
    let folders = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| files_in(&shown(&folder)));
    let named = |path: PathBuf| {
        (
            shown(&path).trim_start_matches("corefiles/").to_owned(),
            read(&path),
        )
    };
    files.map(named).chain(certificates()).collect()
}

/// Does what `catena check` does.
pub fn build(text: &str, registry: &Registry) -> Result<(), String> {
    let corefile = parse(text, registry)?;
    let context = BuildContext {
        registry,
        shared: &Shared::default(),
        previous: &Handover::default(),
        counters: &Arc::new(Counters::new(1)),
        log: &LogSink::captured().0,
        workers: 1,
        default_port: 53,
        folder: folder().to_owned(),
    };
    config::build(&corefile, &context)
        .map(drop)
        .map_err(|errors| errors.to_string())
}

pub fn parse(text: &str, registry: &Registry) -> Result<Corefile, String> {
    let known = registry.names();
    let rules = Rules::new(&known).with_unavailable(registry.planned());
    // What samples import lies beside those in `corefiles/`.
    let input = Input::new("Corefile", text.as_bytes()).at(folder().join("Corefile"));
    Corefile::parse(&input, &rules).map_err(|errors| errors.to_string())
}

pub fn files_in(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect(folder);
    let paths = entries.map(|entry| entry.expect("an entry").path());
    // Whoever has tried the README's first command has the state of its server beside the Corefiles.
    let is_state = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file() && !is_state(path)).collect();
    files.sort();
    files
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
