//! A running program: its output, its signals, what it holds.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A running program; it is killed when this is dropped.
pub struct Process {
    child: Child,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    stdout: String,
    stderr: String,
    ended: usize,
}

impl Process {
    /// Starts a program. Without `stdin` its standard input is empty and no pipe.
    pub fn start(
        binary: &Path,
        folder: &Path,
        args: &[&str],
        environment: &[(String, String)],
        stdin: Option<&str>,
    ) -> Self {
        let mut child = Command::new(binary)
            .args(args)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(if stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        if let Some(text) = stdin {
            let mut pipe = child.stdin.take().expect("stdin");
            pipe.write_all(text.as_bytes()).expect("stdin");
        }
        let output = Arc::new(Output::default());
        collect(child.stdout.take().expect("stdout"), &output, true);
        collect(child.stderr.take().expect("stderr"), &output, false);
        Self { child, output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `USR1`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .expect("kill");
        assert!(sent.success(), "signal {name} to {pid}");
    }

    /// All lines so far, of both outputs.
    pub fn lines(&self) -> Vec<String> {
        self.output
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .clone()
    }

    pub fn count_of(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line that contains `part`, and gives it.
    #[track_caller]
    pub fn wait_for(&self, part: &str) -> String {
        self.wait_for_count(part, 1)
    }

    /// Waits for so many lines that contain `part`, and gives the last of them.
    #[track_caller]
    pub fn wait_for_count(&self, part: &str, count: usize) -> String {
        let found = |state: &State| {
            let mut lines = state.lines.iter().filter(|line| line.contains(part));
            lines.nth(count - 1).cloned()
        };
        match self.wait_until(|state| found(state).is_some() || state.ended == 2) {
            Ok(state) if found(&state).is_some() => found(&state).unwrap_or_default(),
            Ok(state) | Err(state) => {
                panic!("no {count} lines with `{part}` in:\n{}", state.lines.join("\n"))
            }
        }
    }

    /// Waits for the program's end, and gives its exit status; a signal that killed it is negative.
    #[track_caller]
    pub fn wait_exit(&mut self) -> i32 {
        if let Err(state) = self.wait_until(|state| state.ended == 2) {
            panic!("the program still runs:\n{}", state.lines.join("\n"));
        }
        let status = self.child.wait().expect("status");
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }

    pub fn stdout(&self) -> String {
        self.output
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stdout
            .clone()
    }

    pub fn stderr(&self) -> String {
        self.output
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stderr
            .clone()
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most that the resident memory ever was, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("status");
        let line = status.lines().find(|line| line.starts_with(name)).expect(name);
        line.split_whitespace()
            .nth(1)
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("descriptors")
            .count()
    }

    fn wait_until(&self, done: impl Fn(&State) -> bool) -> Result<State, State> {
        let end = Instant::now() + PATIENCE;
        let mut state = self.output.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if done(&state) {
                return Ok(state.copy());
            }
            if left == Duration::ZERO {
                return Err(state.copy());
            }
            let waited = self.output.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl State {
    fn copy(&self) -> Self {
        Self {
            lines: self.lines.clone(),
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
            ended: self.ended,
        }
    }
}

fn collect(stream: impl Read + Send + 'static, output: &Arc<Output>, is_stdout: bool) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut state = output.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.lines.push(text.trim_end_matches('\n').to_owned());
            let all = if is_stdout {
                &mut state.stdout
            } else {
                &mut state.stderr
            };
            all.push_str(&text);
            drop(state);
            output.changed.notify_all();
            bytes.clear();
        }
        output.state.lock().unwrap_or_else(PoisonError::into_inner).ended += 1;
        output.changed.notify_all();
    });
}
