//! Addresses of upstreams as they stand in Corefiles and in files such as resolv.conf.

use std::net::{IpAddr, SocketAddr};

/// An address with or without port. IPv6 addresses may stand in brackets, and may have a zone, which is dropped.
#[must_use]
pub fn parse_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (ip, port) = match text.rsplit_once("]:") {
        Some((ip, port)) => (ip, port.parse().ok()?),
        None => (text, default_port),
    };
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    let ip = ip.split_once('%').map_or(ip, |(ip, _)| ip);
    ip.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port))
}

/// The name servers of a file such as resolv.conf, at port 53.
#[must_use]
pub fn name_servers(content: &str) -> Vec<SocketAddr> {
    let lines = content.lines().filter(|line| !line.starts_with([';', '#']));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver"))
                .then(|| words.next())
                .flatten()
        })
        .filter_map(|word| parse_address(word, 53))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_all_forms() {
        for (text, want) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
            ("fe80::1%eth0", "[fe80::1]:53"),
            ("[fe80::1%eth0]:54", "[fe80::1]:54"),
        ] {
            assert_eq!(
                parse_address(text, 53)
                    .map(|address| address.to_string())
                    .as_deref(),
                Some(want),
                "{text}"
            );
        }
        for text in ["", "example.org", "192.0.2", "192.0.2.1:x", "[]"] {
            assert_eq!(parse_address(text, 53), None, "{text}");
        }
    }

    #[test]
    fn name_servers_are_read_among_other_lines() {
        let content = "# comment\n; another\nsearch example.org\nnameserver 192.0.2.1\nnameserver 2001:db8::1 # behind\n\
                       options ndots:5\nnameserver\nnameserver junk\n\tnameserver fe80::1%eth0\n";
        let shown: Vec<String> = name_servers(content).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1]:53"]);
    }
}
