//! A listen address as all workers see it: what it serves now, and whether it is to end.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::inbox::Inbox;
use super::places::Places;
use super::readers::Readers;
use super::table::Table;
use crate::corefile::Scheme;

/// A listen address. Its sockets live in the workers and outlive reloads; the table changes.
pub struct Endpoint {
    scheme: Scheme,
    table: ArcSwap<Table>,
    closing: AtomicBool,
    /// Sockets and connections that are told of changes.
    inboxes: Mutex<Vec<Weak<Inbox>>>,
    /// Socket loops and connections that have not ended.
    active: AtomicUsize,
    ended: Notify,
    /// Told to accept loops, which wait for connections only.
    pub(super) closed: Notify,
    /// Connections on it.
    pub(super) connections: Arc<Places>,
    /// Streams of its connections that are served.
    pub(super) streams: Arc<Places>,
    /// Those of them that are read.
    pub(super) readers: Readers,
}

impl Endpoint {
    pub(crate) fn new(scheme: Scheme, table: Arc<Table>) -> Self {
        Self {
            scheme,
            table: ArcSwap::new(table),
            closing: AtomicBool::new(false),
            inboxes: Mutex::default(),
            active: AtomicUsize::new(0),
            ended: Notify::new(),
            closed: Notify::new(),
            connections: Arc::default(),
            streams: Arc::default(),
            readers: Readers::default(),
        }
    }

    /// The protocol that it serves.
    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What it serves now.
    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Whether `table` is what it serves now.
    pub(super) fn serves(&self, table: &Arc<Table>) -> bool {
        Arc::ptr_eq(&self.table.load(), table)
    }

    /// Serves another table from the next query on.
    pub(crate) fn replace(&self, table: Arc<Table>) {
        self.table.store(table);
        self.connections.limit_changed();
        self.tell_all();
    }

    /// Stops taking queries; those that have come are answered.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.closed.notify_waiters();
        self.tell_all();
    }

    /// Whether no more queries are taken.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Waits until no more queries are taken.
    pub(super) async fn wait_for_close(&self) {
        loop {
            let closed = self.closed.notified();
            if self.is_closing() {
                return;
            }
            closed.await;
        }
    }

    /// Waits until all sockets and connections have ended.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.active.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// A socket or connection begins. It has ended when the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::AcqRel);
        Active(Arc::clone(self))
    }

    pub(super) fn register(&self, inbox: &Arc<Inbox>) {
        let mut inboxes = self.inboxes.lock();
        // Now and then the ended ones go, so that the list stays as long as what lives.
        if inboxes.len() == inboxes.capacity() {
            inboxes.retain(|inbox| inbox.strong_count() > 0);
        }
        inboxes.push(Arc::downgrade(inbox));
    }

    fn tell_all(&self) {
        let inboxes: Vec<_> = self.inboxes.lock().iter().filter_map(Weak::upgrade).collect();
        for inbox in inboxes {
            inbox.notify_change();
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.table.load().label())
    }
}

/// Says that a socket or connection of an endpoint lives.
pub(crate) struct Active(Arc<Endpoint>);

impl Drop for Active {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

/// A table with a count of references that only one worker changes.
pub(super) struct WorkerTable(Arc<Table>);

impl WorkerTable {
    pub(super) fn new(endpoint: &Endpoint) -> Arc<Self> {
        Arc::new(Self(endpoint.table()))
    }

    /// Whether the endpoint has another table by now.
    pub(super) fn is_stale(&self, endpoint: &Endpoint) -> bool {
        !endpoint.serves(&self.0)
    }
}

impl Deref for WorkerTable {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}
