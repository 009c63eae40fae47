//! Reads the `trace` directives.

use std::time::Duration;

use catena_core::corefile::{ConfigError, Directive, Span, Token};

use crate::target::{Kind, Target};

/// The plugin's name.
pub(crate) const NAME: &str = "trace";

const OPTIONS: &[&str] = &[
    "client_server",
    "datadog_analytics_rate",
    "every",
    "service",
    "zipkin_max_backlog_size",
    "zipkin_max_batch_interval",
    "zipkin_max_batch_size",
];

/// Spans that may wait, unless the Corefile says otherwise; that of Zipkin's library.
const DEFAULT_BACKLOG: usize = 1000;

/// Spans that are enough for a batch; that of Zipkin's library.
const DEFAULT_BATCH: usize = 100;

/// How long spans wait for a batch to fill; that of Zipkin's library.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// A span that waits takes some 200 bytes.
const MAX_SPANS: u64 = 1_000_000;

/// Shorter intervals would do nothing but work.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// What a block says of tracing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) target: Target,
    /// One query in so many is followed; with 0 none is.
    pub(crate) every: u64,
    /// The name of the service, for the collector.
    pub(crate) service: String,
    /// A client's span and the server's are one.
    pub(crate) client_server: bool,
    /// Share of the traces that Datadog shall analyse, 0 to 1.
    pub(crate) analytics_rate: f64,
    /// Spans that may wait.
    pub(crate) backlog: usize,
    /// Spans that are enough for a batch.
    pub(crate) batch: usize,
    /// How long spans wait for a batch to fill.
    pub(crate) interval: Duration,
}

/// What the directives say, and what is odd about them without being wrong.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) config: Config,
    pub(crate) warnings: Vec<(Span, String)>,
}

/// Reads all directives of a block. There is one tracer: the last directive says where its collector is, and of an option
/// that is given twice the last one counts, as in CoreDNS.
pub(crate) fn parse(directives: &[Directive]) -> Result<Parsed, ConfigError> {
    let mut config = Config {
        target: Target::read(Kind::Zipkin, None)?,
        every: 1,
        service: "coredns".to_owned(),
        client_server: false,
        analytics_rate: 0.0,
        backlog: DEFAULT_BACKLOG,
        batch: DEFAULT_BATCH,
        interval: DEFAULT_INTERVAL,
    };
    let mut warnings = Vec::new();
    for directive in directives {
        config.target = target(directive, &mut warnings)?;
        for option in directive.options() {
            config.option(option)?;
        }
    }
    let options = directives.iter().flat_map(Directive::options);
    for option in options.filter(|option| option.name() == "datadog_analytics_rate") {
        if config.target.kind != Kind::Datadog {
            let text = "`datadog_analytics_rate` says nothing to collectors of other kinds than datadog";
            warnings.push((option.span().clone(), text.to_owned()));
        }
    }
    Ok(Parsed { config, warnings })
}

fn target(directive: &Directive, warnings: &mut Vec<(Span, String)>) -> Result<Target, ConfigError> {
    match directive.args_between(0..=2, "[ENDPOINT-TYPE] [ENDPOINT]")? {
        [] => Target::read(Kind::Zipkin, None),
        [endpoint] => {
            if Kind::is_named(endpoint.as_str()) {
                let text = format!(
                    "`{endpoint}` alone is the host of a zipkin collector; a kind needs an endpoint behind it"
                );
                warnings.push((endpoint.span().clone(), text));
            }
            Target::read(Kind::Zipkin, Some(endpoint))
        }
        [kind, endpoint, ..] => Target::read(Kind::from_token(kind)?, Some(endpoint)),
    }
}

impl Config {
    fn option(&mut self, option: &Directive) -> Result<(), ConfigError> {
        match option.name() {
            "every" => self.every = option.one_arg("AMOUNT")?.count(..)?,
            "service" => option.one_arg("NAME")?.as_str().clone_into(&mut self.service),
            "client_server" => {
                self.client_server = option.optional_arg("[true|false]")?.map_or(Ok(true), truth)?;
            }
            "datadog_analytics_rate" => {
                let rate = option.optional_arg("[RATE]")?;
                self.analytics_rate = rate.map_or(Ok(0.0), |rate| rate.float(0.0..=1.0))?;
            }
            "zipkin_max_backlog_size" => self.backlog = size(option, DEFAULT_BACKLOG)?,
            "zipkin_max_batch_size" => self.batch = size(option, DEFAULT_BATCH)?,
            "zipkin_max_batch_interval" => {
                let token = option.one_arg("DURATION")?;
                self.interval = match token.duration()? {
                    Duration::ZERO => DEFAULT_INTERVAL,
                    _ => token.duration_in(MIN_INTERVAL..)?,
                };
            }
            _ => return Err(option.unknown_option(OPTIONS)),
        }
        Ok(())
    }
}

/// A number of spans; 0 is the default, as in CoreDNS.
fn size(option: &Directive, default: usize) -> Result<usize, ConfigError> {
    let size = option.one_arg("SIZE")?.count(0..=MAX_SPANS)? as usize;
    Ok(if size == 0 { default } else { size })
}

