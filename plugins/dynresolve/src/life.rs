//! Start and stop: what is restored or taken over, and the thread of the API.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use async_trait::async_trait;
use catena_core::corefile::{ConfigError, ConfigErrors};
use catena_core::plugin::{BlockInfo, Lifecycle, Services, StartContext, StartError, StopReason};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio_rustls::TlsAcceptor;

use crate::api::{Api, serve};
use crate::instance::{Inherited, Instance, Instances};
use crate::persist::{self, Keeper};
use crate::store::Store;
use crate::tls::Certificate;

/// Threads beside that of the API, for files and for what takes long.
const BLOCKING_THREADS: usize = 2;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Starts and stops an instance.
#[derive(Debug)]
pub(crate) struct Life {
    instance: Arc<Instance>,
    instances: Arc<Instances>,
    /// Those that this one's configuration replaces.
    predecessors: Mutex<Vec<Weak<Instance>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread of the API works with.
struct Work {
    api: Arc<Api>,
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    tls: Option<TlsAcceptor>,
    keeper: Option<Keeper>,
}

impl Life {
    pub(crate) fn new(instance: Arc<Instance>, instances: Arc<Instances>) -> Self {
        Self {
            instance,
            instances,
            predecessors: Mutex::default(),
            thread: Mutex::default(),
        }
    }

    /// Takes the state over from an instance before this one, or from the file. Says which version the file has.
    async fn restore(&self) -> Result<(Arc<Store>, Option<u64>), StartError> {
        match self.instances.inherit(&self.instance) {
            Some(Inherited::Store(store) | Inherited::Services(store)) => return Ok((store, None)),
            None => {}
        }
        let instance = Arc::clone(&self.instance);
        let restored = tokio::task::spawn_blocking(move || {
            let store = Store::new(Arc::clone(&instance.zones));
            let problem = match instance
                .config
                .persist
                .as_deref()
                .map(|path| persist::restore(path, &instance.zones))
            {
                None | Some(Ok(None)) => None,
                Some(Ok(Some(kept))) => {
                    store.continue_serial(kept.serial);
                    store.replace(&kept.services);
                    None
                }
                Some(Err(problem)) => Some(problem),
            };
            (Arc::new(store), problem)
        });
        let (store, problem) = restored
            .await
            .map_err(|error| StartError::new(format!("plugin/dynresolve: restoring failed: {error}")))?;
        if let Some(problem) = problem {
            tracing::error!(target: "plugin/dynresolve", "{problem}");
        }
        let version = *store.watch().borrow();
        Ok((store, Some(version)))
    }

    fn listen(&self) -> Result<TcpListener, StartError> {
        let address = self.instance.config.listen;
        let listener = self.instances.listener(address).unwrap_or_else(|| {
            let others = self.instances.overlapping(address);
            if others.is_empty() {
                bind(address)
            } else {
                bind_beside(address, &others)
            }
        });
        let prepared = listener.and_then(|listener| {
            listener.set_nonblocking(true)?;
            let kept = listener.try_clone()?;
            Ok((listener, kept))
        });
        let (listener, kept) = prepared.map_err(|error| {
            StartError::new(format!(
                "plugin/dynresolve: the API cannot listen on {address}: {error}"
            ))
        })?;
        self.instance.keep_listener(Some(kept));
        Ok(listener)
    }

    fn prepare(&self, store: &Arc<Store>, written: Option<u64>) -> Result<Work, StartError> {
        let instance = &self.instance;
        let api = Api::new(instance).map_err(in_corefile)?;
        let certificate = match &instance.config.tls {
            Some(files) => Some(Arc::new(Certificate::load(files).map_err(in_corefile)?)),
            None => None,
        };
        let tls = match &certificate {
            Some(certificate) => {
                let config = certificate.server_config();
                let config =
                    config.map_err(|error| StartError::new(format!("plugin/dynresolve: {error}")))?;
                Some(TlsAcceptor::from(config))
            }
            None => None,
        };
        let keeper = instance.config.persist.as_ref().map(|path| Keeper {
            path: path.clone(),
            store: Arc::clone(store),
            metrics: Arc::clone(&instance.metrics),
            disk: Arc::clone(&self.instances.disk),
            written,
        });
        Ok(Work {
            api: Arc::new(api),
            listener: self.listen()?,
            certificate,
            tls,
            keeper,
        })
    }

