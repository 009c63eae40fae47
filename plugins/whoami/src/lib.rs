//! *whoami* answers every query with what the server sees of its client: address, port and transport.
//!
//! The answer section stays empty; the additional section holds an A or AAAA record with the client's address, and an
//! SRV record whose owner begins with `_udp` or `_tcp` and whose port is the client's:
//!
//! ```text
//! example.org.       0  IN  A    192.0.2.5
//! _udp.example.org.  0  IN  SRV  0 0 40212 .
//! ```
//!
//! A server without a Corefile runs it, so that it can be seen to work.

#![forbid(unsafe_code)]

mod handler;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

use handler::Whoami;

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("whoami", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    for directive in setup.directives() {
        directive.no_args()?;
        directive.no_block()?;
    }
    setup.add(Whoami);
    Ok(())
}

#[cfg(test)]
mod tests {
    use catena_core::plugin::testing::set_up;

    use super::PLUGIN;

    #[test]
    fn stands_alone_on_its_line() {
        for text in ["whoami", "whoami\nwhoami"] {
            let block = set_up(&[PLUGIN], text).unwrap();
            assert_eq!(block.chain.names().collect::<Vec<_>>(), ["whoami"], "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, want) in [
            (
                "whoami now",
                "Corefile:1:8: plugin/whoami: wrong argument count: unexpected `now` after `whoami`, expected no arguments",
            ),
            (
                "whoami {\n port\n}",
                "Corefile:1:1: plugin/whoami: `whoami` takes no block",
            ),
            (
                "whoami {\n}",
                "Corefile:1:1: plugin/whoami: `whoami` takes no block",
            ),
        ] {
            let errors = set_up(&[PLUGIN], text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "{text}");
        }
    }
}
