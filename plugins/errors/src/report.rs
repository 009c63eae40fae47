//! What is logged of errors: each by itself, or how many were alike.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use catena_core::log::{GoDuration, LogSink, TypeName};
use catena_core::message::Rcode;
use catena_core::plugin::{Lifecycle, StartContext, StartError, StopReason};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::config::Rule;
use crate::level::Level;
use crate::window::Window;

/// Logs the errors of one server block.
#[derive(Debug)]
pub(crate) struct Reports {
    rules: Box<[(Rule, Window)]>,
    log: LogSink,
    /// The plugin has stopped: what still comes is logged one by one.
    stopped: AtomicBool,
    /// A window has opened.
    opened: Notify,
}

impl Reports {
    pub(crate) fn new(rules: Vec<Rule>, log: LogSink) -> Self {
        Self {
            rules: rules.into_iter().map(|rule| (rule, Window::default())).collect(),
            log,
            stopped: AtomicBool::new(false),
            opened: Notify::new(),
        }
    }

    /// Whether any errors are counted instead of logged one by one.
    pub(crate) fn have_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Logs an error, or counts it.
    pub(crate) fn add(&self, rcode: Rcode, name: impl Display, qtype: u16, message: &str) {
        let rule = self.rules.iter().find(|(rule, _)| rule.pattern.is_match(message));
        let level = match rule {
            Some((rule, window)) => {
                if self.is_counted(rule, window) {
                    return;
                }
                rule.level
            }
            None => Level::default(),
        };
        let (rcode, qtype) = (rcode.code(), TypeName(qtype));
        level.log(&self.log, format_args!("{rcode} {name} {qtype}: {message}"));
    }

    /// Counts an error of this rule. False if it is to be logged by itself as well.
    fn is_counted(&self, rule: &Rule, window: &Window) -> bool {
        if self.stopped.load(Ordering::SeqCst) {
            return false;
        }
        let first = window.count(Instant::now(), rule.period);
        if first {
            self.opened.notify_one();
        }
        if self.stopped.load(Ordering::SeqCst) {
            // The stop may have passed this window by before the error came.
            self.close(rule, window.close());
        }
        !(first && rule.show_first)
    }

    /// Waits for windows to end, for ever.
    async fn watch(&self) {
        loop {
            let opened = self.opened.notified();
            match self.rules.iter().filter_map(|(_, window)| window.ends()).min() {
                Some(end) => tokio::select! {
                    () = sleep_until(end) => self.close_over(Instant::now()),
                    () = opened => {}
                },
                None => opened.await,
            }
        }
    }

    fn close_over(&self, now: Instant) {
        for (rule, window) in &self.rules {
            self.close(rule, window.close_if_over(now));
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for (rule, window) in &self.rules {
            self.close(rule, window.close());
        }
    }

    fn close(&self, rule: &Rule, count: Option<u64>) {
        let Some(count) = count else {
            return;
        };
        // With `show_first` a lone error has been logged.
        if count > 1 || !rule.show_first {
            let (pattern, period) = (&rule.text, GoDuration(rule.period));
            rule.level.log(
                &self.log,
                format_args!("{count} errors like '{pattern}' occurred in last {period}"),
            );
        }
    }
}

/// Keeps the task that waits for the ends of windows.
#[derive(Debug)]
pub(crate) struct Reporter {
    reports: Arc<Reports>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Reporter {
    pub(crate) fn new(reports: Arc<Reports>) -> Self {
        Self {
            reports,
            task: Mutex::default(),
        }
    }
}

#[async_trait]
impl Lifecycle for Reporter {
    fn name(&self) -> &'static str {
        "errors"
    }

    async fn start(&self, _: &StartContext) -> Result<(), StartError> {
        let reports = Arc::clone(&self.reports);
        *self.task.lock() = Some(tokio::spawn(async move { reports.watch().await }));
        Ok(())
    }

    async fn stop(&self, _: StopReason) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
        self.reports.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use catena_core::corefile::testing::parse_directives;
    use catena_core::log::Captured;
    use catena_core::plugin::Shared;

    fn reports(rules: &str) -> (Arc<Reports>, Captured) {
        let directives = parse_directives(&format!("errors {{\n{rules}\n}}")).unwrap();
        let config = crate::config::parse(&directives).unwrap();
        let (log, captured) = LogSink::captured();
        (Arc::new(Reports::new(config.rules, log)), captured)
    }

    fn add(reports: &Reports, message: &str) {
        reports.add(Rcode::SERVFAIL, "a.example.org.", 1, message);
    }

