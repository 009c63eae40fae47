//! Whatever stands in a Corefile, all plugins' parsers say yes or no, with the place. None of them panics.

mod common;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use common::samples::{Sample, build, registry, samples};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Words at the edges of what readers take.
const ODD: &[&str] = &[
    "",
    "0",
    "-1",
    "1",
    "1.5",
    "65535",
    "65536",
    "4294967296",
    "18446744073709551616",
    "1e9",
    "0x10",
    "0s",
    "1ns",
    "-5m",
    "10",
    "99999999999h",
    "9223372036854775807s",
    "50%",
    "100%",
    "%",
    ".",
    "..",
    "*",
    "*.example.org",
    "example.org",
    "EXAMPLE.org.",
    "a..b",
    "\\",
    "\\300.example.org",
    "ü.example.org",
    "\u{200b}",
    "10.0.0.0/8",
    "10.0.0.0/33",
    "2001:db8::/32",
    "::/0",
    "256.1.1.1",
    "192.0.2.1",
    "192.0.2.1:53",
    "[2001:db8::1]:53",
    "[::1",
    "::",
    ":",
    ":0",
    ":99999",
    "localhost:",
    "tls://192.0.2.1",
    "tls://",
    "https://dns.example.org/dns-query",
    "unix:///run/x.sock",
    "tcp://",
    "://",
    "{",
    "}",
    "{{.Name}}",
    "{{",
    "{{range .}}",
    "{remote} {",
    "{$HOME}",
    "{$",
    "(",
    ")",
    "[",
    "(a+)+$",
    "a{1000}{1000}",
    "\"",
    "\"two words\"",
    "'",
    "#",
    "name() == 'a'",
    "((((((((",
    "type() in [",
    "true",
    "A",
    "TYPE65536",
    "TYPE0",
    "NXDOMAIN",
    "IN",
    "CH",
    "on",
    "off",
    "no-such-file",
    ".",
    "import",
];

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(samples);

/// All words of the documents' Corefiles, and the odd ones.
static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let texts = SAMPLES.iter().flat_map(|sample| sample.text.split_whitespace());
    let mut words: Vec<String> = texts.map(str::to_owned).collect();
    words.sort();
    words.dedup();
    words.extend(ODD.iter().map(|word| (*word).to_owned()));
    words.push("a".repeat(64));
    words.push(format!("{}org", "label.".repeat(50)));
    words
});

/// The words that follow a plugin's name on its own page: its options, mostly.
static OPTIONS: LazyLock<BTreeMap<&'static str, Vec<String>>> = LazyLock::new(|| {
    let names = registry().names();
    let of = |name: &'static str| {
        let path = common::samples::root()
            .join("plugins")
            .join(name)
            .join("README.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        let mut words: Vec<String> = page
            .split('`')
            .skip(1)
            .step_by(2)
            .flat_map(str::split_whitespace)
            .filter(|word| word.len() < 40)
            .map(str::to_owned)
            .collect();
        words.sort();
        words.dedup();
        words.push("option".to_owned());
        (name, words)
    };
    names.into_iter().map(of).collect()
});

/// Builds a Corefile as `catena check` does. An error names the place that it is about.
fn judge(text: &str) -> Result<(), TestCaseError> {
    let registry = registry();
    let built = catch_unwind(AssertUnwindSafe(|| build(text, &registry)));
    match built {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let has_place = error
                .lines()
                .any(|line| line.contains("Corefile:") || line.contains(".corefile:"));
            prop_assert!(has_place, "an error without a place: {error}\n{text}");
            Ok(())
        }
        Err(_) => Err(TestCaseError::fail(format!("a panic at\n{text}"))),
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(WORDS.as_slice()),
        2 => select(ODD).prop_map(str::to_owned),
        1 => "[a-z0-9.:/-]{1,12}",
        1 => "\\PC{0,6}",
    ]
}

/// A line: a plugin's option mostly, with words behind it.
fn line(plugin: &'static str) -> impl Strategy<Value = String> {
    let option = select(OPTIONS[plugin].as_slice());
    let first = prop_oneof![5 => option, 1 => word()];
    (first, prop::collection::vec(word(), 0..5))
        .prop_map(|(first, words)| format!("        {first} {}\n", words.join(" ")))
}

/// A directive of any plugin, with arguments and lines that may be its own.
fn directive() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = OPTIONS.keys().copied().collect();
    let body = select(names).prop_flat_map(|name| {
        let args = prop::collection::vec(word(), 0..4);
        let lines = prop::option::of(prop::collection::vec(line(name), 0..5));
        (Just(name), args, lines)
    });
    body.prop_map(|(name, args, lines)| {
        let args = args.join(" ");
        match lines {
            None => format!("    {name} {args}\n"),
            Some(lines) => format!("    {name} {args} {{\n{}    }}\n", lines.concat()),
        }
    })
}

/// One change of a text.
#[derive(Clone, Debug)]
enum Change {
    Cut(Index, usize),
    Insert(Index, String),
    Replace(Index, String),
    Repeat(Index),
    Swap(Index, Index),
    End(Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), 1_usize..6).prop_map(|(at, count)| Change::Cut(at, count)),
        (any::<Index>(), word()).prop_map(|(at, word)| Change::Insert(at, word)),
        (any::<Index>(), word()).prop_map(|(at, word)| Change::Replace(at, word)),
        any::<Index>().prop_map(Change::Repeat),
        any::<(Index, Index)>().prop_map(|(one, other)| Change::Swap(one, other)),
        any::<Index>().prop_map(Change::End),
    ]
}

