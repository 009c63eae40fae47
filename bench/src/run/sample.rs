//! What a turn of a server gave.

use crate::work::Work;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// The server's CPU time for one answered query, or for one new connection with its query.
    pub(super) micros: f64,
    /// The share of the server's core that it used: below 100 % the load is what limits.
    pub(super) busy_percent: f64,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// What should not be: queries without an answer, wrong answers, answers that nobody asked for.
    pub(super) lost: u64,
    pub(super) wrong: u64,
    pub(super) stray: u64,
    pub(super) idle_mib: f64,
    pub(super) loaded_mib: f64,
    pub(super) start_ms: f64,
    /// How long a controller's whole state took, and what it wrote meanwhile.
    pub(super) state_ms: f64,
    pub(super) writes_per_second: f64,
    /// Of a flood: until the first answer afterwards, and how fast it really was.
    pub(super) recovery_ms: f64,
    pub(super) flood_rate: f64,
    /// Of new connections, those that resumed a session.
    pub(super) resumed_percent: f64,
    /// Lines of the log for a hundred queries.
    pub(super) lines_percent: f64,
    /// New names, and the share of popular ones that were answered from the cache: before they came, meanwhile, and
    /// whether they are there afterwards.
    pub(super) new_names: f64,
    pub(super) hits_before_percent: f64,
    pub(super) hits_percent: f64,
    /// Of all names that were asked for, those that are answered from the cache.
    pub(super) kept_percent: f64,
    /// Idle connections and streams: opened, and still there at the end.
    pub(super) opened: f64,
    pub(super) held: f64,
    pub(super) streams_held: f64,
    /// What queries took before there were any.
    pub(super) micros_before: f64,
    pub(super) p99_before_ms: f64,
}

impl Sample {
    /// The growth of the memory for one idle connection.
    pub(super) fn kib_for_each(&self) -> f64 {
        (self.loaded_mib - self.idle_mib) * 1024.0 / self.opened.max(1.0)
    }

    /// One line.
    pub(super) fn brief(&self, work: Work) -> String {
        let Self {
            micros,
            idle_mib,
            loaded_mib,
            p99_ms,
            lost,
            wrong,
            stray,
            ..
        } = self;
        let memory = format!("{idle_mib:.1} -> {loaded_mib:.1} MiB");
        match work {
            Work::Flood => format!(
                "{:.0} queries/s, {memory}, answered {:.1} ms later",
                self.flood_rate, self.recovery_ms
            ),
            Work::Popular => format!(
                "hits {:.1} % -> {:.1} % while {:.0} new names came, {:.1} % kept, {lost} lost, {wrong} wrong",
                self.hits_before_percent, self.hits_percent, self.new_names, self.kept_percent
            ),
            Work::Million => format!(
                "{memory}, {:.1} % kept, {lost} lost, {wrong} wrong",
                self.kept_percent
            ),
            Work::IdleTcp | Work::IdleDot | Work::IdleDoh | Work::IdleStreams => format!(
                "{:.0} of {:.0} held, {:.0} streams, {memory}, {:.2} KiB each, p99 {:.2} -> {p99_ms:.2} ms",
                self.held,
                self.opened,
                self.streams_held,
                self.kib_for_each(),
                self.p99_before_ms,
            ),
            _ => {
                let mut text = format!(
                    "{micros:.2} us, {:.0} %, {:.0}/s, p99 {p99_ms:.2} ms, {lost} lost, {wrong} wrong, {stray} stray",
                    self.busy_percent, self.per_second
                );
                if self.writes_per_second > 0.0 {
                    text.push_str(&format!(
                        ", max {:.1} ms, {:.0} writes/s",
                        self.max_ms, self.writes_per_second
                    ));
                }
                if work == Work::Resumption {
                    text.push_str(&format!(", {:.0} % resumed", self.resumed_percent));
                }
                if self.lines_percent > 0.0 {
                    text.push_str(&format!(", {:.1} % logged", self.lines_percent));
                }
                text
            }
        }
    }
}
