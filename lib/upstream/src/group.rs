//! The upstreams that a forwarder chooses from, and the exchange of one query with one of them.

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use catena_core::message::Response;
use catena_core::worker::PerWorker;
use parking_lot::Mutex;

use crate::connection::wake;
use crate::error::{ExchangeError, Protocol};
use crate::health::Shared;
use crate::local::Local;
use crate::slots::{Phase, Silence, Ticket};
use crate::target::Target;

/// Queries of one worker that may wait for the upstreams of a group at a time.
pub const MAX_WAITING: usize = 65_536;

/// How a group treats its upstreams.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long an answer is waited for.
    pub read_timeout: Duration,
    /// Sockets and connections that were not used for so long are closed, and no UDP port is used for longer.
    pub expire: Duration,
    /// Sockets and connections are closed at this age, however often they are used.
    pub max_age: Option<Duration>,
    /// Idle sockets and connections that a worker keeps to each upstream; 0 means no limit.
    pub max_idle: usize,
    /// The address to send from; the system chooses one if there is none.
    pub source: Option<IpAddr>,
    /// With more failed probes in a row an upstream is down. 0 means that there are no probes.
    pub max_fails: u32,
    /// How upstreams are probed.
    pub probe: ProbeOptions,
}

/// How upstreams are probed.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// The time between two probes.
    pub interval: Duration,
    /// The name that is asked for, in wire format; its NS records are.
    pub name: Vec<u8>,
    /// The RD flag of probes.
    pub recursion_desired: bool,
    /// Probes go over TCP to upstreams that speak plain DNS.
    pub over_tcp: bool,
}

impl Default for Options {
    /// CoreDNS's defaults.
    fn default() -> Self {
        Self {
            read_timeout: Duration::from_secs(2),
            expire: Duration::from_secs(10),
            max_age: None,
            max_idle: 0,
            source: None,
            max_fails: 2,
            probe: ProbeOptions {
                interval: Duration::from_millis(500),
                name: vec![0],
                recursion_desired: true,
                over_tcp: false,
            },
        }
    }
}

/// Counts what happens. It is called on the hot path, and must neither block nor call the group.
pub trait Observer: Send + Sync + 'static {
    /// A query used a socket or connection, an open one or one that was opened for it.
    fn connection(&self, upstream: usize, protocol: Protocol, reused: bool) {
        let _ = (upstream, protocol, reused);
    }

    /// A probe got no answer.
    fn probe_failed(&self, upstream: usize) {
        let _ = upstream;
    }

    /// The upstream fell silent.
    fn fell_silent(&self, upstream: usize) {
        let _ = upstream;
    }

    /// A message came that is the answer to no query, and was dropped.
    fn foreign(&self, upstream: usize) {
        let _ = upstream;
    }

    /// A TLS session with the upstream began: one that both sides knew already, or a new one. Not told of QUIC.
    fn handshake(&self, upstream: usize, resumed: bool) {
        let _ = (upstream, resumed);
    }

    /// No connection with TLS came about, as the upstream's certificate did not fit or it does not speak TLS.
    fn handshake_failed(&self, upstream: usize) {
        let _ = upstream;
    }

    /// A reply was dropped that was longer than a DNS message can be.
    fn oversized(&self, upstream: usize) {
        let _ = upstream;
    }

    /// A query was not sent because [`MAX_WAITING`] wait already, or so many connections are open.
    fn busy(&self, upstream: usize) {
        let _ = upstream;
    }
}

/// Counts nothing.
impl Observer for () {}

/// The upstreams that a forwarder chooses from.
///
/// Each worker has its own sockets and connections, registered with its own runtime, so [`Group::exchange`] must be
/// called within a Tokio runtime with I/O and time, on the thread that will poll the exchange.
pub struct Group {
    shared: Arc<Shared>,
    workers: PerWorker<Arc<Mutex<Local>>>,
}

impl Group {
    /// A group of these upstreams, to be used by so many workers. Nothing is sent yet.
    pub fn new(targets: Vec<Target>, options: Options, workers: usize, observer: impl Observer) -> Self {
        let shared = Arc::new(Shared::new(targets, options, Box::new(observer)));
        let workers = PerWorker::new(workers, || Arc::new(Mutex::new(Local::new(Arc::clone(&shared)))));
        Self { shared, workers }
    }

