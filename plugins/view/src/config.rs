//! Reads the `view` directive.

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive};
use catena_core::plugin::once;
use catena_expr::{Expr, ExprError};

const OPTIONS: &[&str] = &["expr"];

/// The view's name and its conditions.
pub(crate) fn parse(directives: &[Directive]) -> Result<(String, Vec<Expr>), ConfigErrors> {
    let directive = once(directives)?;
    let name = directive.one_arg("NAME")?;
    let mut errors = Collector::default();
    let mut conditions = Vec::new();
    for option in directive.options() {
        match option.name() {
            "expr" => conditions.extend(errors.take(condition(option))),
            _ => errors.push(option.unknown_option(OPTIONS)),
        }
    }
    errors.finish((name.to_string(), conditions))
}

/// Reads `expr EXPRESSION`, whose words are joined by single spaces.
fn condition(option: &Directive) -> Result<Expr, ConfigError> {
    let words = option.at_least(1, "EXPRESSION")?;
    let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
    let text = words.join(" ");
    Expr::parse(&text).map_err(|ExprError { place, message }| {
        // The place is within the joined words: tell which one it is in.
        let mut end = 0;
        let word = option.args().iter().find(|word| {
            end += word.as_str().chars().count() + 1;
            place <= end
        });
        let word = word.or_else(|| option.args().last());
        let message = format!("cannot use the expression: {message}");
        let error = word.map_or_else(
            || option.error(message.clone()),
            |word| word.error(message.clone()),
        );
        error.with_note(format!("character {place} of: {text}"))
    })
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    fn read(text: &str) -> Result<(String, Vec<Expr>), ConfigErrors> {
        parse(&parse_directives(text).unwrap())
    }

    #[test]
    fn names_and_conditions() {
        for (text, name, conditions) in [
            ("view v", "v", 0),
            ("view v {\n}", "v", 0),
            (
                "view \"my view\" {\n expr true\n expr name() == 'a  b'\n}",
                "my view",
                2,
            ),
            ("view v {\n expr \"type() in ['A', 'AAAA']\"\n}", "v", 1),
            (
                "view v {\n expr \"{A: true}[type()] ?? false\"\n expr now(timezone('Europe/Zurich')).Hour() not in 6..21\n}",
                "v",
                2,
            ),
        ] {
            let (read, list) = read(text).unwrap();
            assert_eq!((read.as_str(), list.len()), (name, conditions), "{text}");
        }
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (text, want) in [
            (
                "view",
                "Corefile:1:1: wrong argument count after `view`, expected NAME",
            ),
            (
                "view a b",
                "Corefile:1:8: wrong argument count: unexpected `b` after `view`, expected NAME",
            ),
            (
                "view a\nview b",
                "Corefile:2:1: this plugin can only be used once per Server Block",
            ),
            (
                "view a {\n when true\n}",
                "Corefile:2:2: unknown option `when` (one of: expr)",
            ),
            (
                "view a {\n expr\n}",
                "Corefile:2:2: wrong argument count after `expr`, expected EXPRESSION",
            ),
            (
                "view a {\n expr name( == 'x'\n}",
                "Corefile:2:13: cannot use the expression: unexpected `==`",
            ),
            (
                "view a {\n expr type() == 1\n}",
                "Corefile:2:14: cannot use the expression: mismatched types string and int",
            ),
            (
                "view a {\n expr true &&\n}",
                "Corefile:2:12: cannot use the expression: unexpected end",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().as_slice()[0].headline(), want, "{text}");
        }
        let error = read("view a {\n expr nam() == 'x'\n}").unwrap_err().to_string();
        assert!(error.ends_with("= character 1 of: nam() == 'x'"), "{error}");
    }
}
