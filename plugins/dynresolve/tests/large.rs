//! A hundred thousand services, in a process of their own: what they take of time and memory.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use catena_plugin_dynresolve::PLUGIN;
use catena_testkit::TestServer;

/// That of the server: what memory a state takes is also the allocator's business.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVICES: usize = 100_000;

/// Memory of this process now, in MiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status of this process");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("the resident memory");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024
}

/// Processor time that this process has used, in all its threads: what others take of a busy machine does not count.
fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the status of this process");
    // The name, in parentheses, may have blanks; user and system time are the 12th and 13th field behind it.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().expect("a number")).sum();
    // A hundred to the second, on all machines that Linux runs on.
    Duration::from_millis(10 * ticks)
}

fn put(port: u16, path: &str, body: &str) -> Duration {
    let start = used();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let length = body.len();
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .expect("a header");
    stream.write_all(body.as_bytes()).expect("a body");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a response");
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    used() - start
}

#[test]
fn a_hundred_thousand_services_take_less_than_100_mib_and_a_second() {
    let corefile = "service.local:@PORT@ {\n dynresolve {\n api listen 127.0.0.1:@P1@\n api token x\n \
                    api rate-limit 1000000\n api persist state.json\n }\n}";
    let server = TestServer::start([PLUGIN], corefile);
    let mut body = "{\"services\":{".to_owned();
    for number in 0..SERVICES {
        let comma = if number == 0 { "" } else { "," };
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number as u32);
        write!(
            body,
            "{comma}\"svc-{number:06}\":{{\"type\":\"A\",\"records\":[\"{ip}\"],\"ttl\":5}}"
        )
        .expect("a string");
    }
    body.push_str("}}");
    let before = resident();
    let port = server.port_of(1);
    let mut times = Vec::new();
    for _ in 0..4 {
        times.push(put(port, "/v1/state", &body));
        let grown = resident() - before;
        assert!(grown < 95, "{grown} MiB more than without services");
    }
    println!("{times:?}, {} MiB more", resident() - before);
    server
        .ask("svc-099999.service.local. A")
        .assert_answer(["svc-099999.service.local. 5 A 10.1.134.159"]);
    let start = used();
    for number in 0..1000 {
        put(
            port,
            &format!("/v1/services/svc-{:06}", number * 97),
            r#"{"type":"A","records":["192.0.2.1"]}"#,
        );
    }
    let written = used() - start;
    println!("1,000 writes on a connection each: {written:?}");
    // An unoptimised build has ten times as long.
    let factor = if cfg!(debug_assertions) { 10 } else { 1 };
    let best = times.iter().min().expect("four times");
    assert!(*best < Duration::from_secs(factor), "{times:?}");
    assert!(written < Duration::from_secs(factor), "{written:?}");
}
