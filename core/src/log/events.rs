//! `tracing` events as log lines in the form that operators of CoreDNS know: `[LEVEL] plugin/NAME: message`.

use std::fmt::{self, Write};
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use super::LogSink;

/// A dispatcher that prints events to the sink. Install it with [`tracing::dispatcher::set_global_default`], or for
/// one thread with [`tracing::dispatcher::set_default`].
#[must_use]
pub fn dispatch(sink: LogSink) -> Dispatch {
    KEPT.get_or_init(|| {
        Dispatch::new(EventFormat {
            sink: LogSink::captured().0,
        })
    });
    Dispatch::new(EventFormat { sink })
}

/// A dispatcher that receives nothing, but is there as long as the process.
///
/// Whether anybody cares for an event is asked once per place in the code and remembered. While a process has only one
/// dispatcher, `tracing` asks that of the thread that comes by first. If that thread has none, the place stays silent
/// for all threads, also for one whose dispatcher is set for its own scope: workers and tests have such. With a second
/// dispatcher all of them are asked, whatever thread comes by.
static KEPT: OnceLock<Dispatch> = OnceLock::new();

/// A subscriber that prints events, and ignores spans.
#[derive(Debug)]
pub struct EventFormat {
    sink: LogSink,
}

impl Subscriber for EventFormat {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match *metadata.level() {
            Level::ERROR | Level::WARN | Level::INFO => ours(metadata.target()),
            Level::DEBUG => self.sink.debug() && ours(metadata.target()),
            Level::TRACE => false,
        }
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            _ => "DEBUG",
        };
        let mut line = format!("[{level}] ");
        if metadata.target().starts_with("plugin/") {
            line.push_str(metadata.target());
            line.push_str(": ");
        }
        let mut visitor = Line {
            line,
            fields: String::new(),
        };
        event.record(&mut visitor);
        visitor.line.push_str(&visitor.fields);
        self.sink.line(&visitor.line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        match *metadata.level() {
            Level::TRACE => tracing::subscriber::Interest::never(),
            _ => tracing::subscriber::Interest::sometimes(),
        }
    }
}

/// Libraries below say what they do at the level debug and info as well; an operator wants the server's words.
fn ours(target: &str) -> bool {
    target.starts_with("plugin/") || target.starts_with("catena")
}

struct Line {
    line: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.line, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_without_dispatcher_does_not_silence_a_place_for_others() {
        fn event() {
            tracing::info!(target: "plugin/reload", "seen");
        }
        let (sink, captured) = LogSink::captured();
        let dispatch = dispatch(sink);
        thread::spawn(event).join().unwrap();
        tracing::dispatcher::with_default(&dispatch, event);
        assert_eq!(captured.lines(), ["[INFO] plugin/reload: seen"]);
    }

    #[test]
    fn an_event_is_a_line_with_level_and_plugin() {
        let (sink, captured) = LogSink::captured();
        tracing::dispatcher::with_default(&dispatch(sink.clone()), || {
            tracing::info!(target: "plugin/reload", "Running configuration SHA512 = {}", "ab");
            tracing::warn!(target: "catena", zone = "example.org.", "no such file");
            tracing::debug!(target: "plugin/hosts", "hidden");
            tracing::error!(target: "hyper::proto", "not ours");
            sink.set_debug(true);
            tracing::debug!(target: "plugin/hosts", "shown");
        });
        assert_eq!(
            captured.lines(),
            [
                "[INFO] plugin/reload: Running configuration SHA512 = ab",
                "[WARNING] no such file zone=example.org.",
                "[DEBUG] plugin/hosts: shown",
            ]
        );
    }
}
