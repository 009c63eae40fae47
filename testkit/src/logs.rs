//! The lines that a server logs.

use std::io::Write;
use std::sync::Arc;

use catena_core::log::LogSink;

use crate::query::PATIENCE;
use crate::wait::Watched;

/// What a server has logged so far, and what it will log.
#[derive(Clone, Debug)]
pub struct Logs {
    sink: LogSink,
    text: Text,
}

type Text = Arc<Watched<Vec<u8>>>;

impl Logs {
    pub(crate) fn new() -> Self {
        let text = Text::default();
        Self {
            sink: LogSink::new(Writer(Arc::clone(&text))),
            text,
        }
    }

    /// The sink whose lines arrive here.
    #[must_use]
    pub fn sink(&self) -> &LogSink {
        &self.sink
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.sink.flush();
        self.text.read(|text| lines(text))
    }

    /// The lines so far that contain `part`.
    #[must_use]
    pub fn lines_with(&self, part: &str) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| line.contains(part));
        lines
    }

    /// Waits for a line that contains `part`, and gives it.
    ///
    /// # Panics
    ///
    /// There is none within a minute.
    #[track_caller]
    pub fn wait_for(&self, part: &str) -> String {
        self.wait_for_count(part, 1).remove(0)
    }

    /// Waits until `count` lines contain `part`, and gives them.
    ///
    /// # Panics
    ///
    /// There are fewer after a minute.
    #[track_caller]
    pub fn wait_for_count(&self, part: &str, count: usize) -> Vec<String> {
        let found = |text: &Vec<u8>| {
            let found: Vec<String> = lines(text)
                .into_iter()
                .filter(|line| line.contains(part))
                .collect();
            (found.len() >= count).then_some(found)
        };
        self.text.wait(PATIENCE, found).unwrap_or_else(|| {
            panic!(
                "waited in vain for {count} lines with `{part}` in the log:\n{}",
                self.lines().join("\n")
            )
        })
    }
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

struct Writer(Text);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.change(|text| text.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
