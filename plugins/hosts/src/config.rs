//! Reads the `hosts` directive.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Span, Token, nearest};
use catena_core::message::Zone;
use catena_core::plugin::{BlockInfo, Fallthrough, once};

use crate::entries::{Entries, Source, is_entry};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "/etc/hosts";

/// TTL of all records unless `ttl` says otherwise, in seconds; CoreDNS's.
const DEFAULT_TTL: u32 = 3600;

/// How often the file is looked at unless `reload` says otherwise; CoreDNS's.
const DEFAULT_RELOAD: Duration = Duration::from_secs(5);

/// Shortest time between two looks at the file: a shorter `reload` would only burn time.
const MIN_RELOAD: Duration = Duration::from_millis(10);

/// Words that are options and no entries.
const OPTIONS: &[&str] = &[
    "fallthrough",
    "fallthrough_unsupported",
    "no_reverse",
    "reload",
    "ttl",
];

/// What one `hosts` directive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The hosts file.
    pub(crate) path: PathBuf,
    /// What metrics and logs call it: the path as CoreDNS would have it.
    pub(crate) label: String,
    /// The zones that names must lie in.
    pub(crate) zones: Vec<Zone>,
    /// The entries of the Corefile.
    pub(crate) inline: Entries,
    /// TTL of all records in seconds, 1 to 65535.
    pub(crate) ttl: u32,
    /// Whether reverse names are made of the addresses.
    pub(crate) reverse: bool,
    /// Time between two looks at the file; nought means that it is read once.
    pub(crate) reload: Duration,
    /// For which unknown names a query is passed on.
    pub(crate) fallthrough: Fallthrough,
    /// Whether that is so for other types of known names as well.
    pub(crate) fallthrough_unsupported: bool,
}

/// A configuration, and what is odd about it without being wrong.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) config: Config,
    pub(crate) warnings: Vec<(Span, String)>,
}

/// Reads the directive. `root` is the folder that the plugin `root` names.
pub(crate) fn parse(
    directives: &[Directive],
    root: Option<&Path>,
    block: &BlockInfo,
) -> Result<Parsed, ConfigErrors> {
    let directive = once(directives)?;
    let mut parser = Parser {
        config: Config {
            path: PathBuf::from(DEFAULT_FILE),
            label: DEFAULT_FILE.to_owned(),
            zones: block.zones.clone(),
            inline: Entries::default(),
            ttl: DEFAULT_TTL,
            reverse: true,
            reload: DEFAULT_RELOAD,
            fallthrough: Fallthrough::default(),
            fallthrough_unsupported: false,
        },
        lines: Vec::new(),
        unsupported: None,
        warnings: Vec::new(),
    };
    let mut errors = Collector::default();
    errors.take(parser.arguments(directive, root, &block.folder));
    for option in directive.options() {
        errors.take(parser.option(option));
    }
    errors.take(parser.validate());
    let Parser {
        mut config,
        lines,
        warnings,
        ..
    } = parser;
    if let Err(error) = config.inline.read(&lines, Source::Corefile, &config.zones) {
        errors.push(directive.error(error.to_string()));
    }
    errors.finish(Parsed { config, warnings })
}

struct Parser<'a> {
    config: Config,
    /// The entries of the Corefile, as a hosts file would have them.
    lines: Vec<u8>,
    unsupported: Option<&'a Directive>,
    warnings: Vec<(Span, String)>,
}

impl<'a> Parser<'a> {
    fn arguments(
        &mut self,
        directive: &Directive,
        root: Option<&Path>,
        folder: &Path,
    ) -> Result<(), ConfigError> {
        let [file, zones @ ..] = directive.args() else {
            return Ok(());
        };
        let written = match root {
            Some(root) => file.path(root)?,
            None => file.path(Path::new(""))?,
        };
        self.config.label = written.display().to_string();
        self.config.path = folder.join(written);
        if !zones.is_empty() {
            let mut given = Vec::new();
            for zone in zones {
                given.extend(zone.zones()?);
            }
            self.config.zones = given;
        }
        match fs::metadata(&self.config.path) {
            Ok(metadata) if metadata.is_dir() => {
                self.warn(
                    file.span(),
                    format!("Hosts file \"{}\" is a directory", self.config.label),
                );
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.warn(file.span(), format!("File does not exist: {}", self.config.label));
            }
            Err(error) => {
                let message = format!("unable to access hosts file `{}`: {error}", self.config.label);
                return Err(file
                    .error(message)
                    .with_expected("a file that this user may read"));
            }
        }
        Ok(())
    }

