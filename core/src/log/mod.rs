//! Where log lines go: a bounded buffer that a thread of its own writes out.
//!
//! A worker never waits for a terminal, a pipe or a disk. When the reader of the log is slower than the server,
//! the buffer fills up to its bound; from then on lines are lost and counted, and queries go on.

mod events;
mod text;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub use events::{EventFormat, dispatch};
pub use text::{ClassName, GoDuration, TypeName};

/// How many bytes wait for the writer before lines are lost.
pub const BUFFER_LIMIT: usize = 4 << 20;

/// How long [`LogSink::flush`] waits for a reader that takes nothing.
pub const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// How many bytes are written in one piece, so that it shows whether somebody reads.
const PIECE: usize = 64 << 10;

/// How long lines gather before they are written, unless there are [`PIECE`] bytes of them before.
const GATHER: Duration = Duration::from_millis(5);

/// A handle on the log; clones write to the same place.
#[derive(Clone, Debug)]
pub struct LogSink {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Woken when there is something to write or the sink is closed.
    filled: Condvar,
    /// Woken when everything has been written.
    drained: Condvar,
    lost: AtomicU64,
    /// Pieces that were written.
    written: AtomicU64,
    debug: AtomicBool,
    /// Lines stay in memory, as tests want them.
    kept: bool,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// The writer sleeps and must be woken.
    idle: bool,
    /// The writer lets lines gather, and wants to be woken when there are many.
    gathering: bool,
    /// Somebody waits until all is written.
    hurry: bool,
    /// The writer holds bytes that it has not written yet.
    writing: bool,
    closed: bool,
}

impl LogSink {
    /// A sink whose lines are written to `out` by a thread of their own.
    #[must_use]
    pub fn new(out: impl Write + Send + 'static) -> Self {
        let sink = Self::with_lines(false);
        let inner = Arc::clone(&sink.inner);
        let spawned = std::thread::Builder::new()
            .name("log".to_owned())
            .stack_size(128 << 10)
            .spawn(move || write_loop(&inner, out));
        if spawned.is_err() {
            sink.inner.state.lock().closed = true;
        }
        sink
    }

