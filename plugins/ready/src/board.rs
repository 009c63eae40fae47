//! Who is ready: the plugins of all blocks that have *ready*, in the configuration that serves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use catena_core::plugin::{Readiness, Services};
use parking_lot::Mutex;

use crate::config::Monitor;

/// The server's one list; a reload starts it anew.
#[derive(Default)]
pub(crate) struct Board {
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    serving: Vec<Arc<Block>>,
    /// Blocks of a configuration that starts.
    starting: Vec<Arc<Block>>,
}

impl Board {
    /// A block starts.
    pub(crate) fn add(&self, block: Arc<Block>) {
        self.lists.lock().starting.push(block);
    }

    /// The blocks that started serve now, in place of those before.
    pub(crate) fn change_over(&self) {
        let mut lists = self.lists.lock();
        // Each block of a configuration says so; the first one does it for all.
        if !lists.starting.is_empty() {
            lists.serving = std::mem::take(&mut lists.starting);
        }
    }

    /// A block ends, or does not come to serve.
    pub(crate) fn remove(&self, block: &Arc<Block>) {
        let mut lists = self.lists.lock();
        lists.serving.retain(|known| !Arc::ptr_eq(known, block));
        lists.starting.retain(|known| !Arc::ptr_eq(known, block));
    }

    /// The names of plugins that are not ready, sorted.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let blocks = self.lists.lock().serving.clone();
        let names: BTreeSet<&'static str> = blocks.iter().flat_map(|block| block.missing()).collect();
        names.into_iter().collect()
    }
}

/// The plugins of one block.
pub(crate) struct Block {
    services: Arc<Services>,
    monitor: Monitor,
    /// For each plugin whether it has been ready once.
    seen: Box<[AtomicBool]>,
}

impl Block {
    pub(crate) fn new(services: Arc<Services>, monitor: Monitor) -> Self {
        let seen = services
            .all::<dyn Readiness>()
            .map(|_| AtomicBool::new(false))
            .collect();
        Self {
            services,
            monitor,
            seen,
        }
    }

    fn missing(&self) -> Vec<&'static str> {
        let is_ready = |plugin: &dyn Readiness, seen: &AtomicBool| {
            if self.monitor == Monitor::UntilReady && seen.load(Ordering::Relaxed) {
                return true;
            }
            let ready = plugin.ready();
            seen.store(ready, Ordering::Relaxed);
            ready
        };
        self.services
            .all::<dyn Readiness>()
            .zip(&self.seen)
            .filter(|(plugin, seen)| !is_ready(plugin.as_ref(), seen))
            .map(|(plugin, _)| plugin.name())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(&'static str, AtomicBool);

    impl Readiness for Fake {
        fn name(&self) -> &'static str {
            self.0
        }

        fn ready(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }
    }

    impl Fake {
        fn new(name: &'static str) -> Arc<Self> {
            Arc::new(Self(name, AtomicBool::new(false)))
        }

        fn set(&self, ready: bool) {
            self.1.store(ready, Ordering::Relaxed);
        }
    }

    fn block(monitor: Monitor, plugins: &[&Arc<Fake>]) -> Arc<Block> {
        let mut services = Services::default();
        for &plugin in plugins {
            services.offer::<dyn Readiness>(plugin.clone());
        }
        Arc::new(Block::new(Arc::new(services), monitor))
    }

    fn serving(blocks: &[&Arc<Block>]) -> Board {
        let board = Board::default();
        for &block in blocks {
            board.add(block.clone());
        }
        board.change_over();
        board
    }

    #[test]
    fn plugins_are_asked_until_they_are_ready_or_each_time() {
        for (monitor, after) in [(Monitor::UntilReady, &[][..]), (Monitor::Continuously, &["a"])] {
            let (a, b) = (Fake::new("a"), Fake::new("b"));
            let board = serving(&[&block(monitor, &[&b, &a])]);
            assert_eq!(board.missing(), ["a", "b"]);
            a.set(true);
            assert_eq!(board.missing(), ["b"]);
            b.set(true);
            assert!(board.missing().is_empty());
            a.set(false);
            assert_eq!(board.missing(), after, "{monitor:?}");
        }
    }

    #[test]
    fn blocks_are_taken_together_and_a_plugin_is_named_once() {
        let (one, other) = (Fake::new("kubernetes"), Fake::new("kubernetes"));
        let board = serving(&[
            &block(Monitor::UntilReady, &[&one]),
            &block(Monitor::UntilReady, &[&other]),
        ]);
        assert_eq!(board.missing(), ["kubernetes"]);
        one.set(true);
        assert_eq!(board.missing(), ["kubernetes"]);
        other.set(true);
        assert!(board.missing().is_empty());
    }

    #[test]
    fn a_reload_starts_anew_when_it_serves_and_a_failed_one_changes_nothing() {
        let (old, new) = (Fake::new("old"), Fake::new("new"));
        old.set(true);
        let (old, new) = (
            block(Monitor::UntilReady, &[&old]),
            block(Monitor::UntilReady, &[&new]),
        );
        let board = serving(&[&old]);
        board.add(new.clone());
        assert!(board.missing().is_empty());
        board.remove(&new);
        board.change_over();
        assert!(board.missing().is_empty());
        board.add(new);
        board.change_over();
        board.change_over();
        board.remove(&old);
        assert_eq!(board.missing(), ["new"]);
    }

    #[test]
    fn without_plugins_that_know_it_all_is_ready() {
        assert!(serving(&[&block(Monitor::UntilReady, &[])]).missing().is_empty());
        assert!(Board::default().missing().is_empty());
    }
}
