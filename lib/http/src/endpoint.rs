//! Listen addresses and what is mounted on them.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use catena_core::net::sockets::{self, ListenError};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::ServerConfig;

use crate::address::Address;
use crate::connection;
use crate::reply::{Reply, RequestHead, not_found, text};

/// Answers requests for a path.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// The answer. What it does must not block: it runs on the server's control thread.
    async fn handle(&self, request: &RequestHead) -> Reply;
}

/// Says how an address speaks TLS.
pub trait TlsSource: Send + Sync + 'static {
    /// The configuration for the next connection, so that new certificates are taken up. It may read files.
    ///
    /// # Errors
    ///
    /// The connection is closed, and the error logged.
    fn server_config(&self) -> io::Result<Arc<ServerConfig>>;
}

/// A handler and where it is found.
#[derive(Clone)]
pub struct Route {
    path: &'static str,
    handler: Arc<dyn Handler>,
    tls: Option<Arc<dyn TlsSource>>,
}

impl Route {
    /// Serves this path; with a slash at its end, all below it as well.
    #[must_use]
    pub fn new(path: &'static str, handler: Arc<dyn Handler>) -> Self {
        Self {
            path,
            handler,
            tls: None,
        }
    }

    /// Wants TLS on the address. An address with TLS for one of its routes has it for all.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<dyn TlsSource>) -> Self {
        self.tls = Some(tls);
        self
    }

    fn serves(&self, path: &str) -> bool {
        path == self.path || (self.path.ends_with('/') && path.starts_with(self.path))
    }
}

/// Why an address cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The host's address is not known.
    #[error("listen tcp: lookup {host}: {cause}")]
    Lookup {
        /// The name.
        host: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The socket cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The runtime does not take the socket.
    #[error("listen tcp {address}: {cause}")]
    Register {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}

/// All HTTP endpoints of a server.
#[derive(Default)]
pub struct Endpoints {
    open: Mutex<HashMap<SocketAddr, Arc<Endpoint>>>,
    mounts: AtomicU64,
}

impl Endpoints {
    /// Mounts a route, and opens its address if nothing is mounted there yet. Requests get 503 until the route is
    /// activated. To be called within a runtime, on which the endpoint lives from then on.
    ///
    /// # Errors
    ///
    /// The address cannot be had.
    pub async fn mount(self: &Arc<Self>, address: &Address, route: Route) -> Result<Mounted, EndpointError> {
        let host = || address.host().to_owned();
        let socket = address
            .resolve()
            .await
            .map_err(|cause| EndpointError::Lookup { host: host(), cause })?;
        let id = self.mounts.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock();
        let endpoint = match open.get(&socket) {
            Some(endpoint) => Arc::clone(endpoint),
            None => {
                let endpoint = Endpoint::open(socket)?;
                open.insert(socket, Arc::clone(&endpoint));
                endpoint
            }
        };
        endpoint.mounts.lock().push(Mount {
            id,
            route,
            active: false,
        });
        Ok(Mounted {
            endpoints: Arc::clone(self),
            key: socket,
            endpoint: Arc::clone(&endpoint),
            id,
        })
    }

    /// Takes a route off; gives the task to wait for if that closes the address.
    fn unmount(&self, key: SocketAddr, endpoint: &Arc<Endpoint>, id: u64) -> Option<JoinHandle<()>> {
        let mut open = self.open.lock();
        let mut mounts = endpoint.mounts.lock();
        mounts.retain(|mount| mount.id != id);
        if !mounts.is_empty() {
            return None;
        }
        if open.get(&key).is_some_and(|known| Arc::ptr_eq(known, endpoint)) {
            open.remove(&key);
        }
        endpoint.closing.send_replace(true);
        endpoint.task.lock().take()
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.open.lock().keys()).finish()
    }
}

/// A route that is mounted. It is taken off when this is dropped.
pub struct Mounted {
    endpoints: Arc<Endpoints>,
    key: SocketAddr,
    endpoint: Arc<Endpoint>,
    id: u64,
}

impl Mounted {
    /// Answers requests from now on, in place of routes of the same path that were activated before.
    pub fn activate(&self) {
        let mut mounts = self.endpoint.mounts.lock();
        if let Some(place) = mounts.iter().position(|mount| mount.id == self.id) {
            // The last active one counts.
            let mut mount = mounts.remove(place);
            mount.active = true;
            mounts.push(mount);
        }
    }

    /// Where it listens; with the port that was chosen if none was named.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.endpoint.local
    }

    /// Takes the route off. If it was the last one of its address, connections are refused when this returns, and
    /// requests that were under way are answered.
    pub async fn close(self) {
        if let Some(task) = self.endpoints.unmount(self.key, &self.endpoint, self.id) {
            // It does not panic, and nobody aborts it.
            let _ = task.await;
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.endpoints.unmount(self.key, &self.endpoint, self.id));
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mounted({})", self.endpoint.local)
    }
}

/// One listen address.
pub(crate) struct Endpoint {
    local: SocketAddr,
    mounts: Mutex<Vec<Mount>>,
    closing: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Mount {
    id: u64,
    route: Route,
    active: bool,
}

impl Endpoint {
    fn open(socket: SocketAddr) -> Result<Arc<Self>, EndpointError> {
        let listener = sockets::tcp(socket)?;
        let register = |cause| EndpointError::Register {
            address: socket,
            cause,
        };
        let listener = tokio::net::TcpListener::from_std(listener).map_err(register)?;
        let local = listener.local_addr().map_err(register)?;
        let (closing, closed) = watch::channel(false);
        let endpoint = Arc::new(Self {
            local,
            mounts: Mutex::default(),
            closing,
            task: Mutex::default(),
        });
        let task = tokio::spawn(connection::accept(listener, Arc::clone(&endpoint), closed));
        *endpoint.task.lock() = Some(task);
        Ok(endpoint)
    }

    /// How the next connection speaks: the newest route that wants TLS decides.
    pub(crate) fn tls(&self) -> Option<Arc<dyn TlsSource>> {
        self.mounts
            .lock()
            .iter()
            .rev()
            .find_map(|mount| mount.route.tls.clone())
    }

    pub(crate) async fn answer(&self, request: &RequestHead) -> Reply {
        let found = {
            let mounts = self.mounts.lock();
            let mut fitting = mounts
                .iter()
                .filter(|mount| mount.route.serves(request.uri.path()));
            match fitting.clone().rfind(|mount| mount.active) {
                Some(mount) => Ok(Arc::clone(&mount.route.handler)),
                None => Err(fitting.next().is_some()),
            }
        };
        match found {
            Ok(handler) => handler.handle(request).await,
            Err(true) => text(503, "Starting"),
            Err(false) => not_found(),
        }
    }
}
