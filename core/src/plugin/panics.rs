//! What happens when a plugin panics: one query fails, the place is logged, the server goes on.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

use crate::counters::{Counters, Event};

use super::PluginError;

/// What a chain does with a panic of one of its plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PanicPolicy {
    /// Answer SERVFAIL, count, log the place, go on.
    #[default]
    Catch,
    /// The same, and log the stack as well (`errors` with `stacktrace`).
    CatchWithStack,
    /// Print it and end the process with status 2, as CoreDNS does with `debug`.
    Crash,
}

/// The status with which a process ends after a panic that is not caught.
const CRASH_STATUS: i32 = 2;

thread_local! {
    static LAST: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

struct Seen {
    what: String,
    place: String,
    stack: std::backtrace::Backtrace,
}

/// Makes panics remember their place instead of printing it, on threads of a server; elsewhere nothing changes.
/// Calling it again does nothing.
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if crate::worker::index().is_some() {
                remember(info);
            } else {
                previous(info);
            }
        }));
    });
}

fn remember(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let what = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic with a payload that is no text".to_owned());
    let place = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let stack = std::backtrace::Backtrace::force_capture();
    LAST.with_borrow_mut(|last| *last = Some(Seen { what, place, stack }));
}

/// Turns a caught panic of `plugin` into an error: logged once with its place, and counted.
pub(super) fn caught(plugin: &'static str, policy: PanicPolicy, counters: &Counters) -> PluginError {
    let seen = LAST.with_borrow_mut(Option::take);
    let (what, place) = seen.as_ref().map_or(
        ("panic", "an unknown place (no panic hook is installed)"),
        |seen| (&seen.what, &seen.place),
    );
    if policy == PanicPolicy::Crash {
        eprintln!("panic: plugin/{plugin}: {what}\n\nat {place}");
        if let Some(seen) = &seen {
            eprintln!("{}", seen.stack);
        }
        std::process::exit(CRASH_STATUS);
    }
    counters.inc(Event::Panic);
    tracing::error!(target: "catena", "Recovered from panic in plugin/{plugin}: {what}, at {place}");
    if policy == PanicPolicy::CatchWithStack
        && let Some(seen) = &seen
    {
        for line in seen.stack.to_string().lines() {
            tracing::error!(target: "catena", "{line}");
        }
    }
    PluginError::panicked(plugin, place)
}
