//! Asking the plugins behind, and what becomes of their answer.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use catena_core::message::{Request, Response};
use catena_core::plugin::{Lifecycle, Next, Outcome, PluginError, StartContext, StartError};

use crate::classify::{Judged, Says, judge};
use crate::config::Config;
use crate::entry::{Entry, Kind, Millis};
use crate::metrics::Metrics;
use crate::store::{Key, Store, bits};

/// The cache of one server block.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Metrics,
}

#[async_trait]
impl Lifecycle for Inner {
    fn name(&self) -> &'static str {
        "cache"
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        self.metrics.set_view(&context.block.view);
        Ok(())
    }
}

/// Why the plugins behind are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose {
    /// To replace an expired answer: a failure is no replacement, and is not kept (RFC 8767, section 4).
    refresh: bool,
    /// No client waits for exactly this answer.
    behind: bool,
}

impl Purpose {
    /// Nothing is kept.
    pub(crate) const MISS: Self = Self {
        refresh: false,
        behind: false,
    };
    /// An answer is about to expire.
    pub(crate) const PREFETCH: Self = Self {
        refresh: false,
        behind: true,
    };
    /// An answer has expired, and the client waits for another.
    pub(crate) const VERIFY: Self = Self {
        refresh: true,
        behind: false,
    };
    /// An answer has expired, and the client does not wait, or not for long.
    pub(crate) const REFRESH: Self = Self {
        refresh: true,
        behind: true,
    };
}

/// What the plugins behind said.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// A reply has the TTL of the cache, and AD as it came.
    pub(crate) outcome: Result<Outcome, PluginError>,
    /// It may take the place of an expired answer.
    pub(crate) refreshes: bool,
    /// What is kept of it.
    pub(crate) entry: Option<Arc<Entry>>,
    /// When it came.
    pub(crate) now: Millis,
    /// DO and CD of the query, before plugins behind could change them.
    pub(crate) bits: u8,
}

impl Fetched {
    /// The outcome for the client who asked.
    pub(crate) fn for_client(self, request: &Request) -> Result<Outcome, PluginError> {
        self.outcome.map(|outcome| match outcome {
            Outcome::Reply(response) => for_client(response, request).into(),
            other => other,
        })
    }
}

/// RFC 6840, section 5.8: AD is for clients who show that they know what it means.
pub(crate) fn for_client(mut response: Response, request: &Request) -> Response {
    if response.ad() && !request.dnssec_ok() && !request.ad() {
        response.set_ad(false);
    }
    response
}

impl Inner {
    /// Runs the plugins behind, and keeps their answer if it can be kept.
    pub(crate) async fn fetch(
        &self,
        key: Key,
        request: &mut Request,
        next: Next<'_>,
        purpose: Purpose,
    ) -> Fetched {
        let begun = tokio::time::Instant::now();
        let asked = self.store.purges();
        let bits = bits(request);
        let ad = request.ad();
        // The answer is for many clients, and some of them may want to see AD.
        request.set_ad(true);
        let outcome = next.run(request).await;
        request.set_ad(ad);
        let now = self.store.millis(request.received() + begun.elapsed());
        match outcome {
            Ok(Outcome::Reply(response)) => {
                let arrival = Arrival {
                    key,
                    purpose,
                    now,
                    asked,
                    bits,
                };
                self.take_in(arrival, request, response)
            }
            other => Fetched {
                outcome: other,
                refreshes: false,
                entry: None,
                now,
                bits,
            },
        }
    }

    fn take_in(&self, arrival: Arrival, request: &Request, mut response: Response) -> Fetched {
        let judged = judge(&response, request, &self.config, seconds_since_1970);
        // OPT is between neighbours: each client gets its own.
        response.remove_opt();
        response.clear_options();
        response.map_ttls(|_| judged.ttl);
        let prefer_positive = self.config.prefer_positive();
        let usable = judged.refreshes && judged.says == Says::Answer && judged.is_answering;
        let refreshes = if prefer_positive { usable } else { judged.refreshes };
        let keeps = match arrival.purpose.refresh {
            // What is no answer must not hide the one that is kept, but it may stand beside it.
            true if prefer_positive => judged.matches && !response.tc(),
            true => refreshes,
            false => true,
        };
        let entry = if keeps {
            self.keep(arrival, request, &response, judged)
        } else {
            None
        };
        Fetched {
            outcome: Ok(response.into()),
            refreshes,
            entry,
            now: arrival.now,
            bits: arrival.bits,
        }
    }

    fn keep(
        &self,
        arrival: Arrival,
        request: &Request,
        response: &Response,
        judged: Judged,
    ) -> Option<Arc<Entry>> {
        if !judged.is_cacheable || judged.ttl == 0 {
            return None;
        }
        let server = self.metrics.of(request.server());
        if !judged.matches {
            server.drops.inc();
            return None;
        }
        let kind = judged.kind();
        let limits = match kind {
            Kind::Success => &self.config.success,
            Kind::Denial => &self.config.denial,
        };
        server.stores();
        if limits.excepts(request.qname()) {
            return None;
        }
        self.put(arrival, request, response, judged)
    }

    fn put(
        &self,
        arrival: Arrival,
        request: &Request,
        response: &Response,
        judged: Judged,
    ) -> Option<Arc<Entry>> {
        let kind = judged.kind();
        let prefer_positive = self.config.prefer_positive();
        let last_good = if prefer_positive && kind == Kind::Success && !judged.is_answering {
            let previous = self.store.peek(arrival.key, kind);
            previous.and_then(|entry| entry.answering_entry(request))
        } else {
            None
        };
        let entry = Entry::new(response, arrival.now, judged.ttl, kind, judged.is_answering);
        let entry = entry.asked_with(arrival.bits, arrival.asked);
        let entry = Arc::new(entry.with_last_good(last_good));
        let remove_denial = if prefer_positive {
            judged.is_answering
        } else {
            arrival.purpose.behind
        };
        let stored = self
            .store
            .put(arrival.key, request.qname(), &entry, remove_denial)?;
        self.metrics.of(request.server()).evicted(kind, stored.evicted);
        Some(entry)
    }
}

/// Where and when an answer came.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    key: Key,
    purpose: Purpose,
    now: Millis,
    /// How many purges there had been when the question was asked.
    asked: u64,
    bits: u8,
}

fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
