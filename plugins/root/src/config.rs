//! Reads the Corefile.

use catena_core::corefile::{ConfigError, Directive, Token};

/// The path of the last directive.
pub(crate) fn parse(directives: &[Directive]) -> Result<Option<&Token>, ConfigError> {
    let mut root = None;
    for directive in directives {
        directive.no_block()?;
        root = Some(directive.one_arg("PATH")?);
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, want) in [
            (
                "root",
                "Corefile:1:1: wrong argument count after `root`, expected PATH",
            ),
            (
                "root /a /b",
                "Corefile:1:9: wrong argument count: unexpected `/b` after `root`, expected PATH",
            ),
            ("root {\n /a\n}", "Corefile:1:1: `root` takes no block"),
            (
                "root /a\nroot",
                "Corefile:2:1: wrong argument count after `root`, expected PATH",
            ),
        ] {
            let error = parse(&parse_directives(text).unwrap()).unwrap_err();
            assert_eq!(error.headline(), want, "{text}");
        }
    }
}
