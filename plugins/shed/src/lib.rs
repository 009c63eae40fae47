//! The `shed` plugin: keeps Corefiles working that have it, and shows its counters.
//!
//! In CoreDNS, `shed` makes of the many writers of a UDP socket a single one with a bounded queue, and drops queries while that
//! queue is full. A UDP listener of Catena is built so from the start, with `shed` or without: one worker reads and
//! writes each socket, stops reading while the socket takes no more, and keeps a bounded number of queries waiting. So
//! there is nothing left for the plugin to do on a query's way; it checks its place, as CoreDNS does.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use catena_core::config::ListenAddress;
use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Scheme};
use catena_core::message::Request;
use catena_core::plugin::{AtOnce, Definition, ListenHost, Plugin, Setup, once};
use catena_metrics::Registry;

/// The `shed` plugin.
pub static PLUGIN: Definition = Definition::new("shed", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let directive = once(setup.directives())?;
    directive.no_args()?;
    if directive.has_block() {
        return Err(directive.error("shed takes no options").into());
    }
    let mut errors = Collector::default();
    for key in &setup.block().keys {
        if key.scheme != Scheme::Dns {
            let message = format!(
                "only plain DNS server blocks are supported; `{key}` uses transport {}",
                key.scheme
            );
            errors.push(ConfigError::new(key.span.clone(), message));
        }
    }
    errors.finish(())?;
    let dropped = setup.shared::<Registry>().counter(
        "coredns_shed_dropped_total",
        "Counter of queries and responses dropped, per server, by reason.",
        &["server", "reason"],
    );
    let hosts = setup.settings().listen.clone();
    for key in &setup.block().keys {
        for server in servers(&hosts, key.port) {
            for reason in ["query", "response"] {
                // Shown as nought: dashboards that were made for CoreDNS find their series.
                drop(dropped.with(&[&server, reason]));
            }
        }
    }
    setup.add(Shed);
    Ok(())
}

/// The labels of the listeners on a port.
fn servers(hosts: &[ListenHost], port: u16) -> Vec<String> {
    let label = |ip, scope| {
        let socket = match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
        };
        let scheme = Scheme::Dns;
        ListenAddress { scheme, socket }.to_string()
    };
    if hosts.is_empty() {
        return vec![label(Ipv6Addr::UNSPECIFIED.into(), 0)];
    }
    hosts.iter().map(|host| label(host.ip, host.scope)).collect()
}

/// The link of the chain, which lets everything pass.
#[derive(Debug)]
struct Shed;

impl Plugin for Shed {
    fn name(&self) -> &'static str {
        "shed"
    }

    fn serve_at_once(&self, _: &mut Request) -> AtOnce {
        AtOnce::Pass
    }
}

#[cfg(test)]
mod tests {
    use catena_core::message::QueryBuilder;
    use catena_core::plugin::testing::{FIXED, set_up};

    use super::*;

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (text, want) in [
            (
                "shed extra",
                "Corefile:1:6: plugin/shed: wrong argument count: unexpected `extra` after `shed`, expected no arguments",
            ),
            (
                "shed {\n depth 10\n}",
                "Corefile:1:1: plugin/shed: shed takes no options",
            ),
            (
                "shed\nshed",
                "Corefile:2:1: plugin/shed: this plugin can only be used once per Server Block",
            ),
        ] {
            let errors = set_up(&[PLUGIN], text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "{text}");
        }
    }

    #[test]
    fn listeners_are_named_as_in_all_metrics() {
        let host = |ip: &str| ListenHost {
            ip: ip.parse().unwrap(),
            scope: 0,
            text: ip.to_owned(),
            span: None,
        };
        assert_eq!(servers(&[], 53), ["dns://:53"]);
        assert_eq!(
            servers(&[host("127.0.0.1"), host("2001:db8::1")], 1053),
            ["dns://127.0.0.1:1053", "dns://[2001:db8::1]:1053"]
        );
    }

    #[tokio::test]
    async fn queries_pass() {
        let block = set_up(&[PLUGIN, FIXED], "shed\nfixed").unwrap();
        let mut request = QueryBuilder::new("a.", 1_u16).unwrap().to_request().unwrap();
        assert_eq!(block.reply(&mut request).await.answer_count(), 1);
    }
}