    /// How many upstreams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.upstreams.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.upstreams.is_empty()
    }

    /// How an upstream is asked, whatever the caller says; `None` for one that is asked over UDP or TCP.
    #[must_use]
    pub fn protocol(&self, upstream: usize) -> Option<Protocol> {
        self.shared.upstreams[upstream].target.protocol()
    }

    /// The address of an upstream.
    #[must_use]
    pub fn address(&self, upstream: usize) -> SocketAddr {
        self.shared.upstreams[upstream].target.address
    }

    /// Whether the upstream failed more probes in a row than [`Options::max_fails`].
    #[must_use]
    pub fn is_down(&self, upstream: usize) -> bool {
        self.shared.is_down(upstream)
    }

    /// Whether the upstream has fallen silent and has not answered since.
    #[must_use]
    pub fn is_silent(&self, upstream: usize) -> bool {
        self.shared.is_silent(upstream)
    }

    /// Whether nothing speaks against the upstream: it is not down, and has not fallen silent.
    #[must_use]
    pub fn is_fine(&self, upstream: usize) -> bool {
        !self.shared.is_down(upstream) && self.shared.is_fine(upstream)
    }

    /// Whether a new query should go to the upstream: not while it is silent, and only one after it answered a probe,
    /// until it answers a query. A yes for that one counts as its use.
    #[must_use]
    pub fn admits(&self, upstream: usize) -> bool {
        self.shared.admits(upstream)
    }

    /// To be told when an exchange failed: the upstream is probed until it answers.
    pub fn failed(&self, upstream: usize) {
        self.shared.failed(upstream);
    }

    /// Sends a query to an upstream; `protocol` counts for one that speaks plain DNS. The id that it has does not matter: it goes out with one that nobody can guess,
    /// and comes back with that.
    #[must_use]
    pub fn exchange(&self, upstream: usize, query: &[u8], protocol: Protocol) -> Exchange<'_> {
        let local = self.workers.get();
        let mut woken = Vec::new();
        let begun = Local::begin(local, upstream, query, protocol, &mut woken);
        wake(&mut woken);
        let state = match begun {
            Ok(ticket) => State::Waiting(ticket),
            Err(error) => State::Failed(error),
        };
        Exchange { local, state }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.shared.stop_probes();
        for local in self.workers.iter() {
            local.lock().close();
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.shared.upstreams.iter().map(|upstream| &upstream.target))
            .finish()
    }
}

/// An upstream's answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The message, checked. It has the id that the query went out with.
    pub response: Response,
    /// How it came.
    pub protocol: Protocol,
    /// How long it took.
    pub elapsed: Duration,
    /// The address that the query was sent from.
    pub local: Option<SocketAddr>,
}

/// What happens to a query on its way.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever waits must know all that can happen"
)]
pub enum Event {
    /// The upstream answered.
    Answer(Answer),
    /// There will be no answer.
    Failed(ExchangeError),
    /// The upstream has fallen silent while others answer. The answer may still come: another upstream can be asked
    /// meanwhile. This comes at most once, and before the others.
    Silence,
}

/// A query on its way. Dropping it gives it up.
#[derive(Debug)]
pub struct Exchange<'g> {
    local: &'g Arc<Mutex<Local>>,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting(Ticket),
    Failed(ExchangeError),
    Over,
}

impl Exchange<'_> {
    /// The next that happens. After an answer or a failure nothing more does.
    pub async fn event(&mut self) -> Event {
        poll_fn(|context| self.poll_event(context)).await
    }

    /// The answer or failure, whether the upstream is silent in between or not.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn answer(&mut self) -> Result<Answer, ExchangeError> {
        loop {
            match self.event().await {
                Event::Answer(answer) => return Ok(answer),
                Event::Failed(error) => return Err(error),
                Event::Silence => {}
            }
        }
    }

    /// As [`Exchange::event`], for whoever waits for several things.
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let ticket = match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(ticket) => ticket,
            State::Failed(error) => return Poll::Ready(Event::Failed(error)),
            State::Over => return Poll::Pending,
        };
        let mut local = self.local.lock();
        let Some(slot) = local.slots.get(ticket) else {
            // The group has been closed around it.
            return Poll::Ready(Event::Failed(ExchangeError::Closed));
        };
        let Phase::Done(result) = std::mem::replace(&mut slot.phase, Phase::Waiting) else {
            self.state = State::Waiting(ticket);
            if slot.silence == Silence::Noticed {
                slot.silence = Silence::Told;
                return Poll::Ready(Event::Silence);
            }
            if !slot
                .waker
                .as_ref()
                .is_some_and(|known| known.will_wake(context.waker()))
            {
                let old = slot.waker.replace(context.waker().clone());
                drop(local);
                drop(old);
            }
            return Poll::Pending;
        };
        let waker = local.slots.release(ticket);
        drop(local);
        drop(waker);
        Poll::Ready(match result {
            Ok(reply) => Event::Answer(Answer {
                response: reply.response,
                protocol: reply.protocol,
                elapsed: reply.elapsed,
                local: reply.local,
            }),
            Err(error) => Event::Failed(error),
        })
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if let State::Waiting(ticket) = self.state {
            let waker = self.local.lock().abandon(ticket);
            drop(waker);
        }
    }
}
