//! What happens to one query.

use std::any::Any;
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use catena_core::message::{CLASS_IN, Owner, Rcode, Request};
use catena_core::plugin::{AtOnce, Next, Outcome, Plugin, PluginError};

use crate::apex::Apex;
use crate::instance::Instance;
use crate::metrics::Answered;
use crate::source::{Memory, Source};
use crate::store::Store;
use crate::table::{Entry, find};

const A: u16 = 1;

/// How many services take turns apart from each other.
const TURNS: usize = 256;

thread_local! {
    /// Which record comes first next time, by the hash of the name. Each worker counts for itself.
    static NEXT: [Cell<u32>; TURNS] = const { [const { Cell::new(0) }; TURNS] };
}

/// The link of the chain.
pub(crate) struct Dynresolve {
    instance: Arc<Instance>,
    apexes: Vec<Apex>,
    source: Box<dyn Source>,
}

/// What there is at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Apex,
    Service,
    /// Nothing, but there are services below.
    OnTheWay,
    Nowhere,
}

impl Dynresolve {
    pub(crate) fn new(instance: Arc<Instance>) -> Self {
        Self::with_source(instance, Box::new(Memory))
    }

    pub(crate) fn with_source(instance: Arc<Instance>, source: Box<dyn Source>) -> Self {
        let apexes = instance.zones.iter().map(Apex::new).collect();
        Self {
            instance,
            apexes,
            source,
        }
    }

    /// Answers a query for an address from memory; none if there is no service, and no fallback.
    #[inline]
    fn address(&self, request: &mut Request, zone: usize) -> Option<Outcome> {
        let instance = &*self.instance;
        let store = instance.store();
        let now = store.millis(request.received());
        let table = store.table();
        let hash = table.hash(request.qname().as_wire());
        let part = table.part(hash);
        let cached = find(&part, hash, request.qname().as_wire()).filter(|entry| entry.is_service());
        if let Some(entry) = cached
            && entry.is_fresh(now)
        {
            instance.metrics.answered(zone, Answered::Cache);
            return Some(reply(request, entry, hash, instance.config.ttl));
        }
        let answered = match self.read(store, request.qname().as_wire()) {
            Ok(Some(entry)) if entry.is_service() => {
                entry.refresh(now.saturating_add(instance.config.cache.as_millis() as u64));
                instance.metrics.answered(zone, Answered::Source);
                Some(reply(request, &entry, hash, instance.config.ttl))
            }
            Ok(_) => None,
            Err(Unreadable) => cached.map(|entry| {
                instance.metrics.answered(zone, Answered::Stale);
                reply(request, entry, hash, instance.config.ttl)
            }),
        };
        answered.or_else(|| {
            let address = instance.config.fallback?;
            instance.metrics.answered(zone, Answered::Fallback);
            Some(fallback(request, address, instance.config.ttl))
        })
    }

    /// Asks the source, whatever it does.
    fn read(&self, store: &Store, name: &[u8]) -> Result<Option<Arc<Entry>>, Unreadable> {
        let read = catch_unwind(AssertUnwindSafe(|| self.source.find(store, name)));
        match read {
            Ok(Ok(entry)) => Ok(entry),
            Ok(Err(error)) => {
                tracing::debug!(target: "plugin/dynresolve", "{error}");
                Err(Unreadable)
            }
            Err(panic) => {
                self.instance.metrics.panics.inc();
                let what = text_of(&*panic);
                tracing::error!(target: "plugin/dynresolve", "Recovered from panic while reading the state: {what}");
                Err(Unreadable)
            }
        }
    }

    /// What there is at the name that is asked for.
    fn place(&self, request: &Request, zone: usize) -> Place {
        let name = request.qname().as_wire();
        if name == self.instance.zones.get(zone).as_wire() {
            return Place::Apex;
        }
        match self.instance.store().table().get(name) {
            Some(entry) if entry.is_service() => Place::Service,
            Some(_) => Place::OnTheWay,
            // Each name has the address of the fallback.
            None if self.instance.config.fallback.is_some() => Place::Service,
            None => Place::Nowhere,
        }
    }

