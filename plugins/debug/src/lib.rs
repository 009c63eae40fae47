//! *debug* lets a panic end the process, with its stack, instead of failing one query; and it prints the debug messages
//! of all plugins.

#![forbid(unsafe_code)]

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, PanicPolicy, Setup};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("debug", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    for directive in setup.directives() {
        directive.no_args()?;
        directive.no_block()?;
    }
    setup.settings().debug = true;
    setup.settings().panics = PanicPolicy::Crash;
    Ok(())
}

#[cfg(test)]
mod tests {
    use catena_core::plugin::testing::{FIXED, set_up};

    use super::*;

    #[test]
    fn changes_settings_and_no_query() {
        for text in ["debug\nfixed", "debug\ndebug\nfixed"] {
            let block = set_up(&[PLUGIN, FIXED], text).unwrap();
            assert!(block.settings.debug, "{text}");
            assert_eq!(block.settings.panics, PanicPolicy::Crash, "{text}");
            assert_eq!(block.chain.names().collect::<Vec<_>>(), ["fixed"], "{text}");
        }
        let without = set_up(&[PLUGIN, FIXED], "fixed").unwrap();
        assert_eq!(
            (without.settings.debug, without.settings.panics),
            (false, PanicPolicy::Catch)
        );
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, want) in [
            (
                "debug all",
                "Corefile:1:7: plugin/debug: wrong argument count: unexpected `all` after `debug`, expected no arguments",
            ),
            (
                "debug {\n all\n}",
                "Corefile:1:1: plugin/debug: `debug` takes no block",
            ),
            ("debug {\n}", "Corefile:1:1: plugin/debug: `debug` takes no block"),
        ] {
            let errors = set_up(&[PLUGIN], text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "{text}");
        }
    }
}
