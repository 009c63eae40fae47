//! What a server under test is started with, and its start.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use catena_core::config::Registry;
use catena_core::counters::Counters;
use catena_core::instance::{CorefileSource, Options, ServeError, Server};
use catena_core::log;
use catena_core::plugin::{Control, Shared};

use super::TestServer;
#[cfg(feature = "encrypted")]
use crate::client::Trust;
use crate::folder::Folder;
use crate::logs::Logs;
#[cfg(feature = "encrypted")]
use crate::pki::Pki;
use crate::ports::Port;

/// Ports that a Corefile may name beside `@PORT@`: `@P1@` to `@P9@`.
const FURTHER_PORTS: usize = 9;

/// Starts before the machine is taken to be out of ports.
const TRIES: usize = 20;

/// What reaches into the running server.
#[derive(Clone, Debug)]
pub(super) struct Handles {
    pub(super) control: Control,
    pub(super) shared: Shared,
    pub(super) counters: Arc<Counters>,
}

/// What placeholders stand for.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) folder: Folder,
    pub(super) ports: Vec<Port>,
    values: Vec<(String, String)>,
    /// The authority of the server's certificate, and who trusts it.
    #[cfg(feature = "encrypted")]
    pub(super) encrypted: Option<(Arc<Pki>, Trust)>,
}

impl Places {
    pub(super) fn fill(&self, text: &str) -> String {
        let mut text = text.replace("@DIR@", &self.folder.path().to_string_lossy());
        for (index, port) in self.ports.iter().enumerate() {
            let name = if index == 0 {
                "@PORT@".to_owned()
            } else {
                format!("@P{index}@")
            };
            text = text.replace(&name, &port.number().to_string());
        }
        for (name, value) in &self.values {
            text = text.replace(&format!("@{name}@"), value);
        }
        text
    }
}

/// What a [`TestServer`] is started with.
#[derive(Debug)]
pub struct TestServerBuilder {
    registry: Registry,
    corefile: String,
    files: Vec<(String, Vec<u8>)>,
    values: Vec<(String, String)>,
    workers: usize,
    max_connections: Option<usize>,
    #[cfg(feature = "encrypted")]
    encrypted: Option<(Arc<Pki>, Trust)>,
}

impl TestServerBuilder {
    pub(super) fn new(registry: Registry, corefile: &str) -> Self {
        Self {
            registry,
            corefile: corefile.to_owned(),
            files: Vec::new(),
            values: Vec::new(),
            workers: 1,
            max_connections: None,
            #[cfg(feature = "encrypted")]
            encrypted: None,
        }
    }

    /// Puts a certificate for `dns.test`, `localhost`, 127.0.0.1 and ::1 beside the Corefile, as `cert.pem` and `key.pem`,
    /// and its authority as `ca.pem`; clients trust it.
    ///
    /// # Panics
    ///
    /// There is no randomness, or no room for files.
    #[cfg(feature = "encrypted")]
    #[must_use]
    pub fn encrypted(self) -> Self {
        let pki = Arc::new(Pki::new("authority of a test"));
        let identity = pki.identity(&["dns.test", "localhost", "127.0.0.1", "::1"]);
        let read = |path: &std::path::Path| std::fs::read(path).expect("a file of the authority");
        let (ca, cert, key) = (read(pki.ca()), read(&identity.certificate), read(&identity.key));
        let mut this = self
            .file("ca.pem", ca)
            .file("cert.pem", cert)
            .file("key.pem", key);
        let trust = Trust::new(&pki, "dns.test");
        this.encrypted = Some((pki, trust));
        this
    }

    /// Puts a file beside the Corefile, under a name that the Corefile may use; placeholders are filled in.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// Fills in `value` for `@NAME@`, as for an upstream's address.
    #[must_use]
    pub fn with(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.values.push((name.to_owned(), value.to_string()));
        self
    }

    /// Answers with so many threads; one by default.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Allows so many TCP connections at a time.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Starts the server.
    ///
    /// # Panics
    ///
    /// It does not start.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> TestServer {
        self.try_start()
            .unwrap_or_else(|error| panic!("the server does not start:\n{error}"))
    }

    /// Starts the server, or says why it does not start.
    ///
    /// # Errors
    ///
    /// Whatever the server says.
    pub fn try_start(self) -> Result<TestServer, ServeError> {
        for _ in 1..TRIES {
            match self.attempt() {
                // Somebody took the port after it was found free.
                Err(ServeError::Listen(_)) => {}
                other => return other,
            }
        }
        self.attempt()
    }

    fn attempt(&self) -> Result<TestServer, ServeError> {
        let places = Places {
            folder: Folder::new(),
            ports: (0..=FURTHER_PORTS).map(|_| Port::any()).collect(),
            values: self.values.clone(),
            #[cfg(feature = "encrypted")]
            encrypted: self.encrypted.clone(),
        };
        for (name, content) in &self.files {
            match std::str::from_utf8(content) {
                Ok(text) => places.folder.write(name, places.fill(text)),
                Err(_) => places.folder.write(name, content),
            }
        }
        places.folder.write("Corefile", places.fill(&self.corefile));
        let logs = Logs::new();
        let mut options = Options::new(
            CorefileSource::File(places.folder.file("Corefile")),
            self.registry.clone(),
        );
        options.log = logs.sink().clone();
        options.default_port = places.ports[0].number();
        options.workers = self.workers;
        options.max_connections = self.max_connections.unwrap_or(options.max_connections);
        let (handles, thread) = spawn(options)?;
        Ok(TestServer {
            handles,
            thread: Some(thread),
            logs,
            places,
        })
    }
}

/// Runs a server on a thread of its own, and waits until it serves.
fn spawn(options: Options) -> Result<(Handles, JoinHandle<i32>), ServeError> {
    let (started, start) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            let _log = tracing::dispatcher::set_default(&log::dispatch(options.log.clone()));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let server = match Server::start(options).await {
                    Ok(server) => server,
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return 1;
                    }
                };
                let handles = Handles {
                    control: server.control(),
                    shared: server.shared().clone(),
                    counters: Arc::clone(server.counters()),
                };
                let _ = started.send(Ok(handles));
                server.run().await
            })
        })?;
    match start.recv() {
        Ok(Ok(handles)) => Ok((handles, thread)),
        Ok(Err(error)) => {
            // It has said all; a panic on its way out would have nothing to add.
            let _ = thread.join();
            Err(error)
        }
        Err(_) => match thread.join() {
            Ok(status) => panic!("the server ended with status {status} before it served"),
            Err(panic) => std::panic::resume_unwind(panic),
        },
    }
}
