//! What happens to one query.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use catena_core::message::{ListenerContext, Request, Response, Transport};
use catena_core::plugin::{AtOnce, Next, Outcome, OwnedNext, Plugin, PluginError};

use crate::config::{Stale, Verify};
use crate::entry::{Entry, Millis, Refreshing};
use crate::fetch::{Fetched, Inner, Purpose, for_client};
use crate::flight::{Joined, Lead};
use crate::metrics::Server;
use crate::shared::Shared;
use crate::store::{Found, Key};

const HINFO: u16 = 13;
const IXFR: u16 = 251;
const AXFR: u16 = 252;

/// How often the probe of the plugin `loop` must come by to be noticed.
const ROUNDS_OF_LOOP: u64 = 3;

/// The link of the chain.
#[derive(Debug)]
pub(crate) struct Cache(Arc<Inner>);

impl Cache {
    pub(crate) const fn new(inner: Arc<Inner>) -> Self {
        Self(inner)
    }
}

#[async_trait]
impl Plugin for Cache {
    fn name(&self) -> &'static str {
        "cache"
    }

    #[inline]
    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        let cache = &*self.0;
        if !cache.covers(request) {
            return AtOnce::Pass;
        }
        let key = cache.store.key(request);
        let now = cache.store.millis(request.received());
        let Some(found) = cache.store.find(key, request, &cache.config, now) else {
            return AtOnce::Wait;
        };
        if found.left <= 0 || cache.is_due(&found, now, true) {
            return AtOnce::Wait;
        }
        let server = cache.metrics.of(request.server());
        server.requests.inc();
        server.hit(found.entry.kind());
        AtOnce::Answer(cache.fresh(&found, request).into())
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let cache = &self.0;
        let key = cache.store.key(request);
        let now = cache.store.millis(request.received());
        let label = Arc::clone(request.server());
        let server = cache.metrics.of(&label);
        server.requests.inc();
        let query = Query {
            cache,
            key,
            now,
            next,
            server,
        };
        let Some(found) = cache.store.find(key, request, &cache.config, now) else {
            server.misses.inc();
            return query.miss(request).await;
        };
        server.hit(found.entry.kind());
        match cache.config.stale {
            Some(stale) if found.left <= 0 => query.stale(request, found, stale).await,
            _ => {
                if cache.is_due(&found, now, false)
                    && let Some(refreshing) = found.entry.begin_refresh(now)
                {
                    query.refresh_behind(request, refreshing, Purpose::PREFETCH);
                }
                Ok(cache.fresh(&found, request).into())
            }
        }
    }
}

impl Inner {
    /// Whether the answer to this query may be kept: transfers and notifications are not for caches.
    #[inline]
    fn covers(&self, request: &Request) -> bool {
        request.opcode() == 0
            && !matches!(request.qtype_code(), IXFR | AXFR)
            && self
                .config
                .zones
                .iter()
                .any(|zone| request.qname().is_within(zone))
    }

    /// Whether an answer is popular and about to expire. With `counts` this is a hit.
    #[inline]
    fn is_due(&self, found: &Found, now: Millis, counts: bool) -> bool {
        let Some(prefetch) = self.config.prefetch else {
            return false;
        };
        let hits = if counts {
            found.entry.hit(now, prefetch.gap)
        } else {
            found.entry.hits()
        };
        let threshold = (u64::from(prefetch.percentage) * u64::from(found.entry.ttl())).div_ceil(100);
        hits >= u64::from(prefetch.amount) && found.left <= threshold as i64 && found.entry.may_refresh(now)
    }

    /// A kept answer that has not expired.
    #[inline]
    fn fresh(&self, found: &Found, request: &mut Request) -> Response {
        let ttl = if self.config.keep_ttl {
            found.entry.ttl()
        } else {
            found.left as u32
        };
        kept(&found.entry, request, ttl)
    }

    /// The TTL of a kept answer that has expired.
    fn stale_ttl(&self, entry: &Entry, stale: Stale) -> u32 {
        match stale.response_ttl {
            0 if self.config.keep_ttl => entry.ttl(),
            ttl => ttl,
        }
    }
}