    /// Says by itself what there is: the records of the apex, or that there are none.
    fn deny(&self, request: &mut Request, zone: usize, place: Place) -> Outcome {
        let (instance, apex) = (&*self.instance, &self.apexes[zone]);
        let (serial, ttl) = (instance.store().serial(), instance.config.ttl);
        if place == Place::Apex
            && let Some(response) = apex.answer(request, serial, ttl)
        {
            instance.metrics.answered(zone, Answered::Apex);
            return response.into();
        }
        if place == Place::Nowhere
            && let Some(response) = apex.answer_server(request, serial, ttl)
        {
            instance.metrics.answered(zone, Answered::Apex);
            return response.into();
        }
        let (rcode, answered) = match place {
            Place::Nowhere => (Rcode::NXDOMAIN, Answered::Nxdomain),
            _ => (Rcode::NOERROR, Answered::Nodata),
        };
        instance.metrics.answered(zone, answered);
        apex.deny(request, rcode, serial, ttl).into()
    }
}

#[async_trait]
impl Plugin for Dynresolve {
    fn name(&self) -> &'static str {
        "dynresolve"
    }

    #[inline]
    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        let Some(zone) = self.instance.zones.find(request.qname().as_wire()) else {
            return AtOnce::Pass;
        };
        if request.qclass_code() != CLASS_IN {
            return AtOnce::Pass;
        }
        if request.qtype_code() != A {
            return AtOnce::Wait;
        }
        match self.address(request, zone) {
            Some(outcome) => AtOnce::Answer(outcome),
            None => AtOnce::Wait,
        }
    }

    /// Only queries that no address answers come here: those that the plugins behind have to see.
    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let zone = self.instance.zones.find(request.qname().as_wire());
        let Some(zone) = zone.filter(|_| request.qclass_code() == CLASS_IN) else {
            return next.run(request).await;
        };
        let place = self.place(request, zone);
        if next.is_end() {
            return Ok(self.deny(request, zone, place));
        }
        let outcome = next.run(request).await;
        // An upstream takes its time. What was registered meanwhile must not be denied, and remembered so by a cache.
        let place = self.place(request, zone);
        if place == Place::Service
            && request.qtype_code() == A
            && let Some(outcome) = self.address(request, zone)
        {
            return Ok(outcome);
        }
        if is_unanswered(&outcome, place) {
            return Ok(self.deny(request, zone, place));
        }
        self.instance.metrics.answered(zone, Answered::Next);
        outcome
    }
}

/// The state could not be read.
struct Unreadable;

/// Whether the plugins behind left the query to this one.
fn is_unanswered(outcome: &Result<Outcome, PluginError>, place: Place) -> bool {
    let exists = place != Place::Nowhere;
    match outcome {
        Err(error) => error.message() == NO_NEXT || (exists && error.rcode() == Rcode::REFUSED),
        // A plugin that has no answer to give says so with SERVFAIL; an answer with SERVFAIL is an upstream's.
        Ok(Outcome::Status(Rcode::SERVFAIL)) => exists,
        // What an upstream does not know must not deny the name, with all its types and all names below (RFC 8020).
        Ok(outcome) => exists && matches!(outcome.rcode(), Some(Rcode::REFUSED | Rcode::NXDOMAIN)),
    }
}

/// How the chain says that it has ended.
const NO_NEXT: &str = "no next plugin found";

/// Writes the addresses of a service, beginning with another one each time.
#[inline]
fn reply(request: &mut Request, entry: &Entry, hash: u64, default_ttl: u32) -> Outcome {
    let ttl = if entry.ttl() == 0 {
        default_ttl
    } else {
        entry.ttl()
    };
    let addresses = entry.addresses();
    let mut reply = request.reply();
    reply.authoritative(true);
    let (before, from) = addresses.split_at(turn(addresses.len() / 4, hash) * 4);
    for address in from.chunks_exact(4).chain(before.chunks_exact(4)) {
        reply.answer(Owner::Question, A, CLASS_IN, ttl, address);
    }
    reply.finish().into()
}

/// Which of so many records comes first.
#[inline]
fn turn(count: usize, hash: u64) -> usize {
    if count < 2 {
        return 0;
    }
    NEXT.with(|next| {
        // The low bits of the hash chose the part of the table.
        let turn = &next[(hash >> 32) as usize % TURNS];
        let number = turn.get();
        turn.set(number.wrapping_add(1));
        number as usize % count
    })
}

fn fallback(request: &mut Request, address: Ipv4Addr, ttl: u32) -> Outcome {
    let mut reply = request.reply();
    reply.authoritative(true);
    reply.answer(Owner::Question, A, CLASS_IN, ttl, address);
    reply.finish().into()
}

/// What a panic says.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no text")
}

#[cfg(test)]
mod tests;
