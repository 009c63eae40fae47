//! Help for the tests of plugins, and the laws that a fuzz target holds the Corefile to.

use std::path::Path;

use super::{ConfigErrors, Corefile, Directive, Input, Rules, Token, format, keys, parser::Parser};

/// Reads the inside of a server block, so that the first line of `text` is line 1 of "Corefile".
///
/// Any name of a directive is fine. Environment variables have no value, and files are not imported.
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
/// The text's braces do not fit, or it imports something.
pub fn parse_directives(text: &str) -> Result<Vec<Directive>, ConfigErrors> {
    let rules = Rules::any_directive().with_environment(&|_| None).without_files();
    Parser::new(&rules).parse_inside(&Input::new("Corefile", text.as_bytes()))
}

/// Whether two Corefiles say the same, wherever their words stand.
#[must_use]
pub fn same_meaning(one: &Corefile, other: &Corefile) -> bool {
    one.blocks.len() == other.blocks.len()
        && one.blocks.iter().zip(&other.blocks).all(|(one, other)| {
            same_words(&one.keys, &other.keys) && same_lines(&one.directives, &other.directives)
        })
}

fn same_lines(one: &[Directive], other: &[Directive]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            one.name_token().as_bytes() == other.name_token().as_bytes()
                && same_words(one.args(), other.args())
                && one.has_block() == other.has_block()
                && same_lines(one.options(), other.options())
        })
}

fn same_words(one: &[Token], other: &[Token]) -> bool {
    one.iter()
        .map(Token::as_bytes)
        .eq(other.iter().map(Token::as_bytes))
}

/// Takes any bytes for a Corefile and checks what must hold for all of them; the body of a fuzz target.
///
/// # Panics
///
/// A law is broken: layout is not idempotent or changes the meaning, what is printed reads as something else, or a
/// reader of keys or values panics.
pub fn check_laws(bytes: &[u8]) {
    let rules = Rules::any_directive()
        .with_environment(&|name| Some(name.to_uppercase().into()))
        .without_files();
    let parse = |text: &[u8]| Corefile::parse(&Input::new("Corefile", text), &rules);
    let corefile = parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let laid_out = format(text);
        assert_eq!(format(&laid_out), laid_out, "layout is not idempotent");
        match (&corefile, parse(laid_out.as_bytes())) {
            (Ok(before), Ok(after)) => assert!(same_meaning(before, &after), "layout changes the meaning"),
            (before, after) => assert_eq!(before.is_ok(), after.is_ok(), "layout makes or hides an error"),
        }
    }
    match corefile {
        Err(errors) => drop(errors.to_string()),
        Ok(corefile) => check_values(&corefile, &parse),
    }
}

fn check_values(corefile: &Corefile, parse: &dyn Fn(&[u8]) -> Result<Corefile, ConfigErrors>) {
    if let Some(text) = corefile.to_text() {
        let again = parse(text.as_bytes());
        assert!(
            again.is_ok_and(|again| same_meaning(corefile, &again)),
            "what is printed reads as something else"
        );
    }
    for block in &corefile.blocks {
        if let Err(errors) = keys(&block.keys, 53) {
            drop(errors.to_string());
        }
        for directive in &block.directives {
            directive
                .words()
                .chain(directive.options().iter().flat_map(Directive::words))
                .for_each(read_all);
        }
    }
}

/// Reads a word as each type; what comes out does not matter.
fn read_all(word: &Token) {
    let _ = word.duration();
    let _ = word.signed_duration();
    let _ = word.count(..);
    let _ = word.integer(..);
    let _ = word.size(..);
    let _ = word.float(..);
    let _ = word.port();
    let _ = word.ip();
    let _ = word.address(Some(53));
    let _ = word.address(None);
    let _ = word.zones();
    let _ = word.network();
    let _ = word.regex();
    let _ = word.one_of(&["random", "round_robin"]);
    let _ = word.on_off();
    let _ = word.path(Path::new("/etc"));
}
