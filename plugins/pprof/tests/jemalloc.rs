//! Memory by call stack, in a program with the allocator that notes them.
#![cfg(feature = "jemalloc")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use catena_plugin_pprof::PLUGIN;
use catena_testkit::{RECORDS, TestServer};
use flate2::read::GzDecoder;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SETTING: &str = "_RJEM_MALLOC_CONF";

#[inline(never)]
fn a_function_that_keeps_memory() -> Vec<Vec<u8>> {
    (0..64)
        .map(|_| std::hint::black_box(vec![1; 64 * 1024]))
        .collect()
}

/// The allocator reads its settings at the start, so that this test starts itself again.
#[test]
fn who_keeps_memory_is_in_the_profile() {
    if std::env::var_os(SETTING).is_none() {
        let program = std::env::current_exe().unwrap();
        let again = Command::new(program)
            .args(["--exact", "who_keeps_memory_is_in_the_profile", "--nocapture"])
            .env(SETTING, "prof:true,lg_prof_sample:12")
            .status()
            .unwrap();
        assert!(again.success());
        return;
    }
    let kept = a_function_that_keeps_memory();
    let server = TestServer::start(
        [PLUGIN, RECORDS],
        ".:@PORT@ {\n pprof 127.0.0.1:@P1@\n records\n}",
    );
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], server.port_of(1)))).unwrap();
    let request = b"GET /debug/pprof/heap HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let mut profile = Vec::new();
    GzDecoder::new(&answer[body..]).read_to_end(&mut profile).unwrap();
    let text = String::from_utf8_lossy(&profile);
    assert!(text.contains("inuse_space"));
    assert!(text.contains("a_function_that_keeps_memory"), "{text}");
    drop(kept);
}