    fn spawn(&self, work: Work) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("dynresolve-aside")
            .build()?;
        let end = self.instance.end.subscribe();
        // In a program with several servers each has its own log.
        let log = tracing::dispatcher::get_default(Clone::clone);
        std::thread::Builder::new()
            .name("dynresolve".to_owned())
            .spawn(move || {
                let _log = tracing::dispatcher::set_default(&log);
                runtime.block_on(work.run(end));
            })
    }
}

impl Work {
    async fn run(self, end: tokio::sync::watch::Receiver<bool>) {
        if let Some(certificate) = self.certificate {
            tokio::spawn(certificate.follow());
        }
        let listener = match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(target: "plugin/dynresolve", "The API cannot listen: {error}");
                return;
            }
        };
        let (stop_keeping, stopped) = tokio::sync::watch::channel(false);
        let kept = self.keeper.map(|keeper| tokio::spawn(keeper.run(stopped)));
        serve(listener, self.tls, self.api, end).await;
        // What the last requests wrote goes to the disk before the end.
        stop_keeping.send_replace(true);
        if let Some(kept) = kept {
            let _ = kept.await;
        }
    }
}

#[async_trait]
impl Lifecycle for Life {
    fn name(&self) -> &'static str {
        "dynresolve"
    }

    fn validate(&self, _: &BlockInfo, _: &Services) -> Result<(), ConfigErrors> {
        self.instances
            .check(&self.instance)
            .map_err(|error| error.in_directive("dynresolve").into())
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        let serving = self.instances.serving();
        *self.predecessors.lock() = serving.iter().map(Arc::downgrade).collect();
        drop(serving);
        let (store, written) = self.restore().await?;
        let work = self.prepare(&store, written)?;
        self.instance.begin(store, Arc::clone(&context.services));
        let thread = self
            .spawn(work)
            .map_err(|error| StartError::new(format!("plugin/dynresolve: {error}")))?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    async fn started(&self) {
        self.instance.serve();
        let predecessors = std::mem::take(&mut *self.predecessors.lock());
        for old in predecessors.iter().filter_map(Weak::upgrade) {
            old.retire();
        }
    }

    async fn stop(&self, _: StopReason) {
        self.instance.retire();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // The thread gives requests their time, and writes the file.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.instance.keep_listener(None);
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = TcpListener::bind(address);
    match bound {
        // All addresses of a machine without IPv6 are those of IPv4.
        Err(_) if address.ip().is_unspecified() && address.is_ipv6() => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).or(bound)
        }
        bound => bound,
    }
}

/// Binds an address that sockets of the configuration before this one are in the way of, as 127.0.0.1:8080 is of :8080.
/// They go once this one serves; until then the port is shared, with nobody else.
fn bind_beside(address: SocketAddr, others: &[TcpListener]) -> io::Result<TcpListener> {
    let share = |shared: bool| {
        others
            .iter()
            .try_for_each(|other| SockRef::from(other).set_reuse_port(shared))
    };
    share(true)?;
    let bound =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).and_then(|socket| {
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&SockAddr::from(address))?;
            socket.listen(BACKLOG)?;
            socket.set_reuse_port(false)?;
            Ok(socket.into())
        });
    share(false)?;
    bound
}

/// Shows the place in the Corefile.
fn in_corefile(error: ConfigError) -> StartError {
    StartError::new(error.in_directive("dynresolve").to_string())
}