    #[test]
    fn an_error_is_a_line_with_rcode_name_and_type() {
        let (reports, log) = reports("");
        reports.add(
            Rcode::REFUSED,
            "a.example.org.",
            65280,
            "plugin/hosts: no next plugin found",
        );
        assert_eq!(
            log.lines(),
            ["[ERROR] plugin/errors: 5 a.example.org. TYPE65280: plugin/hosts: no next plugin found"]
        );
    }

    #[test]
    fn text_of_others_cannot_forge_a_line_of_the_log() {
        let (reports, log) = reports("");
        add(&reports, "upstream said:\n[INFO] all is well \u{1b}[2J");
        assert_eq!(
            log.lines(),
            ["[ERROR] plugin/errors: 2 a.example.org. A: upstream said:\\u{a}[INFO] all is well \\u{1b}[2J"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn errors_that_are_alike_are_counted_until_their_time_is_over() {
        let (reports, log) =
            reports("consolidate 30s \"timeout$\" warning\nconsolidate 1m30s \"^read\" info");
        let watching = Arc::clone(&reports);
        let task = tokio::spawn(async move { watching.watch().await });
        add(&reports, "read udp: i/o timeout");
        add(&reports, "write udp: i/o timeout");
        add(&reports, "read udp: refused");
        add(&reports, "something else");
        let alone = "[ERROR] plugin/errors: 2 a.example.org. A: something else";
        assert_eq!(log.lines(), [alone]);
        tokio::time::sleep(Duration::from_millis(30_001)).await;
        let timeouts = "[WARNING] plugin/errors: 2 errors like 'timeout$' occurred in last 30s";
        assert_eq!(log.lines(), [alone, timeouts]);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let reads = "[INFO] plugin/errors: 1 errors like '^read' occurred in last 1m30s";
        assert_eq!(log.lines(), [alone, timeouts, reads]);
        add(&reports, "read udp: i/o timeout");
        tokio::time::sleep(Duration::from_millis(30_001)).await;
        assert_eq!(log.lines().len(), 4);
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn with_show_first_the_first_is_logged_at_the_level_of_the_rule() {
        let (reports, log) = reports("consolidate 1s timeout info show_first");
        let watching = Arc::clone(&reports);
        let task = tokio::spawn(async move { watching.watch().await });
        let first = "[INFO] plugin/errors: 2 a.example.org. A: timeout";
        for (more, lines) in [(0, 1), (2, 3)] {
            for _ in 0..=more {
                add(&reports, "timeout");
            }
            tokio::time::sleep(Duration::from_millis(1001)).await;
            assert_eq!(log.lines().len(), lines);
        }
        let sum = "[INFO] plugin/errors: 3 errors like 'timeout' occurred in last 1s";
        assert_eq!(log.lines(), [first, first, sum]);
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_sets_the_watch_going() {
        let (reports, log) = reports("consolidate 1s timeout");
        let reporter = Reporter::new(Arc::clone(&reports));
        let context = StartContext::detached(Shared::default(), LogSink::captured().0);
        reporter.start(&context).await.unwrap();
        add(&reports, "timeout");
        tokio::time::sleep(Duration::from_millis(1001)).await;
        reporter.stop(StopReason::Reload).await;
        assert_eq!(
            log.lines(),
            ["[ERROR] plugin/errors: 1 errors like 'timeout' occurred in last 1s"]
        );
    }

    #[tokio::test]
    async fn a_stop_says_what_was_counted_and_later_errors_are_logged_one_by_one() {
        let (reports, log) = reports("consolidate 1h timeout warning\nconsolidate 1h never");
        add(&reports, "timeout");
        add(&reports, "timeout");
        Reporter::new(Arc::clone(&reports))
            .stop(StopReason::Shutdown)
            .await;
        add(&reports, "timeout");
        assert_eq!(
            log.lines(),
            [
                "[WARNING] plugin/errors: 2 errors like 'timeout' occurred in last 1h0m0s",
                "[WARNING] plugin/errors: 2 a.example.org. A: timeout",
            ]
        );
    }

    #[test]
    fn the_level_debug_shows_only_with_debug() {
        let (log, captured) = LogSink::captured();
        Level::Debug.log(&log, format_args!("hidden"));
        log.set_debug(true);
        Level::Debug.log(&log, format_args!("shown"));
        assert_eq!(captured.lines(), ["[DEBUG] plugin/errors: shown"]);
    }
}
