//! The command line: CoreDNS's flags, and what Catena adds as subcommands.

mod check;
mod flags;
mod fmt;
mod probe;
mod proxy;
mod serve;

use std::io::Write;
use std::process::ExitCode;

use catena_core::config::Registry;

use flags::{Command, Flags};

/// The server's name, as it announces itself.
pub const NAME: &str = "Catena";
/// The server's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of CoreDNS whose Corefiles it runs.
pub const COREDNS_VERSION: &str = "1.14.7";

/// Exit status for a command line that cannot be understood, as Go's flag package has it.
const USAGE: u8 = 2;

/// Runs the program: reads the command line, and serves or does what a subcommand says.
#[must_use]
pub fn run(registry: Registry) -> ExitCode {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let command = match flags::parse(&words) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("{error}\n{}", flags::HELP);
            return ExitCode::from(USAGE);
        }
    };
    match command {
        Command::Help => say(flags::HELP),
        Command::Version => say(&version_lines().join("\n")),
        Command::Plugins => say(&list_plugins(&registry)),
        Command::Check(flags) => check::run(&flags, &registry),
        Command::Format { flags, write } => fmt::run(&flags, write),
        Command::Proxy(words) => proxy::run(&words, registry),
        Command::Probe(words) => probe::run(&words),
        Command::Serve(flags) => match source(&flags) {
            Ok(source) => serve::run(source, &flags, registry),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Prints to standard output; a reader that has gone away is no error.
fn say(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

/// What the start prints behind the zones, and `-version` alone.
fn version_lines() -> Vec<String> {
    let system = std::env::consts::OS;
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    vec![
        format!("{NAME}-{VERSION}"),
        format!("{system}/{machine}, runs Corefiles of CoreDNS-{COREDNS_VERSION}"),
    ]
}

/// The list of `-plugins`.
fn list_plugins(registry: &Registry) -> String {
    let mut names = registry.names();
    names.sort_unstable();
    let mut text =
        String::from("Server types:\n  dns\n\nCaddyfile loaders:\n  flag\n  default\n\nOther plugins:");
    for name in names {
        text.push_str("\n  dns.");
        text.push_str(name);
    }
    text
}

/// The Corefile that the flags name, in the words of its reader.
fn source(flags: &Flags) -> std::io::Result<catena_core::instance::CorefileSource> {
    serve::source(flags)
}
