//! `catena proxy`: the server as a DNS-over-TLS proxy that is configured without a Corefile.
//!
//! The settings are turned into a Corefile, and that is served: there is no other way from a setting to what happens.

mod corefile;
mod settings;

use std::process::ExitCode;

use catena_core::config::Registry;
use catena_core::instance::CorefileSource;

use super::flags::Flags;
use corefile::Proxy;
use settings::Words;

/// What error messages call the Corefile.
const NAME: &str = "proxy";

/// Runs the proxy, or prints what it would run.
pub(super) fn run(words: &[String], registry: Registry) -> ExitCode {
    let mut words = match Words::read(words) {
        Ok(words) => words,
        Err(error) => {
            eprintln!("{error}\nSee catena proxy -help.");
            return ExitCode::from(super::USAGE);
        }
    };
    if words.help {
        return super::say(&settings::help());
    }
    for warning in settings::unknown_variables(std::env::vars_os().map(|(name, _)| name)) {
        eprintln!("{warning}");
    }
    let read = words
        .given
        .read_environment(|name| std::env::var_os(name))
        .and_then(|()| Proxy::read(&words.given));
    let text = match read {
        Ok(proxy) => proxy.corefile(),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if words.print_corefile {
        return super::say(text.trim_end());
    }
    let flags = Flags {
        pidfile: words.pidfile,
        quiet: words.quiet,
        ..Flags::default()
    };
    super::serve::run(CorefileSource::text(NAME, text), &flags, registry)
}
