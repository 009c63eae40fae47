//! What happens when a plugin panics: one query fails, the place is logged, the server goes on.

use std::backtrace::Backtrace;
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
    stack: Backtrace,
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
    let stack = Backtrace::force_capture();
    LAST.with_borrow_mut(|last| *last = Some(Seen { what, place, stack }));
}

/// Turns a caught panic of `plugin` into an error: logged once with its place, and counted.
pub(super) fn caught(plugin: &'static str, policy: PanicPolicy, counters: &Counters) -> PluginError {
    let place = report(&format!("plugin/{plugin}"), policy, counters);
    PluginError::panicked(plugin, &place)
}

/// Counts and logs a panic that was caught in `whom`, and gives its place.
pub(crate) fn report(whom: &str, policy: PanicPolicy, counters: &Counters) -> String {
    let seen = LAST.with_borrow_mut(Option::take).unwrap_or_else(|| Seen {
        what: "panic".to_owned(),
        place: "an unknown place (no panic hook is installed)".to_owned(),
        stack: Backtrace::disabled(),
    });
    let Seen { what, place, stack } = seen;
    if policy == PanicPolicy::Crash {
        eprintln!("panic: {whom}: {what}\n\nat {place}\n{stack}");
        std::process::exit(CRASH_STATUS);
    }
    counters.inc(Event::Panic);
    tracing::error!(target: "catena", "Recovered from panic in {whom}: {what}, at {place}");
    if policy == PanicPolicy::CatchWithStack {
        for line in stack.to_string().lines() {
            tracing::error!(target: "catena", "{line}");
        }
    }
    place
}
