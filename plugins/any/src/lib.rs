//! *any* answers queries for ANY with one short, made-up HINFO record (RFC 8482), and passes all others on.

#![forbid(unsafe_code)]

mod handler;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use handler::Any;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("any", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    for directive in setup.directives() {
        directive.no_args()?;
        directive.no_block()?;
    }
    setup.add(Any);
    Ok(())
}

#[cfg(test)]
mod tests {
    use catena_core::plugin::testing::set_up;

    use super::PLUGIN;

    #[test]
    fn stands_alone_on_its_line() {
        for text in ["any", "any\nany"] {
            let block = set_up(&[PLUGIN], text).unwrap();
            assert_eq!(block.chain.names().collect::<Vec<_>>(), ["any"], "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, want) in [
            (
                "any thing",
                "Corefile:1:5: plugin/any: wrong argument count: unexpected `thing` after `any`, expected no arguments",
            ),
            (
                "any {\n ttl 5\n}",
                "Corefile:1:1: plugin/any: `any` takes no block",
            ),
        ] {
            let errors = set_up(&[PLUGIN], text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "{text}");
        }
    }
}
