//! A server as a child process: pinned to a core, measured from outside, ended with all its children.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::peers::{Contender, Plan};

/// A running server.
pub struct Server {
    child: Child,
    lines: Arc<AtomicU64>,
}

/// The CPU time and memory of a process and all its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// User and system time of all threads, also of those which have ended.
    pub cpu: Duration,
    /// Resident memory. What several processes share counts for each of them.
    pub rss_bytes: u64,
}

impl Server {
    /// Writes the plan's files to `dir` and starts the server on `core`.
    ///
    /// # Errors
    ///
    /// A file cannot be written, or the program cannot be started.
    pub fn start(contender: &Contender, plan: &Plan, dir: &Path, core: usize) -> io::Result<Self> {
        for (name, text) in &plan.files {
            fs::write(dir.join(name), text)?;
        }
        let output = fs::File::create(dir.join("output"))?;
        let stdout = if contender.logs {
            Stdio::piped()
        } else {
            output.try_clone()?.into()
        };
        // `taskset` replaces itself by the server, so the child's id is the server's.
        let mut child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(&contender.program)
            .args(&plan.args)
            .envs(plan.env.iter().copied())
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(output)
            .spawn()?;
        let lines = Arc::default();
        if let Some(log) = child.stdout.take() {
            let lines = Arc::clone(&lines);
            // It ends with the server.
            std::thread::spawn(move || count_lines(log, &lines));
        }
        Ok(Self { child, lines })
    }

    /// How many lines its log has had so far.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for id in family(self.child.id()) {
            if let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) {
                let (cpu, rss_bytes) = parse_stat(&stat).unwrap_or_default();
                usage.cpu += cpu;
                usage.rss_bytes += rss_bytes;
            }
        }
        usage
    }

    /// Asks it to end, and makes it end after two seconds.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !self.is_running() {
            return;
        }
        let all = family(self.child.id());
        signal("-TERM", &all[..1]);
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.is_running() {
            signal("-KILL", &all);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads a log as somebody does who keeps it.
fn count_lines(mut log: ChildStdout, lines: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = log.read(&mut buffer) {
        let ends = buffer[..count].iter().filter(|byte| **byte == b'\n').count();
        lines.fetch_add(ends as u64, Ordering::Relaxed);
    }
}

/// Pins all threads of this program to a core.
///
/// # Errors
///
/// `taskset` is not there, or the core is not.
pub fn pin_self(core: usize) -> io::Result<()> {
    let id = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["-a", "-cp", &core.to_string(), &id])
        .stdout(Stdio::null())
        .status()
        .map_err(|error| io::Error::other(format!("taskset (package util-linux): {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("cannot run on core {core}")))
    }
}

/// A process and all its descendants.
fn family(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut next = 0;
    while let Some(id) = all.get(next).copied() {
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{id}/task"))
            .into_iter()
            .flatten()
            .flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }
    }
    all
}

/// CPU time and resident bytes from `/proc/PID/stat`.
fn parse_stat(stat: &str) -> Option<(Duration, u64)> {
    // The program's name is in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(UTIME)? + number(STIME)?;
    Some((
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
        number(RSS)? * PAGE_BYTES,
    ))
}

fn signal(name: &str, ids: &[u32]) {
    let _ = Command::new("kill")
        .arg(name)
        .args(ids.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
}

/// Positions behind the program's name, see proc(5).
const UTIME: usize = 11;
const STIME: usize = 12;
const RSS: usize = 21;
/// What Linux shows to programs, whatever the kernel's own clock.
const TICKS_PER_SECOND: u64 = 100;
const PAGE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_nasty_name_is_read() {
        let line = "42 (a) S 9 (b)) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 77938 5464064 10 18446744073709551615";
        assert_eq!(parse_stat(line), Some((Duration::from_secs(2), 40_960)));
        assert_eq!(parse_stat("42 (a) S 1"), None);
    }

    #[test]
    fn a_family_holds_the_children() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(family(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
