//! Reads the `cache` directive.

use std::time::Duration;

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Token};
use catena_core::message::{QName, Zone};
use catena_core::plugin::{BlockInfo, once};

/// Longest time that an answer is kept unless the Corefile says otherwise, in seconds; CoreDNS's.
const MAX_TTL: u32 = 3600;

/// The same for denials.
const MAX_DENIAL_TTL: u32 = MAX_TTL / 2;

/// Shortest time that an answer is kept unless the Corefile says otherwise, in seconds; CoreDNS's.
pub(crate) const MIN_TTL: u32 = 5;

/// Answers that are kept of each kind unless the Corefile says otherwise; CoreDNS's.
const DEFAULT_CAPACITY: u64 = 10_000;

/// CoreDNS has 256 shards of at least 4 answers, all of one size: capacities are rounded to what they hold together.
const COREDNS_SHARDS: u64 = 256;
const COREDNS_MIN_SHARD: u64 = 4;

/// Largest capacity: what fits into no machine is a typing error.
const MAX_CAPACITY: u64 = 1 << 32;

/// RFC 2308, section 7.1: a failure of the server must not be kept longer.
const MAX_SERVFAIL: Duration = Duration::from_secs(5 * 60);

/// RFC 8767, section 5: a failed refresh should be tried again within this time.
const MAX_RECHECK: Duration = Duration::from_secs(5 * 60);

/// How long an expired answer may be served when `serve_stale` gives no time; CoreDNS's.
const STALE_UP_TO: Duration = Duration::from_secs(3600);

const OPTIONS: &[&str] = &[
    "denial",
    "disable",
    "keepttl",
    "prefetch",
    "serve_stale",
    "serve_stale_policy",
    "servfail",
    "success",
];

/// What one `cache` directive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The zones whose answers are kept.
    pub(crate) zones: Vec<Zone>,
    /// Answers that have what was asked for, and referrals.
    pub(crate) success: Limits,
    /// Answers that deny it, and failures.
    pub(crate) denial: Limits,
    /// How long SERVFAIL and NOTIMP are kept, in seconds; nought means not at all.
    pub(crate) failure_ttl: u32,
    /// When answers are fetched before they expire.
    pub(crate) prefetch: Option<Prefetch>,
    /// How expired answers are served.
    pub(crate) stale: Option<Stale>,
    /// TTLs are given as they were when the answer was stored.
    pub(crate) keep_ttl: bool,
}

/// Bounds of one kind of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most answers.
    pub(crate) capacity: u64,
    /// Longest time in seconds.
    pub(crate) max_ttl: u32,
    /// Shortest time in seconds, also where the TTL is shorter.
    pub(crate) min_ttl: u32,
    /// Zones whose answers of this kind are not kept.
    pub(crate) except: Vec<Zone>,
}

impl Limits {
    /// The time for which an answer with this TTL is kept, in seconds.
    pub(crate) fn clamp(&self, ttl: u32) -> u32 {
        ttl.max(self.min_ttl).min(self.max_ttl)
    }

    /// Whether answers about this name are not kept.
    pub(crate) fn excepts(&self, name: &QName) -> bool {
        self.except.iter().any(|zone| name.is_within(zone))
    }
}

/// The option `prefetch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefetch {
    /// Hits that make an answer a popular one.
    pub(crate) amount: u32,
    /// A longer time between two hits begins the count anew.
    pub(crate) gap: Duration,
    /// Share of the TTL that is left when the answer is fetched again.
    pub(crate) percentage: u32,
}

/// The option `serve_stale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stale {
    /// Seconds after its end for which an answer may be served.
    pub(crate) up_to: u32,
    /// Whether the source is asked before an expired answer is served, and how long that may take.
    pub(crate) verify: Option<Verify>,
    /// The TTL of expired answers, in seconds; nought unless the Corefile says otherwise.
    pub(crate) response_ttl: u32,
    /// Time after a failed refresh for which no other is tried.
    pub(crate) recheck: Duration,
    /// A kept answer that has what was asked for is preferred to denials.
    pub(crate) prefer_positive: bool,
}

/// The mode `verify` of `serve_stale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verify {
    /// Time after which the expired answer is served anyway; nought is as long as the source takes.
    pub(crate) timeout: Duration,
}

impl Config {
    /// The zones as the metrics' label shows them.
    pub(crate) fn label(&self) -> String {
        let zones: Vec<&str> = self.zones.iter().map(Zone::as_str).collect();
        zones.join(",")
    }

    /// Seconds after its end for which an answer may be served; nought if that is off.
    pub(crate) fn stale_up_to(&self) -> u32 {
        self.stale.map_or(0, |stale| stale.up_to)
    }

    /// Whether a kept answer is preferred to denials.
    pub(crate) fn prefer_positive(&self) -> bool {
        self.stale.is_some_and(|stale| stale.prefer_positive)
    }
}

