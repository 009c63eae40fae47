//! A running server: start, reload, stop.
//!
//! ```no_run
//! use catena_core::config::Registry;
//! use catena_core::instance::{CorefileSource, Options, Server};
//!
//! # async fn example(registry: Registry) -> Result<(), Box<dyn std::error::Error>> {
//! let source = CorefileSource::text("Corefile", ".:1053 {\n  whoami\n}\n");
//! let server = Server::start(Options::new(source, registry)).await?;
//! let control = server.control();
//! // `control.reload()` and `control.stop(0)` steer it from elsewhere.
//! let status = server.run().await;
//! # Ok(())
//! # }
//! ```

mod lives;
mod sockets;
mod source;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::config::{self, BuildContext, Plan, PlannedListener, Registry};
use crate::corefile::{ConfigErrors, Corefile};
use crate::counters::Counters;
use crate::log::LogSink;
use crate::net::sockets::ListenError;
use crate::plugin::{
    Handover, ServerObserver, Shared, StartContext, StartError, StopReason, install_panic_hook,
};
use crate::server::{
    Control, ControlRequest, Endpoint, Generation, GenerationEnd, Guests, Requery, Table, TableParts,
    WorkerContext, WorkerThread,
};

use lives::{Lives, Surroundings};
pub use source::{CorefileSource, LoadError};

/// How long a stop or a reload waits for queries that are under way.
pub const GRACE: Duration = Duration::from_secs(5);

/// TCP connections of all listeners together, where the system's limit on descriptors allows as many.
pub const MAX_CONNECTIONS: usize = 65_536;

/// What a server is started with.
#[derive(Debug)]
pub struct Options {
    /// Where the Corefile comes from, also at each reload.
    pub source: CorefileSource,
    /// The plugins that there are.
    pub registry: Registry,
    /// The port of keys that name none; 53 by default.
    pub default_port: u16,
    /// Threads that answer queries; one for each core that the process may use, by default.
    pub workers: usize,
    /// Where log lines go; standard output by default.
    pub log: LogSink,
    /// Print the zones and the lines of `banner` once the server runs; on by default.
    pub announce: bool,
    /// Printed behind the zones.
    pub banner: Vec<String>,
    /// TCP connections that there may be at a time.
    pub max_connections: usize,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new(source: CorefileSource, registry: Registry) -> Self {
        Self {
            source,
            registry,
            default_port: 53,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            log: LogSink::stdout(),
            announce: true,
            banner: Vec::new(),
            max_connections: MAX_CONNECTIONS,
        }
    }
}

/// Why a server did not start, or a configuration was not taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The Corefile cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The Corefile says what cannot be done.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// A plugin cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A listen address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system gives no thread or runtime.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] std::io::Error),
}

/// A running server.
pub struct Server {
    source: Arc<CorefileSource>,
    registry: Arc<Registry>,
    default_port: u16,
    log: LogSink,
    counters: Arc<Counters>,
    shared: Shared,
    workers: Vec<WorkerThread>,
    endpoints: HashMap<sockets::Place, sockets::Serving>,
    running: Running,
    control: Control,
    requests: UnboundedReceiver<ControlRequest>,
}

/// The configuration that serves now.
struct Running {
    lives: Lives,
    handover: Handover,
    end: GenerationEnd,
}