    /// A sink that writes to standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(std::io::stdout())
    }

    /// A sink whose lines are kept in memory, for tests.
    #[must_use]
    pub fn captured() -> (Self, Captured) {
        let sink = Self::with_lines(true);
        (sink.clone(), Captured { sink })
    }

    fn with_lines(kept: bool) -> Self {
        let inner = Inner {
            state: Mutex::new(State::default()),
            filled: Condvar::new(),
            drained: Condvar::new(),
            lost: AtomicU64::new(0),
            written: AtomicU64::new(0),
            debug: AtomicBool::new(false),
            kept,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Writes one line; the line break is added. Line breaks and other control characters in it are escaped,
    /// since parts of a line may come from a client.
    pub fn line(&self, line: &str) {
        let mut state = self.inner.state.lock();
        if state.closed || state.buffer.len() + line.len() >= BUFFER_LIMIT {
            drop(state);
            self.inner.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        push_escaped(&mut state.buffer, line);
        state.buffer.push(b'\n');
        if state.idle || (state.gathering && state.buffer.len() >= PIECE) {
            state.idle = false;
            state.gathering = false;
            self.inner.filled.notify_one();
        }
    }

    /// Writes several lines that belong together, such as a report with its own line breaks.
    pub fn block(&self, text: &str) {
        for line in text.lines() {
            self.line(line);
        }
    }

    /// How many lines were lost because the buffer was full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.inner.lost.load(Ordering::Relaxed)
    }

    /// Whether messages of the level debug are written.
    #[must_use]
    pub fn debug(&self) -> bool {
        self.inner.debug.load(Ordering::Relaxed)
    }

    /// Switches messages of the level debug on or off.
    pub fn set_debug(&self, on: bool) {
        self.inner.debug.store(on, Ordering::Relaxed);
    }

    /// Waits until every line so far has been written, or nobody has read anything for [`FLUSH_PATIENCE`]. To be called at
    /// the end of the process, by no worker.
    pub fn flush(&self) {
        let mut state = self.inner.state.lock();
        state.hurry = true;
        self.inner.filled.notify_one();
        while !self.inner.kept && !state.closed && (state.writing || !state.buffer.is_empty()) {
            let written = self.inner.written.load(Ordering::Relaxed);
            let waited = self.inner.drained.wait_for(&mut state, FLUSH_PATIENCE);
            if waited.timed_out() && self.inner.written.load(Ordering::Relaxed) == written {
                return;
            }
        }
    }
}

/// Appends a line with control characters escaped, tabs excepted.
fn push_escaped(out: &mut Vec<u8>, line: &str) {
    // Without an early end this is done for many bytes at a time.
    let is_odd = |byte: u8| (byte < b' ' && byte != b'\t') | (byte == 0x7f) | (byte == 0xc2);
    if !line.bytes().fold(false, |odd, byte| odd | is_odd(byte)) {
        out.extend_from_slice(line.as_bytes());
        return;
    }
    for character in line.chars() {
        if character.is_control() && character != '\t' {
            // Writing to a vector cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn write_loop(inner: &Inner, mut out: impl Write) {
    let mut lines = Vec::new();
    loop {
        let mut state = inner.state.lock();
        state.writing = false;
        while state.buffer.is_empty() {
            inner.drained.notify_all();
            state.hurry = false;
            state.idle = true;
            inner.filled.wait(&mut state);
        }
        // A write for each line would cost more than the line.
        if state.buffer.len() < PIECE && !state.hurry {
            state.gathering = true;
            inner.filled.wait_for(&mut state, GATHER);
            state.gathering = false;
        }
        std::mem::swap(&mut lines, &mut state.buffer);
        state.writing = true;
        drop(state);
        let mut write = |piece| {
            out.write_all(piece)?;
            inner.written.fetch_add(1, Ordering::Relaxed);
            out.flush()
        };
        if lines.chunks(PIECE).try_for_each(&mut write).is_err() {
            // The reader is gone. Lines are dropped from here on, the server goes on.
            let mut state = inner.state.lock();
            state.closed = true;
            state.writing = false;
            inner.drained.notify_all();
            return;
        }
        lines.clear();
        lines.shrink_to(64 << 10);
    }
}

/// The lines of a sink made by [`LogSink::captured`].
#[derive(Debug)]
pub struct Captured {
    sink: LogSink,
}

impl Captured {
    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let state = self.sink.inner.state.lock();
        String::from_utf8_lossy(&state.buffer)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Whether a line so far contains `part`.
    #[must_use]
    pub fn contains(&self, part: &str) -> bool {
        self.lines().iter().any(|line| line.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_arrive_in_order_after_a_flush() {
        let out = Shared::default();
        let sink = LogSink::new(out.clone());
        for number in 0..1000 {
            sink.line(&number.to_string());
        }
        sink.flush();
        let text = String::from_utf8(out.0.lock().clone()).expect("text");
        let want: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert_eq!(text, want);
        assert_eq!(sink.lost(), 0);
    }

    /// A pipe that nobody reads, until it is let go.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flush_gives_up_when_nobody_reads() {
        let (let_go, stuck) = std::sync::mpsc::channel();
        let sink = LogSink::new(Stuck(stuck));
        sink.line("never read");
        // The test's end is the assertion.
        sink.flush();
        drop(let_go);
    }

    #[test]
    fn newlines_and_terminal_codes_of_a_client_are_escaped() {
        let (sink, captured) = LogSink::captured();
        sink.line("a\n[ERROR] forged \u{1b}[31mred\u{9b}\ttab");
        assert_eq!(
            captured.lines(),
            ["a\\u{a}[ERROR] forged \\u{1b}[31mred\\u{9b}\ttab"]
        );
    }

    #[test]
    fn a_full_buffer_loses_lines_and_counts_them() {
        let (sink, captured) = LogSink::captured();
        let line = "x".repeat(1 << 20);
        for _ in 0..6 {
            sink.line(&line);
        }
        assert_eq!(captured.lines().len(), 3);
        assert_eq!(sink.lost(), 3);
    }
}
