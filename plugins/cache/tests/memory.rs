//! What a million kept answers take. Alone in its process, since memory is the process's.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::fs;

use catena_core::message::QueryBuilder;
use catena_core::plugin::testing::{FIXED, set_up};
use catena_metrics::Registry;
use catena_plugin_cache::PLUGIN;

const ANSWERS: usize = 1_000_000;
const MOST: usize = 250_000_000;

/// Resident memory in bytes; none where the system does not tell.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[test]
fn a_million_answers_with_one_address_take_at_most_250_megabytes() {
    let block = set_up(&[PLUGIN, FIXED], "cache {\n success 1100000\n}\nfixed").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let before = resident();
    runtime.block_on(async {
        for number in 0..ANSWERS {
            let query = QueryBuilder::new(&format!("www{number}.example.org."), 1_u16).unwrap();
            block.ask(&mut query.to_request().unwrap()).await.unwrap();
        }
    });
    let mut text = String::new();
    block.shared.of::<Registry>().encode_text(&mut text);
    let kept = text
        .lines()
        .find(|line| line.starts_with("coredns_cache_entries{") && line.contains("success"))
        .and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .unwrap();
    assert!(kept >= ANSWERS as f64, "{kept} answers are kept");
    let (Some(before), Some(after)) = (before, resident()) else {
        return;
    };
    let taken = after - before;
    assert!(taken <= MOST, "{taken} bytes for {kept} answers");
    println!("{} bytes for each answer", taken / ANSWERS);
}