    fn option(&mut self, option: &'a Directive) -> Result<(), ConfigError> {
        match option.name() {
            "fallthrough" => self.config.fallthrough = Fallthrough::from_option(option)?,
            "fallthrough_unsupported" => {
                option.no_args()?;
                self.unsupported = Some(option);
            }
            "no_reverse" => {
                self.leave_out(option.args());
                self.config.reverse = false;
            }
            "reload" => {
                let time = option.one_arg("DURATION")?.duration()?;
                self.config.reload = if time.is_zero() {
                    time
                } else {
                    time.max(MIN_RELOAD)
                };
            }
            "ttl" => {
                let seconds = match option.args() {
                    [seconds, rest @ ..] => {
                        self.leave_out(rest);
                        seconds
                    }
                    [] => option.one_arg("SECONDS")?,
                };
                self.config.ttl = seconds.count(1..=65535)? as u32;
            }
            _ if self.config.fallthrough.is_none() => self.entry(option)?,
            _ => {
                let error = option.unknown_option(OPTIONS);
                return Err(error.with_note("entries of hosts stand before `fallthrough`"));
            }
        }
        Ok(())
    }

    /// Words that CoreDNS does not look at, so that there are Corefiles with them.
    fn leave_out(&mut self, words: &[Token]) {
        for word in words {
            self.warn(
                word.span(),
                format!("`{}` has no meaning here, and is left out", word.as_str()),
            );
        }
    }

    /// Takes a line as an entry: what is no option cannot be told from one.
    fn entry(&mut self, line: &Directive) -> Result<(), ConfigError> {
        line.no_block()?;
        let words: Vec<&[u8]> = line.words().map(|word| word.as_bytes()).collect();
        let text = words.join(&b' ');
        if !is_entry(&text) {
            let mut warning = format!(
                "`{}` is neither an option nor an entry, and is left out",
                line.name()
            );
            if let Some(option) = nearest(line.name(), OPTIONS.iter().copied()) {
                warning.push_str(&format!(": did you mean `{option}`?"));
            }
            self.warn(line.span(), warning);
        }
        self.lines.extend_from_slice(&text);
        self.lines.push(b'\n');
        Ok(())
    }

    fn validate(&mut self) -> Result<(), ConfigError> {
        let Some(option) = self.unsupported else {
            return Ok(());
        };
        self.config.fallthrough_unsupported = true;
        if self.config.fallthrough.is_none() {
            let error = option.error("`fallthrough_unsupported` requires `fallthrough`");
            return Err(error.with_note("add a line `fallthrough`, or take this one out"));
        }
        Ok(())
    }

