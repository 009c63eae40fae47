//! Where processor time goes: a timer of the system interrupts whichever thread runs, and its call stack is noted.

use std::io;
use std::time::Duration;

use pprof::{Frames, ProfilerGuard, ProfilerGuardBuilder, Report, Symbol};
use tokio::task::spawn_blocking;

use crate::profile::{Place, Profile};
use crate::slot;

/// Samples for each second of processor time. A prime's neighbour of 100, so that it does not keep step with timers.
const FREQUENCY: i32 = 99;

/// Between two samples.
const PERIOD_NANOS: i64 = 1_000_000_000 / FREQUENCY as i64;

/// Looks for so long, and gives the profile as it is sent. The place is held until all is done, also when nobody waits for
/// the profile any more.
///
/// # Errors
///
/// The timer or a temporary file cannot be had.
pub(crate) async fn take(time: Duration, place: slot::Place) -> io::Result<Vec<u8>> {
    // The first one reads the program's tables for unwinding, which takes a while. Whoever asked may go away meanwhile, so
    // the place goes along with the work.
    let begun = spawn_blocking(move || begin().map(|guard| (guard, place)));
    // Dropped as one, so that the profiler ends before the place is free.
    let taking = begun.await.map_err(io::Error::other)??;
    tokio::time::sleep(time).await;
    let finished = spawn_blocking(move || {
        let (guard, _) = &taking;
        end(guard, time)
    });
    finished.await.map_err(io::Error::other)?
}

fn begin() -> io::Result<ProfilerGuard<'static>> {
    ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .build()
        .map_err(io::Error::other)
}

fn end(guard: &ProfilerGuard<'_>, time: Duration) -> io::Result<Vec<u8>> {
    let report = guard.report().build().map_err(io::Error::other)?;
    let profile = encode(&report, time).finish();
    // They take tens of megabytes, and the next profile may be weeks away.
    backtrace::clear_symbol_cache();
    profile
}

fn encode(report: &Report, time: Duration) -> Profile {
    let mut profile = Profile::new(&[("samples", "count"), ("cpu", "nanoseconds")]);
    profile.set_period("cpu", "nanoseconds", PERIOD_NANOS);
    profile.set_time(report.timing.start_time, time);
    for (frames, &count) in &report.data {
        add(&mut profile, frames, count as i64);
    }
    profile
}

fn add(profile: &mut Profile, frames: &Frames, count: i64) {
    let owned: Vec<Vec<(String, String, u32)>> = frames
        .frames
        .iter()
        .map(|symbols| symbols.iter().map(described).collect())
        .collect();
    let stack = owned.iter().map(|symbols| symbols.iter().map(place).collect());
    let thread = frames.thread_name_or_id();
    let values = vec![count, count.saturating_mul(PERIOD_NANOS)];
    profile.add_sample(stack, values, &[("thread", &thread)]);
}

fn described(symbol: &Symbol) -> (String, String, u32) {
    let file = symbol
        .filename
        .as_ref()
        .map_or_else(String::new, |path| path.to_string_lossy().into_owned());
    (symbol.name(), file, symbol.lineno())
}

fn place((function, file, line): &(String, String, u32)) -> Place<'_> {
    Place {
        function,
        file,
        line: *line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::testing::{read, stacks};

    /// Something to be seen at.
    #[inline(never)]
    fn a_busy_function_of_this_test(until: &std::sync::atomic::AtomicBool) -> u64 {
        let mut sum = 0_u64;
        while !until.load(std::sync::atomic::Ordering::Relaxed) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        sum
    }

    #[tokio::test]
    async fn the_busy_function_is_in_the_profile() {
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let busy = std::thread::Builder::new().name("busy".to_owned()).spawn({
            let done = std::sync::Arc::clone(&done);
            move || a_busy_function_of_this_test(&done)
        });
        let taken = take(Duration::from_secs(1), slot::take().unwrap()).await.unwrap();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        busy.unwrap().join().unwrap();
        let profile = read(&taken);
        assert_eq!(profile.period, PERIOD_NANOS);
        let seen: i64 = stacks(&profile)
            .into_iter()
            .filter(|(stack, _)| {
                stack
                    .iter()
                    .any(|name| name.contains("a_busy_function_of_this_test"))
            })
            .map(|(_, values)| values[0])
            .sum();
        assert!(seen > 0, "{:?}", stacks(&profile));
        let threads: Vec<&str> = profile
            .sample
            .iter()
            .map(|sample| profile.string_table[sample.label[0].str as usize].as_str())
            .collect();
        assert!(threads.contains(&"busy"), "{threads:?}");
        assert!(slot::take().is_some(), "the place is free again");
    }
}
