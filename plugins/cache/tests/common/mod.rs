//! A cache in front of a source that says what the test wants.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses a part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use catena_core::message::{
    CLASS_IN, ListenerContext, Owner, QueryBuilder, Rcode, RdataWriter, Request, Response, Transport,
};
use catena_core::plugin::{Chain, Next, Outcome, Plugin, PluginError};
use catena_plugin_cache::PLUGIN;
use catena_testkit::{Handler, Metrics};
use tokio::sync::Semaphore;

pub const A: u16 = 1;
pub const SOA: u16 = 6;
pub const AAAA: u16 = 28;

pub type Said = Result<Outcome, PluginError>;
type Say = dyn Fn(usize, &mut Request) -> Said + Send + Sync;

/// What the source was asked.
#[derive(Clone)]
pub struct Seen {
    pub request: Vec<u8>,
    pub transport: Transport,
}

impl Seen {
    pub fn ad(&self) -> bool {
        Request::from_wire_for_tests(&self.request).unwrap().ad()
    }
}

/// The source behind the cache: counts what it is asked, and can be held.
#[derive(Clone)]
pub struct Source(Arc<Inner>);

struct Inner {
    seen: Mutex<Vec<Seen>>,
    say: Mutex<Arc<Say>>,
    delay: Mutex<Duration>,
    gate: Semaphore,
}

impl Source {
    /// Says what `say` makes of the number of the query, from 0, and the query.
    pub fn new(say: impl Fn(usize, &mut Request) -> Said + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            seen: Mutex::default(),
            say: Mutex::new(Arc::new(say)),
            delay: Mutex::default(),
            gate: Semaphore::new(1 << 20),
        }))
    }

    pub fn says(&self, say: impl Fn(usize, &mut Request) -> Said + Send + Sync + 'static) {
        *self.0.say.lock().unwrap() = Arc::new(say);
    }

    /// Answers take this long from now on.
    pub fn takes(&self, delay: Duration) {
        *self.0.delay.lock().unwrap() = delay;
    }

    /// Holds all answers until they are released.
    pub fn hold(&self) {
        self.0.gate.forget_permits(1 << 20);
    }

    pub fn release(&self) {
        self.0.gate.add_permits(1 << 20);
    }

    pub fn count(&self) -> usize {
        self.0.seen.lock().unwrap().len()
    }

    pub fn last(&self) -> Seen {
        self.0.seen.lock().unwrap().last().cloned().unwrap()
    }
}

#[async_trait]
impl Plugin for Source {
    fn name(&self) -> &'static str {
        "source"
    }

    async fn serve_dns(&self, request: &mut Request, _: Next<'_>) -> Said {
        let number = {
            let mut seen = self.0.seen.lock().unwrap();
            seen.push(Seen {
                request: request.wire().to_vec(),
                transport: request.transport(),
            });
            seen.len() - 1
        };
        let delay = *self.0.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        self.0.gate.acquire().await.unwrap().forget();
        self.0.gate.add_permits(1);
        let say = Arc::clone(&*self.0.say.lock().unwrap());
        say(number, request)
    }
}

/// An answer of the type and class that was asked for, with the data of the address 192.0.2.LAST.
pub fn address(request: &mut Request, ttl: u32, last: u8) -> Said {
    let (qtype, qclass) = (request.qtype_code(), request.qclass_code());
    let mut reply = request.reply();
    reply.recursion_available(true);
    reply.answer(
        Owner::Question,
        qtype,
        qclass,
        ttl,
        Ipv4Addr::new(192, 0, 2, last),
    );
    Ok(reply.finish().into())
}

/// An answer with this RCODE and nothing else but a SOA record for denials.
pub fn code(request: &mut Request, rcode: Rcode, ttl: u32) -> Said {
    let mut reply = request.reply();
    reply.rcode(rcode);
    if matches!(rcode, Rcode::NXDOMAIN | Rcode::NOERROR) {
        let soa = |out: &mut RdataWriter<'_>| {
            out.bytes(&[0, 0]);
            out.bytes(&[0; 20]);
        };
        reply.authority(&b"\x07example\x03org\x00"[..], SOA, CLASS_IN, ttl, soa);
    }
    Ok(reply.finish().into())
}

/// A cache on its own.
pub struct Bench {
    pub handler: Handler,
    pub source: Source,
    start: Instant,
    server: Arc<str>,
}

impl Bench {
    /// `text` is the directive.
    pub fn new(text: &str, source: Source) -> Self {
        let builder = Handler::builder(&PLUGIN, text).end(source.clone()).paused();
        Self {
            handler: builder.build().unwrap_or_else(|errors| panic!("{errors}")),
            source,
            start: Instant::now(),
            server: Arc::from("dns://:53"),
        }
    }

    pub fn chain(&self) -> Arc<Chain> {
        let listener = &self.handler.plan().listeners[0];
        Arc::clone(&listener.sites[0].chain)
    }

    /// A query that arrives `at` after the start.
    pub fn query(&self, query: &QueryBuilder, transport: Transport, from: u8, at: Duration) -> Request {
        let mut request = Request::new();
        let context = ListenerContext {
            transport,
            peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, from)), 4000),
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 53)),
            server: &self.server,
            received: self.start + at,
        };
        request.reset(&query.to_wire(), &context).unwrap();
        request
    }

    pub fn outcome(&self, query: &QueryBuilder, at: Duration) -> Said {
        let mut request = self.query(query, Transport::Udp, 1, at);
        let outcome = self.handler.block_on(self.handler.serve(&mut request));
        assert!(
            !request.ad() || query.to_wire()[3] & 0x20 != 0,
            "AD stays as it was"
        );
        outcome
    }

    pub fn reply(&self, query: &QueryBuilder, at: f64) -> Response {
        match self.outcome(query, Duration::from_secs_f64(at)) {
            Ok(Outcome::Reply(response)) => response,
            other => panic!("expected a reply, got {other:?}"),
        }
    }

    /// Asks for the address of a.example.org; gives the last number of the address and the TTL.
    pub fn ask(&self, at: f64) -> (u8, u32) {
        shown(&self.reply(&a(), at))
    }

    /// Lets work behind the clients' backs come to its end.
    pub fn settle(&self) {
        self.handler.pass(Duration::from_secs(10));
    }

    pub fn metric(&self, name: &str, more: &[(&str, &str)]) -> f64 {
        let metrics: Metrics = self.handler.metrics();
        let mut labels = vec![("server", "dns://:53"), ("zones", "."), ("view", "")];
        labels.extend_from_slice(more);
        metrics.value(name, &labels).unwrap_or(0.0)
    }
}

pub fn a() -> QueryBuilder {
    QueryBuilder::new("a.example.org.", A).unwrap()
}

/// The last number of the address, and the TTL.
pub fn shown(response: &Response) -> (u8, u32) {
    let record = response.records().next().expect("a record");
    (*record.rdata().last().expect("data"), record.ttl())
}
