//! What plugins of a block offer to each other and to the server.
//!
//! A service is a trait of this crate. A plugin offers an implementation under the trait's type, others look the
//! trait up; nobody needs to know which plugin it is.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::{PluginError, TransferStream};
use crate::message::{QName, Rcode, Request, Transport, Zone};

/// The services of one server block.
///
/// ```
/// use std::sync::Arc;
/// use catena_core::plugin::{Readiness, Services};
///
/// struct Loaded;
/// impl Readiness for Loaded {
///     fn name(&self) -> &'static str { "hosts" }
///     fn ready(&self) -> bool { true }
/// }
///
/// let mut services = Services::default();
/// services.offer::<dyn Readiness>(Arc::new(Loaded));
/// assert!(services.all::<dyn Readiness>().all(|service| service.ready()));
/// ```
#[derive(Default)]
pub struct Services {
    offers: HashMap<TypeId, Vec<Box<dyn Any + Send + Sync>>>,
}

impl Services {
    /// Offers a service under the trait `T`.
    pub fn offer<T: ?Sized + Send + Sync + 'static>(&mut self, service: Arc<T>) {
        self.offers
            .entry(TypeId::of::<T>())
            .or_default()
            .push(Box::new(service));
    }

    /// Offers a service before those of other plugins: to who looks for the first one, on behalf of it.
    pub fn offer_first<T: ?Sized + Send + Sync + 'static>(&mut self, service: Arc<T>) {
        self.offers
            .entry(TypeId::of::<T>())
            .or_default()
            .insert(0, Box::new(service));
    }

    /// All offers under the trait `T`, in the order of the plugins.
    pub fn all<T: ?Sized + Send + Sync + 'static>(&self) -> impl Iterator<Item = &Arc<T>> {
        // Each list holds one type only, so none is left out.
        self.offers
            .get(&TypeId::of::<T>())
            .into_iter()
            .flatten()
            .filter_map(|offer| offer.downcast_ref::<Arc<T>>())
    }

    /// The first offer under the trait `T`.
    #[must_use]
    pub fn first<T: ?Sized + Send + Sync + 'static>(&self) -> Option<&Arc<T>> {
        self.all::<T>().next()
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Services({})",
            self.offers.values().map(Vec::len).sum::<usize>()
        )
    }
}

/// A plugin that can say whether it is ready to serve.
pub trait Readiness: Send + Sync + 'static {
    /// The plugin's name.
    fn name(&self) -> &'static str;
    /// Whether it is ready now.
    fn ready(&self) -> bool;
}

/// A plugin that knows facts about a query for others to use, such as a country of the client.
pub trait MetadataProvider: Send + Sync + 'static {
    /// Gives the facts about this query, each with a label of the form `plugin/name`.
    fn provide(&self, request: &Request, sink: &mut dyn MetadataSink);
}

/// Takes the facts of a [`MetadataProvider`].
pub trait MetadataSink {
    /// Adds a fact.
    fn add(&mut self, label: &str, value: &str);
}

/// A plugin that holds zones and can transfer them.
#[async_trait]
pub trait Transferer: Send + Sync + 'static {
    /// The zone's content; from `serial` on where it is given and the plugin knows the difference (RFC 1995).
    ///
    /// # Errors
    ///
    /// [`PluginError::rcode`] NOTAUTH when the zone is not one of the plugin's.
    async fn transfer(&self, zone: &Zone, serial: Option<u32>) -> Result<TransferStream, PluginError>;
}

/// A plugin that knows the search path of a client.
pub trait Autopath: Send + Sync + 'static {
    /// The search domains, the first to try first; `None` for a client that it does not know.
    fn search_path(&self, request: &Request) -> Option<Vec<Zone>>;
}

/// A plugin that keeps answers for later queries, and can forget them.
///
/// A plugin whose answers change before their TTL ends, as when a service is registered over an API, calls this for
/// what it changed, so that the next query sees the change. A name is forgotten with all its types and with its
/// negative answers: one that was NXDOMAIN resolves at once. It must not wait for queries.
pub trait CachePurge: Send + Sync + 'static {
    /// Forgets what is kept for this name, and for no other.
    fn purge_name(&self, name: &QName);
    /// Forgets what is kept for the zone's apex and all names below it.
    fn purge_zone(&self, zone: &Zone);
    /// Forgets everything.
    fn purge_all(&self);
}

/// A message that a plugin sent or received, for taps.
#[derive(Clone, Copy, Debug)]
pub struct TapEvent<'a> {
    /// Which message it is.
    pub kind: TapKind,
    /// The message in wire form.
    pub wire: &'a [u8],
    /// The other side.
    pub peer: SocketAddr,
    /// The server's own address on that way, where it is known.
    pub local: Option<SocketAddr>,
    /// It travels over TCP or what runs on it, and not in datagrams.
    pub stream: bool,
    /// When the query was sent or received.
    pub asked: std::time::SystemTime,
    /// When the message itself was sent or received.
    pub at: std::time::SystemTime,
}

/// What a tapped message is, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TapKind {
    /// A client's query.
    ClientQuery,
    /// The answer to a client.
    ClientResponse,
    /// A query to an upstream.
    ForwarderQuery,
    /// An upstream's answer.
    ForwarderResponse,
}

/// A plugin that copies messages elsewhere, as dnstap does.
pub trait Tap: Send + Sync + 'static {
    /// Takes a message. It must not block.
    fn tap(&self, request: &Request, event: TapEvent<'_>);
}

/// Sees what the server answers by itself, outside of any chain: refused zones, bad versions and the like.
pub trait ServerObserver: Send + Sync + 'static {
    /// The server answered `request` with `rcode` without running a chain, on any of its listeners.
    fn refused(&self, request: &Request, rcode: Rcode);

    /// A listener of HTTP or QUIC finished a request with this status: HTTP's, or the code that a connection or stream of
    /// QUIC ended with.
    fn responded(&self, server: &str, transport: Transport, status: u64) {
        let _ = (server, transport, status);
    }
}

/// Follows queries on their way through the block's chain, as tracing does.
///
/// The chain asks the first observer that the block's plugins offer, for each plugin that a query meets; without one it
/// costs nothing.
pub trait HopObserver: Send + Sync + 'static {
    /// A query is about to meet `plugin`. What is given is dropped when the plugin is done with the query, and those
    /// behind it with it; nothing if this query is not followed.
    fn enter(&self, request: &Request, plugin: &'static str) -> Option<Hop>;

    /// A plugin is about to ask another server about a query, and drops what is given when it has the answer.
    fn ask(&self, request: &Request, upstream: SocketAddr) -> Option<Hop>;
}

/// A stretch of a query's way, which ends when this is dropped.
pub type Hop = Box<dyn Send>;
