//! Runs commands.

use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use catena_core::plugin::{Lifecycle, StopReason};
use tokio::process;

use crate::config::{Command, Event};

/// The commands of a block.
#[derive(Debug)]
pub(crate) struct Hooks {
    commands: Arc<[Command]>,
}

impl Hooks {
    pub(crate) fn new(commands: Vec<Command>) -> Self {
        Self {
            commands: commands.into(),
        }
    }
}

#[async_trait]
impl Lifecycle for Hooks {
    fn name(&self) -> &'static str {
        "on"
    }

    /// The server serves by now, and does so while the commands run.
    async fn started(&self) {
        tokio::spawn(run_all(Arc::clone(&self.commands), Event::Startup));
    }

    async fn before_stop(&self, reason: StopReason) {
        if reason == StopReason::Shutdown {
            run_all(Arc::clone(&self.commands), Event::Shutdown).await;
        }
    }
}

/// Runs the commands for an event, one after the other as far as they are not meant for the background.
async fn run_all(commands: Arc<[Command]>, event: Event) {
    for command in commands.iter().filter(|command| command.event == event) {
        run(command).await;
    }
}

async fn run(command: &Command) {
    let line = std::iter::once(&command.program).chain(&command.args);
    let line = line.map(String::as_str).collect::<Vec<_>>().join(" ");
    let how = if command.background {
        "Nonblocking"
    } else {
        "Blocking"
    };
    tracing::info!(target: "plugin/on", "{how} Command \"{line}\"");
    let child = process::Command::new(&command.program)
        .args(&command.args)
        .stdin(Stdio::inherit())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            tracing::error!(target: "plugin/on", "Command \"{line}\": {error}");
            return;
        }
    };
    if command.background {
        // The runtime reaps it.
        return;
    }
    match child.wait().await {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::error!(target: "plugin/on", "Command \"{line}\": {status}"),
        Err(error) => tracing::error!(target: "plugin/on", "Command \"{line}\": {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use catena_core::plugin::testing::set_up;
    use tempfile::tempdir;

    /// Runs `act` on the lifecycle of a block.
    macro_rules! hooks {
        ($text:expr) => {
            &set_up(&[crate::PLUGIN], $text).unwrap().lifecycles[0]
        };
    }

    use super::*;

    #[tokio::test]
    async fn commands_run_at_the_start_one_after_the_other() {
        let folder = tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("a"), "text").unwrap();
        let text = format!(
            "on startup no-such-program\non startup false\non startup ln {a} {b}\non startup ln {b} {c}\non shutdown ln {a} {d}",
            a = path("a"),
            b = path("b"),
            c = path("c"),
            d = path("d"),
        );
        hooks!(&text).started().await;
        let all_there = async {
            while std::fs::read_to_string(path("c")).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all_there)
            .await
            .unwrap();
        assert!(!folder.path().join("d").exists());
    }

    #[tokio::test]
    async fn a_reload_is_no_end() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("a");
        let text = format!("on shutdown mkdir {}", path.display());
        let hooks = hooks!(&text).clone();
        for reason in [StopReason::Reload, StopReason::Failed] {
            hooks.before_stop(reason).await;
            hooks.stop(reason).await;
            assert!(!path.exists(), "{reason:?}");
        }
        hooks.before_stop(StopReason::Shutdown).await;
        assert!(path.exists(), "the server waits for the command");
    }

    #[tokio::test]
    async fn nobody_waits_for_what_runs_in_the_background() {
        let hooks = hooks!("on shutdown sleep 30 &").clone();
        let ended = hooks.before_stop(StopReason::Shutdown);
        tokio::time::timeout(Duration::from_secs(20), ended)
            .await
            .unwrap();
    }
}
