//! `coredns_plugin_enabled`: the plugins of all blocks that have *prometheus*, in the configuration that serves.

use std::sync::Arc;

use catena_core::plugin::BlockOutline;
use catena_metrics::{Registry, Sample};
use parking_lot::Mutex;

/// The server's one list; a reload starts it anew.
#[derive(Default)]
pub(crate) struct Enabled {
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    serving: Vec<Arc<BlockOutline>>,
    /// Blocks of a configuration that starts.
    starting: Vec<Arc<BlockOutline>>,
}

impl Enabled {
    /// Shows the list in the registry.
    pub(crate) fn show(self: &Arc<Self>, registry: &Registry) {
        let enabled = Arc::clone(self);
        registry.collect_gauge(
            "coredns_plugin_enabled",
            "A metric that indicates whether a plugin is enabled on per server and zone basis.",
            &["server", "zone", "view", "name"],
            move || enabled.samples(),
        );
    }

    /// A block starts.
    pub(crate) fn add(&self, block: Arc<BlockOutline>) {
        self.lists.lock().starting.push(block);
    }

    /// The blocks that started serve now, in place of those before.
    pub(crate) fn change_over(&self) {
        let mut lists = self.lists.lock();
        if !lists.starting.is_empty() {
            lists.serving = std::mem::take(&mut lists.starting);
        }
    }

    /// A block ends, or does not come to serve.
    pub(crate) fn remove(&self, block: &Arc<BlockOutline>) {
        let mut lists = self.lists.lock();
        lists.serving.retain(|known| !Arc::ptr_eq(known, block));
        lists.starting.retain(|known| !Arc::ptr_eq(known, block));
    }

    fn samples(&self) -> Vec<Sample> {
        let blocks = self.lists.lock().serving.clone();
        let mut labels: Vec<Vec<String>> = Vec::new();
        for block in &blocks {
            for server in &block.servers {
                labels.extend(block.plugins.iter().map(|&plugin| {
                    vec![
                        server.clone(),
                        block.zone.clone(),
                        block.view.clone(),
                        plugin.to_owned(),
                    ]
                }));
            }
        }
        labels.sort_unstable();
        labels.dedup();
        labels
            .into_iter()
            .map(|labels| Sample { labels, value: 1.0 })
            .collect()
    }
}
