//! Typed readers of a [`Token`].

use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    ops::{Bound, RangeBounds},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::{
    ConfigError, Token,
    duration::{DurationError, parse_duration},
    keys,
    pattern::regex_of_re2,
};
use crate::message::Zone;

/// Longest pattern that [`Token::regex`] takes, in bytes; CoreDNS has the same bound.
pub const MAX_PATTERN_LEN: usize = 10_000;

impl Token {
    /// A time span in Go's notation, such as `5s`, `1h30m`, `300ms`; negative ones are refused.
    ///
    /// # Errors
    ///
    /// The word is no such duration, is negative, or exceeds 290 years.
    pub fn duration(&self) -> Result<Duration, ConfigError> {
        let nanoseconds = self.signed_duration()?;
        u64::try_from(nanoseconds)
            .map(Duration::from_nanos)
            .map_err(|_| self.expected("a duration that is not negative"))
    }

    /// A time span in Go's notation between two bounds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use catena_core::corefile::testing::parse_directives;
    ///
    /// let reload = &parse_directives("reload 1s").unwrap()[0];
    /// let error = reload.args()[0].duration_in(Duration::from_secs(2)..).unwrap_err();
    /// assert_eq!(error.headline(), "Corefile:1:8: got `1s`, expected a duration of at least 2s");
    /// ```
    ///
    /// # Errors
    ///
    /// As with [`duration`](Self::duration), or the duration lies outside `range`.
    pub fn duration_in(&self, range: impl RangeBounds<Duration>) -> Result<Duration, ConfigError> {
        let duration = self.duration()?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        Err(self.expected(format!(
            "a duration{}",
            describe(&range, |bound| format!("{bound:?}"))
        )))
    }

    /// A time span in Go's notation as nanoseconds; it may be negative.
    ///
    /// # Errors
    ///
    /// The word is no such duration, or does not fit 64 bits.
    pub fn signed_duration(&self) -> Result<i64, ConfigError> {
        let expected = "a duration such as 5s or 1h30m";
        parse_duration(self.as_str()).map_err(|error| match error {
            DurationError::MissingUnit => self
                .expected(expected)
                .with_note("a number needs a unit: ns, us, ms, s, m or h"),
            DurationError::Invalid | DurationError::UnknownUnit | DurationError::Overflow => {
                self.expected(expected)
            }
        })
    }

    /// A decimal number that is not negative.
    ///
    /// ```
    /// # use catena_core::corefile::testing::parse_directives;
    /// let line = &parse_directives("max_fails 3 x 12").unwrap()[0];
    /// assert_eq!(line.args()[0].count(1..=10).unwrap(), 3);
    /// assert_eq!(
    ///     line.args()[2].count(1..=10).unwrap_err().headline(),
    ///     "Corefile:1:15: got `12`, expected a number from 1 to 10",
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// The word is no such number, or lies outside `range`.
    pub fn count(&self, range: impl RangeBounds<u64>) -> Result<u64, ConfigError> {
        let number = self
            .as_str()
            .parse::<i128>()
            .ok()
            .and_then(|number| u64::try_from(number).ok());
        match number {
            Some(number) if range.contains(&number) => Ok(number),
            _ => Err(self.expected(format!(
                "a number{}",
                describe_or(&range, " of at least 0", u64::to_string)
            ))),
        }
    }

