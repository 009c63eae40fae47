//! THE list of plugins, in their order.
//!
//! The order is the order of every chain, whatever the order in a Corefile is: a query passes the plugins from top to
//! bottom. It is CoreDNS's own, with `dynresolve` directly before `hosts`, hence before every other source of answers,
//! and `transports` behind `multisocket`, which also sets up sockets only.

use catena_core::config::Registry;
use catena_core::plugin::Definition;

/// The plugins of this server, a line each, in the order of [`ORDER`].
pub const PLUGINS: &[Definition] = &[
    catena_plugin_root::PLUGIN,
    catena_plugin_metadata::PLUGIN,
    catena_plugin_cancel::PLUGIN,
    catena_plugin_proxyproto::PLUGIN,
    catena_plugin_quic::PLUGIN,
    catena_plugin_grpc_server::PLUGIN,
    catena_plugin_https::PLUGIN,
    catena_plugin_https3::PLUGIN,
    catena_plugin_timeouts::PLUGIN,
    catena_plugin_multisocket::PLUGIN,
    catena_plugin_transports::PLUGIN,
    catena_plugin_reload::PLUGIN,
    catena_plugin_nsid::PLUGIN,
    catena_plugin_bufsize::PLUGIN,
    catena_plugin_bind::PLUGIN,
    catena_plugin_debug::PLUGIN,
    catena_plugin_trace::PLUGIN,
    catena_plugin_ready::PLUGIN,
    catena_plugin_health::PLUGIN,
    catena_plugin_pprof::PLUGIN,
    catena_plugin_shed::PLUGIN,
    catena_plugin_prometheus::PLUGIN,
    catena_plugin_errors::PLUGIN,
    catena_plugin_log::PLUGIN,
    catena_plugin_dnstap::PLUGIN,
    catena_plugin_local::PLUGIN,
    catena_plugin_any::PLUGIN,
    catena_plugin_chaos::PLUGIN,
    catena_plugin_loadbalance::PLUGIN,
    catena_plugin_acl::PLUGIN,
    catena_plugin_cache::PLUGIN,
    catena_plugin_tls::PLUGIN,
    catena_plugin_template::PLUGIN,
    catena_plugin_dynresolve::PLUGIN,
    catena_plugin_hosts::PLUGIN,
    catena_plugin_loop::PLUGIN,
    catena_plugin_forward::PLUGIN,
    catena_plugin_grpc::PLUGIN,
    catena_plugin_erratic::PLUGIN,
    catena_plugin_whoami::PLUGIN,
    catena_plugin_on::PLUGIN,
    catena_plugin_view::PLUGIN,
];

/// All names in their order, those too that this version does not have yet: a Corefile that names such a plugin gets
/// an error that says so.
pub const ORDER: &[&str] = &[
    "root",
    "metadata",
    "geoip",
    "cancel",
    "proxyproto",
    "quic",
    "grpc_server",
    "https",
    "https3",
    "timeouts",
    "multisocket",
    "transports",
    "reload",
    "nsid",
    "bufsize",
    "bind",
    "debug",
    "trace",
    "ready",
    "health",
    "pprof",
    "shed",
    "prometheus",
    "errors",
    "log",
    "dnstap",
    "local",
    "dns64",
    "any",
    "chaos",
    "loadbalance",
    "tsig",
    "rewrite",
    "autopath",
    "acl",
    "cache",
    "header",
    "dnssec",
    "tls",
    "minimal",
    "template",
    "transfer",
    "dynresolve",
    "hosts",
    "route53",
    "azure",
    "clouddns",
    "k8s_external",
    "kubernetes",
    "file",
    "auto",
    "secondary",
    "etcd",
    "loop",
    "forward",
    "grpc",
    "erratic",
    "whoami",
    "on",
    "sign",
    "view",
    "nomad",
];

/// The registry of this server: all plugins, in order.
#[must_use]
pub fn registry() -> Registry {
    let is_here = |name: &&str| PLUGINS.iter().any(|plugin| plugin.name == *name);
    Registry::new(PLUGINS.iter().copied()).with_planned(ORDER.iter().copied().filter(|name| !is_here(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        let places: Vec<usize> = PLUGINS
            .iter()
            .map(|plugin| {
                ORDER
                    .iter()
                    .position(|name| *name == plugin.name)
                    .expect(plugin.name)
            })
            .collect();
        assert!(places.is_sorted_by(|before, after| before < after), "{places:?}");
    }

    #[test]
    fn each_plugin_has_a_folder_and_each_folder_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins");
        let mut folders: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder of plugins")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        folders.sort();
        let mut names: Vec<&str> = PLUGINS.iter().map(|plugin| plugin.name).collect();
        names.sort_unstable();
        assert_eq!(folders, names);
    }
}
