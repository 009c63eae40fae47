//! Reads the `ready` directive.

use catena_core::corefile::{ConfigError, Directive};
use catena_core::plugin::once;
use catena_http::Address;

/// The plugin's name.
pub(crate) const NAME: &str = "ready";

/// Where the endpoint is, unless the Corefile says otherwise.
const DEFAULT_ADDRESS: &str = ":8181";

const OPTIONS: &[&str] = &["monitor"];

/// What a block says of its readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen.
    pub(crate) address: Address,
    /// When plugins are asked.
    pub(crate) monitor: Monitor,
}

/// When a plugin is asked whether it is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Monitor {
    /// Each time.
    Continuously,
    /// Until it says yes for the first time.
    #[default]
    UntilReady,
}

/// Reads the directive of a block.
pub(crate) fn parse(directives: &[Directive]) -> Result<Config, ConfigError> {
    let directive = once(directives)?;
    let address = match directive.optional_arg("[ADDRESS]")? {
        Some(token) => Address::from_token(token)?,
        None => DEFAULT_ADDRESS
            .parse()
            .map_err(|_| ConfigError::without_place("the default address"))?,
    };
    let mut monitor = Monitor::default();
    for option in directive.options() {
        match option.name() {
            "monitor" => {
                let way = option.one_arg("until-ready|continuously")?;
                monitor = match way.one_of(&["until-ready", "continuously"])? {
                    "continuously" => Monitor::Continuously,
                    _ => Monitor::UntilReady,
                };
            }
            _ => return Err(option.unknown_option(OPTIONS)),
        }
    }
    Ok(Config { address, monitor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::corefile::testing::parse_directives;

    fn parse_text(text: &str) -> Result<Config, ConfigError> {
        parse(&parse_directives(text).unwrap())
    }

    #[test]
    fn addresses_and_ways_to_monitor_are_read() {
        for (text, address, monitor) in [
            ("ready", ":8181", Monitor::UntilReady),
            ("ready localhost:1234", "localhost:1234", Monitor::UntilReady),
            ("ready {\n monitor until-ready\n}", ":8181", Monitor::UntilReady),
            (
                "ready :1 {\n monitor continuously\n}",
                ":1",
                Monitor::Continuously,
            ),
            (
                "ready {\n monitor continuously\n monitor until-ready\n}",
                ":8181",
                Monitor::UntilReady,
            ),
        ] {
            let config = parse_text(text).unwrap();
            assert_eq!(
                (config.address.to_string().as_str(), config.monitor),
                (address, monitor),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (case, text, want) in [
            (
                "no port",
                "ready bla",
                "Corefile:1:7: got `bla`, expected an address with a port",
            ),
            ("two addresses", "ready :1 b", "wrong argument count"),
            (
                "another way",
                "ready {\n monitor 404\n}",
                "Corefile:2:10: got `404`, expected one of: until-ready, continuously",
            ),
            ("no way", "ready {\n monitor\n}", "wrong argument count"),
            (
                "typo",
                "ready {\n monitro continuously\n}",
                "Corefile:2:2: unknown option `monitro` (one of: monitor)",
            ),
            (
                "twice",
                "ready\nready :1",
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
