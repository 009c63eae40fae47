//! Asking the server itself: what a plugin does that has an answer with a name that others know more about.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use super::table::{Found, Table};
use crate::counters::{Counters, Event};
use crate::message::{CLASS_IN, ListenerContext, Rcode, Request, Response, error_reply, fit};
use crate::plugin::Outcome;

/// Queries that the server asks itself for one query of a client, chains and branches together.
pub const MAX_REQUERIES: u32 = 16;

/// Asks the listener that a query came by, as its client could: the block of the longest zone serves, with all its
/// plugins, so that what a client may not ask is not to be had in this way either.
///
/// A plugin gets it with [`Setup::shared`](crate::plugin::Setup::shared). Without a server around, as in the test of
/// one plugin, there is nobody to ask.
pub struct Requery {
    /// What each listener serves now, by its label.
    tables: ArcSwap<Vec<Weak<Table>>>,
    counters: Arc<Counters>,
}

/// How many questions were asked for a client's query; all queries that stem from it count on the same one.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicU32>);

impl Requery {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            tables: ArcSwap::default(),
            counters,
        }
    }

    /// Takes what the listeners serve from now on.
    pub(crate) fn replace<'a>(&self, tables: impl Iterator<Item = &'a Arc<Table>>) {
        self.tables.store(Arc::new(tables.map(Arc::downgrade).collect()));
    }

    /// Asks for `name`, an uncompressed wire name, and a type in class IN; all else is as in `request`.
    ///
    /// The answer is what the client would get, cut to its size with TC set where that is too small. None comes back
    /// where a plugin drops the query, where the listener has gone, and behind the [`MAX_REQUERIES`]th question for one
    /// client's query, which counts as [`Event::RequeryRefused`].
    pub async fn ask(&self, request: &mut Request, name: &[u8], qtype: u16) -> Option<Response> {
        let asked = request.extensions_mut().get_or_default::<Asked>().clone();
        if asked.0.fetch_add(1, Ordering::Relaxed) >= MAX_REQUERIES {
            self.counters.inc(Event::RequeryRefused);
            return None;
        }
        let table = self.table(request.server())?;
        let mut inner = copy_with_question(request, name, qtype)?;
        inner.extensions_mut().insert(asked);
        let Found::Site(site) = table.find(&inner) else {
            table
                .observers()
                .iter()
                .for_each(|observer| observer.refused(&inner, Rcode::REFUSED));
            return Some(error_reply(&mut inner, Rcode::REFUSED));
        };
        let site = &table.sites()[site];
        inner.set_zone(&site.zone);
        let response = match site.chain.start().run(&mut inner).await {
            Ok(Outcome::Reply(response)) => response,
            Ok(Outcome::Status(rcode)) => error_reply(&mut inner, rcode),
            Ok(Outcome::Drop | Outcome::Transfer(_)) => return None,
            Err(error) => error_reply(&mut inner, error.rcode()),
        };
        if response.uncompressed_len() <= inner.size_limit() {
            return Some(response);
        }
        Response::from_wire(fit(response, &inner)).ok()
    }

    fn table(&self, server: &Arc<str>) -> Option<Arc<Table>> {
        let tables = self.tables.load();
        tables
            .iter()
            .filter_map(Weak::upgrade)
            .find(|table| table.label() == server)
    }
}

/// The query with another question, as if its client had sent it.
fn copy_with_question(request: &Request, name: &[u8], qtype: u16) -> Option<Request> {
    let listener = ListenerContext {
        transport: request.transport(),
        peer: request.peer(),
        local: request.local(),
        server: request.server(),
        received: request.received(),
    };
    // Twice, so that the new question is what counts as the client's.
    let mut copy = Request::new();
    copy.reset(request.wire(), &listener).ok()?;
    copy.set_question(name, qtype, CLASS_IN).ok()?;
    let wire = copy.wire().to_vec();
    copy.reset(&wire, &listener).ok()?;
    Some(copy)
}

/// Nobody to ask.
impl Default for Requery {
    fn default() -> Self {
        Self::new(Arc::new(Counters::new(1)))
    }
}

impl fmt::Debug for Requery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.tables.load();
        let labels = tables.iter().filter_map(Weak::upgrade);
        f.debug_list()
            .entries(labels.map(|table| Arc::clone(table.label())))
            .finish()
    }
}