/// The words that Go takes for true and false.
fn truth(token: &Token) -> Result<bool, ConfigError> {
    match token.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(token.expected("true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::corefile::testing::parse_directives;

    fn parse_text(text: &str) -> Result<Parsed, ConfigError> {
        parse(&parse_directives(text).unwrap())
    }

    #[test]
    fn collectors_are_read() {
        for (text, want) in [
            ("trace", "http://localhost:9411/api/v2/spans"),
            ("trace localhost:1234", "http://localhost:1234/api/v2/spans"),
            (
                "trace zipkin localhost:1234",
                "http://localhost:1234/api/v2/spans",
            ),
            ("trace ZipKin \"\"", "http://localhost:9411/api/v2/spans"),
            ("trace datadog localhost", "http://localhost:8126/v0.4/traces"),
            ("trace otlp \"\"", "http://localhost:4318/v1/traces"),
            (
                "trace datadog localhost\ntrace",
                "http://localhost:9411/api/v2/spans",
            ),
        ] {
            let parsed = parse_text(text).unwrap();
            assert_eq!(parsed.config.target.to_string(), want, "{text}");
            assert!(parsed.warnings.is_empty(), "{text}");
        }
    }

    #[test]
    fn options_are_read() {
        let default = parse_text("trace").unwrap().config;
        let defaults = (default.every, default.backlog, default.batch, default.interval);
        assert_eq!(defaults, (1, 1000, 100, Duration::from_secs(1)));
        assert_eq!(
            (default.service.as_str(), default.client_server),
            ("coredns", false)
        );
        let text = "trace {\n every 2\n service foobar\n client_server\n zipkin_max_backlog_size 100\n \
                    zipkin_max_batch_size 200\n zipkin_max_batch_interval 10s\n}\n\
                    trace {\n every 100\n zipkin_max_backlog_size 0\n}";
        let config = parse_text(text).unwrap().config;
        assert_eq!(
            (config.every, config.backlog, config.batch, config.interval),
            (100, 1000, 200, Duration::from_secs(10))
        );
        assert_eq!((config.service.as_str(), config.client_server), ("foobar", true));
        for (text, want) in [("true", true), ("F", false), ("1", true), ("", true)] {
            let config = parse_text(&format!("trace {{\n client_server {text}\n}}"))
                .unwrap()
                .config;
            assert_eq!(config.client_server, want, "{text}");
        }
        for (text, want) in [("0.1", 0.1), ("1", 1.0), ("", 0.0)] {
            let text = format!("trace datadog localhost {{\n datadog_analytics_rate {text}\n}}");
            assert_eq!(parse_text(&text).unwrap().config.analytics_rate, want, "{text}");
        }
    }

    #[test]
    fn what_says_nothing_is_told() {
        for (text, want) in [
            (
                "trace datadog",
                "`datadog` alone is the host of a zipkin collector",
            ),
            (
                "trace {\n datadog_analytics_rate 1\n}",
                "`datadog_analytics_rate` says nothing",
            ),
        ] {
            let warnings = parse_text(text).unwrap().warnings;
            assert!(warnings[0].1.starts_with(want), "{warnings:?}");
        }
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        let option = |line: &str| format!("trace {{\n {line}\n}}");
        for (case, text, want) in [
            (
                "another kind",
                "trace jaeger localhost:4321".to_owned(),
                "Corefile:1:7: tracing endpoint type `jaeger` is not supported, expected one of: datadog, otlp, zipkin",
            ),
            (
                "three words",
                "trace zipkin localhost:1 full".to_owned(),
                "Corefile:1:26: wrong argument count: unexpected `full`",
            ),
            (
                "no URL",
                "trace zipkin ftp://localhost".to_owned(),
                "Corefile:1:14: got `ftp://localhost`, expected a collector's host",
            ),
            (
                "typo",
                option("evrey 100"),
                "Corefile:2:2: unknown option `evrey` (one of: client_server,",
            ),
            ("no amount", option("every"), "Corefile:2:2: wrong argument count"),
            (
                "a word for an amount",
                option("every x"),
                "Corefile:2:8: got `x`, expected a number",
            ),
            (
                "a negative amount",
                option("every -1"),
                "Corefile:2:8: got `-1`, expected a number",
            ),
            ("no name", option("service"), "Corefile:2:2: wrong argument count"),
            (
                "two names",
                option("service a b"),
                "Corefile:2:12: wrong argument count",
            ),
            (
                "no truth",
                option("client_server junk"),
                "Corefile:2:16: got `junk`, expected true or false",
            ),
            (
                "two truths",
                option("client_server true false"),
                "wrong argument count",
            ),
            (
                "a rate beyond 1",
                option("datadog_analytics_rate 2"),
                "Corefile:2:25: got `2`, expected a number from 0 to 1",
            ),
            (
                "a rate below 0",
                option("datadog_analytics_rate -0.1"),
                "expected a number from 0 to 1",
            ),
            (
                "a rate that is none",
                option("datadog_analytics_rate NaN"),
                "expected a number from 0 to 1",
            ),
            (
                "no backlog",
                option("zipkin_max_backlog_size"),
                "wrong argument count",
            ),
            (
                "a word for a backlog",
                option("zipkin_max_backlog_size wrong"),
                "Corefile:2:26: got `wrong`, expected a number from 0 to 1000000",
            ),
            (
                "too large a backlog",
                option("zipkin_max_backlog_size 1000001"),
                "from 0 to 1000000",
            ),
            (
                "a negative batch",
                option("zipkin_max_batch_size -5"),
                "from 0 to 1000000",
            ),
            (
                "no batch",
                option("zipkin_max_batch_size"),
                "wrong argument count",
            ),
            (
                "a word for an interval",
                option("zipkin_max_batch_interval wrong"),
                "Corefile:2:28: got `wrong`, expected a duration",
            ),
            (
                "too short an interval",
                option("zipkin_max_batch_interval 1us"),
                "expected a duration",
            ),
            (
                "no interval",
                option("zipkin_max_batch_interval"),
                "wrong argument count",
            ),
        ] {
            let error = parse_text(&text).unwrap_err();
            assert!(
                error.headline().contains(want),
                "case {case}: {}",
                error.headline()
            );
        }
    }
}
