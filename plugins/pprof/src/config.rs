//! Reads the `pprof` directive.

use catena_core::corefile::{ConfigError, Directive, Token};
use catena_core::plugin::once;
use catena_http::Address;

/// The plugin's name.
pub(crate) const NAME: &str = "pprof";

/// Where the endpoint is, unless the Corefile says otherwise: reachable from this machine only.
const DEFAULT_ADDRESS: &str = "localhost:6053";

const OPTIONS: &[&str] = &["block"];

/// What a block says of its profiles.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where to listen.
    pub(crate) address: Address,
    /// The profile of blocking is shown.
    pub(crate) block: bool,
    /// A rate other than 1, which says nothing.
    pub(crate) odd_rate: Option<Token>,
}

/// Reads all directives of a block, of which there may be one.
pub(crate) fn parse(directives: &[Directive]) -> Result<Config, ConfigError> {
    let directive = once(directives)?;
    let address = match directive.optional_arg("[ADDRESS]")? {
        Some(token) => Address::from_token(token)?,
        None => DEFAULT_ADDRESS
            .parse()
            .map_err(|_| ConfigError::without_place("the default address"))?,
    };
    let mut config = Config {
        address,
        block: false,
        odd_rate: None,
    };
    for option in directive.options() {
        match option.name() {
            "block" => {
                let rate = option.optional_arg("[RATE]")?;
                let value = match rate {
                    Some(token) => token.integer(..)?,
                    None => 1,
                };
                // Nought and less turn it off, as in CoreDNS.
                config.block = value > 0;
                config.odd_rate = rate.filter(|_| value > 1).cloned();
            }
            _ => return Err(option.unknown_option(OPTIONS)),
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::corefile::testing::parse_directives;

    fn parse_text(text: &str) -> Result<Config, ConfigError> {
        parse(&parse_directives(text).unwrap())
    }

    #[test]
    fn addresses_and_rates_are_read() {
        for (text, address, block, odd) in [
            ("pprof", "localhost:6053", false, false),
            ("pprof 192.0.2.1:1234", "192.0.2.1:1234", false, false),
            ("pprof [::1]:1234", "[::1]:1234", false, false),
            ("pprof :1234", ":1234", false, false),
            ("pprof {\n}", "localhost:6053", false, false),
            ("pprof {\n block\n}", "localhost:6053", true, false),
            ("pprof :1234 {\n block 20\n}", ":1234", true, true),
            ("pprof {\n block 1\n}", "localhost:6053", true, false),
            ("pprof {\n block 0\n}", "localhost:6053", false, false),
            ("pprof {\n block -5\n}", "localhost:6053", false, false),
            ("pprof {\n block 5\n block\n}", "localhost:6053", true, false),
        ] {
            let config = parse_text(text).unwrap();
            assert_eq!(
                (
                    config.address.to_string().as_str(),
                    config.block,
                    config.odd_rate.is_some()
                ),
                (address, block, odd),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (case, text, want) in [
            (
                "no port",
                "pprof /foo",
                "Corefile:1:7: got `/foo`, expected an address with a port",
            ),
            ("two addresses", "pprof :1234 -1", "wrong argument count"),
            ("two rates", "pprof {\n block 20 30\n}", "wrong argument count"),
            (
                "a word for a rate",
                "pprof {\n block invalid\n}",
                "Corefile:2:8: got `invalid`, expected",
            ),
            (
                "typo",
                "pprof {\n blok\n}",
                "Corefile:2:2: unknown option `blok` (one of: block)",
            ),
            (
                "twice",
                "pprof\npprof",
                "Corefile:2:1: this plugin can only be used once per Server Block",
            ),
        ] {
            let error = parse_text(text).unwrap_err();
            assert!(
                error.headline().contains(want),
                "case {case}: {}",
                error.headline()
            );
        }
    }
}
