//! One plugin's setup, and what it says of bad input.

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::Definition;

use crate::handler::Handler;

/// Runs one plugin's setup on the inside of a server block.
///
/// # Errors
///
/// What the setup says.
pub fn setup_plugin(plugin: &Definition, text: &str) -> Result<Handler, ConfigErrors> {
    Handler::builder(plugin, text).build()
}

/// The errors of one plugin's setup, as an operator sees them.
///
/// # Panics
///
/// There are none.
#[track_caller]
#[must_use]
pub fn setup_error(plugin: &Definition, text: &str) -> String {
    match setup_plugin(plugin, text) {
        Ok(_) => panic!("the setup of {} accepts:\n{text}", plugin.name),
        Err(errors) => errors.to_string(),
    }
}

/// Checks a table of bad input: the name of the case, the inside of a server block, and a part of the message.
///
/// ```
/// use catena_testkit::{RECORDS, assert_setup_errors};
///
/// assert_setup_errors(&RECORDS, [
///     ("no record", "records {\n  nonsense\n}", "Corefile:2:3: plugin/records: a record without a type"),
///     ("bad address", "records {\n  a.example.org. A 192.0.2.300\n}", "unreadable data"),
/// ]);
/// ```
///
/// # Panics
///
/// Text is accepted, or refused with another message.
#[track_caller]
pub fn assert_setup_errors<'a>(
    plugin: &Definition,
    table: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
) {
    for (case, text, want) in table {
        match setup_plugin(plugin, text) {
            Ok(_) => panic!("case {case}: the setup of {} accepts:\n{text}", plugin.name),
            Err(errors) => {
                let got = errors.to_string();
                assert!(got.contains(want), "case {case}: `{want}` is expected in\n{got}");
            }
        }
    }
}