impl Server {
    /// Reads the Corefile, starts the plugins, opens the sockets, and serves.
    ///
    /// # Errors
    ///
    /// What keeps the server from starting; nothing is left open then.
    pub async fn start(options: Options) -> Result<Self, ServeError> {
        install_panic_hook();
        let worker_count = options.workers.max(1);
        let counters = Arc::new(Counters::new(worker_count));
        let context = WorkerContext {
            counters: Arc::clone(&counters),
            log: crate::log::dispatch(options.log.clone()),
            max_connections: options.max_connections,
            guests: Guests::default(),
        };
        let (control, requests) = Control::new();
        let shared = Shared::default();
        shared.put(Arc::new(Requery::new(Arc::clone(&counters))));
        let mut server = Self {
            source: Arc::new(options.source),
            registry: Arc::new(options.registry),
            default_port: options.default_port,
            log: options.log,
            counters,
            shared,
            workers: Vec::new(),
            endpoints: HashMap::new(),
            running: Running {
                lives: Lives::default(),
                handover: Handover::default(),
                end: Generation::new().1,
            },
            control,
            requests,
        };
        let corefile = server.load()?;
        let plan = server.plan(&corefile, &Handover::default(), worker_count)?;
        for index in 0..worker_count {
            server.workers.push(WorkerThread::spawn(index, context.clone())?);
        }
        let announced: Vec<String> = plan
            .listeners
            .iter()
            .flat_map(PlannedListener::startup_lines)
            .collect();
        server.take_over(plan, false).await?;
        if options.announce {
            announced
                .iter()
                .chain(&options.banner)
                .for_each(|line| server.log.line(line));
        }
        Ok(server)
    }

    /// The handle to steer the server by.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// What the server counts.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Values that outlive reloads.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Where the Corefile comes from.
    #[must_use]
    pub fn source(&self) -> &Arc<CorefileSource> {
        &self.source
    }

    /// Serves until it is stopped, and gives the exit status.
    pub async fn run(mut self) -> i32 {
        while let Some(request) = self.requests.recv().await {
            match request {
                ControlRequest::Reload(reply) => {
                    let result = self.reload().await;
                    // Whoever asked may not wait for the answer.
                    let _ = reply.send(result.map_err(|error| error.to_string()));
                }
                ControlRequest::Stop(status) => {
                    self.stop().await;
                    return status;
                }
            }
        }
        0
    }

    fn load(&self) -> Result<Corefile, ServeError> {
        Ok(self.source.load(&self.registry, self.default_port)?)
    }

    fn plan(&self, corefile: &Corefile, previous: &Handover, workers: usize) -> Result<Plan, ServeError> {
        let context = BuildContext {
            registry: &self.registry,
            shared: &self.shared,
            previous,
            counters: &self.counters,
            log: &self.log,
            workers,
            default_port: self.default_port,
            folder: self.source.folder(),
        };
        let debug = self.log.debug();
        let plan = config::build(corefile, &context).inspect_err(|_| self.log.set_debug(debug))?;
        plan.warnings.iter().for_each(|warning| self.log.line(warning));
        Ok(plan)
    }

    /// Reads the Corefile again and takes it over. On an error everything is as before.
    async fn reload(&mut self) -> Result<(), ServeError> {
        let corefile = self.load();
        if let Err(error @ ServeError::Load(LoadError::Unreadable { .. })) = corefile {
            // There is nothing to take over; whoever asked says so.
            return Err(error);
        }
        self.log.line("[INFO] Reloading");
        let result = match corefile {
            Ok(corefile) => self.try_reload(&corefile).await,
            Err(error) => Err(error),
        };
        match &result {
            Ok(()) => self.log.line("[INFO] Reloading complete"),
            Err(error) => self.log.block(&format!("[ERROR] Restart failed: {error}")),
        }
        result
    }

    async fn try_reload(&mut self, corefile: &Corefile) -> Result<(), ServeError> {
        let plan = self.plan(corefile, &self.running.handover, self.workers.len())?;
        self.take_over(plan, true).await
    }

    /// Starts a plan's plugins, opens the sockets that are missing, and serves it; what served before ends.
    async fn take_over(&mut self, plan: Plan, reload: bool) -> Result<(), ServeError> {
        let lives = Lives::new(&plan.blocks);
        let fingerprint: Arc<str> = plan.fingerprint.as_str().into();
        lives
            .start(|surroundings| self.start_context(reload, &fingerprint, surroundings))
            .await?;
        let fresh = plan
            .listeners
            .iter()
            .filter(|listener| !self.endpoints.contains_key(&sockets::place(listener)));
        let opened = match sockets::open_all(fresh, self.workers.len()) {
            Ok(opened) => opened,
            Err(error) => {
                lives.stop(StopReason::Failed).await;
                return Err(error.into());
            }
        };
        self.log
            .set_debug(plan.blocks.iter().any(|block| block.settings.debug));
        let (generation, end) = Generation::new();
        let gone = self.serve(&plan, opened, &generation);
        drop(generation);
        lives.started().await;
        let old = std::mem::replace(
            &mut self.running,
            Running {
                lives,
                handover: plan.handover,
                end,
            },
        );
        sockets::close(gone, GRACE).await;
        if reload {
            tokio::spawn(async move {
                // What takes longer than this has lost its client anyway.
                let _ = tokio::time::timeout(GRACE, old.end.wait()).await;
                old.lives.stop(StopReason::Reload).await;
            });
        }
        Ok(())
    }

