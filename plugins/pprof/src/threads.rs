//! The process's threads, and how long they were blocked, as the system counts it.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use crate::profile::{Place, Profile};

/// Where Linux shows the threads of the process that asks.
const TASKS: &str = "/proc/self/task";

/// The unit of times in `stat`, a hundredth of a second on all Linux systems.
const TICK: Duration = Duration::from_millis(10);

/// One thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Thread {
    name: String,
    /// As in `ps`: running, sleeping, …
    state: String,
    /// How often it gave the processor up to wait for something.
    blocked: u64,
    /// How long it neither ran nor waited for a processor since it began.
    blocked_for: Duration,
}

/// Looks at all threads.
///
/// # Errors
///
/// The system does not show them.
pub(crate) fn list() -> io::Result<Vec<Thread>> {
    let uptime = fs::read_to_string("/proc/uptime")
        .ok()
        .and_then(|text| uptime(&text));
    let mut threads: Vec<Thread> = fs::read_dir(TASKS)?
        .filter_map(|entry| thread(&entry.ok()?.path(), uptime.unwrap_or_default()))
        .collect();
    threads.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(threads)
}

/// One that has ended meanwhile is left out.
fn thread(folder: &Path, uptime: Duration) -> Option<Thread> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let status = fs::read_to_string(folder.join("status")).ok()?;
    Some(parse(&status, &read("stat"), &read("schedstat"), uptime))
}

fn parse(status: &str, stat: &str, schedstat: &str, uptime: Duration) -> Thread {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("", str::trim)
    };
    // Nanoseconds on a processor and waiting for one.
    let busy: u64 = schedstat
        .split_ascii_whitespace()
        .take(2)
        .filter_map(|number| number.parse::<u64>().ok())
        .sum();
    let lived = begun(stat).map_or(Duration::ZERO, |begun| uptime.saturating_sub(begun));
    Thread {
        name: field("Name:").to_owned(),
        state: field("State:").to_owned(),
        blocked: field("voluntary_ctxt_switches:").parse().unwrap_or(0),
        blocked_for: lived.saturating_sub(Duration::from_nanos(busy)),
    }
}

/// How long after the system's start a thread began: the 22nd field, where the second one, a name, may hold blanks.
fn begun(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u32 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some(TICK * ticks)
}

fn uptime(text: &str) -> Option<Duration> {
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The threads as a profile, each with the value 1.
pub(crate) fn profile(threads: &[Thread]) -> Profile {
    let mut profile = Profile::new(&[("threads", "count")]);
    profile.set_period("threads", "count", 1);
    profile.set_time(SystemTime::now(), Duration::ZERO);
    for thread in threads {
        profile.add_sample(
            [vec![Place::named(&thread.name)]],
            vec![1],
            &[("state", &thread.state)],
        );
    }
    profile
}

/// The threads' times of being blocked as a profile.
pub(crate) fn block_profile(threads: &[Thread]) -> Profile {
    let mut profile = Profile::new(&[("contentions", "count"), ("delay", "nanoseconds")]);
    profile.set_period("contentions", "count", 1);
    profile.set_time(SystemTime::now(), Duration::ZERO);
    profile.add_comment(
        "by thread, since the thread began; the system does not say in which call a thread waits",
    );
    for thread in threads {
        let nanos = i64::try_from(thread.blocked_for.as_nanos()).unwrap_or(i64::MAX);
        let blocked = i64::try_from(thread.blocked).unwrap_or(i64::MAX);
        profile.add_sample([vec![Place::named(&thread.name)]], vec![blocked, nanos], &[]);
    }
    profile
}

/// The same to read.
pub(crate) fn text(threads: &[Thread]) -> String {
    let mut text = format!("threads: total {}\n", threads.len());
    for thread in threads {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}: {}, blocked {} times for {:?}",
            thread.name, thread.state, thread.blocked, thread.blocked_for
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::testing::{read, stacks};

    const STATUS: &str = "Name:\tworker-0\nState:\tS (sleeping)\nvoluntary_ctxt_switches:\t17\n\
                          nonvoluntary_ctxt_switches:\t99\n";

    #[test]
    fn a_thread_is_read() {
        let stat = format!("7 (worker) 0) S {} 1000 0 0\n", ["0"; 18].join(" "));
        let thread = parse(
            STATUS,
            &stat,
            "2000000000 1000000000 5\n",
            Duration::from_secs(20),
        );
        assert_eq!(
            (
                thread.name.as_str(),
                thread.state.as_str(),
                thread.blocked,
                thread.blocked_for
            ),
            ("worker-0", "S (sleeping)", 17, Duration::from_secs(7))
        );
    }

    #[test]
    fn what_cannot_be_read_is_nought() {
        for (status, stat, schedstat) in [
            ("", "", ""),
            ("Name:", "7 (a", "x"),
            ("State:\nname", ") S 1", "-1 -1"),
        ] {
            assert_eq!(
                parse(status, stat, schedstat, Duration::from_secs(1)),
                Thread::default(),
                "{status}"
            );
        }
        assert_eq!((uptime(""), uptime("-1 0"), uptime("nan")), (None, None, None));
    }

    #[test]
    fn this_test_is_a_thread() {
        let threads = list().unwrap();
        assert!(!threads.is_empty());
        let profile = read(&profile(&threads).finish().unwrap());
        assert_eq!(profile.sample.len(), threads.len());
        let blocking = stacks(&read(&block_profile(&threads).finish().unwrap()));
        assert!(
            blocking
                .iter()
                .all(|(stack, values)| stack.len() == 1 && values.len() == 2)
        );
        assert!(text(&threads).starts_with(&format!("threads: total {}\n", threads.len())));
    }
}
