//! Reads the `on` directives.

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive};

use crate::words;

const EVENTS: &[&str] = &["startup", "shutdown", "certrenew"];

/// What a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A certificate is renewed, which this server does not do by itself.
    CertRenew,
    /// The server ends.
    Shutdown,
    /// The configuration serves.
    Startup,
}

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) event: Event,
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    /// `&` stands at the end: nobody waits for the command.
    pub(crate) background: bool,
}

/// Reads all directives.
pub(crate) fn parse(directives: &[Directive]) -> Result<Vec<Command>, ConfigErrors> {
    let mut errors = Collector::default();
    let read = |directive| errors.take(command(directive));
    let commands = directives.iter().filter_map(read).collect();
    errors.finish(commands)
}

fn command(directive: &Directive) -> Result<Command, ConfigError> {
    directive.no_block()?;
    let [event, rest @ ..] = directive.at_least(1, "EVENT COMMAND")? else {
        return Err(directive.error("wrong argument count"));
    };
    let event = match event.as_str().to_ascii_lowercase().as_str() {
        "startup" => Event::Startup,
        "shutdown" => Event::Shutdown,
        "certrenew" => Event::CertRenew,
        _ => {
            let known = EVENTS.join(", ");
            let message = format!("wrong event name or event not supported: `{event}` (one of: {known})");
            return Err(event
                .error(message)
                .with_nearest(event.as_str(), EVENTS.iter().copied()));
        }
    };
    let line: Vec<&str> = rest.iter().map(|word| word.as_str()).collect();
    let line = line.join(" ");
    let words = words::split(&line).map_err(|words::Unfinished(what)| {
        directive
            .error(format!("cannot read the command `{line}`"))
            .with_expected(what)
    })?;
    let [program, args @ ..] = words.as_slice() else {
        return Err(directive
            .error("no command behind the event")
            .with_expected("EVENT COMMAND"));
    };
    let (args, background) = match args {
        [args @ .., last] if last == "&" => (args, true),
        args => (args, false),
    };
    Ok(Command {
        event,
        program: program.clone(),
        args: args.to_vec(),
        background,
    })
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    fn read(text: &str) -> Result<Vec<Command>, ConfigErrors> {
        parse(&parse_directives(text).unwrap())
    }

    #[test]
    fn events_and_commands() {
        for (text, event, program, args, background) in [
            ("on startup true", Event::Startup, "true", &[][..], false),
            ("on STARTUP cp a b", Event::Startup, "cp", &["a", "b"], false),
            ("on shutdown cp a &", Event::Shutdown, "cp", &["a"], true),
            ("on shutdown sleep &", Event::Shutdown, "sleep", &[], true),
            ("on certrenew a & b", Event::CertRenew, "a", &["&", "b"], false),
            (
                r#"on startup echo "'a b' c""#,
                Event::Startup,
                "echo",
                &["a b", "c"],
                false,
            ),
        ] {
            let want = Command {
                event,
                program: program.to_owned(),
                args: args.iter().map(|&arg| arg.to_owned()).collect(),
                background,
            };
            assert_eq!(read(text).unwrap(), [want], "{text}");
        }
        assert_eq!(read("on startup a\non shutdown b").unwrap().len(), 2);
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (text, want) in [
            (
                "on",
                "Corefile:1:1: wrong argument count after `on`, expected EVENT COMMAND",
            ),
            (
                "on sunrise true",
                "Corefile:1:4: wrong event name or event not supported: `sunrise` (one of: startup, shutdown, certrenew)",
            ),
            (
                "on startup",
                "Corefile:1:1: no command behind the event, expected EVENT COMMAND",
            ),
            (
                "on startup \"#a\"",
                "Corefile:1:1: no command behind the event, expected EVENT COMMAND",
            ),
            (
                "on startup a 'b",
                "Corefile:1:1: cannot read the command `a 'b`, expected a closing quote",
            ),
            ("on startup a {\n b\n}", "Corefile:1:1: `on` takes no block"),
        ] {
            assert_eq!(read(text).unwrap_err().as_slice()[0].headline(), want, "{text}");
        }
    }
}