    fn start_context(
        &self,
        reload: bool,
        fingerprint: &Arc<str>,
        surroundings: &Surroundings,
    ) -> StartContext {
        StartContext {
            control: self.control.clone(),
            source: Arc::clone(&self.source),
            fingerprint: Arc::clone(fingerprint),
            shared: self.shared.clone(),
            counters: Arc::clone(&self.counters),
            log: self.log.clone(),
            workers: self.workers.len(),
            reload,
            services: Arc::clone(&surroundings.services),
            block: Arc::clone(&surroundings.outline),
        }
    }

    /// Gives the listeners their tables and the workers their sockets. Returns the endpoints that are no longer
    /// served.
    fn serve(
        &mut self,
        plan: &Plan,
        opened: Vec<sockets::Opened>,
        generation: &Arc<Generation>,
    ) -> Vec<sockets::Serving> {
        let mut endpoints = HashMap::new();
        let observers = observers(plan);
        let tables: Vec<Arc<Table>> = plan
            .listeners
            .iter()
            .map(|listener| Arc::new(table_of(listener, &observers, generation)))
            .collect();
        self.shared.of::<Requery>().replace(tables.iter());
        for (listener, table) in plan.listeners.iter().zip(tables) {
            let serving = match self.endpoints.remove(&sockets::place(listener)) {
                Some(serving) => {
                    serving.endpoint.replace(table);
                    serving
                }
                None => sockets::Serving::new(Endpoint::new(listener.address.scheme, table)),
            };
            endpoints.insert(sockets::place(listener), serving);
        }
        for opened in opened {
            if let Some(serving) = endpoints.get_mut(&opened.place) {
                opened.hand_out(serving, &self.workers);
            }
        }
        let gone = std::mem::replace(&mut self.endpoints, endpoints);
        gone.into_values().collect()
    }

    /// Answers what has come, and ends.
    async fn stop(self) {
        self.running.lives.before_stop(StopReason::Shutdown).await;
        sockets::close(self.endpoints.into_values().collect(), GRACE).await;
        self.running.lives.stop(StopReason::Shutdown).await;
        for worker in self.workers {
            worker.join();
        }
        self.log.flush();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.endpoints.keys().map(|(address, _)| address.to_string()))
            .finish()
    }
}

/// All that want to see what the server answers by itself: on any listener, since none of their blocks serves it.
fn observers(plan: &Plan) -> Vec<Arc<dyn ServerObserver>> {
    let mut observers: Vec<Arc<dyn ServerObserver>> = Vec::new();
    for block in &plan.blocks {
        for observer in block.services.all::<dyn ServerObserver>() {
            if !observers.iter().any(|known| Arc::ptr_eq(known, observer)) {
                observers.push(Arc::clone(observer));
            }
        }
    }
    observers
}

fn table_of(
    listener: &PlannedListener,
    observers: &[Arc<dyn ServerObserver>],
    generation: &Arc<Generation>,
) -> Table {
    Table::new(TableParts {
        sites: listener.sites.clone(),
        other_classes: listener.other_classes,
        timeouts: listener.timeouts,
        label: listener.address.to_string().into(),
        observers: observers.to_vec(),
        proxy: listener.proxy.clone(),
        tls: listener.tls.clone(),
        bounds: listener.bounds,
        padding: listener.padding,
        generation: Arc::clone(generation),
    })
}
