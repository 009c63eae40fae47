//! Reads the `prometheus` directive.

use std::path::{Path, PathBuf};

use catena_core::corefile::{ConfigError, Directive};
use catena_core::plugin::once;
use catena_http::Address;

/// The plugin's name.
pub(crate) const NAME: &str = "prometheus";

/// Where the endpoint is, unless the Corefile says otherwise.
const DEFAULT_ADDRESS: &str = "localhost:9153";

const OPTIONS: &[&str] = &["plugin_times", "runtime_metrics", "tls"];

/// What a block says of its metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen.
    pub(crate) address: Address,
    /// Measure how long queries stay at each plugin.
    pub(crate) plugin_times: bool,
    /// Show what each thread does as well.
    pub(crate) runtime_metrics: bool,
    /// The file with TLS and users, in the format of Prometheus' exporters.
    pub(crate) web_config: Option<PathBuf>,
}

/// Reads the directive of a block. A relative path starts at `folder`.
pub(crate) fn parse(directives: &[Directive], folder: &Path) -> Result<Config, ConfigError> {
    let directive = once(directives)?;
    let address = match directive.optional_arg("[ADDRESS]")? {
        Some(token) => Address::from_token(token)?,
        None => DEFAULT_ADDRESS
            .parse()
            .map_err(|_| ConfigError::without_place("the default address"))?,
    };
    let mut config = Config {
        address,
        plugin_times: false,
        runtime_metrics: false,
        web_config: None,
    };
    for option in directive.options() {
        match option.name() {
            "plugin_times" => {
                option.no_args()?;
                config.plugin_times = true;
            }
            "runtime_metrics" => {
                option.no_args()?;
                config.runtime_metrics = true;
            }
            "tls" => {
                let path = option.one_arg("FILE")?.path(folder)?;
                if config.web_config.replace(path).is_some() {
                    return Err(option.error("tls is given twice").with_expected("one `tls` line"));
                }
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
        parse(&parse_directives(text).unwrap(), Path::new("/etc/dns"))
    }

    #[test]
    fn addresses_and_options_are_read() {
        for (text, address, runtime_metrics, file) in [
            ("prometheus", "localhost:9153", false, None),
            ("prometheus localhost:53", "localhost:53", false, None),
            ("prometheus :9253 {\n runtime_metrics\n}", ":9253", true, None),
            (
                "prometheus {\n runtime_metrics\n runtime_metrics\n}",
                "localhost:9153",
                true,
                None,
            ),
            (
                "prometheus {\n tls web.yml\n}",
                "localhost:9153",
                false,
                Some("/etc/dns/web.yml"),
            ),
            (
                "prometheus {\n tls /web.yml\n}",
                "localhost:9153",
                false,
                Some("/web.yml"),
            ),
        ] {
            let config = parse_text(text).unwrap();
            assert_eq!(config.address.to_string(), address, "{text}");
            assert_eq!(config.runtime_metrics, runtime_metrics, "{text}");
            assert!(!config.plugin_times, "{text}");
            assert_eq!(config.web_config, file.map(PathBuf::from), "{text}");
        }
    }

    #[test]
    fn times_of_plugins_are_measured_where_somebody_asks_for_them() {
        let config = parse_text("prometheus {\n plugin_times\n}").unwrap();
        assert!(config.plugin_times && !config.runtime_metrics);
        let error = parse_text("prometheus {\n plugin_times all\n}").unwrap_err();
        assert!(error.headline().contains("Corefile:2:"), "{}", error.headline());
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (case, text, want) in [
            (
                "no port",
                "prometheus localhost",
                "Corefile:1:12: got `localhost`, expected an address with a port",
            ),
            (
                "a path",
                "prometheus /foo",
                "Corefile:1:12: got `/foo`, expected an address with a port",
            ),
            ("two addresses", "prometheus :1 :2", "wrong argument count"),
            (
                "an argument too many",
                "prometheus {\n runtime_metrics extra\n}",
                "wrong argument count",
            ),
            ("no file", "prometheus {\n tls\n}", "wrong argument count"),
            (
                "certificate and key",
                "prometheus {\n tls cert key\n}",
                "wrong argument count",
            ),
            (
                "two files",
                "prometheus {\n tls a\n tls b\n}",
                "Corefile:3:2: tls is given twice",
            ),
            (
                "unknown option",
                "prometheus {\n path /stats\n}",
                "Corefile:2:2: unknown option `path` (one of: plugin_times, runtime_metrics, tls)",
            ),
            (
                "twice",
                "prometheus :1\nprometheus :2",
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
