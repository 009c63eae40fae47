//! Reads the Corefile.

use catena_core::corefile::{ConfigError, Directive};

const OPTIONS: &[&str] = &["localhost_prefix"];

/// What the Corefile says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Names such as `localhost.example.org.` are local too. On by default, as in CoreDNS; RFC 6761 knows it not.
    pub(crate) localhost_prefix: bool,
}

/// Of several settings the last one holds.
pub(crate) fn parse(directives: &[Directive]) -> Result<Config, ConfigError> {
    let mut config = Config {
        localhost_prefix: true,
    };
    for directive in directives {
        directive.no_args()?;
        for option in directive.options() {
            match option.name() {
                "localhost_prefix" => config.localhost_prefix = prefix(option)?,
                _ => return Err(option.unknown_option(OPTIONS)),
            }
        }
    }
    Ok(config)
}

fn prefix(option: &Directive) -> Result<bool, ConfigError> {
    let value = option.one_arg("on|off")?;
    match value.as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(value
            .error(format!("localhost_prefix is `{value}`"))
            .with_expected("on or off")),
    }
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    #[test]
    fn the_prefix_is_on_unless_switched_off() {
        for (text, want) in [
            ("local", true),
            ("local {\n}", true),
            ("local {\n localhost_prefix on\n}", true),
            ("local {\n localhost_prefix off\n}", false),
            ("local {\n localhost_prefix off\n localhost_prefix on\n}", true),
            ("local {\n localhost_prefix off\n}\nlocal", false),
        ] {
            let config = parse(&parse_directives(text).unwrap()).unwrap();
            assert_eq!(config.localhost_prefix, want, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, want) in [
            (
                "local host",
                "Corefile:1:7: wrong argument count: unexpected `host` after `local`, expected no arguments",
            ),
            (
                "local {\n localhost_prefix no\n}",
                "Corefile:2:19: localhost_prefix is `no`, expected on or off",
            ),
            (
                "local {\n localhost_prefix true\n}",
                "Corefile:2:19: localhost_prefix is `true`, expected on or off",
            ),
            (
                "local {\n localhost_prefix\n}",
                "Corefile:2:2: wrong argument count after `localhost_prefix`, expected on|off",
            ),
            (
                "local {\n localhost_prefix on off\n}",
                "Corefile:2:22: wrong argument count: unexpected `off` after `localhost_prefix`, expected on|off",
            ),
            (
                "local {\n localhost_prefix on {\n }\n}",
                "Corefile:2:2: `localhost_prefix` takes no block",
            ),
            (
                "local {\n prefix on\n}",
                "Corefile:2:2: unknown option `prefix` (one of: localhost_prefix)",
            ),
        ] {
            let error = parse(&parse_directives(text).unwrap()).unwrap_err();
            assert_eq!(error.headline(), want, "{text}");
        }
    }

    #[test]
    fn suggests_the_option_that_was_meant() {
        let error = parse(&parse_directives("local {\n localhost_prefx on\n}").unwrap()).unwrap_err();
        assert_eq!(error.suggestion(), Some("localhost_prefix"));
    }
}