/// Reads the directive.
pub(crate) fn parse(directives: &[Directive], block: &BlockInfo) -> Result<Config, ConfigErrors> {
    let directive = once(directives)?;
    let limits = |max_ttl| Limits {
        capacity: rounded(DEFAULT_CAPACITY),
        max_ttl,
        min_ttl: MIN_TTL,
        except: Vec::new(),
    };
    let mut parser = Parser {
        config: Config {
            zones: block.zones.clone(),
            success: limits(MAX_TTL),
            denial: limits(MAX_DENIAL_TTL),
            failure_ttl: MIN_TTL,
            prefetch: None,
            stale: None,
            keep_ttl: false,
        },
        policy: None,
    };
    let mut errors = Collector::default();
    errors.take(parser.arguments(directive));
    for option in directive.options() {
        errors.take(parser.option(option));
    }
    errors.take(parser.validate());
    errors.finish(parser.config)
}

struct Parser<'a> {
    config: Config,
    policy: Option<&'a Directive>,
}

impl<'a> Parser<'a> {
    fn arguments(&mut self, directive: &Directive) -> Result<(), ConfigError> {
        let mut zones = directive.args();
        if let [first, rest @ ..] = zones
            && first.as_str().parse::<i64>().is_ok()
        {
            let max_ttl = positive_ttl(first)?;
            self.config.success.max_ttl = max_ttl;
            self.config.denial.max_ttl = max_ttl;
            zones = rest;
        }
        if !zones.is_empty() {
            let mut given = Vec::new();
            for zone in zones {
                given.extend(zone.zones()?);
            }
            self.config.zones = given;
        }
        Ok(())
    }

    fn option(&mut self, option: &'a Directive) -> Result<(), ConfigError> {
        match option.name() {
            "success" => limits(option, &mut self.config.success)?,
            "denial" => limits(option, &mut self.config.denial)?,
            "prefetch" => self.config.prefetch = prefetch(option)?,
            "serve_stale" => self.config.stale = Some(stale(option)?),
            "serve_stale_policy" => self.policy(option)?,
            "servfail" => {
                let time = option.one_arg("DURATION")?;
                let within = time.duration_in(..=MAX_SERVFAIL);
                self.config.failure_ttl = within?.as_secs() as u32;
            }
            "disable" => self.disable(option)?,
            "keepttl" => {
                option.no_args()?;
                self.config.keep_ttl = true;
            }
            _ => return Err(option.unknown_option(OPTIONS)),
        }
        Ok(())
    }

    fn policy(&mut self, option: &'a Directive) -> Result<(), ConfigError> {
        if self.policy.is_some() {
            return Err(option.error("`serve_stale_policy` can only be specified once"));
        }
        self.policy = Some(option);
        let policy = option.one_arg("POLICY")?;
        if policy.as_str().eq_ignore_ascii_case("prefer_positive") {
            return Ok(());
        }
        Err(policy
            .error(format!("invalid serve_stale_policy `{policy}`"))
            .with_expected("prefer_positive"))
    }

    fn disable(&mut self, option: &Directive) -> Result<(), ConfigError> {
        let args = option.at_least(1, "success|denial [ZONES...]")?;
        let except = match args {
            [_] => vec![Zone::root()],
            _ => args[1..].iter().map(Token::zone).collect::<Result<_, _>>()?,
        };
        match args[0].one_of(&["success", "denial"])? {
            "success" => self.config.success.except = except,
            _ => self.config.denial.except = except,
        }
        Ok(())
    }

    /// Checks what several options say together.
    fn validate(&mut self) -> Result<(), ConfigError> {
        let Some(policy) = self.policy else {
            return Ok(());
        };
        match &mut self.config.stale {
            Some(stale) => {
                stale.prefer_positive = stale.up_to > 0;
                Ok(())
            }
            None => Err(policy
                .error("`serve_stale_policy` requires `serve_stale`")
                .with_note("add a line `serve_stale`, or take this one out")),
        }
    }
}

/// A time to live that is no nought: that is kept for a meaning of its own.
fn positive_ttl(token: &Token) -> Result<u32, ConfigError> {
    match token.as_str().parse::<i64>() {
        Ok(1..) => Ok(bounded_ttl(token)),
        Ok(ttl) => Err(token
            .error(format!("cache TTL can not be zero or negative: {ttl}"))
            .with_expected("seconds, 1 or more")),
        Err(_) => Err(token.expected("a TTL in seconds, 1 or more")),
    }
}

/// RFC 2181, section 8: a TTL has 31 bits. A larger number means the largest.
fn bounded_ttl(token: &Token) -> u32 {
    let ttl = token.as_str().parse::<i64>().unwrap_or(i64::MAX);
    ttl.clamp(0, i64::from(i32::MAX)) as u32
}

