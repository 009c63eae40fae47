//! Reads the `health` directives.

use std::time::Duration;

use catena_core::corefile::{ConfigError, Directive};
use catena_http::Address;

/// The plugin's name.
pub(crate) const NAME: &str = "health";

/// Where the endpoint is, unless the Corefile says otherwise.
const DEFAULT_ADDRESS: &str = ":8080";

const OPTIONS: &[&str] = &["lameduck"];

/// What a block says of its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen.
    pub(crate) address: Address,
    /// How long to go on answering once the server is told to stop; 0 is not at all.
    pub(crate) lameduck: Duration,
}

/// Reads all directives of a block: of an address or time that is given twice, the last one counts.
pub(crate) fn parse(directives: &[Directive]) -> Result<Config, ConfigError> {
    let mut address = None;
    let mut lameduck = Duration::ZERO;
    for directive in directives {
        if let Some(token) = directive.optional_arg("[ADDRESS]")? {
            address = Some(Address::from_token(token)?);
        }
        for option in directive.options() {
            match option.name() {
                // A negative time is none at all, as in CoreDNS.
                "lameduck" => {
                    let time = option.one_arg("DURATION")?.signed_duration()?;
                    lameduck = Duration::from_nanos(time.max(0).unsigned_abs());
                }
                _ => return Err(option.unknown_option(OPTIONS)),
            }
        }
    }
    let address = match address {
        Some(address) => address,
        None => DEFAULT_ADDRESS
            .parse()
            .map_err(|_| ConfigError::without_place("the default address"))?,
    };
    Ok(Config { address, lameduck })
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::corefile::testing::parse_directives;

    fn parse_text(text: &str) -> Result<Config, ConfigError> {
        parse(&parse_directives(text).unwrap())
    }

    #[test]
    fn addresses_and_times_are_read() {
        for (text, address, lameduck) in [
            ("health", ":8080", 0),
            ("health localhost:1234", "localhost:1234", 0),
            ("health [::1]:80", "[::1]:80", 0),
            ("health {\n lameduck 1s\n}", ":8080", 1000),
            ("health :1 {\n lameduck 1500ms\n lameduck 2m\n}", ":1", 120_000),
            ("health {\n lameduck -1s\n}", ":8080", 0),
            ("health :1 {\n lameduck 1s\n}\nhealth :2\nhealth", ":2", 1000),
        ] {
            let config = parse_text(text).unwrap();
            assert_eq!(
                (config.address.to_string().as_str(), config.lameduck.as_millis()),
                (address, lameduck),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (case, text, want) in [
            (
                "no port",
                "health bla",
                "Corefile:1:8: got `bla`, expected an address with a port",
            ),
            (
                "a service's name for a port",
                "health bla:a",
                "Corefile:1:8: got `bla:a`, expected an address",
            ),
            ("two addresses", "health :1 :2", "wrong argument count"),
            ("no time", "health {\n lameduck\n}", "wrong argument count"),
            (
                "two times",
                "health {\n lameduck 1s 2s\n}",
                "wrong argument count",
            ),
            (
                "a word for a time",
                "health {\n lameduck a\n}",
                "Corefile:2:11: got `a`, expected a duration",
            ),
            (
                "no unit",
                "health {\n lameduck 5\n}",
                "Corefile:2:11: got `5`, expected a duration",
            ),
            (
                "typo",
                "health {\n lamedudk 4s\n}",
                "Corefile:2:2: unknown option `lamedudk` (one of: lameduck)",
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
