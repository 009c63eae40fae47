//! The link of the chain: lets a query pass and counts what comes back.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use catena_core::corefile::Key;
use catena_core::message::{Rcode, Request, Response, Zone};
use catena_core::plugin::{MessageSource, Next, Outcome, Plugin, PluginError, TransferStream};

use crate::config::NAME;
use crate::metrics::{Answer, Families, Query, Site};
use crate::sites::Sites;

/// Type code of DS, which dispatch gives to the zone above.
const DS: u16 = 43;

/// The plugin.
#[derive(Debug)]
pub(crate) struct Prometheus {
    /// The block's zones, the longest names first.
    zones: Vec<Arc<Zone>>,
    /// Some port or transport has not all of the zones, so that dispatch may find a shorter one there.
    is_uneven: bool,
    families: Arc<Families>,
    sites: Sites,
    /// Known once all plugins of the block are set up.
    view: OnceLock<String>,
}

impl Prometheus {
    pub(crate) fn new(keys: &[Key], families: Arc<Families>) -> Self {
        let mut zones: Vec<Zone> = Vec::new();
        for key in keys {
            if !zones.contains(&key.zone) {
                zones.push(key.zone.clone());
            }
        }
        let lacks = |listener: &Key, zone: &Zone| {
            !keys
                .iter()
                .any(|key| key.zone == *zone && (key.scheme, key.port) == (listener.scheme, listener.port))
        };
        let is_uneven = keys
            .iter()
            .any(|listener| zones.iter().any(|zone| lacks(listener, zone)));
        zones.sort_by_key(|zone| std::cmp::Reverse(zone.label_count()));
        Self {
            zones: zones.into_iter().map(Arc::new).collect(),
            is_uneven,
            families,
            sites: Sites::default(),
            view: OnceLock::new(),
        }
    }

    /// Names the view that the block belongs to.
    pub(crate) fn set_view(&self, view: &str) {
        // A block starts once.
        let _ = self.view.set(view.to_owned());
    }

    /// Counts a query, whose size and answer are given.
    fn count(&self, request: &Request, plugin: Option<&'static str>, size: usize, answer: &Answer) {
        let query = query_of(request, size);
        self.with_site(request, plugin, |site| site.count(&self.families, &query, answer));
    }

    fn with_site<T>(&self, request: &Request, plugin: Option<&str>, work: impl FnOnce(&Arc<Site>) -> T) -> T {
        let zone = self.zone_of(request);
        let make = || {
            let view = self.view.get().map_or("", String::as_str);
            Site::new(request.server(), zone.as_str(), view, plugin.unwrap_or_default())
        };
        self.sites.with(request, zone, make, work)
    }

    /// The longest of the block's zones that holds the name, whatever its port and transport. Mostly it is the one that
    /// dispatch found.
    fn zone_of<'a>(&'a self, request: &'a Request) -> &'a Arc<Zone> {
        if self.zones.len() < 2 || (request.qtype_code() != DS && !self.is_uneven) {
            return request.zone();
        }
        let holds = |zone: &&Arc<Zone>| request.qname().is_within(zone);
        self.zones.iter().find(holds).unwrap_or_else(|| request.zone())
    }
}

fn query_of(request: &Request, size: usize) -> Query {
    Query {
        datagram: request.transport().is_datagram(),
        ipv6: request.peer().ip().to_canonical().is_ipv6(),
        qtype: request.qtype_code(),
        dnssec_ok: request.dnssec_ok(),
        size,
    }
}

#[async_trait]
impl Plugin for Prometheus {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        // Plugins behind may change the query.
        let size = request.wire().len();
        let plugin = next.plugin_name();
        let outcome = next.run(request).await;
        let (rcode, written, answer_size) = match outcome {
            Ok(Outcome::Reply(ref response)) => (response.rcode(), true, response.uncompressed_len()),
            Ok(Outcome::Status(rcode)) => (rcode, false, 0),
            Err(ref error) => (error.rcode(), false, 0),
            Ok(Outcome::Transfer(stream)) => return Ok(self.transfer(request, plugin, size, stream)),
            // Silence counts as no error by nobody, as in CoreDNS.
            Ok(_) => (Rcode::NOERROR, false, 0),
        };
        let seconds = request.received().elapsed().as_secs_f64();
        self.count(
            request,
            plugin,
            size,
            &Answer {
                rcode,
                written,
                size: answer_size,
                seconds,
            },
        );
        outcome
    }
}

impl Prometheus {
    /// Counts a transfer when its last message is out.
    fn transfer(
        &self,
        request: &Request,
        plugin: Option<&'static str>,
        size: usize,
        stream: TransferStream,
    ) -> Outcome {
        let counted = Counted {
            stream,
            families: Arc::clone(&self.families),
            site: self.with_site(request, plugin, Arc::clone),
            query: query_of(request, size),
            started: request.received(),
            rcode: Rcode::NOERROR,
            written: false,
            size: 0,
        };
        Outcome::Transfer(TransferStream::new(counted))
    }
}

/// Hands a transfer's messages on, and counts it when it ends, also when the client is gone before.
struct Counted {
    stream: TransferStream,
    families: Arc<Families>,
    site: Arc<Site>,
    query: Query,
    started: Instant,
    rcode: Rcode,
    written: bool,
    size: usize,
}

#[async_trait]
impl MessageSource for Counted {
    async fn next(&mut self) -> Option<Result<Response, PluginError>> {
        let next = self.stream.next().await;
        if let Some(Ok(message)) = &next {
            self.rcode = message.rcode();
            self.written = true;
            self.size += message.uncompressed_len();
        }
        next
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let answer = Answer {
            rcode: self.rcode,
            written: self.written,
            size: self.size,
            seconds: self.started.elapsed().as_secs_f64(),
        };
        self.site.count(&self.families, &self.query, &answer);
    }
}