    /// A decimal number with an optional sign.
    ///
    /// # Errors
    ///
    /// The word is no such number, or lies outside `range`.
    pub fn integer(&self, range: impl RangeBounds<i64>) -> Result<i64, ConfigError> {
        match self.as_str().parse::<i64>() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.expected(format!("a whole number{}", describe(&range, i64::to_string)))),
        }
    }

    /// A number of bytes: decimal, with `k`, `m` or `g` behind it for powers of 1024 (`KiB` and the like are fine).
    ///
    /// # Errors
    ///
    /// The word is no such size, lies outside `range`, or does not fit 64 bits.
    pub fn size(&self, range: impl RangeBounds<u64>) -> Result<u64, ConfigError> {
        match parse_size(self.as_str()) {
            Some(size) if range.contains(&size) => Ok(size),
            _ => Err(self.expected(format!(
                "a size such as 512 or 64k{}",
                describe(&range, u64::to_string)
            ))),
        }
    }

    /// A finite number with an optional fraction.
    ///
    /// # Errors
    ///
    /// The word is no such number, or lies outside `range`.
    pub fn float(&self, range: impl RangeBounds<f64>) -> Result<f64, ConfigError> {
        match self.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() && range.contains(&number) => Ok(number),
            _ => Err(self.expected(format!("a number{}", describe(&range, f64::to_string)))),
        }
    }

    /// A port from 1 to 65535.
    ///
    /// # Errors
    ///
    /// The word is no such number.
    pub fn port(&self) -> Result<u16, ConfigError> {
        parse_port(self.as_str()).ok_or_else(|| self.expected("a port from 1 to 65535"))
    }

    /// An IP address without a port.
    ///
    /// # Errors
    ///
    /// The word is none.
    pub fn ip(&self) -> Result<IpAddr, ConfigError> {
        self.as_str().parse().map_err(|_| self.expected("an IP address"))
    }

    /// An IP address with a port: `192.0.2.1:53`, `[2001:db8::1]:53`; the port may be left out where there is a default.
    ///
    /// ```
    /// # use catena_core::corefile::testing::parse_directives;
    /// let line = &parse_directives("to 192.0.2.1 2001:db8::1 [2001:db8::1]:5353 ns.example.org").unwrap()[0];
    /// let shown: Vec<String> =
    ///     line.args()[..3].iter().map(|arg| arg.address(Some(53)).unwrap().to_string()).collect();
    /// assert_eq!(shown, ["192.0.2.1:53", "[2001:db8::1]:53", "[2001:db8::1]:5353"]);
    /// assert_eq!(
    ///     line.args()[3].address(Some(53)).unwrap_err().headline(),
    ///     "Corefile:1:45: got `ns.example.org`, expected an IP address, with or without a port",
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// The word is no such address, the port is 0, or there is none and no default either.
    pub fn address(&self, default_port: Option<u16>) -> Result<SocketAddr, ConfigError> {
        let text = self.as_str();
        if let Ok(address) = text.parse::<SocketAddr>() {
            if address.port() != 0 {
                return Ok(address);
            }
        } else if let Some(port) = default_port {
            let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let ip = match inner {
                Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
                None => text.parse().ok(),
            };
            if let Some(ip) = ip {
                return Ok(SocketAddr::new(ip, port));
            }
        }
        Err(self.expected(match default_port {
            Some(_) => "an IP address, with or without a port",
            None => "an IP address with a port",
        }))
    }

    /// A zone's name, made lower-case and fully qualified. A scheme before it and a port behind it are dropped, as
    /// CoreDNS does.
    ///
    /// # Errors
    ///
    /// The word is no domain name, or a network that takes several reverse zones: see [`zones`](Self::zones).
    pub fn zone(&self) -> Result<Zone, ConfigError> {
        let mut zones = self.zones()?.into_iter();
        match (zones.next(), zones.next()) {
            (Some(zone), None) => Ok(zone),
            _ => Err(self
                .expected("one zone")
                .with_note("this network stands for several reverse zones")),
        }
    }

    /// A zone's name, or the reverse zones of a network in CIDR notation; several if the mask is off a label's border.
    ///
    /// ```
    /// # use catena_core::corefile::testing::parse_directives;
    /// let line = &parse_directives("zones Example.ORG 192.0.2.0/23").unwrap()[0];
    /// let shown: Vec<String> =
    ///     line.args().iter().flat_map(|arg| arg.zones().unwrap()).map(|zone| zone.to_string()).collect();
    /// assert_eq!(shown, ["example.org.", "2.0.192.in-addr.arpa.", "3.0.192.in-addr.arpa."]);
    /// ```
    ///
    /// # Errors
    ///
    /// The word is no domain name.
    pub fn zones(&self) -> Result<Vec<Zone>, ConfigError> {
        keys::zones(self.as_str()).map_err(|error| self.expected("a zone").with_note(error.to_string()))
    }

    /// A network in CIDR notation, or a single address, which is a network of one. Bits beyond the mask are cleared.
    ///
    /// # Errors
    ///
    /// The word is neither.
    pub fn network(&self) -> Result<IpNet, ConfigError> {
        let text = self.as_str();
        let network = text.parse::<IpNet>().map(|network| network.trunc());
        network
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| self.expected("a network such as 192.0.2.0/24, or an IP address"))
    }

    /// A regular expression in RE2's syntax; it searches in linear time, and its compiled form is bounded.
    ///
    /// # Errors
    ///
    /// The word is none, is longer than [`MAX_PATTERN_LEN`], or compiles to more than 10 MiB.
    pub fn regex(&self) -> Result<Regex, ConfigError> {
        let pattern = self.as_str();
        if pattern.len() > MAX_PATTERN_LEN {
            let message = format!("regular expression of {} bytes", pattern.len());
            return Err(self
                .error(message)
                .with_expected(format!("at most {MAX_PATTERN_LEN}")));
        }
        let refuse = |cause: &str| {
            self.expected("a regular expression")
                .with_note(format!("error parsing regexp: {cause}"))
        };
        let pattern = regex_of_re2(pattern).map_err(|error| refuse(&error.to_string()))?;
        RegexBuilder::new(&pattern).build().map_err(|error| {
            let text = error.to_string();
            let cause = text.lines().last().unwrap_or_default();
            refuse(cause.trim().trim_start_matches("error: "))
        })
    }

    /// One of some words, letter by letter.
    ///
    /// ```
    /// # use catena_core::corefile::testing::parse_directives;
    /// let line = &parse_directives("policy round_robbin").unwrap()[0];
    /// let error = line.args()[0].one_of(&["random", "round_robin", "sequential"]).unwrap_err();
    /// assert_eq!(
    ///     error.headline(),
    ///     "Corefile:1:8: got `round_robbin`, expected one of: random, round_robin, sequential",
    /// );
    /// assert_eq!(error.suggestion(), Some("round_robin"));
    /// ```
    ///
    /// # Errors
    ///
    /// The word is none of them.
    pub fn one_of(&self, known: &[&'static str]) -> Result<&'static str, ConfigError> {
        known.iter().find(|word| *self == **word).copied().ok_or_else(|| {
            self.expected(format!("one of: {}", known.join(", ")))
                .with_nearest(self.as_str(), known.iter().copied())
        })
    }

    /// `on` or `true` is true, `off` or `false` is false.
    ///
    /// # Errors
    ///
    /// The word is something else.
    pub fn on_off(&self) -> Result<bool, ConfigError> {
        match self.as_str() {
            "on" | "true" => Ok(true),
            "off" | "false" => Ok(false),
            _ => Err(self.expected("on or off")),
        }
    }

    /// A file's path; a relative one starts at `root`.
    ///
    /// # Errors
    ///
    /// The word is empty.
    pub fn path(&self, root: &Path) -> Result<PathBuf, ConfigError> {
        if self.as_bytes().is_empty() {
            return Err(self.expected("a file's path"));
        }
        Ok(root.join(OsStr::from_bytes(self.as_bytes())))
    }
}

/// A decimal port from 1 to 65535.
fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// See [`Token::size`].
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// ` from A to B`, ` of at least A`, ` of at most B` or nothing.
fn describe<T>(range: &impl RangeBounds<T>, show: impl Fn(&T) -> String) -> String {
    describe_or(range, "", show)
}

fn describe_or<T>(range: &impl RangeBounds<T>, unbounded: &str, show: impl Fn(&T) -> String) -> String {
    let low = match range.start_bound() {
        Bound::Included(low) => Some(show(low)),
        Bound::Excluded(low) => Some(format!("more than {}", show(low))),
        Bound::Unbounded => None,
    };
    let high = match range.end_bound() {
        Bound::Included(high) => Some(show(high)),
        Bound::Excluded(high) => Some(format!("less than {}", show(high))),
        Bound::Unbounded => None,
    };
    match (low, high) {
        (None, None) => unbounded.to_owned(),
        (Some(low), None) if low.starts_with("more") => format!(" of {low}"),
        (Some(low), None) => format!(" of at least {low}"),
        (None, Some(high)) if high.starts_with("less") => format!(" of {high}"),
        (None, Some(high)) => format!(" of at most {high}"),
        (Some(low), Some(high)) => format!(" from {low} to {high}"),
    }
}

#[cfg(test)]
mod tests;
