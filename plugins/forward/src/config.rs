//! Reads a `forward` directive.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use catena_core::corefile::{ConfigError, Directive, Token};
use catena_core::message::{QName, Rcode, Zone};
use catena_upstream::{Method, Options, Policy, Tls, server_name};

use crate::target::{self, To};

/// Targets in one directive.
const MAX_TARGETS: usize = 15;

/// Port of the resolvers that host names are looked up with.
const DNS_PORT: u16 = 53;

/// The shortest time between two probes: less would be a flood.
const MIN_PROBE_INTERVAL: Duration = Duration::from_millis(10);

const OPTIONS: &[&str] = &[
    "except",
    "force_tcp",
    "prefer_udp",
    "expire",
    "max_age",
    "max_idle_conns",
    "read_timeout",
    "max_fails",
    "max_connect_attempts",
    "doh_method",
    "tls",
    "tls_servername",
    "policy",
    "health_check",
    "max_concurrent",
    "next",
    "next_on_nodata",
    "failfast_all_unhealthy_upstreams",
    "failover",
    "source_address",
    "resolver",
];

/// One directive.
#[derive(Debug)]
pub(crate) struct Config {
    /// Names below it are forwarded,
    pub(crate) from: Zone,
    /// but not those below one of these.
    pub(crate) except: Vec<Zone>,
    pub(crate) targets: Vec<To>,
    /// Who knows the addresses of host names; the system if there is none.
    pub(crate) resolvers: Vec<SocketAddr>,
    pub(crate) policy: Policy,
    pub(crate) force_tcp: bool,
    pub(crate) prefer_udp: bool,
    /// Failed attempts for one query; `None` is twice the number of upstreams, 0 is no limit.
    pub(crate) max_attempts: Option<u64>,
    /// Queries that wait at the same time; 0 is no limit.
    pub(crate) max_concurrent: u64,
    /// With all upstreams down, none is asked.
    pub(crate) failfast: bool,
    /// RCODEs that make the next upstream be asked.
    pub(crate) failover: Vec<Rcode>,
    /// RCODEs that make the next `forward` be asked.
    pub(crate) next: Vec<Rcode>,
    /// So does an answer without records.
    pub(crate) next_on_nodata: bool,
    pub(crate) security: Security,
    pub(crate) options: Options,
}

/// How upstreams over TLS, HTTPS and QUIC are asked.
#[derive(Debug, Default)]
pub(crate) struct Security {
    /// There if an upstream needs it.
    pub(crate) tls: Option<Tls>,
    /// Whom all certificates must be for.
    pub(crate) server_name: Option<String>,
    pub(crate) method: Method,
}

/// A directive, and what is odd about it.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) config: Config,
    pub(crate) warning: Option<String>,
}

/// Reads one directive. Files among its targets are read now.
pub(crate) fn parse(directive: &Directive, folder: &Path, root: &Path) -> Result<Parsed, ConfigError> {
    let args = directive.at_least(2, "FROM TO...")?;
    let (from, to) = (&args[0], &args[1..]);
    let zones = from.zones()?;
    let Some(zone) = zones.first() else {
        return Err(from.expected("a zone"));
    };
    let warning = (zones.len() > 1).then(|| {
        format!("Unsupported CIDR notation: '{from}' expands to multiple zones. Using only '{zone}'.")
    });
    let mut config = Config {
        from: zone.clone(),
        except: Vec::new(),
        targets: Vec::new(),
        resolvers: Vec::new(),
        policy: Policy::Random,
        force_tcp: false,
        prefer_udp: false,
        max_attempts: None,
        max_concurrent: 0,
        failfast: false,
        failover: Vec::new(),
        next: Vec::new(),
        next_on_nodata: false,
        security: Security::default(),
        options: Options::default(),
    };
    let mut tls_name = None;
    for option in directive.options() {
        match option.name() {
            "tls_servername" => tls_name = Some(option.one_arg("NAME")?),
            _ => read_option(&mut config, option, root)?,
        }
    }
    config.options.probe.over_tcp = config.force_tcp;
    check_ages(&config, directive)?;
    config.targets = read_targets(directive, to, tls_name, folder)?;
    config.security.server_name = tls_name.map(server_name).transpose()?;
    if config.security.tls.is_none() && config.targets.iter().any(|to| to.scheme.is_secure()) {
        // As `tls` without files.
        config.security.tls =
            Some(Tls::from_files(None, None).map_err(|error| directive.error(error.to_string()))?);
    }
    Ok(Parsed { config, warning })
}

fn read_targets(
    directive: &Directive,
    to: &[Token],
    tls_name: Option<&Token>,
    folder: &Path,
) -> Result<Vec<To>, ConfigError> {
    if let Some(surplus) = to.get(MAX_TARGETS) {
        return Err(surplus.error(format!("more than {MAX_TARGETS} TOs configured: {}", to.len())));
    }
    let mut targets = Vec::with_capacity(to.len());
    for token in to {
        let target = target::parse(token, folder)?;
        if let (Some(all), Some(one)) = (tls_name, &target.server_name) {
            return Err(all.error(format!(
                "both `tls_servername {all}` and the name `{one}` are given for {token}"
            )));
        }
        targets.push(target);
    }
    if target::are_none(&targets) {
        return Err(directive.error("no valid upstream addresses found"));
    }
    Ok(targets)
}

