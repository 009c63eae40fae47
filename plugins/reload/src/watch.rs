//! The task that looks at the Corefile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catena_core::instance::{CorefileSource, LoadError};
use catena_core::plugin::{Control, Lifecycle, StartContext, StartError, StopReason};
use catena_metrics::{Counter, GaugeFamily, Registry};
use tokio::task::{AbortHandle, Id};

use crate::config::{Config, NAME};

/// The server's one watching task, whichever blocks have the plugin.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    task: Option<AbortHandle>,
    /// The task that has asked for a reload and waits for its end. It must not be stopped by what it asked for.
    reloading: Option<Id>,
}

impl Watcher {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a new task into the place of the one before.
    fn replace(&self, task: AbortHandle) {
        let mut state = self.state();
        if let Some(before) = state.task.replace(task) {
            state.end(&before);
        }
    }
}

impl State {
    /// Ends a task, if it is not the one that reloads: that ends by itself.
    fn end(&self, task: &AbortHandle) {
        if self.reloading != Some(task.id()) {
            task.abort();
        }
    }
}

/// The plugin's metrics.
#[derive(Clone, Debug)]
pub(crate) struct ReloadMetrics {
    failed: Counter,
    info: GaugeFamily,
}

impl ReloadMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let failed = registry.counter(
            "coredns_reload_failed_total",
            "Counter of the number of failed reload attempts.",
            &[],
        );
        let info = registry.gauge(
            "coredns_reload_version_info",
            "A metric with a constant '1' value labeled by hash, and value which type of hash generated.",
            &["hash", "value"],
        );
        Self {
            failed: failed.with(&[]),
            info,
        }
    }
}

/// Starts and ends the watching task of one configuration.
pub(crate) struct Watch {
    config: Config,
    watcher: Arc<Watcher>,
    metrics: ReloadMetrics,
    /// What `start` was told, for `started`.
    context: Mutex<Option<StartContext>>,
    task: Mutex<Option<AbortHandle>>,
}

impl Watch {
    pub(crate) fn new(config: Config, watcher: Arc<Watcher>, metrics: ReloadMetrics) -> Self {
        Self {
            config,
            watcher,
            metrics,
            context: Mutex::default(),
            task: Mutex::default(),
        }
    }
}

#[async_trait]
impl Lifecycle for Watch {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        *self.context.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.clone());
        Ok(())
    }

    async fn started(&self) {
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(context) = context else { return };
        let looking = Looking {
            interval: jittered(self.config, random_fraction()),
            watcher: Arc::clone(&self.watcher),
            metrics: self.metrics.clone(),
            control: context.control,
            source: context.source,
            fingerprint: context.fingerprint.to_string(),
        };
        let task = tokio::spawn(looking.run()).abort_handle();
        self.watcher.replace(task.clone());
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    async fn stop(&self, _reason: StopReason) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            self.watcher.state().end(&task);
        }
    }
}

/// One configuration's watching task.
struct Looking {
    interval: Duration,
    watcher: Arc<Watcher>,
    metrics: ReloadMetrics,
    control: Control,
    source: Arc<CorefileSource>,
    /// Of the Corefile that was tried last, be it in force or not.
    fingerprint: String,
}

impl Looking {
    async fn run(mut self) {
        tracing::info!(target: "plugin/reload", "Running configuration SHA512 = {}", self.fingerprint);
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            match self.source.fingerprint() {
                Ok(now) if now == self.fingerprint => {}
                Ok(now) => {
                    if self.reload(now).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(target: "plugin/reload", "Corefile parse failed: {}", one_line(&error));
                }
            }
        }
    }

    /// Has the changed Corefile taken over. True when it is in force, and another task watches from here on.
    async fn reload(&mut self, fingerprint: String) -> bool {
        self.metrics.info.remove(&["sha512", &self.fingerprint]);
        // A wrong file is tried once, not at each look.
        self.fingerprint = fingerprint;
        self.watcher.state().reloading = tokio::task::try_id();
        let result = self.control.reload().await;
        self.watcher.state().reloading = None;
        self.metrics.info.with(&["sha512", &self.fingerprint]).set(1.0);
        if let Err(error) = result {
            let error = error.lines().next().unwrap_or_default();
            tracing::error!(target: "plugin/reload", "Corefile changed but reload failed: {error}");
            self.metrics.failed.inc();
            return false;
        }
        true
    }
}

/// An error of the Corefile in one line, its place in CoreDNS's form.
fn one_line(error: &LoadError) -> String {
    let first = match error {
        LoadError::Config(errors) => errors.iter().next(),
        _ => None,
    };
    match first.and_then(|first| first.span().map(|span| (span, first))) {
        Some((span, first)) => format!("{}:{} - {}", span.source.name(), span.line, first.message()),
        None => error.to_string(),
    }
}

/// The interval, longer or shorter by up to half the jitter; `fraction` is from 0 to 1.
fn jittered(config: Config, fraction: f64) -> Duration {
    config.interval - config.jitter / 2 + config.jitter.mul_f64(fraction)
}

/// A number from 0 to 1. Without the system's generator all servers look in step, which is no harm.
fn random_fraction() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jitter_spreads_around_the_interval() {
        let config = Config {
            interval: Duration::from_secs(30),
            jitter: Duration::from_secs(15),
        };
        for (fraction, want) in [(0.0, 22.5), (0.5, 30.0), (1.0, 37.5)] {
            assert_eq!(jittered(config, fraction), Duration::from_secs_f64(want));
        }
        assert!((0.0..=1.0).contains(&random_fraction()));
    }

    /// Two blocks have the plugin: the task of the first one ends when that of the second one begins, also while an older
    /// one reloads.
    #[test]
    fn one_task_watches_beside_the_one_that_reloads() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            let watcher = Watcher::default();
            let [old, first, second] = [(); 3].map(|()| tokio::spawn(std::future::pending::<()>()));
            watcher.replace(old.abort_handle());
            watcher.state().reloading = Some(old.id());
            watcher.replace(first.abort_handle());
            watcher.replace(second.abort_handle());
            assert!(first.await.is_err_and(|error| error.is_cancelled()));
            assert!(!old.is_finished() && !second.is_finished());
            watcher.state().reloading = None;
            watcher.state().end(&old.abort_handle());
            assert!(old.await.is_err_and(|error| error.is_cancelled()));
        });
    }
}
