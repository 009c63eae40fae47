use super::*;
use std::path::PathBuf;

use catena_core::corefile::testing::parse_directives;
use proptest::prelude::*;

fn read(text: &str) -> Result<Config, ConfigErrors> {
    let block = BlockInfo {
        index: 0,
        keys: Vec::new(),
        zones: vec!["example.org".parse().unwrap(), "example.net".parse().unwrap()],
        folder: PathBuf::new(),
        directives: vec!["cache".to_owned()],
    };
    parse(&parse_directives(text).unwrap(), &block)
}

fn config(text: &str) -> Config {
    read(text).unwrap_or_else(|errors| panic!("{text}: {errors}"))
}

fn zones(zones: &[Zone]) -> Vec<&str> {
    zones.iter().map(Zone::as_str).collect()
}

#[test]
fn without_options_the_defaults_hold() {
    let config = config("cache");
    assert_eq!(config.label(), "example.org.,example.net.");
    let bounds = |limits: &Limits| (limits.capacity, limits.min_ttl, limits.max_ttl);
    assert_eq!(bounds(&config.success), (9984, 5, 3600));
    assert_eq!(bounds(&config.denial), (9984, 5, 1800));
    assert_eq!((config.failure_ttl, config.keep_ttl), (5, false));
    assert_eq!((config.prefetch, config.stale), (None, None));
    assert!(config.success.except.is_empty() && config.denial.except.is_empty());
}

#[test]
fn a_number_comes_first_and_zones_follow() {
    for (text, ttl, label) in [
        ("cache 60", 60, "example.org.,example.net."),
        (
            "cache 60 Example.COM 10.0.0.0/8",
            60,
            "example.com.,10.in-addr.arpa.",
        ),
        ("cache a.example", 3600, "a.example."),
        ("cache a.example 60", 3600, "a.example.,60."),
        ("cache 9999999999", 0x7fff_ffff, "example.org.,example.net."),
    ] {
        let config = config(text);
        assert_eq!((config.success.max_ttl, &*config.label()), (ttl, label), "{text}");
    }
}

#[test]
fn capacities_are_those_of_coredns() {
    for (text, want) in [
        ("0", 1024),
        ("1", 1024),
        ("1500", 1280),
        ("10000", 9984),
        ("1000000", 999_936),
    ] {
        let config = config(&format!("cache {{\n success {text}\n denial {text}\n}}"));
        assert_eq!(
            (config.success.capacity, config.denial.capacity),
            (want, want),
            "{text}"
        );
    }
}

#[test]
fn each_option_is_read() {
    let config = config(
        "cache 30 {\n success 2000 100 0\n denial 3000 50 7\n prefetch 3 30s 25%\n servfail 4m59s\n keepttl\n\
         \x20disable success\n disable denial a.example b.example\n}",
    );
    assert_eq!((config.success.min_ttl, config.success.max_ttl), (0, 100));
    assert_eq!((config.denial.min_ttl, config.denial.max_ttl), (7, 50));
    let prefetch = config.prefetch.unwrap();
    assert_eq!(
        (prefetch.amount, prefetch.gap, prefetch.percentage),
        (3, Duration::from_secs(30), 25)
    );
    assert_eq!(config.failure_ttl, 299);
    assert!(config.keep_ttl);
    assert_eq!(zones(&config.success.except), ["."]);
    assert_eq!(zones(&config.denial.except), ["a.example.", "b.example."]);
}

#[test]
fn serve_stale_has_all_its_forms() {
    let seconds = Duration::from_secs;
    let verify = |timeout| Some(Verify { timeout });
    for (text, up_to, mode, response_ttl, recheck) in [
        ("", 3600, None, 0, seconds(0)),
        ("0s", 0, None, 0, seconds(0)),
        ("24h", 86_400, None, 0, seconds(0)),
        ("1h immediate", 3600, None, 0, seconds(0)),
        ("1h IMMEDIATE 30s 1m", 3600, None, 30, seconds(60)),
        ("1h verify", 3600, verify(seconds(0)), 0, seconds(0)),
        (
            "1h Verify 100ms",
            3600,
            verify(Duration::from_millis(100)),
            0,
            seconds(0),
        ),
        ("1h verify 0 30s 5m", 3600, verify(seconds(0)), 30, seconds(300)),
    ] {
        let want = Stale {
            up_to,
            verify: mode,
            response_ttl,
            recheck,
            prefer_positive: false,
        };
        assert_eq!(
            config(&format!("cache {{\n serve_stale {text}\n}}")).stale,
            Some(want),
            "{text}"
        );
    }
    let config = config("cache {\n serve_stale_policy PREFER_positive\n serve_stale\n}");
    assert!(config.prefer_positive());
}