fn read_option(config: &mut Config, option: &Directive, root: &Path) -> Result<(), ConfigError> {
    match option.name() {
        "except" => {
            for name in option.at_least(1, "IGNORED_NAMES...")? {
                config.except.extend(name.zones()?);
            }
        }
        "force_tcp" => config.force_tcp = switch(option)?,
        "prefer_udp" => config.prefer_udp = switch(option)?,
        "max_connect_attempts" => {
            config.max_attempts = Some(option.one_arg("INTEGER")?.count(..=u64::from(u32::MAX))?);
        }
        "doh_method" => {
            let method = option.one_arg("GET|POST")?.one_of(&["GET", "POST"])?;
            config.security.method = if method == "GET" {
                Method::Get
            } else {
                Method::Post
            };
        }
        "tls" => config.security.tls = Some(Tls::from_option(option, root)?),
        "policy" => {
            let name = option
                .one_arg("random|round_robin|sequential")?
                .one_of(Policy::NAMES)?;
            config.policy = Policy::named(name);
        }
        "max_concurrent" => {
            config.max_concurrent = option.one_arg("MAX")?.count(..)?;
        }
        "next" => config.next.extend(rcodes(option)?),
        "next_on_nodata" => config.next_on_nodata = switch(option)?,
        "failfast_all_unhealthy_upstreams" => config.failfast = switch(option)?,
        "failover" => {
            for (token, rcode) in option.args().iter().zip(rcodes(option)?) {
                if rcode == Rcode::NOERROR {
                    return Err(token.error("NoError cannot be used in failover"));
                }
                config.failover.push(rcode);
            }
        }
        "resolver" => {
            let resolvers = option.at_least(1, "IP[:PORT] [IP[:PORT]...]")?.iter();
            config.resolvers = resolvers
                .map(|token| {
                    token.address(Some(DNS_PORT)).map_err(|_| {
                        token.error(format!("resolver must be an IP address or IP:port: {token}"))
                    })
                })
                .collect::<Result<_, _>>()?;
        }
        _ => return read_connection_option(config, option),
    }
    Ok(())
}

/// Options that are the upstream client's.
fn read_connection_option(config: &mut Config, option: &Directive) -> Result<(), ConfigError> {
    let options = &mut config.options;
    match option.name() {
        "expire" => options.expire = option.one_arg("DURATION")?.duration()?,
        "max_age" => {
            let age = option.one_arg("DURATION")?.duration()?;
            options.max_age = (!age.is_zero()).then_some(age);
        }
        "max_idle_conns" => {
            let count = option.one_arg("INTEGER")?.count(..)?;
            options.max_idle = usize::try_from(count).unwrap_or(usize::MAX);
        }
        "read_timeout" => {
            let token = option.one_arg("DURATION")?;
            options.read_timeout = token.duration()?;
            if options.read_timeout.is_zero() {
                return Err(token.expected("a duration above zero"));
            }
        }
        "max_fails" => {
            let count = option.one_arg("INTEGER")?.count(..=u64::from(u32::MAX))?;
            options.max_fails = u32::try_from(count).unwrap_or(u32::MAX);
        }
        "health_check" => read_health_check(config, option)?,
        "source_address" => {
            let ip: IpAddr = option.one_arg("IP")?.ip()?;
            options.source = Some(ip);
        }
        _ => return Err(option.unknown_option(OPTIONS)),
    }
    Ok(())
}

fn read_health_check(config: &mut Config, option: &Directive) -> Result<(), ConfigError> {
    let syntax = "DURATION [no_rec] [domain FQDN]";
    let [interval, rest @ ..] = option.at_least(1, syntax)? else {
        return Err(option.error("no duration"));
    };
    let probe = &mut config.options.probe;
    probe.interval = interval.duration()?.max(MIN_PROBE_INTERVAL);
    probe.name = vec![0];
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "no_rec" => probe.recursion_desired = false,
            "domain" => {
                let Some(name) = words.next() else {
                    return Err(word.error("`domain` needs a name"));
                };
                let name =
                    QName::from_presentation(name.as_str()).map_err(|_| name.expected("a domain name"))?;
                probe.name = name.as_wire().to_vec();
            }
            _ => {
                return Err(word
                    .error(format!("unknown option `{word}` of health_check"))
                    .with_expected(syntax)
                    .with_nearest(word.as_str(), ["no_rec", "domain"]));
            }
        }
    }
    Ok(())
}

fn switch(option: &Directive) -> Result<bool, ConfigError> {
    option.no_args().map(|()| true)
}

fn rcodes(option: &Directive) -> Result<Vec<Rcode>, ConfigError> {
    let tokens = option.at_least(1, "RCODE_1 [RCODE_2] [RCODE_3...]")?;
    tokens
        .iter()
        .map(|token| {
            Rcode::from_name(token.as_str()).ok_or_else(|| {
                token
                    .error(format!("{token} is not a valid rcode"))
                    .with_expected("an RCODE such as NXDOMAIN")
            })
        })
        .collect()
}

fn check_ages(config: &Config, directive: &Directive) -> Result<(), ConfigError> {
    let expire = config.options.expire;
    if let Some(max_age) = config.options.max_age.filter(|&age| age < expire) {
        let option = directive
            .options()
            .iter()
            .rfind(|option| option.name() == "max_age");
        let message = format!("max_age ({max_age:?}) must not be less than expire ({expire:?})");
        return Err(option.unwrap_or(directive).error(message));
    }
    Ok(())
}