    fn warn(&mut self, span: &Span, text: String) {
        self.warnings.push((span.clone(), text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::corefile::testing::parse_directives;

    fn parse_text(text: &str) -> Result<Parsed, ConfigErrors> {
        let block = BlockInfo {
            index: 0,
            keys: Vec::new(),
            zones: vec!["example.org".parse().unwrap()],
            folder: PathBuf::from("/nonexistent/folder"),
            directives: vec!["hosts".to_owned()],
        };
        parse(&parse_directives(text).unwrap(), None, &block)
    }

    fn config(text: &str) -> Config {
        parse_text(text).unwrap().config
    }

    #[test]
    fn without_arguments_the_defaults_hold() {
        let config = config("hosts");
        assert_eq!(config.path, Path::new("/etc/hosts"));
        assert_eq!(config.zones, ["example.org".parse().unwrap()]);
        assert_eq!((config.ttl, config.reload), (3600, Duration::from_secs(5)));
        assert!(config.reverse && config.fallthrough.is_none() && !config.fallthrough_unsupported);
        assert!(config.inline.pairs.is_empty());
    }

    #[test]
    fn every_option_is_read() {
        let config = config(
            "hosts x.hosts example.org 192.0.2.0/24 {\n 192.0.2.1 a.example.org b.example.org # c\n ttl 60\n no_reverse\n\
             \x20reload 1.5h\n fallthrough_unsupported\n fallthrough a.example.org\n}",
        );
        assert_eq!(config.path, Path::new("/nonexistent/folder/x.hosts"));
        assert_eq!(config.label, "x.hosts");
        let zones: Vec<_> = config.zones.iter().map(Zone::as_str).collect();
        assert_eq!(zones, ["example.org.", "2.0.192.in-addr.arpa."]);
        assert_eq!((config.ttl, config.reload), (60, Duration::from_secs(5400)));
        assert!(!config.reverse && config.fallthrough_unsupported);
        assert!(config.fallthrough.covers(&"x.a.example.org".parse().unwrap()));
        assert!(!config.fallthrough.covers(&"b.example.org".parse().unwrap()));
        assert_eq!(config.inline.pairs.len(), 2);
    }

    #[test]
    fn times_of_nought_and_next_to_nought() {
        for (text, want) in [("0", 0), ("0s", 0), ("1ns", 10), ("300ms", 300)] {
            let config = config(&format!("hosts {{\n reload {text}\n}}"));
            assert_eq!(config.reload, Duration::from_millis(want), "{text}");
        }
    }

    #[test]
    fn the_folder_of_root_shows_in_the_label() {
        let block = BlockInfo {
            index: 0,
            keys: Vec::new(),
            zones: Vec::new(),
            folder: PathBuf::from("/nonexistent/folder"),
            directives: Vec::new(),
        };
        for (root, file, path, label) in [
            (
                "/nonexistent/top",
                "x.hosts",
                "/nonexistent/top/x.hosts",
                "/nonexistent/top/x.hosts",
            ),
            ("top", "x.hosts", "/nonexistent/folder/top/x.hosts", "top/x.hosts"),
            (
                "/nonexistent/top",
                "/nonexistent/x",
                "/nonexistent/x",
                "/nonexistent/x",
            ),
        ] {
            let directives = parse_directives(&format!("hosts {file}")).unwrap();
            let config = parse(&directives, Some(Path::new(root)), &block).unwrap().config;
            assert_eq!(
                (config.path.as_path(), config.label.as_str()),
                (Path::new(path), label)
            );
        }
    }

    #[test]
    fn odd_lines_are_warnings() {
        for (text, want) in [
            ("hosts nowhere", &["File does not exist: nowhere"][..]),
            ("hosts /", &["Hosts file \"/\" is a directory"]),
            (
                "hosts {\n tttl 5\n}",
                &["`tttl` is neither an option nor an entry, and is left out: did you mean `ttl`?"],
            ),
            (
                "hosts {\n 192.0.2.1\n}",
                &["`192.0.2.1` is neither an option nor an entry, and is left out"],
            ),
            ("hosts {\n 192.0.2.1 a\n}", &[]),
            (
                "hosts {\n ttl 60 70\n no_reverse x\n}",
                &[
                    "`70` has no meaning here, and is left out",
                    "`x` has no meaning here, and is left out",
                ],
            ),
        ] {
            let warnings: Vec<_> = parse_text(text)
                .unwrap()
                .warnings
                .into_iter()
                .map(|(_, text)| text)
                .collect();
            assert_eq!(warnings, want, "{text}");
        }
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (case, text, want) in [
            (
                "twice",
                "hosts\nhosts",
                "Corefile:2:1: this plugin can only be used once per Server Block",
            ),
            (
                "ttl nought",
                "hosts {\n ttl 0\n}",
                "Corefile:2:6: got `0`, expected a number from 1 to 65535",
            ),
            (
                "ttl large",
                "hosts {\n ttl 65536\n}",
                "Corefile:2:6: got `65536`, expected a number from 1 to 65535",
            ),
            (
                "ttl word",
                "hosts {\n ttl x\n}",
                "Corefile:2:6: got `x`, expected a number from 1 to 65535",
            ),
            (
                "ttl alone",
                "hosts {\n ttl\n}",
                "Corefile:2:2: wrong argument count after `ttl`, expected SECONDS",
            ),
            (
                "reload without unit",
                "hosts {\n reload 5\n}",
                "Corefile:2:9: got `5`, expected a duration such as 5s or 1h30m",
            ),
            (
                "reload negative",
                "hosts {\n reload -5s\n}",
                "Corefile:2:9: got `-5s`, expected a duration that is not negative",
            ),
            (
                "entry behind fallthrough",
                "hosts {\n fallthrough\n 192.0.2.1 a\n}",
                "Corefile:3:2: unknown option `192.0.2.1` (one of: fallthrough, fallthrough_unsupported, no_reverse, \
                 reload, ttl)",
            ),
            (
                "unsupported alone",
                "hosts {\n fallthrough_unsupported\n}",
                "Corefile:2:2: `fallthrough_unsupported` requires `fallthrough`",
            ),
            (
                "unsupported with argument",
                "hosts {\n fallthrough\n fallthrough_unsupported x\n}",
                "Corefile:3:26: wrong argument count: unexpected `x` after `fallthrough_unsupported`, expected no \
                 arguments",
            ),
            (
                "block behind an entry",
                "hosts {\n 192.0.2.1 a {\n }\n}",
                "Corefile:2:2: `192.0.2.1` takes no block",
            ),
            (
                "no zone",
                "hosts x a..b",
                "Corefile:1:9: got `a..b`, expected a zone",
            ),
        ] {
            let errors = parse_text(text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "case {case}");
        }
    }

    #[test]
    fn independent_errors_come_at_once() {
        let errors = parse_text("hosts {\n ttl 0\n reload x\n fallthrough_unsupported\n}").unwrap_err();
        assert_eq!(errors.as_slice().len(), 3);
    }

    #[test]
    fn a_misspelt_option_behind_fallthrough_is_refused_with_a_suggestion() {
        let errors = parse_text("hosts {\n fallthrough\n relod 5s\n}").unwrap_err();
        assert_eq!(errors.as_slice()[0].suggestion(), Some("reload"));
    }
}