#[test]
fn bad_input_is_refused_with_its_place_and_advice() {
    for (text, want) in [
        (
            "cache 0",
            "Corefile:1:7: cache TTL can not be zero or negative: 0, expected seconds, 1 or more",
        ),
        (
            "cache -5",
            "Corefile:1:7: cache TTL can not be zero or negative: -5, expected seconds, 1 or more",
        ),
        ("cache a..b", "Corefile:1:7: "),
        (
            "cache\ncache",
            "Corefile:2:1: this plugin can only be used once per Server Block",
        ),
        (
            "cache {\n sucess 5\n}",
            "Corefile:2:2: unknown option `sucess` (one of: denial, disable, ",
        ),
        ("cache {\n success\n}", "Corefile:2:2: "),
        (
            "cache {\n success many\n}",
            "Corefile:2:10: got `many`, expected a number",
        ),
        (
            "cache {\n success -1\n}",
            "Corefile:2:10: got `-1`, expected a number",
        ),
        (
            "cache {\n success 1 0\n}",
            "Corefile:2:12: cache TTL can not be zero or negative: 0",
        ),
        (
            "cache {\n success 1 x\n}",
            "Corefile:2:12: got `x`, expected a TTL in seconds, 1 or more",
        ),
        (
            "cache {\n denial 1 1 -1\n}",
            "Corefile:2:13: cache min TTL can not be negative: -1",
        ),
        ("cache {\n denial 1 1 1 1\n}", "Corefile:2:15: "),
        ("cache {\n prefetch\n}", "Corefile:2:2: "),
        ("cache {\n prefetch -1\n}", "Corefile:2:11: "),
        (
            "cache {\n prefetch 1 1\n}",
            "Corefile:2:13: got `1`, expected a duration",
        ),
        (
            "cache {\n prefetch 1 1m 50\n}",
            "Corefile:2:16: last character of percentage should be `%`: `50`",
        ),
        (
            "cache {\n prefetch 1 1m 9%\n}",
            "Corefile:2:16: percentage should fall in range [10, 90]: `9%`",
        ),
        (
            "cache {\n prefetch 1 1m x%\n}",
            "Corefile:2:16: got `x%`, expected a whole number from 10 to 90",
        ),
        (
            "cache {\n serve_stale soon\n}",
            "Corefile:2:14: got `soon`, expected a duration",
        ),
        (
            "cache {\n serve_stale -1h\n}",
            "Corefile:2:14: got `-1h`, expected a duration",
        ),
        (
            "cache {\n serve_stale 1h lazily\n}",
            "Corefile:2:17: invalid value for serve_stale refresh mode: `lazily`",
        ),
        (
            "cache {\n serve_stale 1h immediate 1s 1s 1s\n}",
            "Corefile:2:33: ",
        ),
        (
            "cache {\n serve_stale 1h immediate 1500ms\n}",
            "Corefile:2:27: serve_stale response TTL must be a whole number",
        ),
        (
            "cache {\n serve_stale 1h immediate 700000h\n}",
            "Corefile:2:27: serve_stale response TTL exceeds the range",
        ),
        (
            "cache {\n serve_stale 1h verify -1s\n}",
            "Corefile:2:24: got `-1s`, expected a duration",
        ),
        (
            "cache {\n serve_stale 1h verify 0 1s 6m\n}",
            "Corefile:2:29: got `6m`, expected a duration",
        ),
        (
            "cache {\n serve_stale_policy prefer_positive\n}",
            "Corefile:2:2: `serve_stale_policy` requires `serve_stale`",
        ),
        (
            "cache {\n serve_stale\n serve_stale_policy fresh\n}",
            "Corefile:3:21: invalid serve_stale_policy `fresh`",
        ),
        (
            "cache {\n serve_stale_policy prefer_positive\n serve_stale_policy prefer_positive\n serve_stale\n}",
            "Corefile:3:2: `serve_stale_policy` can only be specified once",
        ),
        ("cache {\n servfail\n}", "Corefile:2:2: "),
        (
            "cache {\n servfail 301s\n}",
            "Corefile:2:11: got `301s`, expected a duration",
        ),
        ("cache {\n disable\n}", "Corefile:2:2: "),
        ("cache {\n disable everything\n}", "Corefile:2:10: "),
        ("cache {\n keepttl yes\n}", "Corefile:2:10: "),
    ] {
        let errors = read(text).expect_err(text);
        let headline = errors.as_slice()[0].headline();
        assert!(headline.starts_with(want), "{text}: {headline}");
    }
}

#[test]
fn all_errors_are_told_at_once() {
    let errors = read("cache 0 {\n nonsense\n servfail 1h\n}").unwrap_err();
    assert_eq!(errors.as_slice().len(), 3, "{errors}");
}

proptest! {
    #[test]
    fn no_words_make_it_panic_and_what_is_read_is_in_bounds(
        words in prop::collection::vec("[-a-z0-9%.]{1,8}|[0-9]{1,20}(s|h|ms)?|immediate|verify", 0..6),
        option in prop::sample::select(OPTIONS.to_vec()),
    ) {
        let words = words.join(" ");
        for text in [format!("cache {words}"), format!("cache {{\n {option} {words}\n}}")] {
            let Ok(lines) = parse_directives(&text) else { continue };
            let block = BlockInfo { index: 0, keys: Vec::new(), zones: vec![Zone::root()], folder: PathBuf::new(), directives: Vec::new() };
            if let Ok(config) = parse(&lines, &block) {
                for limits in [&config.success, &config.denial] {
                    prop_assert!(limits.capacity >= 1024 && limits.capacity % 256 == 0);
                    prop_assert!(limits.clamp(u32::MAX) <= i32::MAX as u32);
                }
                prop_assert!(config.failure_ttl <= 300);
                prop_assert!(config.stale.is_none_or(|stale| stale.response_ttl <= i32::MAX as u32));
            }
        }
    }
}
