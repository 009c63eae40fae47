//! A server in the process with plugins of the tests' own, and clients that send bytes.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part, as a module"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use catena_core::config::Registry;
use catena_core::counters::{Counters, Event};
use catena_core::instance::{CorefileSource, Options, Server};
use catena_core::log::{Captured, LogSink};
use catena_core::message::{QueryBuilder, Rcode, Request};
use catena_core::plugin::{Control, Definition, Next, Outcome, Plugin, PluginError, Shared};
use catena_core::server::Requery;
use tokio::sync::Semaphore;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Answers every query with an empty NOERROR.
pub struct Fixed;

#[async_trait]
impl Plugin for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    async fn serve_dns(&self, request: &mut Request, _next: Next<'_>) -> Result<Outcome, PluginError> {
        Ok(Outcome::Reply(request.reply().authoritative(true).finish()))
    }
}

/// Passes queries on.
pub struct Pass;

#[async_trait]
impl Plugin for Pass {
    fn name(&self) -> &'static str {
        "pass"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        next.run(request).await
    }
}

/// Panics for names that begin with `p`, passes others on.
pub struct Fragile;

#[async_trait]
impl Plugin for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        assert!(
            !request.name_display().to_string().starts_with('p'),
            "the name begins with p"
        );
        next.run(request).await
    }
}

/// Waits for so many milliseconds as the first label says, then passes on. A first label `heldN` waits until a query
/// for `freeN` has come.
pub struct Slow {
    gates: [Semaphore; 3],
}

impl Default for Slow {
    fn default() -> Self {
        Self {
            gates: std::array::from_fn(|_| Semaphore::new(0)),
        }
    }
}

#[async_trait]
impl Plugin for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let name = request.name_display().to_string();
        let label = name.split('.').next().unwrap_or_default();
        let gate = |word| Some(&self.gates[label.strip_prefix(word)?.parse::<usize>().ok()?]);
        if let Some(gate) = gate("held") {
            gate.acquire().await.expect("a gate").forget();
        } else if let Some(gate) = gate("free") {
            gate.add_permits(1);
        } else if let Ok(millis) = label.parse() {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        next.run(request).await
    }
}

/// Asks the server itself for the name behind the first label where that is `to`, and for the same name where it is
/// `loop`; says NXRRSET where no answer comes back, else the answer's RCODE. Passes other names on.
pub struct Chase(Arc<Requery>);

#[async_trait]
impl Plugin for Chase {
    fn name(&self) -> &'static str {
        "chase"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let name = request.qname_as_asked().to_vec();
        let target = match name.get(1..3) {
            Some(b"to") => name[3..].to_vec(),
            Some(b"lo") => name,
            _ => return next.run(request).await,
        };
        let qtype = request.qtype_code();
        let answer = self.0.ask(request, &target, qtype).await;
        Ok(Outcome::Status(
            answer.map_or(Rcode::NXRRSET, |response| response.rcode()),
        ))
    }
}

pub const CHASE: Definition = Definition::new("chase", |setup| {
    setup.add(Chase(setup.shared()));
    Ok(())
});
pub const FIXED: Definition = Definition::new("fixed", |setup| {
    setup.add(Fixed);
    Ok(())
});
pub const PASS: Definition = Definition::new("pass", |setup| {
    setup.add(Pass);
    Ok(())
});
pub const FRAGILE: Definition = Definition::new("fragile", |setup| {
    setup.add(Fragile);
    Ok(())
});
pub const SLOW: Definition = Definition::new("slow", |setup| {
    setup.add(Slow::default());
    Ok(())
});

/// The tests' list of plugins.
pub fn registry() -> Registry {
    Registry::new([PASS, FRAGILE, SLOW, CHASE, FIXED])
}

/// A running server; it is stopped when this is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub log: Captured,
    pub counters: Arc<Counters>,
    pub control: Control,
    pub shared: Shared,
    pub corefile: std::path::PathBuf,
    _folder: tempfile::TempDir,
    thread: Option<std::thread::JoinHandle<i32>>,
}

impl Running {
    /// Starts the Corefile with `@PORT@` replaced by a free port.
    pub fn start(corefile: &str) -> Self {
        Self::start_with(corefile, registry(), 1)
    }

    pub fn start_with(corefile: &str, registry: Registry, workers: usize) -> Self {
        Self::start_as(corefile, registry, move |options| options.workers = workers)
    }

    /// The same with one worker, unless `change` says otherwise.
    pub fn start_as(
        corefile: &str,
        registry: Registry,
        change: impl FnOnce(&mut Options) + Send + 'static,
    ) -> Self {
        let address = free_address();
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("Corefile");
        std::fs::write(&path, with_port(corefile, address)).expect("Corefile");
        let (sink, log) = LogSink::captured();
        let source = CorefileSource::File(path.clone());
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async {
                let mut options = Options::new(source, registry);
                options.workers = 1;
                options.log = sink;
                change(&mut options);
                let server = Server::start(options).await.expect("start");
                sender
                    .send((
                        server.control(),
                        Arc::clone(server.counters()),
                        server.shared().clone(),
                    ))
                    .expect("send");
                server.run().await
            })
        });
        let (control, counters, shared) = receiver.recv().expect("the server starts");
        Self {
            address,
            log,
            counters,
            control,
            shared,
            corefile: path,
            _folder: folder,
            thread: Some(thread),
        }
    }

    /// Writes another Corefile and reloads.
    pub fn reload(&self, corefile: &str) -> Result<(), String> {
        std::fs::write(&self.corefile, with_port(corefile, self.address)).expect("Corefile");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime");
        runtime.block_on(self.control.reload())
    }

    pub fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.connect(self.address).expect("connect");
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        socket
    }

    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream
    }

    /// Waits until something has been counted so many times.
    pub fn wait_for(&self, event: Event, count: u64) {
        until(&format!("{event:?} was counted {count} times"), || {
            self.counters.get(event) >= count
        });
    }

    pub fn stop(mut self) -> i32 {
        self.control.stop(0);
        self.thread.take().expect("thread").join().expect("status")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop(0);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until something is so that tells nobody when it comes to be.
#[track_caller]
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

fn with_port(corefile: &str, address: SocketAddr) -> String {
    corefile.replace("@PORT@", &address.port().to_string())
}

/// A port below the range that the system gives out itself, free for UDP and TCP, and not given to another test of
/// this process before.
fn free_address() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    for _ in 0..1000 {
        let place = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() as usize * 37;
        let port = 10_000 + (place % 20_000) as u16;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port")
}

/// A query for A records.
pub fn query(id: u16, name: &str) -> Vec<u8> {
    QueryBuilder::new(name, 1u16).expect("name").id(id).to_wire()
}

/// Sends a query over UDP and gives the answer.
pub fn ask(socket: &UdpSocket, query: &[u8]) -> Vec<u8> {
    socket.send(query).expect("send");
    let mut answer = vec![0; 65_535];
    let length = socket.recv(&mut answer).expect("answer");
    answer.truncate(length);
    answer
}

/// Writes a message with its length before it.
pub fn write_frame(stream: &mut impl Write, message: &[u8]) {
    stream.write_all(&frame(message)).expect("write");
}

/// A message with its length before it.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = (message.len() as u16).to_be_bytes().to_vec();
    frame.extend_from_slice(message);
    frame
}

/// Reads a message with its length before it.
pub fn read_frame(stream: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("length");
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).expect("message");
    message
}

pub fn id_of(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[0], message[1]])
}

pub fn rcode_of(message: &[u8]) -> u8 {
    message[3] & 0xf
}
