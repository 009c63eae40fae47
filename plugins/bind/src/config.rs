//! Reads the Corefile.

use catena_core::corefile::{ConfigError, Directive};
use catena_core::plugin::ListenHost;

use crate::hosts::resolve;

const OPTIONS: &[&str] = &["except"];

const HOSTS: &str = "at least one address or interface name";

/// The addresses of all directives.
pub(crate) fn parse(directives: &[Directive]) -> Result<Vec<ListenHost>, ConfigError> {
    let mut hosts = Vec::new();
    for directive in directives {
        hosts.append(&mut read(directive)?);
    }
    Ok(hosts)
}

fn read(directive: &Directive) -> Result<Vec<ListenHost>, ConfigError> {
    let mut hosts = Vec::new();
    for arg in directive.at_least(1, HOSTS)? {
        hosts.append(&mut resolve(arg)?);
    }
    let mut except: Vec<ListenHost> = Vec::new();
    for option in directive.options() {
        match option.name() {
            "except" => {
                // Of several such lines CoreDNS takes the last.
                except.clear();
                for arg in option.at_least(1, HOSTS)? {
                    except.append(&mut resolve(arg)?);
                }
            }
            _ => return Err(option.unknown_option(OPTIONS)),
        }
    }
    hosts.retain(|host| {
        !except
            .iter()
            .any(|other| (other.ip, other.scope) == (host.ip, host.scope))
    });
    if hosts.is_empty() {
        // An empty list would mean all addresses: the contrary of what was written.
        return Err(directive
            .error("no address is left to listen on")
            .with_expected("addresses that are not excepted"));
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;
    use catena_core::plugin::testing::set_up;

    use super::*;

    fn listen(text: &str) -> Vec<String> {
        let block = set_up(&[crate::PLUGIN], text).unwrap();
        assert!(block.chain.is_empty());
        block
            .settings
            .listen
            .iter()
            .map(|host| host.text.clone())
            .collect()
    }

    #[test]
    fn addresses_that_can_be_given() {
        for (text, want) in [
            ("bind 192.0.2.1", ["192.0.2.1"].as_slice()),
            ("bind 192.0.2.1 ::5", &["192.0.2.1", "::5"]),
            ("bind 0.0.0.0 ::", &["0.0.0.0", "::"]),
            ("bind 2001:DB8:0::1", &["2001:db8::1"]),
            ("bind ::ffff:192.0.2.1", &["192.0.2.1"]),
            ("bind 127.0.0.1\nbind ::1", &["127.0.0.1", "::1"]),
            ("bind 127.0.0.1 127.0.0.2 {\n}", &["127.0.0.1", "127.0.0.2"]),
            ("bind 127.0.0.1 ::1 {\n except 127.0.0.1\n}", &["::1"]),
            (
                "bind 127.0.0.1 ::1 {\n except 0:0:0:0:0:0:0:1 192.0.2.1\n}",
                &["127.0.0.1"],
            ),
            (
                "bind 127.0.0.1 ::1 {\n except ::1\n except 127.0.0.1\n}",
                &["::1"],
            ),
            // `except` holds for its own line.
            (
                "bind 127.0.0.2 127.0.0.3 {\n except 127.0.0.3\n}\nbind 127.0.0.1 {\n except 127.0.0.2\n}",
                &["127.0.0.2", "127.0.0.1"],
            ),
        ] {
            assert_eq!(listen(text), want, "{text}");
        }
    }

    #[test]
    fn an_interface_stands_for_its_addresses() {
        let all = listen("bind lo");
        assert!(all.contains(&"127.0.0.1".to_owned()), "{all:?}");
        let others: Vec<_> = all.iter().filter(|text| *text != "127.0.0.1").cloned().collect();
        if others.is_empty() {
            assert!(parse(&parse_directives("bind lo {\n except 127.0.0.1\n}").unwrap()).is_err());
        } else {
            assert_eq!(listen("bind lo {\n except 127.0.0.1\n}"), others);
        }
        assert_eq!(listen("bind 127.0.0.1 192.0.2.1 {\n except lo\n}"), ["192.0.2.1"]);
    }

    #[test]
    fn each_address_knows_its_place() {
        let hosts = parse(&parse_directives("bind 192.0.2.1 ::1").unwrap()).unwrap();
        let places: Vec<_> = hosts
            .iter()
            .map(|host| host.span.as_ref().unwrap().to_string())
            .collect();
        assert_eq!(places, ["Corefile:1:6", "Corefile:1:16"]);
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let expected = "expected an IP address or the name of an interface";
        for (text, want) in [
            (
                "bind",
                "Corefile:1:1: wrong argument count after `bind`, expected at least one address or interface name".to_owned(),
            ),
            ("bind 192.0.2.invalid", format!("Corefile:1:6: got `192.0.2.invalid`, {expected}")),
            ("bind ::1 noone", format!("Corefile:1:10: got `noone`, {expected}")),
            ("bind 127.0.0.1:53", format!("Corefile:1:6: got `127.0.0.1:53`, {expected}")),
            ("bind 127.0.0.0/8", format!("Corefile:1:6: got `127.0.0.0/8`, {expected}")),
            ("bind \"\"", format!("Corefile:1:6: got ``, {expected}")),
            ("bind ::1 {\n except noone\n}", format!("Corefile:2:9: got `noone`, {expected}")),
            (
                "bind ::1 {\n except\n}",
                "Corefile:2:2: wrong argument count after `except`, expected at least one address or interface name"
                    .to_owned(),
            ),
            ("bind ::1 {\n excpt ::1\n}", "Corefile:2:2: unknown option `excpt` (one of: except)".to_owned()),
            (
                "bind ::1\nbind ::1 127.0.0.1 {\n except ::1 127.0.0.1\n}",
                "Corefile:2:1: no address is left to listen on, expected addresses that are not excepted".to_owned(),
            ),
        ] {
            let error = parse(&parse_directives(text).unwrap()).unwrap_err();
            assert_eq!(error.headline(), want, "{text}");
        }
    }

    #[test]
    fn advises_on_ports_and_options() {
        let error = parse(&parse_directives("bind [::1]:5353").unwrap()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("= the port stands in the server block's key"),
            "{error}"
        );
        let error = parse(&parse_directives("bind ::1 {\n excpt ::1\n}").unwrap()).unwrap_err();
        assert_eq!(error.suggestion(), Some("except"));
    }
}