/// Words and the blanks between them.
fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive([' ', '\n']).map(str::to_owned).collect()
}

fn apply(text: &str, change: &Change) -> String {
    let mut pieces = pieces(text);
    if pieces.is_empty() {
        return text.to_owned();
    }
    let len = pieces.len();
    match change {
        Change::Cut(at, count) => {
            let mut letters: Vec<char> = text.chars().collect();
            let at = at.index(letters.len());
            letters.drain(at..(at + count).min(letters.len()));
            return letters.into_iter().collect();
        }
        Change::Insert(at, word) => pieces.insert(at.index(len), format!("{word} ")),
        Change::Replace(at, word) => {
            let end = if pieces[at.index(len)].ends_with('\n') {
                '\n'
            } else {
                ' '
            };
            pieces[at.index(len)] = format!("{word}{end}");
        }
        Change::Repeat(line) => {
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let line = line.index(lines.len());
            return [&lines[..=line], &lines[line..]].concat().concat();
        }
        Change::Swap(one, other) => pieces.swap(one.index(len), other.index(len)),
        Change::End(at) => pieces.truncate(at.index(len)),
    }
    pieces.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn corefiles_of_random_words_are_judged_without_a_panic(
        zone in prop_oneof![4 => Just(".".to_owned()), 1 => word()], directives in prop::collection::vec(directive(), 1..6)
    ) {
        judge(&format!("{zone} {{\n{}}}\n", directives.concat()))?;
    }

    #[test]
    fn mutated_corefiles_of_the_documents_are_judged_without_a_panic(
        sample in any::<Index>(), changes in prop::collection::vec(change(), 1..6)
    ) {
        let sample = sample.get(&SAMPLES);
        let text = changes.iter().fold(sample.text.clone(), |text, change| apply(&text, change));
        judge(&text)?;
    }

    #[test]
    fn bytes_are_judged_without_a_panic(text in "(\\PC|[ \n\t{}\"#\\\\()$]){0,200}") {
        judge(&text)?;
    }
}

/// The plainest mistakes, for each plugin that there is.
#[test]
fn every_plugin_refuses_unknown_options_and_says_where() {
    let mut bad = Vec::new();
    let registry = registry();
    // In `hosts` such a line is an entry, as in CoreDNS; and what the guide writes reads nothing.
    let others = ["hosts", "motto"];
    for name in registry.names().into_iter().filter(|name| !others.contains(name)) {
        let text = format!(".:1053 {{\n    {name} {{\n        no-such-option at all\n    }}\n}}\n");
        match build(&text, &registry) {
            Ok(()) => bad.push(format!("{name}: an unknown option goes unnoticed")),
            Err(error) if error.contains("Corefile:") => {}
            Err(error) => bad.push(format!("{name}: no place in `{error}`")),
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Directives that are whole, by their plugins; those that are not named here need nothing behind their names.
const WHOLE: &[(&str, &str)] = &[
    ("acl", "acl {\n block net 192.0.2.0/24\n}"),
    ("chaos", "chaos v1 somebody"),
    ("dnstap", "dnstap /run/dnstap.sock"),
    (
        "dynresolve",
        "dynresolve {\n api listen 127.0.0.1:8053\n api token secret\n}",
    ),
    ("forward", "forward . 192.0.2.53"),
    ("grpc", "grpc . 192.0.2.53"),
    ("on", "on startup true"),
    ("root", "root ."),
    ("template", "template ANY ANY {\n rcode NXDOMAIN\n}"),
    ("timeouts", "timeouts {\n read 1s\n}"),
    ("tls", "tls cert.pem key.pem"),
    ("trace", "trace 192.0.2.9:9411"),
    ("transports", "transports udp"),
    ("view", "view one"),
];

/// Plugins that may stand in a block more than once: their lines add up, or the last one counts, as in CoreDNS.
const MANY: &[&str] = &[
    "acl",
    "any",
    "bufsize",
    "cancel",
    "chaos",
    "debug",
    "dnstap",
    "erratic",
    "forward",
    "health",
    "loadbalance",
    "local",
    "log",
    "on",
    "proxyproto",
    "reload",
    "root",
    "template",
    "timeouts",
    "trace",
    "whoami",
];

#[test]
fn every_plugin_takes_its_second_use_or_says_where_it_is() {
    let registry = registry();
    let mut bad = Vec::new();
    // One address twice is an error of `bind`'s about the block; and what the guide writes reads nothing.
    let others = ["bind", "motto"];
    for name in registry.names().into_iter().filter(|name| !others.contains(name)) {
        let whole = WHOLE.iter().find(|(plugin, _)| *plugin == name);
        let directive = whole.map_or(name, |(_, directive)| directive);
        let once = format!(".:1053 {{\n{directive}\n}}\n");
        if let Err(error) = build(&once, &registry) {
            bad.push(format!("{name}: once: {error}"));
            continue;
        }
        let line = 2 + directive.lines().count();
        let twice = build(&format!(".:1053 {{\n{directive}\n{directive}\n}}\n"), &registry);
        match twice {
            Ok(()) if MANY.contains(&name) => {}
            Ok(()) => bad.push(format!("{name}: a second use goes unnoticed")),
            Err(error) if MANY.contains(&name) => bad.push(format!("{name}: {error}")),
            Err(error) if error.contains(&format!("Corefile:{line}:")) => {}
            Err(error) => bad.push(format!("{name}: not the place of the second use: {error}")),
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
