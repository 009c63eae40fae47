//! Help for the tests of plugins.

use super::{ConfigErrors, Directive, Input, Rules, parser::Parser};

/// Reads the inside of a server block, so that the first line of `text` is line 1 of "Corefile".
///
/// Any name of a directive is fine. Environment variables have no value; files to import are looked for in the current
/// folder.
///
/// ```
/// use catena_core::corefile::testing::parse_directives;
///
/// let lines = parse_directives("log\ncache 30 {\n  prefetch 10\n}").unwrap();
/// assert_eq!(lines.len(), 2);
/// assert_eq!(lines[1].name(), "cache");
/// assert_eq!(lines[1].options()[0].one_arg("AMOUNT").unwrap().count(1..).unwrap(), 10);
/// ```
///
/// # Errors
///
/// The text's braces do not fit, or an import cannot be followed.
pub fn parse_directives(text: &str) -> Result<Vec<Directive>, ConfigErrors> {
    let rules = Rules::any_directive().with_environment(&|_| None);
    Parser::new(&rules).parse_inside(&Input::new("Corefile", text.as_bytes()))
}