fn limits(option: &Directive, limits: &mut Limits) -> Result<(), ConfigError> {
    let args = option.args_between(1..=3, "CAPACITY [TTL [MINTTL]]")?;
    limits.capacity = rounded(args[0].count(0..=MAX_CAPACITY)?);
    if let Some(ttl) = args.get(1) {
        limits.max_ttl = positive_ttl(ttl)?;
    }
    if let Some(ttl) = args.get(2) {
        limits.min_ttl = match ttl.as_str().parse::<i64>() {
            Ok(0..) => bounded_ttl(ttl),
            Ok(ttl_is) => {
                return Err(ttl
                    .error(format!("cache min TTL can not be negative: {ttl_is}"))
                    .with_expected("seconds, 0 or more"));
            }
            Err(_) => return Err(ttl.expected("a TTL in seconds, 0 or more")),
        };
    }
    Ok(())
}

/// What CoreDNS makes of a capacity.
fn rounded(capacity: u64) -> u64 {
    (capacity / COREDNS_SHARDS).max(COREDNS_MIN_SHARD) * COREDNS_SHARDS
}

fn prefetch(option: &Directive) -> Result<Option<Prefetch>, ConfigError> {
    let args = option.args_between(1..=3, "AMOUNT [DURATION [PERCENTAGE%]]")?;
    let amount = args[0].count(0..=u64::from(u32::MAX))? as u32;
    let mut prefetch = Prefetch {
        amount,
        gap: Duration::from_secs(60),
        percentage: 10,
    };
    if let Some(gap) = args.get(1) {
        prefetch.gap = gap.duration()?;
    }
    if let Some(percentage) = args.get(2) {
        let expected = "a whole number from 10 to 90 and a percent sign, such as 20%";
        let number = percentage.as_str().strip_suffix('%').ok_or_else(|| {
            percentage
                .error(format!(
                    "last character of percentage should be `%`: `{percentage}`"
                ))
                .with_expected(expected)
        })?;
        prefetch.percentage = match number.parse() {
            Ok(number @ 10..=90) => number,
            Ok(_) => {
                return Err(percentage
                    .error(format!(
                        "percentage should fall in range [10, 90]: `{percentage}`"
                    ))
                    .with_expected(expected));
            }
            Err(_) => return Err(percentage.expected(expected)),
        };
    }
    Ok((amount > 0).then_some(prefetch))
}

fn stale(option: &Directive) -> Result<Stale, ConfigError> {
    let usage = "[DURATION [immediate [RESPONSE_TTL [RECHECK]] | verify [TIMEOUT [RESPONSE_TTL [RECHECK]]]]]";
    let args = option.args_between(0..=5, usage)?;
    let mut stale = Stale {
        up_to: STALE_UP_TO.as_secs() as u32,
        verify: None,
        response_ttl: 0,
        recheck: Duration::ZERO,
        prefer_positive: false,
    };
    let [up_to, rest @ ..] = args else {
        return Ok(stale);
    };
    stale.up_to = u32::try_from(up_to.duration()?.as_secs()).unwrap_or(u32::MAX);
    let [mode, rest @ ..] = rest else {
        return Ok(stale);
    };
    let rest = match mode.as_str().to_ascii_lowercase().as_str() {
        "immediate" if rest.len() > 2 => return Err(rest[2].expected(format!("no more words: {usage}"))),
        "immediate" => rest,
        "verify" => {
            let timeout = rest.first().map(Token::duration).transpose()?;
            stale.verify = Some(Verify {
                timeout: timeout.unwrap_or_default(),
            });
            rest.get(1..).unwrap_or_default()
        }
        _ => {
            return Err(mode
                .error(format!("invalid value for serve_stale refresh mode: `{mode}`"))
                .with_expected("immediate or verify")
                .with_nearest(mode.as_str(), ["immediate", "verify"]));
        }
    };
    if let Some(ttl) = rest.first() {
        stale.response_ttl = response_ttl(ttl)?;
    }
    if let Some(recheck) = rest.get(1) {
        stale.recheck = recheck.duration_in(..=MAX_RECHECK)?;
    }
    Ok(stale)
}

fn response_ttl(token: &Token) -> Result<u32, ConfigError> {
    let ttl = token.duration()?;
    let expected = "a whole number of seconds, such as 30s";
    if ttl.subsec_nanos() != 0 {
        return Err(token
            .error(format!(
                "serve_stale response TTL must be a whole number of seconds: `{token}`"
            ))
            .with_expected(expected));
    }
    match i32::try_from(ttl.as_secs()) {
        Ok(ttl) => Ok(ttl.unsigned_abs()),
        Err(_) => Err(token
            .error(format!(
                "serve_stale response TTL exceeds the range of TTLs: `{token}`"
            ))
            .with_expected(expected)),
    }
}

#[cfg(test)]
mod tests;
