//! A query's way from its bytes to the bytes of its answer, the same for every transport.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::endpoint::WorkerTable;
use super::table::Found;
use crate::counters::{Counters, Event};
use crate::message::{
    Admitted, HttpHeaders, ListenerContext, Policy, Rcode, Refusal, Request, TlsSession, Transport, admit,
    error_reply, fit,
};
use crate::plugin::{Outcome, PanicPolicy, PluginError, TransferStream, panics};

/// Requests that a thread keeps for reuse.
const POOLED: usize = 512;

thread_local! {
    #[expect(clippy::vec_box, reason = "a request moves between the pool and its future as one pointer")]
    static POOL: RefCell<Vec<Box<Request>>> = const { RefCell::new(Vec::new()) };
}

/// A message as a listener received it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) transport: Transport,
    /// The encrypted connection that brought it.
    pub(super) tls: Option<&'a Arc<TlsSession>>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) received: Instant,
    /// What the request that brought it says of tracing, if it does.
    pub(super) headers: Option<&'a HttpHeaders>,
}

/// How far a query has come after its first poll.
pub(super) enum Polled {
    /// It is answered.
    Answer(Box<Request>, Vec<u8>),
    /// The server answered it by itself, for what it is.
    Refused(Box<Request>, Vec<u8>, Refusal),
    /// It waits for something.
    Waiting(Waiting),
    /// It is no query: nothing is to be sent.
    Ignored,
    /// A plugin wants that nothing is sent.
    Silent,
}

/// The end of a query.
pub(super) enum Done {
    /// An answer that fits its transport.
    Answer(Vec<u8>),
    /// More than one message, for streams only.
    Transfer(TransferStream),
    /// Silence.
    Nothing,
}

/// A query whose chain waits.
pub(super) struct Waiting {
    serving: Pin<Box<dyn Future<Output = (Box<Request>, Done)> + Send>>,
    counters: Arc<Counters>,
}

impl Future for Waiting {
    type Output = (Box<Request>, Done);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let serving = self.serving.as_mut();
        catch_unwind(AssertUnwindSafe(|| serving.poll(context)))
            .unwrap_or_else(|_| Poll::Ready((caught(&self.counters), Done::Nothing)))
    }
}

/// Takes a message in, finds its block, and polls the block's chain once.
///
/// The chain's hops have barriers of their own; the one here is for mistakes of the server's, so that they cost one
/// query too.
pub(super) fn begin(arrival: &Arrival<'_>, table: &Arc<WorkerTable>, counters: &Arc<Counters>) -> Polled {
    catch_unwind(AssertUnwindSafe(|| admit_and_run(arrival, table, counters))).unwrap_or_else(|_| {
        recycle(caught(counters), Vec::new());
        Polled::Silent
    })
}

/// Reports a panic outside of any plugin, and makes a request in place of the lost one.
#[cold]
fn caught(counters: &Counters) -> Box<Request> {
    panics::report("server", PanicPolicy::Catch, counters);
    Box::default()
}

fn admit_and_run(arrival: &Arrival<'_>, table: &Arc<WorkerTable>, counters: &Arc<Counters>) -> Polled {
    let mut request = take_request();
    request.set_answer_options(table.answer_options(arrival.transport));
    request.set_tls(arrival.tls);
    let listener = ListenerContext {
        transport: arrival.transport,
        peer: arrival.peer,
        local: arrival.local,
        server: table.label(),
        received: arrival.received,
    };
    match admit(
        &mut request,
        arrival.bytes,
        &listener,
        Policy {
            other_classes: table.other_classes(),
        },
    ) {
        Admitted::Query => {
            if let Some(headers) = arrival.headers {
                request.extensions_mut().insert(headers.clone());
            }
        }
        Admitted::Answer { wire, reason } => {
            if matches!(reason, Refusal::Class | Refusal::NoQuestion) {
                observe(table, &request, reason.rcode());
            }
            return Polled::Refused(request, wire, reason);
        }
        Admitted::Drop(_) => {
            counters.inc(Event::DroppedUnanswerable);
            recycle(request, Vec::new());
            return Polled::Ignored;
        }
    }
    let Found::Site(site) = table.find(&request) else {
        observe(table, &request, Rcode::REFUSED);
        let wire = answer_alone(&mut request, Rcode::REFUSED);
        return Polled::Answer(request, wire);
    };
    let mut serving = Box::pin(serve(request, Arc::clone(table), site));
    match serving.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready((request, Done::Answer(wire))) => {
            counters.inc(Event::PolledInPlace);
            Polled::Answer(request, wire)
        }
        Poll::Ready((request, Done::Nothing)) => {
            counters.inc(Event::PolledInPlace);
            recycle(request, Vec::new());
            Polled::Silent
        }
        Poll::Ready((request, Done::Transfer(stream))) => Polled::Waiting(Waiting {
            serving: Box::pin(std::future::ready((request, Done::Transfer(stream)))),
            counters: Arc::clone(counters),
        }),
        Poll::Pending => {
            counters.inc(Event::BecameTask);
            Polled::Waiting(Waiting {
                serving,
                counters: Arc::clone(counters),
            })
        }
    }
}

/// Shows the plugins that want to know what the server answers by itself.
#[cold]
fn observe(table: &WorkerTable, request: &Request, rcode: Rcode) {
    for observer in table.observers() {
        observer.refused(request, rcode);
    }
}

/// Runs the chain and makes its outcome fit the transport.
async fn serve(mut request: Box<Request>, table: Arc<WorkerTable>, site: usize) -> (Box<Request>, Done) {
    let site = &table.sites()[site];
    request.set_zone(&site.zone);
    let outcome = site.chain.start().run(&mut request).await;
    let done = finish(&mut request, outcome).await;
    (request, done)
}

async fn finish(request: &mut Request, outcome: Result<Outcome, PluginError>) -> Done {
    match outcome {
        Ok(Outcome::Reply(response)) => Done::Answer(fit(response, request)),
        Ok(Outcome::Status(rcode)) => Done::Answer(answer_alone(request, rcode)),
        Ok(Outcome::Drop) => Done::Nothing,
        Ok(Outcome::Transfer(stream)) if !request.transport().is_size_limited() => Done::Transfer(stream),
        Ok(Outcome::Transfer(mut stream)) => match stream.next().await {
            // A datagram holds one message; a client that gets a part of the zone asks again over TCP.
            Some(Ok(first)) => Done::Answer(fit(first, request)),
            Some(Err(error)) => Done::Answer(refuse(request, &error)),
            None => Done::Nothing,
        },
        Err(error) => Done::Answer(refuse(request, &error)),
    }
}

/// The answer to a query that failed.
pub(super) fn refuse(request: &mut Request, error: &PluginError) -> Vec<u8> {
    let mut response = error_reply(request, error.rcode());
    if let Some(extended) = error.extended()
        && request.edns().is_some()
    {
        response.add_extended_error(extended.code, &extended.text);
    }
    fit(response, request)
}

/// An answer of the question and an RCODE.
fn answer_alone(request: &mut Request, rcode: Rcode) -> Vec<u8> {
    let response = error_reply(request, rcode);
    fit(response, request)
}

/// A request to fill: one that was used before, if there is one.
pub(super) fn take_request() -> Box<Request> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a request and the answer's buffer for the next query.
pub(super) fn recycle(mut request: Box<Request>, wire: Vec<u8>) {
    request.recycle(wire);
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOLED {
            pool.push(request);
        }
    });
}