/// A kept answer for this client. CoreDNS sets AA on each, since resolvers of old systems pass over answers without it.
#[inline]
fn kept(entry: &Entry, request: &mut Request, ttl: u32) -> Response {
    let mut response = entry.kept().reply_to(request, ttl);
    response.set_aa(true);
    for_client(response, request)
}

/// A query that cannot be answered from memory alone.
struct Query<'a> {
    cache: &'a Arc<Inner>,
    key: Key,
    now: Millis,
    next: Next<'a>,
    server: &'a Server,
}

impl Query<'_> {
    /// Nothing is kept: asks the plugins behind, or waits for who asks them the same.
    async fn miss(&self, request: &mut Request) -> Result<Outcome, PluginError> {
        // The plugin `loop` counts how often its own query comes by. If it waited here for itself it would never come.
        if request.qtype_code() == HINFO {
            for round in 1..=ROUNDS_OF_LOOP {
                if let Some(lead) = self.cache.store.lead(self.key.of_round(round), request) {
                    return self.lead_miss(lead, request).await;
                }
            }
        }
        let mut key = self.key;
        loop {
            match self.cache.store.join(key, request) {
                Joined::Leads(lead) => return self.lead_miss(lead, request).await,
                Joined::Follows(seat) => {
                    self.server.coalesced.inc();
                    let Some(shared) = seat.landing().await else {
                        continue;
                    };
                    if let Some(outcome) = shared.for_client(request) {
                        return outcome;
                    }
                    if key != self.key {
                        return self.fetch(request, Purpose::MISS).await.for_client(request);
                    }
                    key = key.of_streams();
                }
                Joined::Refused => return self.refuse(request),
            }
        }
    }

    async fn lead_miss(&self, lead: Lead, request: &mut Request) -> Result<Outcome, PluginError> {
        // Somebody may have landed between the look at what is kept and the start.
        let cache = self.cache;
        if let Some(found) = cache.store.find(self.key, request, &cache.config, self.now)
            && found.left > 0
        {
            return Ok(cache.fresh(&found, request).into());
        }
        let fetched = self.fetch(request, Purpose::MISS).await;
        lead.land(|| Shared::of(request, &fetched));
        fetched.for_client(request)
    }

    async fn fetch(&self, request: &mut Request, purpose: Purpose) -> Fetched {
        self.cache.fetch(self.key, request, self.next, purpose).await
    }

    /// Too many wait for the same. A datagram's sender may be forged, so it gets nothing.
    fn refuse(&self, request: &Request) -> Result<Outcome, PluginError> {
        self.server.refused.inc();
        if request.transport().is_size_limited() {
            return Ok(Outcome::Drop);
        }
        Err(PluginError::new("cache", "too many queries wait for this answer"))
    }

    /// What is kept has expired.
    async fn stale(&self, request: &mut Request, found: Found, stale: Stale) -> Result<Outcome, PluginError> {
        match stale.verify {
            Some(verify) => {
                if let Some(outcome) = self.verify(request, &found, stale, verify).await {
                    return outcome;
                }
            }
            None => {
                if let Some(refreshing) = found.entry.begin_refresh(self.now) {
                    self.refresh_behind(request, refreshing, Purpose::REFRESH);
                }
            }
        }
        self.server.stale.inc();
        let ttl = self.cache.stale_ttl(&found.entry, stale);
        Ok(kept(&found.entry, request, ttl).into())
    }

    /// Asks for an answer in place of the expired one; `None` if none comes, or not in time.
    async fn verify(
        &self,
        request: &mut Request,
        found: &Found,
        stale: Stale,
        verify: Verify,
    ) -> Option<Result<Outcome, PluginError>> {
        let refreshing = if stale.recheck.is_zero() {
            None
        } else {
            Some(found.entry.begin_refresh(self.now)?)
        };
        let joined = self.cache.store.join(self.key, request);
        if verify.timeout.is_zero() {
            return self.verify_in_place(request, joined, refreshing).await;
        }
        let seat = match joined {
            Joined::Leads(lead) => {
                let seat = lead.seat(request.peer().ip())?;
                let copy = detached(request, request.transport(), request.peer())?;
                self.spawn(copy, lead, refreshing, Purpose::REFRESH)?;
                seat
            }
            Joined::Follows(seat) => {
                self.server.coalesced.inc();
                seat
            }
            Joined::Refused => return None,
        };
        let begun = tokio::time::Instant::now();
        let shared = tokio::time::timeout(verify.timeout, seat.landing())
            .await
            .ok()??;
        if !shared.refreshes(request) {
            return None;
        }
        let Some(entry) = shared.entry() else {
            return shared.for_client(request);
        };
        let now = self.cache.store.millis(request.received() + begun.elapsed());
        let found = Found {
            entry: Arc::clone(entry),
            left: entry.left(now).max(0),
        };
        Some(Ok(self.cache.fresh(&found, request).into()))
    }

    async fn verify_in_place(
        &self,
        request: &mut Request,
        joined: Joined,
        refreshing: Option<Refreshing>,
    ) -> Option<Result<Outcome, PluginError>> {
        match joined {
            Joined::Leads(lead) => {
                let fetched = self.fetch(request, Purpose::VERIFY).await;
                if let Some(refreshing) = refreshing {
                    self.cache.end_refresh(refreshing, &fetched);
                }
                lead.land(|| Shared::of(request, &fetched));
                fetched.refreshes.then(|| fetched.for_client(request))
            }
            Joined::Follows(seat) => {
                self.server.coalesced.inc();
                let shared = seat.landing().await?;
                if shared.refreshes(request) {
                    shared.for_client(request)
                } else {
                    None
                }
            }
            Joined::Refused => None,
        }
    }

    /// Fetches a kept answer anew without anybody waiting.
    fn refresh_behind(&self, request: &Request, refreshing: Refreshing, purpose: Purpose) {
        let Some(lead) = self.cache.store.lead(self.key, request) else {
            return;
        };
        // CoreDNS fetches over TCP, so that an answer for all is never a truncated one.
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let Some(copy) = detached(request, Transport::Tcp, nobody) else {
            return;
        };
        if self.spawn(copy, lead, Some(refreshing), purpose).is_some() {
            self.server.prefetches.inc();
        }
    }

    /// Fetches in a task of its own, unless too many do.
    fn spawn(
        &self,
        mut request: Request,
        lead: Lead,
        refreshing: Option<Refreshing>,
        purpose: Purpose,
    ) -> Option<()> {
        let Some(permit) = self.cache.store.behind() else {
            self.server.not_refreshed.inc();
            return None;
        };
        let (cache, next, key) = (Arc::clone(self.cache), self.next.to_owned(), self.key);
        let work = async move {
            let next: OwnedNext = next;
            let fetched = cache.fetch(key, &mut request, next.as_next(), purpose).await;
            if let Some(refreshing) = refreshing {
                cache.end_refresh(refreshing, &fetched);
            }
            lead.land(|| Shared::of(&request, &fetched));
            drop(permit);
        };
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        // Nobody waits for it; whoever wants its outcome has a seat on the flight.
        drop(runtime.spawn(work));
        Some(())
    }
}

impl Inner {
    /// Ends a refresh: the new answer is as popular as the old one was, and a failure is not repeated at once.
    fn end_refresh(&self, refreshing: Refreshing, fetched: &Fetched) {
        if let Some(entry) = &fetched.entry {
            entry.take_over_hits(refreshing.entry(), fetched.now);
        }
        let recheck = self.config.stale.map_or(0, |stale| stale.recheck.as_millis());
        if recheck > 0 && !fetched.refreshes {
            refreshing.fail(fetched.now.saturating_add(recheck as Millis));
        }
    }
}

/// A query of its own with the same message, for work that outlives the client's.
fn detached(request: &Request, transport: Transport, peer: SocketAddr) -> Option<Request> {
    let context = ListenerContext {
        transport,
        peer,
        local: request.local(),
        server: request.server(),
        received: request.received(),
    };
    let mut copy = Request::new();
    copy.reset(request.wire(), &context).ok()?;
    copy.set_zone(request.zone());
    Some(copy)
}
